"""What a user may rely on while nothing happens: a look every ten seconds, for good, and cheap."""

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from temporalio.client import WorkflowHandle
from temporalio.exceptions import WorkflowAlreadyStartedError

from domain.errors import UnavailableError
from domain.guardian_rules import Held
from domain.halt import Kill, Resume
from domain.ports import ActiveOrder
from domain.protection import Crossing, Repair
from domain.risk import AccountState
from tests.domain.test_guardian import NO_PROFIT, NO_STOP, WHOLE
from tests.workflows.conftest import Engine
from tests.workflows.memory import YES
from workflows.guard_account import GuardAccount, GuardianTask
from workflows.guardian_ticks import MOST_TICKS

pytestmark = [pytest.mark.services, pytest.mark.asyncio(loop_scope="session")]

Guardian = WorkflowHandle[GuardAccount, None]
NEVER = 1_000_000


async def begun(engine: Engine, **task: Any) -> Guardian:
    """Start a guardian whose worker is noticed dead as soon as the product's is."""
    handle = await engine.client.start_workflow(
        GuardAccount.run,
        GuardianTask(account_id="main", **task),
        id=f"{engine.queue}-guardian",
        task_queue=engine.queue,
        task_timeout=timedelta(seconds=3),
    )
    engine.begun.append(handle.id)
    return handle


async def ticked(engine: Engine, seconds: float) -> list[datetime]:
    """Let that much time pass; return when the looks of it were over."""
    before = len(engine.books.sweeps)
    await engine.environment.sleep(timedelta(seconds=seconds))
    return [watched.sweep.swept_at for watched in engine.books.sweeps[before:]]


async def events(guardian: Guardian) -> Counter[str]:
    history = await guardian.fetch_history()
    return Counter(event.WhichOneof("attributes") or "" for event in history.events)


def held(of: Held, token_id: str = YES) -> dict[str, Held]:
    return {token_id: of._replace(token_id=token_id, market="will-it-rain", outcome="Yes")}


async def test_a_look_comes_at_every_full_ten_seconds_of_the_clock(engine: Engine) -> None:
    await begun(engine)
    first, *others = await ticked(engine, 65)
    assert len(others) in {6, 7}  # the seventh where the first minute ended on a full ten
    assert all(at >= first for at in others)


async def test_a_quiet_tick_costs_six_events(engine: Engine) -> None:
    engine.books.guarded = held(NO_PROFIT._replace(take_profit=None))
    guardian = await begun(engine, ticks_per_run=NEVER)
    await ticked(engine, 15)
    before = await events(guardian)
    looks = len(await ticked(engine, 200))
    spent = await events(guardian) - before
    assert looks in {20, 21}
    assert spent.total() <= 6 * looks


async def test_d4_a_run_ends_long_before_its_history_is_full_and_the_next_goes_on(
    engine: Engine,
) -> None:
    engine.books.guarded = held(NO_STOP)
    guardian = await begun(engine, ticks_per_run=20)
    looks = await ticked(engine, 1_205)
    assert 120 <= len(looks) <= 122
    assert max(later - earlier for earlier, later in pairwise(looks)) < timedelta(seconds=20)
    now = engine.client.get_workflow_handle_for(GuardAccount.run, guardian.id)
    assert (await now.describe()).run_id != guardian.first_execution_run_id
    assert (await events(now)).total() <= 6 * 20 + 11
    assert "its stop is not armed" in await page(now)
    opened = [watched for watched in engine.books.sweeps if watched.opened]
    assert len(opened) == 1


async def page(guardian: Guardian) -> str:
    """The guardian's page, as the Temporal UI shows it."""
    metadata = await guardian.query("__temporal_workflow_metadata")
    return str(metadata.current_details)


async def test_d5_no_signal_is_lost_while_runs_follow_one_another(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    guardian = await begun(engine, ticks_per_run=1)
    by_id = engine.client.get_workflow_handle_for(GuardAccount.run, guardian.id)
    looks = asyncio.create_task(ticked(engine, 200))
    sent = [f"n{number}" for number in range(40)]
    for name in sent:
        await by_id.signal(GuardAccount.resume, Resume(by=name))

    def refused() -> set[str]:
        told = [record for record in caplog.records if record.msg == "account.not_resumed"]
        return {str(vars(record)["by"]) for record in told}

    await engine.until(lambda: refused() == set(sent))
    assert len(await looks) >= 20
    assert (await by_id.describe()).run_id != guardian.first_execution_run_id


async def test_a_kill_goes_before_a_look_that_hangs(engine: Engine) -> None:
    hangs = asyncio.Event()
    engine.books.at_seen = hangs.wait
    guardian = await begun(engine)
    await engine.until(lambda: engine.books.reads >= 1)
    await guardian.signal(GuardAccount.kill, Kill(by="ann", reason="enough"))
    await engine.until(lambda: engine.ledger.standing_now.state is AccountState.HALTED)
    assert engine.books.sweeps == []
    hangs.set()


async def test_the_looks_go_on_while_halted_so_that_stops_stay_armed(engine: Engine) -> None:
    guardian = await begun(engine)
    await guardian.signal(GuardAccount.kill, Kill(by="ann", reason="enough"))
    await engine.until(lambda: engine.ledger.standing_now.state is AccountState.HALTED)
    engine.venue.ask = Decimal("0.30")
    engine.books.guarded = held(NO_PROFIT)
    looks = len(await ticked(engine, 20))
    assert looks >= 2
    crossings = [hint for _, hint in engine.calls.hints if isinstance(hint, Crossing)]
    assert len(crossings) >= looks
    assert {crossing.price for crossing in crossings} == {Decimal("0.28")}


async def test_a_resume_is_followed_by_a_look_at_once(engine: Engine) -> None:
    guardian = await begun(engine)
    await guardian.signal(GuardAccount.kill, Kill(by="ann", reason="enough"))
    await engine.until(lambda: engine.ledger.standing_now.state is AccountState.HALTED)
    engine.books.guarded = held(NO_PROFIT)
    await guardian.signal(GuardAccount.resume, Resume(by="bob", force=True))
    await engine.until(lambda: bool(engine.calls.hints))  # no time passes meanwhile
    task, hint = engine.calls.hints[0]
    assert isinstance(hint, Repair)
    assert (task.token_id, hint.why) == (YES, ("no take-profit rests",))


async def test_half_a_look_repairs_nothing_and_the_next_one_does(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.books.guarded = held(NO_STOP)
    guardian = await begun(engine)
    await ticked(engine, 5)
    engine.calls.hints.clear()

    async def unreadable(token_ids: list[str]) -> dict[str, Any]:
        raise UnavailableError(f"{len(token_ids)} books cannot be read")

    with monkeypatch.context() as broken:
        broken.setattr(engine.venue, "quotes", unreadable)
        await ticked(engine, 20)
        assert engine.calls.hints == []
        assert "NOT COMPLETE" in await page(guardian)
        alarms = [alarm.name for watched in engine.books.sweeps for alarm in watched.begun]
        assert alarms == ["sweep_incomplete"]  # told once, not at every tick
    await ticked(engine, 10)
    assert engine.calls.hints


async def test_its_page_is_small_however_much_is_held_and_shows_the_worst_first(
    engine: Engine,
) -> None:
    many = {
        f"t{n}": WHOLE._replace(position_id=f"p{n}", token_id=f"t{n}", market=f"m{n}")
        for n in range(200)
    }
    many["t150"] = many["t150"]._replace(stop_status=None)
    engine.books.guarded = many
    engine.venue.active["0x1"] = ActiveOrder(
        order_hash="0x1", token_id=YES, size=Decimal(40), matched_size=Decimal(0)
    )
    guardian = await begun(engine)
    await ticked(engine, 5)
    shown = await page(guardian)
    lines = shown.splitlines()
    assert "| state | running |" in lines
    assert "| positions guarded | 200 |" in lines
    assert "| m150 Yes |" in shown.partition("**Positions**")[2].splitlines()[4]
    assert "… and 180 more" in shown
    assert len(shown) < 5_000


async def test_c14_an_account_has_one_guardian(engine: Engine) -> None:
    await begun(engine)
    with pytest.raises(WorkflowAlreadyStartedError):
        await begun(engine)


@pytest.mark.campaign
async def test_a_whole_day_misses_no_look_and_no_run_of_it_grows_long(engine: Engine) -> None:
    """8,640 ticks take minutes: `pytest -m campaign tests/workflows/test_guardian_ticks.py`."""
    engine.books.guarded = held(NO_PROFIT._replace(take_profit=None))
    guardian = await begun(engine)
    looks = await ticked(engine, 86_400)
    assert len(looks) >= 8_639
    assert max(later - earlier for earlier, later in pairwise(looks)) < timedelta(seconds=20)
    now = engine.client.get_workflow_handle_for(GuardAccount.run, guardian.id)
    assert (await now.describe()).run_id != guardian.first_execution_run_id
    assert (await events(now)).total() <= 6 * MOST_TICKS + 11

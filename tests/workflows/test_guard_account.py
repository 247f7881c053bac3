"""What a user may rely on when they stop an account: the gate first, then an empty exchange."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from temporalio.client import WorkflowHandle

from domain.halt import Kill, Resume
from domain.headroom import tripped
from domain.order import OrderState, Side
from domain.risk import AccountState
from tests.workflows.conftest import Engine
from tests.workflows.memory import LIMITS, YES, a_wish
from workflows.guard_account import GuardAccount, GuardianStatus

pytestmark = [pytest.mark.services, pytest.mark.asyncio(loop_scope="session")]

KILL = Kill(by="ann", reason="enough")


async def state_of(guardian: WorkflowHandle[GuardAccount, None]) -> GuardianStatus:
    return await guardian.query(GuardAccount.status)


async def killed(engine: Engine, kill: Kill = KILL) -> WorkflowHandle[GuardAccount, None]:
    """Return a guardian that has done a kill."""
    guardian = await engine.guard()
    await guardian.signal(GuardAccount.kill, kill)
    await engine.until(lambda: engine.ledger.standing_now.state is AccountState.HALTED)
    return guardian


@contextlib.asynccontextmanager
async def passing_time(guardian: WorkflowHandle[GuardAccount, None]) -> AsyncGenerator[None]:
    """Let the server skip time, which it does while somebody waits for a workflow's end."""
    waiting = asyncio.create_task(guardian.result())
    try:
        yield
    finally:
        waiting.cancel()


async def resting(engine: Engine) -> str:
    """Return the hash of an order of ours that rests."""
    await engine.work(a_wish())
    rows = engine.ledger.rows
    await engine.until(lambda: any(row.state is OrderState.LIVE for row in rows.values()))
    return next(iter(engine.ledger.rows))


async def test_a_kill_closes_the_gate_before_it_cancels_and_confirms_after_two_empty_readings(
    engine: Engine,
) -> None:
    seen: list[AccountState] = []
    engine.venue.after_sweep = [lambda: seen.append(engine.ledger.standing_now.state)] * 3
    order_hash = await resting(engine)
    guardian = await killed(engine)
    assert engine.ledger.states == [AccountState.HALTING, AccountState.HALTED]
    assert set(seen) == {AccountState.HALTING}
    assert order_hash not in engine.venue.active
    assert "enough (ann)" in (engine.ledger.standing_now.reason or "")
    assert (await state_of(guardian)).state is AccountState.HALTED


async def test_an_order_that_slips_in_during_a_kill_is_cancelled_before_it_is_confirmed(
    engine: Engine,
) -> None:
    order_hash = await resting(engine)
    again = engine.venue.active[order_hash]
    engine.venue.after_sweep = [
        lambda: None,
        lambda: engine.venue.active.update({order_hash: again}),
        lambda: engine.venue.active.update({order_hash: again}),
    ]
    await killed(engine)
    assert engine.venue.sweeps >= 5
    assert engine.venue.active == {}


async def test_a_cancel_all_that_lies_is_asked_again_until_nothing_is_listed(
    engine: Engine,
) -> None:
    await resting(engine)
    engine.venue.stubborn_sweeps = 3
    await killed(engine)
    assert engine.venue.sweeps >= 5
    assert engine.venue.active == {}


async def test_a_second_kill_changes_nothing(engine: Engine) -> None:
    guardian = await killed(engine)
    standing = engine.ledger.standing_now
    sweeps = engine.venue.sweeps
    await guardian.signal(GuardAccount.kill, KILL)
    await engine.until(lambda: engine.venue.sweeps >= sweeps + 3)
    assert engine.ledger.standing_now == standing
    assert engine.ledger.states == [AccountState.HALTING, AccountState.HALTED]


async def test_a_kill_sent_without_any_words_is_a_kill(engine: Engine) -> None:
    guardian = await engine.guard()
    await guardian.signal("kill")
    await engine.until(lambda: engine.ledger.standing_now.state is AccountState.HALTED)


async def test_while_halted_no_entry_is_sent(engine: Engine) -> None:
    await killed(engine)
    entry = await engine.work(a_wish("s2-0"))
    await entry.result()
    assert engine.venue.sends == []


async def test_a_kill_that_closes_sells_what_is_held_at_the_market(engine: Engine) -> None:
    engine.ledger.held[YES] = Decimal(40)
    await killed(engine, replace(KILL, close_positions=True))
    await engine.until(lambda: bool(engine.calls.sales))
    task, sale = engine.calls.sales[0]
    assert (task.token_id, sale.side, sale.price) == (YES, Side.SELL, None)
    engine.ledger.held[YES] = Decimal(0)


async def test_a_position_that_stays_is_offered_again_under_a_new_intent(engine: Engine) -> None:
    engine.ledger.held[YES] = Decimal(40)
    await killed(engine, replace(KILL, close_positions=True))
    await engine.until(lambda: len(engine.calls.sales) >= 2)
    intents = [sale.intent_id for _, sale in engine.calls.sales]
    assert len(set(intents)) == len(intents)
    engine.ledger.held[YES] = Decimal(0)


async def test_a_resume_before_the_cooldown_ends_is_refused_and_a_forced_one_is_not(
    engine: Engine,
) -> None:
    guardian = await killed(engine)
    await guardian.signal(GuardAccount.resume, Resume(by="bob"))
    await _said(guardian, "cooldown")
    assert engine.ledger.standing_now.state is AccountState.HALTED
    await guardian.signal(GuardAccount.resume, Resume(by="bob", force=True))
    await engine.until(lambda: engine.ledger.standing_now.state is AccountState.RUNNING)
    assert engine.ledger.standing_now.reason == "resumed by bob, forced"


async def test_after_the_cooldown_an_account_trades_again(engine: Engine) -> None:
    guardian = await killed(engine)
    halted = engine.ledger.standing_now
    engine.ledger.standing_now = replace(halted, since=halted.since - timedelta(seconds=61))
    await guardian.signal(GuardAccount.resume, Resume(by="bob"))
    await engine.until(lambda: engine.ledger.standing_now.state is AccountState.RUNNING)
    entry = await engine.work(a_wish("s3-0"))
    await engine.until(lambda: bool(engine.venue.sends))
    await entry.terminate("seen")


async def test_a_kill_begun_without_the_guardian_is_finished_by_it(engine: Engine) -> None:
    await resting(engine)
    guardian = await engine.guard()
    await engine.until(lambda: engine.books.reads >= 1)
    await engine.ledger.set_state("main", AccountState.HALTING, reason="by the command alone")
    async with passing_time(guardian):
        await engine.until(lambda: engine.ledger.standing_now.state is AccountState.HALTED)
    assert engine.venue.active == {}


async def test_l1_a_kill_needs_no_profit_no_loss_and_no_price(engine: Engine) -> None:
    engine.ledger.is_unreadable = True
    order_hash = await resting(engine)
    await killed(engine)
    assert order_hash not in engine.venue.active


async def lost(engine: Engine, usd: int) -> None:
    """Have the account begun its day with $10,000 and lost so much since."""
    ledger = engine.ledger
    await ledger.begin("main", Decimal(10_000), "guardian", ledger.now())
    ledger.pnl_usd = Decimal(-usd)


async def test_max_daily_loss_halts_the_account_at_the_guardians_look_and_says_why(
    engine: Engine,
) -> None:
    await resting(engine)
    await lost(engine, 1000)  # a tenth of what the day began with
    await engine.guard()
    await engine.until(lambda: engine.ledger.standing_now.state is AccountState.HALTED)
    assert engine.ledger.states == [AccountState.HALTING, AccountState.HALTED]
    assert engine.venue.active == {}
    assert engine.calls.sales == []
    assert (engine.ledger.standing_now.reason or "").startswith("daily loss $1000.00 since 00:00")


async def test_after_a_daily_loss_a_resume_waits_for_the_cooldown_and_then_for_the_next_day(
    engine: Engine,
) -> None:
    await lost(engine, 1500)
    guardian = await engine.guard()
    await engine.until(lambda: engine.ledger.standing_now.state is AccountState.HALTED)
    await guardian.signal(GuardAccount.resume, Resume(by="bob"))
    await _said(guardian, "cooldown")
    halted = engine.ledger.standing_now
    engine.ledger.standing_now = replace(halted, since=halted.since - timedelta(seconds=61))
    await guardian.signal(GuardAccount.resume, Resume(by="bob"))
    await _said(guardian, "wait for 00:00 UTC, or force it")
    await guardian.signal(GuardAccount.resume, Resume(by="bob", force=True))
    await engine.until(lambda: engine.ledger.standing_now.state is AccountState.RUNNING)
    reading = await engine.ledger.reading("main", engine.ledger.now())
    assert tripped(reading, LIMITS) is None  # what was lost so far counts no more
    engine.ledger.pnl_usd -= 1000  # a further tenth stops the account again
    reading = await engine.ledger.reading("main", engine.ledger.now())
    assert tripped(reading, LIMITS) is not None


async def _said(guardian: WorkflowHandle[GuardAccount, None], words: str) -> None:
    """Wait until the guardian answers with these words."""
    for _ in range(3_000):
        if words in ((await state_of(guardian)).words or ""):
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"the guardian never said {words!r}")

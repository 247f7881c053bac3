"""What a user may rely on when they shut an account down."""

from decimal import Decimal

import pytest
from temporalio.client import WorkflowHandle

from domain.halt import Reconcile
from domain.order import OrderState
from domain.reconciliation import Report, Result
from domain.risk import AccountState
from tests.workflows.conftest import Engine
from tests.workflows.memory import a_wish
from workflows.guard_account import GuardAccount
from workflows.shutdown_account import ShutdownAccount
from workflows.work_order import OrderStatus, WorkOrder

pytestmark = [pytest.mark.services, pytest.mark.asyncio(loop_scope="session")]


@pytest.fixture(autouse=True)
def answering(engine: Engine) -> None:
    """Have the comparison that a shutdown asks for be made at once."""

    async def compared(account_id: str, wish: Reconcile) -> None:
        now = engine.venue.clock()
        engine.compared.reports.append(
            Report(
                id=f"r{len(engine.compared.reports)}",
                account_id=account_id,
                reason=wish.reason,
                asked_by=wish.by,
                is_report_only=False,
                result=Result.AGREED,
                findings=(),
                warnings=(),
                begun_at=now.replace(year=now.year + 1),
                ended_at=now,
            )
        )

    engine.calls.reconcile = compared


async def resting(engine: Engine) -> tuple[str, WorkflowHandle[WorkOrder, OrderStatus]]:
    """Return an order of ours that rests, and its workflow, which must be seen to its end.

    One that is ended in the middle of an activity keeps the server from skipping time.
    """
    handle = await engine.work(a_wish())
    rows = engine.ledger.rows
    await engine.until(lambda: any(row.state is OrderState.LIVE for row in rows.values()))
    return next(iter(rows)), handle


async def test_a_shutdown_closes_the_gate_empties_the_exchange_compares_and_stops(
    engine: Engine,
) -> None:
    seen: list[AccountState] = []
    engine.venue.after_sweep = [lambda: seen.append(engine.ledger.standing_now.state)] * 2
    order_hash, work = await resting(engine)
    outcome = await (await engine.shut_down()).result()
    await work.result()
    assert engine.ledger.states == [AccountState.HALTING, AccountState.STOPPED]
    assert set(seen) == {AccountState.HALTING}
    assert order_hash not in engine.venue.active
    assert (outcome.state, outcome.left, outcome.reconciled) == (AccountState.STOPPED, (), "agreed")
    assert "nothing rests, seen twice" in outcome.words
    assert len(engine.compared.snapshots) == 1


async def test_a_shutdown_that_cannot_confirm_within_half_a_minute_names_what_remains(
    engine: Engine,
) -> None:
    order_hash, work = await resting(engine)
    engine.venue.stubborn_sweeps = 1_000
    begun = engine.venue.clock()
    outcome = await (await engine.shut_down()).result()
    assert outcome.left == (order_hash,)
    assert "NOT CONFIRMED" in outcome.words
    assert order_hash in outcome.words
    assert outcome.state is AccountState.STOPPED
    assert engine.compared.snapshots[0]["not_confirmed"] == [order_hash]
    await engine.venue.clock.refresh()
    engine.venue.match(order_hash, Decimal(40))
    await work.result()
    assert (engine.venue.clock() - begun).total_seconds() >= 29


async def test_a_second_shutdown_changes_nothing(engine: Engine) -> None:
    await (await engine.shut_down()).result()
    standing, states = engine.ledger.standing_now, list(engine.ledger.states)
    outcome = await (await engine.shut_down()).result()
    assert outcome.state is AccountState.STOPPED
    assert (engine.ledger.standing_now, engine.ledger.states) == (standing, states)


async def test_a_shutdown_asked_for_while_one_is_at_work_is_done_once_more(
    engine: Engine,
) -> None:
    handle = await engine.shut_down()
    await engine.until(lambda: engine.venue.sweeps >= 1)
    await handle.signal(ShutdownAccount.ask)
    await handle.result()
    assert engine.venue.sweeps >= 4
    assert len(engine.compared.snapshots) >= 2  # a step whose word was lost is run again


async def test_o1_the_halt_of_a_kill_outlives_a_shutdown(engine: Engine) -> None:
    await engine.ledger.set_state("main", AccountState.HALTED, reason="killed")
    outcome = await (await engine.shut_down()).result()
    assert outcome.state is AccountState.HALTED
    assert engine.ledger.standing_now.reason == "killed"


async def test_a_guardian_leaves_a_shutdown_to_its_own_workflow(engine: Engine) -> None:
    await engine.ledger.set_state("main", AccountState.HALTING, reason="shutdown: holidays (ann)")
    guardian = await engine.guard()
    await engine.until(lambda: engine.books.reads >= 1)
    await (await engine.shut_down()).result()
    assert engine.ledger.states == [AccountState.HALTING, AccountState.STOPPED]
    assert (await guardian.query(GuardAccount.status)).words is None


async def test_no_entry_is_sent_once_a_shutdown_has_begun(engine: Engine) -> None:
    await (await engine.shut_down()).result()
    entry = await engine.work(a_wish("s9-0"))
    await entry.result()
    assert engine.venue.sends == []

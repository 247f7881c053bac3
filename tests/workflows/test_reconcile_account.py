"""What a user may rely on of an account's comparison with the exchange."""

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from domain.errors import UnavailableError
from domain.halt import Reconcile
from domain.order import OrderState
from domain.reconciliation import Kind, Outcome, Result
from domain.risk import AccountState
from tests.workflows.conftest import Engine
from tests.workflows.memory import YES, a_wish
from workflows.reconcile_account import ReconcileAccount

pytestmark = [pytest.mark.services, pytest.mark.asyncio(loop_scope="session")]


def close_gate(engine: Engine) -> None:
    """Have entries wait until the account has been compared."""
    waiting = AccountState.RECONCILING
    engine.ledger.standing_now = replace(engine.ledger.standing_now, state=waiting)


async def test_entries_wait_for_the_comparison_at_start_and_are_sent_after_it(
    engine: Engine,
) -> None:
    close_gate(engine)
    entry = await engine.work(a_wish())
    await engine.until(lambda: bool(engine.ledger.rows))
    await engine.until(lambda: engine.ledger.permits_refused >= 1)
    assert engine.venue.sends == []

    report = await (await engine.compare(Reconcile(reason="a worker starts"))).result()

    assert report is not None
    assert report.result is Result.AGREED
    assert engine.ledger.standing_now.state is AccountState.RUNNING
    engine.venue.at_look = engine.venue.pieces(40)
    ended = await entry.result()
    assert len(engine.venue.sends) == 1
    assert ended.order is not None
    assert ended.order.state is OrderState.FILLED


async def test_a_comparison_that_fails_leaves_entries_waiting_and_is_made_again(
    engine: Engine,
) -> None:
    close_gate(engine)
    faults = iter(["500"] * 6)

    async def fail() -> None:
        if next(faults, None):
            raise UnavailableError("GET /data/orders: 500")

    engine.venue.at_list = fail
    report = await (await engine.compare()).result()
    assert [each.result for each in engine.compared.reports] == [Result.FAILED, Result.AGREED]
    assert "500" in engine.compared.reports[0].warnings[0]
    assert report is not None
    assert engine.ledger.states == [AccountState.RUNNING]


async def test_a_comparison_asked_for_while_one_runs_is_made_after_it_once_for_all_who_asked(
    engine: Engine,
) -> None:
    listing, go_on = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        listing.set()
        await go_on.wait()

    engine.venue.at_list = hold
    handle = await engine.compare(Reconcile(by="ann"))
    await listing.wait()
    for who in ("bob", "cyd"):
        await handle.signal(ReconcileAccount.ask, Reconcile(by=who))
    go_on.set()
    await handle.result()
    assert [each.asked_by for each in engine.compared.reports] == ["ann", "bob"]


async def test_a_report_alone_is_no_answer_to_who_asked_for_the_whole(engine: Engine) -> None:
    wishes = (Reconcile(by="ann", is_report_only=True), Reconcile(by="bob"))
    await (await engine.compare(*wishes)).result()
    told = [(each.asked_by, each.is_report_only) for each in engine.compared.reports]
    assert told == [("ann", True), ("bob", False)]


async def test_a_gap_is_read_again_by_itself_a_minute_later_and_then_adjusted(
    engine: Engine,
) -> None:
    engine.ledger.held[YES] = Decimal(20)
    engine.venue.balances[YES] = Decimal(19)
    report = await (await engine.compare()).result()
    assert report is not None
    assert [(each.kind, each.outcome) for each in report.findings] == [
        (Kind.BALANCE_DIFFERS, Outcome.ADJUSTED)
    ]
    first, second = engine.compared.reports
    assert first.result is Result.WAITING
    assert (second.begun_at - first.begun_at).total_seconds() >= 60
    assert engine.ledger.held[YES] == 19


async def test_entries_wait_while_a_large_gap_waits_for_its_proof_and_halt_when_it_has_it(
    engine: Engine,
) -> None:
    close_gate(engine)
    engine.ledger.held[YES] = Decimal(400)
    await (await engine.compare()).result()
    assert engine.ledger.states == [AccountState.HALTED]
    assert "reconciliation" in (engine.ledger.standing_now.reason or "")


async def test_a_query_and_the_page_of_the_workflow_show_the_last_report(engine: Engine) -> None:
    engine.ledger.held[YES] = Decimal(20)
    handle = await engine.compare()
    await engine.until(lambda: bool(engine.compared.reports))
    report = await handle.query(ReconcileAccount.status)
    while report is None:
        report = await handle.query(ReconcileAccount.status)
    assert report.findings[0].kind is Kind.BALANCE_DIFFERS
    engine.venue.balances[YES] = Decimal(20)
    await handle.result()

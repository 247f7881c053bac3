"""What a comparison does on a real database beside a real paper exchange, each case by itself."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio

from activities.reconcile import Policy
from domain.errors import UnavailableError
from domain.order import OrderState, Side, TimeInForce
from domain.reconciliation import Kind, Outcome, Result, UnknownOrders
from domain.risk import AccountState
from infra.store.accounts import Accounts
from infra.store.fills import Fills
from infra.store.orders import Orders
from tests.paper.conftest import Server, free_port
from tests.store.compared import Compared, beside
from tests.store.making import one, rows

pytestmark = pytest.mark.services

QUIET = timedelta(seconds=200)  # beyond the time that balances may lag, and the minute after it


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("paper"), free_port())
    running.start()
    yield running
    running.stop()


@pytest_asyncio.fixture
async def compared(
    exchange: Server, accounts: Accounts, orders: Orders, fills: Fills, request: Any
) -> AsyncIterator[Compared]:
    async with beside(exchange, accounts, orders, fills, request.node.name) as made:
        yield made


async def test_books_that_agree_have_no_difference_however_often_they_are_compared(
    compared: Compared,
) -> None:
    await compared.bought()
    assert await compared.found() == [(Kind.TRADE_LACKED, Outcome.RECORDED)]
    assert await compared.held() == 20
    compared.ahead = QUIET
    before = None
    for _ in range(3):
        compared.ahead += QUIET
        assert (await compared.report()).result is Result.AGREED
        after = await compared.everything()
        assert before is None or after == before
        before = after


async def test_o4_an_order_placed_by_hand_is_adopted_once_and_followed(compared: Compared) -> None:
    compared.desk.book([("0.30", "500")], [("0.60", "500")])
    order_hash = compared.by_hand(side="BUY", price="0.40", size="12", type="GTC")

    assert await compared.found() == [(Kind.ORDER_UNKNOWN, Outcome.ADOPTED)]
    (row,) = await rows(compared.engine, "SELECT * FROM orders")
    assert (row["order_hash"], row["source"], row["state"]) == (order_hash, "manual", "LIVE")
    assert (row["side"], row["price"], row["size"]) == ("BUY", Decimal("0.40"), 12)
    assert [order.order_hash for order in compared.calls.resumed] == [order_hash]
    assert await one(compared.engine, "SELECT count(*) FROM outbox WHERE kind = 'order.adopted'")
    assert await compared.found() == []


async def test_an_order_placed_by_hand_and_partly_filled_is_adopted_with_its_fills(
    compared: Compared,
) -> None:
    compared.desk.book([("0.30", "500")], [("0.40", "5")])
    compared.by_hand(side="BUY", price="0.40", size="12", type="GTC")

    kinds = await compared.found()
    assert kinds == [
        (Kind.TRADE_LACKED, Outcome.RECORDED),
        (Kind.ORDER_UNKNOWN, Outcome.ADOPTED),
    ]
    (row,) = await rows(compared.engine, "SELECT * FROM orders")
    assert (row["state"], row["filled_size"]) == ("PARTIAL", 5)
    assert await compared.held() == 5


async def test_an_unknown_order_is_cancelled_where_the_policy_says_so(compared: Compared) -> None:
    compared.desk.book([("0.30", "500")], [("0.60", "500")])
    compared.by_hand(side="BUY", price="0.40", size="12", type="GTC")
    policy = Policy(unknown_orders=UnknownOrders.CANCEL, halt_above_usd=Decimal(5))
    compared.activities = replace(compared.activities, policies={"main": policy})

    assert await compared.found() == [(Kind.ORDER_UNKNOWN, Outcome.CANCELLED)]
    assert await compared.desk.account.active_orders() == []
    assert await rows(compared.engine, "SELECT * FROM orders") == []
    assert await one(compared.engine, "SELECT count(*) FROM outbox")


async def test_o4_a_trade_made_by_hand_is_recorded_and_moves_the_position(
    compared: Compared,
) -> None:
    await compared.bought("20")
    await compared.found()
    compared.by_hand(side="SELL", price="0.40", size="8", type="FAK")
    await compared.settled()
    assert await compared.found() == [(Kind.TRADE_LACKED, Outcome.RECORDED)]
    assert await compared.held() == 12
    source = "SELECT source FROM fills WHERE side = 'SELL'"
    assert await one(compared.engine, source) == "manual"


async def test_an_order_cancelled_behind_our_back_is_looked_up_and_its_workflow_told(
    compared: Compared,
) -> None:
    order = await compared.ours()
    wallet = compared.desk.account.who.wallet
    compared.desk.exchange.admin("POST", f"/accounts/{wallet}/orders", {"cancel": order.order_hash})
    assert await compared.found() == [(Kind.ORDER_MISSING, Outcome.LOOKED_UP)]
    compared.ahead = timedelta(seconds=11)
    assert await compared.found() == [(Kind.ORDER_MISSING, Outcome.LOOKED_UP)]
    state = await one(compared.engine, "SELECT state FROM orders")
    assert state == "CANCELLED"
    assert await compared.found() == []


async def test_a_cancel_that_was_false_is_found_out_and_the_order_worked_again(
    compared: Compared,
) -> None:
    order = await compared.ours(OrderState.CANCELLED)
    assert await compared.found() == [(Kind.ORDER_LIVES, Outcome.WORKED_AGAIN)]
    assert await one(compared.engine, "SELECT state FROM orders") == "LIVE"
    assert [each.order_hash for each in compared.calls.resumed] == [order.order_hash]
    assert await compared.found() == []


async def test_a_late_fill_of_an_abandoned_order_reaches_order_and_position(
    compared: Compared,
) -> None:
    order = await compared.ours(OrderState.ABANDONED)
    compared.desk.book([("0.30", "500")], [("0.40", "10")])
    await compared.settled()
    assert await compared.found() == [(Kind.TRADE_LACKED, Outcome.RECORDED)]
    (row,) = await rows(compared.engine, "SELECT * FROM orders")
    assert (row["order_hash"], row["state"]) == (order.order_hash, "FILLED")
    assert await compared.held() == 10


async def test_x13_between_matched_and_mined_shares_are_not_missing(compared: Compared) -> None:
    compared.desk.exchange.admin("POST", "/settlement", {"delay_s": 300})
    compared.desk.book([("0.40", "500")], [("0.50", "500")])
    await compared.desk.send(Side.BUY, TimeInForce.FAK, "0.50", "20")
    assert await compared.found() == [(Kind.TRADE_LACKED, Outcome.RECORDED)]
    assert (await compared.desk.account.shares(compared.desk.yes), await compared.held()) == (0, 20)
    for _ in range(2):
        compared.ahead += QUIET
        assert await compared.found() == []
    assert await compared.held() == 20


async def test_b1_a_trade_that_fails_after_the_position_is_flat_is_told_and_taken_back(
    compared: Compared,
) -> None:
    await compared.bought("20")
    await compared.found()
    compared.desk.exchange.admin("POST", "/settlement", {"delay_s": 0.3, "fail_next": 1})
    await compared.desk.send(Side.SELL, TimeInForce.FAK, "0.40", "20")
    assert await compared.found() == [(Kind.TRADE_LACKED, Outcome.RECORDED)]
    assert await compared.held() == 0
    await compared.settled()
    assert await compared.found() == [(Kind.TRADE_FAILED, Outcome.RECORDED)]
    assert await compared.held() == 20 == await compared.desk.account.shares(compared.desk.yes)
    compared.ahead = 2 * QUIET
    assert await compared.found() == []


async def test_e1_a_balance_that_lags_behind_its_trades_is_never_taken_for_a_difference(
    compared: Compared,
) -> None:
    await compared.bought("20")
    await compared.found()
    compared.desk.exchange.admin("POST", "/balances-lag", {"seconds": 3600})
    await compared.desk.send(Side.SELL, TimeInForce.FAK, "0.40", "5")
    await compared.settled()
    for seconds in (0, 61, 50):
        compared.ahead += timedelta(seconds=seconds)
        kinds = await compared.found()
        assert (Kind.BALANCE_DIFFERS, Outcome.ADJUSTED) not in kinds
    assert (Kind.BALANCE_DIFFERS, Outcome.WAITING) in kinds
    compared.desk.exchange.admin("POST", "/balances-lag", {"seconds": 0})
    compared.ahead += QUIET
    assert await compared.found() == []
    assert await compared.held() == 15
    assert await rows(compared.engine, "SELECT * FROM gaps") == []


async def test_shares_that_moved_outside_every_trade_are_adjusted_after_two_reads_and_entries_halt(
    compared: Compared,
) -> None:
    await compared.bought("20")
    await compared.found()
    compared.moved(tokens={compared.desk.yes: "3"})
    compared.ahead = QUIET
    assert (Kind.BALANCE_DIFFERS, Outcome.WAITING) in await compared.found()
    assert await compared.held() == 20
    compared.ahead += timedelta(seconds=30)
    assert (Kind.BALANCE_DIFFERS, Outcome.WAITING) in await compared.found()
    compared.ahead += timedelta(seconds=31)

    assert (Kind.BALANCE_DIFFERS, Outcome.ADJUSTED) in await compared.found()

    assert await compared.held() == 3
    (entry,) = await rows(compared.engine, "SELECT * FROM fills WHERE source = 'adjustment'")
    assert (entry["side"], entry["size"], entry["price"]) == ("SELL", 17, 0)
    told = "SELECT detail FROM events WHERE kind = 'position.adjusted'"
    detail = await one(compared.engine, told)
    assert (detail["held_before"], detail["held_after"]) == ("20", "3")
    assert await one(
        compared.engine, "SELECT count(*) FROM outbox WHERE kind = 'position.adjusted'"
    )
    assert (await compared.activities.accounts.standing("main")).state is AccountState.HALTED
    compared.ahead += QUIET
    assert await compared.found() == []


async def test_a_gap_behind_which_something_moved_waits_for_two_new_reads(
    compared: Compared,
) -> None:
    await compared.bought("20")
    await compared.found()
    compared.moved(tokens={compared.desk.yes: "19"})
    compared.ahead = QUIET
    await compared.found()
    await compared.desk.send(Side.SELL, TimeInForce.FAK, "0.40", "5")
    await compared.settled()
    compared.ahead += QUIET
    kinds = await compared.found()
    assert (Kind.BALANCE_DIFFERS, Outcome.WAITING) in kinds
    assert await rows(compared.engine, "SELECT * FROM fills WHERE source = 'adjustment'") == []


async def test_a_deposit_is_told_after_two_reads_and_halts_nothing(compared: Compared) -> None:
    assert (await compared.report()).result is Result.AGREED
    compared.moved(deposit="500")
    assert await compared.found() == [(Kind.COLLATERAL_DIFFERS, Outcome.WAITING)]
    compared.ahead = timedelta(seconds=61)
    assert await compared.found() == [(Kind.COLLATERAL_DIFFERS, Outcome.ADJUSTED)]
    assert (await compared.activities.accounts.standing("main")).state is AccountState.RUNNING
    detail = await one(
        compared.engine, "SELECT detail FROM events WHERE kind = 'collateral.adjusted'"
    )
    assert detail["amount_usd"] == "500"
    assert await compared.found() == []


async def test_e10_a_position_edited_or_deleted_by_hand_is_found_and_counted_again(
    compared: Compared,
) -> None:
    await compared.bought("20")
    await compared.found()
    for edit in ("UPDATE positions SET size = 7, cash_usd = 0", "DELETE FROM positions"):
        await compared.run(edit)
        assert await compared.found() == [(Kind.ROW_EDITED, Outcome.COUNTED_AGAIN)]
        assert await compared.held() == 20
    told = "SELECT count(*) FROM events WHERE kind = 'position.counted_again'"
    assert await one(compared.engine, told) == 2
    assert await compared.found() == []


async def test_e4_what_a_database_lost_is_imported_again_from_the_exchange(
    compared: Compared,
) -> None:
    await compared.bought("20")
    order = await compared.ours()
    await compared.found()
    for lost in ("fills", "lots", "positions", "orders"):
        await compared.run(f"DELETE FROM {lost}")  # noqa: S608
    await compared.run("UPDATE accounts SET trades_cursor = NULL")

    kinds = await compared.found()

    assert kinds == [
        (Kind.TRADE_LACKED, Outcome.RECORDED),
        (Kind.ORDER_UNKNOWN, Outcome.ADOPTED),
    ]
    assert await compared.held() == 20
    assert await one(compared.engine, "SELECT order_hash FROM orders") == order.order_hash


async def test_e5_a_report_alone_changes_nothing(compared: Compared) -> None:
    await compared.bought("20")
    await compared.found()
    compared.desk.book([("0.30", "500")], [("0.60", "500")])
    compared.by_hand(side="BUY", price="0.40", size="12", type="GTC")
    compared.moved(tokens={compared.desk.yes: "3"}, deposit="70")
    await compared.run("UPDATE orders SET state = state")
    await compared.run("UPDATE positions SET cost_usd = cost_usd + 1, cash_usd = cash_usd - 1")
    before, live = await compared.everything(), await compared.desk.account.active_orders()

    report = await compared.report(is_report_only=True)

    assert report.result is Result.DIFFERS
    assert {each.outcome for each in report.findings} == {Outcome.REPORTED}
    assert {Kind.ORDER_UNKNOWN, Kind.ROW_EDITED, Kind.BALANCE_DIFFERS} <= {
        each.kind for each in report.findings
    }
    assert await compared.everything() == before
    assert await compared.desk.account.active_orders() == live


async def test_e10_a_list_that_cannot_be_read_is_an_error_and_changes_nothing(
    compared: Compared,
) -> None:
    await compared.ours()
    before = await compared.everything()
    match = {"method": "GET", "path": "/data/orders"}
    fault = {"match": match, "when": "before", "do": {"status": 500}, "times": 10}
    compared.desk.exchange.admin("POST", "/faults", fault)
    with pytest.raises(UnavailableError):
        await compared.report()
    assert await compared.everything() == before


async def test_s0_4_one_balance_that_cannot_be_read_is_a_warning_and_the_rest_is_compared(
    compared: Compared,
) -> None:
    await compared.bought("20")
    match = {"method": "GET", "path": "/balance-allowance", "token_id": compared.desk.yes}
    fault = {"match": match, "when": "before", "do": {"status": 500}, "times": 10}
    compared.desk.exchange.admin("POST", "/faults", fault)
    report = await compared.report()
    assert report.result is Result.INCOMPLETE
    assert any(compared.desk.yes in words for words in report.warnings)
    assert [each.kind for each in report.findings] == [Kind.TRADE_LACKED]


@pytest.mark.parametrize(
    ("before", "opens", "after"),
    [
        (AccountState.RECONCILING, False, AccountState.RUNNING),
        (AccountState.STOPPED, False, AccountState.STOPPED),
        (AccountState.STOPPED, True, AccountState.RUNNING),
        (AccountState.HALTED, True, AccountState.HALTED),
        (AccountState.HALTING, True, AccountState.HALTING),
    ],
)
async def test_a_comparison_opens_the_gate_that_waits_for_it_and_never_lifts_a_halt(
    compared: Compared, before: AccountState, *, opens: bool, after: AccountState
) -> None:
    await compared.activities.accounts.set_state("main", before, reason="a test")
    await compared.report(opens=opens)
    assert (await compared.activities.accounts.standing("main")).state is after


async def test_a_report_is_kept_and_found_by_whoever_waits_for_it(compared: Compared) -> None:
    begun = compared.now()
    report = await compared.report()
    assert await compared.activities.books.latest("main", begun) == report
    assert await compared.activities.books.latest("main", compared.now()) is None

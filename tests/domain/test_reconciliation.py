"""What differs between our books and the exchange, and when a difference is believed."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.fill import FINAL, RANK, Fill, FillStatus
from domain.order import Order, OrderSource, OrderState, Side, TimeInForce
from domain.placed import Placed
from domain.ports import ActiveOrder
from domain.reconciliation import (
    COLLATERAL,
    Expected,
    Finding,
    Gap,
    Kind,
    Outcome,
    Result,
    adjustment,
    adopted,
    compare_balance,
    compare_orders,
    compare_trades,
    halts_entries,
    is_proved,
    result_of,
)
from tests.store.making import CONDITION, NOW, YES, a_fill, an_order, later

HASHES = [f"0x{n}" for n in range(6)]
STATES = st.sampled_from(list(OrderState))
TIMES = st.sampled_from([TimeInForce.GTC, TimeInForce.FAK])
ORDERS = st.dictionaries(
    st.sampled_from(HASHES), st.tuples(STATES, TIMES, st.integers(0, 120)), max_size=6
)
GAP = Gap(
    account_id="main",
    token_id=YES,
    expected=Decimal(20),
    found=Decimal(3),
    mark=7,
    first_seen_at=NOW,
)


def row(order_hash: str, state: OrderState, kind: TimeInForce, age: int) -> Order:
    """Return an order of ours that was sent `age` seconds ago."""
    return an_order(
        order_hash.removeprefix("0x"),
        state=state,
        time_in_force=kind,
        attempts=0 if state is OrderState.NEW else 1,
        last_sent_at=None if state is OrderState.NEW else later(-age),
    )


def listed(order_hash: str) -> ActiveOrder:
    return ActiveOrder(
        order_hash=order_hash,
        token_id=YES,
        size=Decimal(10),
        matched_size=Decimal(0),
        placed=Placed(
            condition_id=CONDITION,
            side=Side.SELL,
            price=Decimal("0.40"),
            time_in_force=TimeInForce.GTC,
            expires_at=None,
            created_at=NOW,
        ),
    )


@given(ORDERS, st.sets(st.sampled_from(HASHES)))
def test_e2_a_world_mended_by_every_outcome_has_no_difference_left(
    ours: dict[str, tuple[OrderState, TimeInForce, int]], there: set[str]
) -> None:
    rows = {one: row(one, *told) for one, told in ours.items()}
    listing = [listed(one) for one in sorted(there)]
    found = compare_orders(list(rows.values()), listing, rows, NOW)
    for order in found.missing:
        rows[order.order_hash] = replace(order, state=OrderState.CANCELLED)
    for order in found.living:
        rows[order.order_hash] = replace(order, state=OrderState.LIVE)
    for active in found.unknown:
        order = adopted(active, "main")
        assert order is not None
        rows[active.order_hash] = order
    again = compare_orders(list(rows.values()), listing, rows, NOW)
    assert (again.missing, again.living, again.unknown) == ((), (), ())


@given(ORDERS, st.sets(st.sampled_from(HASHES)))
def test_every_order_on_which_the_sides_differ_is_found_once_and_no_other(
    ours: dict[str, tuple[OrderState, TimeInForce, int]], there: set[str]
) -> None:
    rows = {one: row(one, *told) for one, told in ours.items()}
    found = compare_orders(list(rows.values()), [listed(one) for one in there], rows, NOW)
    resting = {OrderState.LIVE, OrderState.PARTIAL}
    over = {"FILLED", "CANCELLED", "EXPIRED", "REJECTED", "ABANDONED"}
    assert {one.order_hash for one in found.unknown} == there - rows.keys()
    assert {one.order_hash for one in found.living} == {
        one for one in there & rows.keys() if rows[one].state in over
    }
    for one in rows.keys() - there:
        state, kind, age = ours[one]
        is_old = age > 60 and state is not OrderState.NEW
        rests = state in resting and kind is TimeInForce.GTC
        is_missing = state not in over and state is not OrderState.NEW and (rests or is_old)
        assert (one in {each.order_hash for each in found.missing}) is is_missing


def test_an_order_that_ended_while_the_list_was_read_is_not_missing() -> None:
    before = row("0x1", OrderState.LIVE, TimeInForce.GTC, 90)
    after = replace(before, state=OrderState.FILLED)
    found = compare_orders([before], [], {"0x1": after}, NOW)
    assert found.missing == ()


def test_an_adopted_order_is_as_the_exchange_lists_it_and_its_id_is_derived() -> None:
    order = adopted(listed("0x9"), "main")
    assert order is not None
    assert order == adopted(listed("0x9"), "main")
    assert (order.side, order.source, order.state) == (
        Side.SELL,
        OrderSource.MANUAL,
        OrderState.LIVE,
    )
    assert adopted(replace(listed("0x9"), placed=None), "main") is None


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from(list(FillStatus)))))
def test_e6_trades_told_again_and_in_any_order_are_news_once(
    told: list[tuple[str, FillStatus]],
) -> None:
    known: dict[tuple[str, str], FillStatus] = {}
    fills: list[Fill] = [a_fill(trade, status=status) for trade, status in told]
    for fill in fills:
        for news in compare_trades([fill], known):
            before = known.get((news.trade_id, news.order_hash))
            assert before is None or (before not in FINAL and RANK[news.status] > RANK[before])
            known[news.trade_id, news.order_hash] = news.status
    assert (
        compare_trades([a_fill(trade, status=known[trade, "0x1"]) for trade, _ in told], known)
        == []
    )


def expected(settled: str, doubtful: str = "0") -> Expected:
    return Expected(
        token_id=YES,
        condition_id=CONDITION,
        settled=Decimal(settled),
        doubtful=Decimal(doubtful),
        price=Decimal("0.5"),
        mark=7,
        marked_at=None,
    )


@pytest.mark.parametrize(
    ("settled", "doubtful", "found", "differs"),
    [
        ("20", "0", "20", False),
        ("20", "0", "20.01", False),
        ("20", "0", "19.98", True),
        ("20", "0.5", "19.5", False),
        ("20", "0.5", "19.4", True),
        ("20", "0", "0", True),
        ("0", "0", "5", True),
    ],
)
def test_a_balance_differs_beyond_dust_and_beyond_what_a_fee_may_have_taken(
    settled: str, doubtful: str, found: str, *, differs: bool
) -> None:
    gap = compare_balance("main", expected(settled, doubtful), Decimal(found), NOW)
    assert (gap is not None) is differs


@pytest.mark.parametrize(
    ("changed", "seconds", "moved_seconds_ago", "is_believed"),
    [
        ({}, 59, None, False),
        ({}, 60, None, True),
        ({"found": Decimal(4)}, 600, None, False),
        ({"expected": Decimal(21)}, 600, None, False),
        ({"mark": 8}, 600, None, False),
        ({}, 60, 179, False),
        ({}, 60, 180, True),
    ],
)
def test_a_gap_is_believed_when_two_reads_a_minute_apart_saw_it_and_nothing_moved(
    changed: dict[str, Decimal], seconds: int, moved_seconds_ago: int | None, *, is_believed: bool
) -> None:
    now = later(seconds)
    marked = None if moved_seconds_ago is None else now - timedelta(seconds=moved_seconds_ago)
    second = replace(GAP, first_seen_at=now, **changed)
    assert is_proved(second, GAP, marked, now) is is_believed
    assert not is_proved(second, None, marked, now)


def test_an_adjustment_closes_its_gap_exactly_and_is_one_entry_however_often_it_is_made() -> None:
    for found in (Decimal(3), Decimal(33)):
        gap = replace(GAP, found=found)
        entry = adjustment(gap, CONDITION, NOW)
        assert gap.expected + entry.shares == found
        assert (entry.cash_usd, entry.source) == (0, OrderSource.ADJUSTMENT)
        assert entry.trade_id == adjustment(gap, CONDITION, later(5)).trade_id
    other = adjustment(replace(GAP, mark=8), CONDITION, NOW)
    assert other.trade_id != adjustment(GAP, CONDITION, NOW).trade_id


def test_a_large_movement_halts_entries_and_a_deposit_never_does() -> None:
    limit, price = Decimal(8), Decimal("0.5")
    assert halts_entries(GAP, price, limit)
    assert not halts_entries(GAP, price, Decimal(9))
    deposit = replace(GAP, token_id=COLLATERAL, expected=Decimal(0), found=Decimal(500))
    assert not halts_entries(deposit, Decimal(1), limit)
    assert halts_entries(
        replace(deposit, expected=Decimal(500), found=Decimal(0)), Decimal(1), limit
    )


def test_the_worst_outcome_names_the_result() -> None:
    def finding(outcome: Outcome) -> Finding:
        return Finding(
            kind=Kind.ORDER_UNKNOWN,
            subject="0x1",
            token_id=None,
            ours="",
            theirs="",
            outcome=outcome,
        )

    assert result_of([], []) is Result.AGREED
    assert result_of([finding(Outcome.ADOPTED)], []) is Result.MENDED
    assert result_of([finding(Outcome.REPORTED)], []) is Result.DIFFERS
    assert result_of([finding(Outcome.ADOPTED), finding(Outcome.WAITING)], []) is Result.WAITING
    assert result_of([finding(Outcome.WAITING), finding(Outcome.LEFT)], []) is Result.INCOMPLETE
    assert result_of([], ["one"]) is Result.INCOMPLETE

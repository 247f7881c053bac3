"""What a recorded fill changes, once and all at once, whoever saw it and in any order."""

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.answer import Answer, Submission
from domain.errors import UnavailableError
from domain.fill import FeeAsset, Fill, FillStatus, SeenBy
from domain.ids import position_id
from domain.order import Order, OrderSource, OrderState, Side, Sighting
from domain.ports import Recorded
from infra.store.fills import Fills
from infra.store.orders import Orders
from tests.store.making import (
    ACCOUNT,
    CONDITION,
    NO,
    NOW,
    WIDE,
    YES,
    a_fill,
    an_order,
    kinds,
    later,
    one,
    rows,
)

pytestmark = pytest.mark.services

F = FillStatus
HELD = "SELECT size, cost_usd, average_price, status FROM positions"


async def _prepared(orders: Orders, order: Order) -> Order:
    admitted = await orders.admit(order, b"signed", WIDE)
    assert isinstance(admitted, Order)
    return admitted


async def _known(orders: Orders, order: Order) -> Order:
    known = await orders.by_hash(order.order_hash)
    assert known is not None
    return known


async def test_a_fill_moves_its_order_and_its_position(orders: Orders, fills: Fills) -> None:
    order = await _prepared(orders, an_order(state=OrderState.LIVE))
    recorded = await fills.record(a_fill(), SeenBy.STREAM, later(1))
    assert recorded == Recorded(is_new=True, workflow_id=order.workflow_id)
    known = await _known(orders, order)
    assert (known.state, known.filled_size) == (OrderState.PARTIAL, Decimal(4))
    (position,) = await rows(fills.engine, "SELECT * FROM positions")
    assert position["id"] == position_id(ACCOUNT, YES)
    assert (position["size"], position["cost_usd"]) == (Decimal(4), Decimal("1.6"))
    assert (position["status"], position["opened_at"]) == ("open", later(1))
    (fill,) = await rows(fills.engine, "SELECT * FROM fills")
    assert (fill["seen_by"], fill["recorded_at"]) == ("stream", later(1))
    assert fill["source"] == "webhook"  # the order's, not what the adapter guessed
    (lot,) = await rows(fills.engine, "SELECT * FROM lots")
    assert (lot["number"], lot["size"], lot["price"]) == (0, Decimal(4), Decimal("0.4"))
    assert "fill.recorded" in await kinds(fills.engine)
    notices = await rows(fills.engine, "SELECT kind FROM outbox")
    assert {"kind": "fill.recorded"} in notices


async def test_a_fill_of_an_order_that_is_being_sent_is_read_with_the_answer_and_wakes_nobody(
    orders: Orders, fills: Fills
) -> None:
    order = await _prepared(orders, an_order())
    await orders.begin_send(order.order_hash, later(1))

    recorded = await fills.record(a_fill("t1"), SeenBy.STREAM, later(2))
    answer = Submission(answer=Answer.MATCHED, matched_size=Decimal(10))
    answered = await orders.answered(order.order_hash, answer, later(3))
    next_one = await fills.record(a_fill("t2"), SeenBy.STREAM, later(4))

    assert recorded == Recorded(is_new=True, workflow_id=None)
    assert (answered.state, answered.filled_size) == (OrderState.PARTIAL, Decimal(4))
    assert next_one == Recorded(is_new=True, workflow_id=order.workflow_id)


async def test_s3_the_same_fill_again_changes_nothing(orders: Orders, fills: Fills) -> None:
    await _prepared(orders, an_order())
    await fills.record(a_fill(), SeenBy.STREAM, NOW)
    before = await _everything(fills.engine)
    again = await fills.record(a_fill(), SeenBy.POLL, later(9))
    assert again == Recorded(is_new=False, workflow_id=None)
    assert await _everything(fills.engine) == before


async def _everything(engine: AsyncEngine) -> list[list[dict[str, object]]]:
    tables = ("orders", "fills", "positions", "lots", "events", "outbox")
    return [await rows(engine, f"SELECT * FROM {table}") for table in tables]  # noqa: S608


async def test_twenty_fills_at_once_are_counted_exactly(orders: Orders, fills: Fills) -> None:
    order = await _prepared(orders, an_order(size=Decimal(200)))
    news = [a_fill(f"t{n}", order, size=Decimal(10)) for n in range(20)]
    told = await asyncio.gather(
        *(fills.record(fill, SeenBy.STREAM, NOW) for fill in news for _ in range(2))
    )
    assert sum(one.is_new for one in told) == 20
    assert await one(fills.engine, "SELECT size FROM positions") == Decimal(200)
    known = await _known(orders, order)
    assert (known.state, known.filled_size) == (OrderState.FILLED, Decimal(200))


async def test_fills_and_admissions_at_once_end_without_losing_any(
    orders: Orders, fills: Fills
) -> None:
    first = await _prepared(orders, an_order("0", size=Decimal(100)))
    work = [fills.record(a_fill(f"t{n}", first), SeenBy.POLL, NOW) for n in range(15)]
    entries = [orders.admit(an_order(f"n{n}"), b"", WIDE) for n in range(15)]
    await orders.begin_send(first.order_hash, NOW)
    live = Sighting(is_active=True, matched_size=Decimal(80))
    looks = [orders.sighted(first.order_hash, live, NOW) for _ in range(5)]
    await asyncio.gather(*work, *entries, *looks)
    assert await one(fills.engine, "SELECT size FROM positions") == Decimal(60)
    known = await _known(orders, first)
    assert (known.filled_size, known.matched_size) == (Decimal(60), Decimal(80))


@pytest.mark.parametrize("state", list(OrderState))
async def test_a_fill_is_recorded_in_every_state(
    orders: Orders, fills: Fills, state: OrderState
) -> None:
    order = await _prepared(orders, an_order())
    async with fills.engine.begin() as connection:
        await connection.exec_driver_sql(f"UPDATE orders SET state = '{state}'")  # noqa: S608
    await fills.record(a_fill(size=Decimal(10)), SeenBy.CATCH_UP, NOW)
    assert (await _known(orders, order)).state is OrderState.FILLED
    assert await one(fills.engine, "SELECT size FROM positions") == Decimal(10)


async def test_a_fill_of_a_stranger_moves_the_position_and_tells_nobody(fills: Fills) -> None:
    recorded = await fills.record(a_fill(), SeenBy.RECONCILE, NOW)
    assert recorded == Recorded(is_new=True, workflow_id=None)
    assert await one(fills.engine, "SELECT source FROM fills") == OrderSource.MANUAL
    assert await one(fills.engine, "SELECT size FROM positions") == Decimal(4)


async def test_s3_a_status_only_rises(fills: Fills) -> None:
    for status, is_new in ((F.MINED, True), (F.MATCHED, False), (F.RETRYING, False)):
        recorded = await fills.record(a_fill(status=status), SeenBy.STREAM, NOW)
        assert recorded.is_new == is_new
    await fills.record(a_fill(status=F.CONFIRMED), SeenBy.STREAM, NOW)
    assert not (await fills.record(a_fill(status=F.FAILED), SeenBy.STREAM, NOW)).is_new
    assert await one(fills.engine, "SELECT status FROM fills") == F.CONFIRMED
    told = await kinds(fills.engine)
    assert told[-2:] == ["fill.recorded", "fill.status"]
    assert await one(fills.engine, "SELECT size FROM positions") == Decimal(4)


async def test_s5_a_failed_fill_is_taken_back_from_the_position_and_kept_in_the_ledger(
    orders: Orders, fills: Fills
) -> None:
    order = await _prepared(orders, an_order())
    await fills.record(a_fill("t1"), SeenBy.STREAM, NOW)
    await fills.record(a_fill("t2", price=Decimal("0.3")), SeenBy.STREAM, NOW)
    await fills.record(a_fill("t1", status=F.FAILED), SeenBy.POLL, NOW)
    (held,) = await rows(fills.engine, HELD)
    assert held == {
        "size": Decimal(4),
        "cost_usd": Decimal("1.2"),
        "average_price": Decimal("0.3"),
        "status": "open",
    }
    known = await _known(orders, order)
    assert (known.state, known.filled_size) == (OrderState.PARTIAL, Decimal(8))
    assert (await kinds(fills.engine))[-1] == "fill.reversed"
    statuses = await rows(fills.engine, "SELECT status FROM fills ORDER BY seq")
    assert [row["status"] for row in statuses] == ["FAILED", "MATCHED"]
    (told,) = await rows(fills.engine, "SELECT detail FROM events ORDER BY seq DESC LIMIT 1")
    assert (told["detail"]["before"]["size"], told["detail"]["after"]["size"]) == ("8", "4")


async def test_a_sale_that_failed_opens_the_position_again(fills: Fills) -> None:
    await fills.record(a_fill("t1", status=F.CONFIRMED), SeenBy.STREAM, NOW)
    sale = a_fill("t2", an_order("s", side=Side.SELL), price=Decimal("0.5"))
    await fills.record(sale, SeenBy.STREAM, NOW)
    assert await one(fills.engine, "SELECT status FROM positions") == "flat"
    assert await fills.open_tokens(ACCOUNT) == []
    assert await one(fills.engine, "SELECT count(*) FROM lots") == 0
    await fills.record(replace(sale, status=F.FAILED), SeenBy.POLL, NOW)
    (held,) = await rows(fills.engine, "SELECT status, realised_pnl_fifo FROM positions")
    assert held == {"status": "open", "realised_pnl_fifo": Decimal(0)}
    assert await fills.open_tokens(ACCOUNT) == [YES]
    assert await fills.open_tokens(ACCOUNT, opened_by=later(-1)) == []
    assert await fills.open_tokens(ACCOUNT, opened_by=NOW) == [YES]
    assert await one(fills.engine, "SELECT size FROM lots") == Decimal(4)


async def test_a_fill_first_seen_as_failed_is_kept_and_moves_nothing(fills: Fills) -> None:
    recorded = await fills.record(a_fill(status=F.FAILED), SeenBy.CATCH_UP, NOW)
    assert recorded.is_new
    assert await one(fills.engine, "SELECT count(*) FROM fills") == 1
    assert await one(fills.engine, "SELECT size FROM positions") == Decimal(0)
    assert not (await fills.record(a_fill(), SeenBy.STREAM, NOW)).is_new
    assert await one(fills.engine, "SELECT size FROM positions") == Decimal(0)


async def test_an_interrupted_record_leaves_nothing(orders: Orders) -> None:
    await _prepared(orders, an_order())
    before = await _everything(orders.engine)

    async def interrupt(name: str) -> None:
        if name == "fill.mid_tx":
            raise UnavailableError(name)

    with pytest.raises(UnavailableError):
        await Fills(orders.engine, interrupt).record(a_fill(), SeenBy.STREAM, NOW)
    assert await _everything(orders.engine) == before


async def test_the_three_instants_of_a_record_can_be_stopped_at(fills: Fills) -> None:
    passed: list[str] = []

    async def note(name: str) -> None:
        passed.append(name)

    await Fills(fills.engine, note).record(a_fill(), SeenBy.STREAM, NOW)
    assert passed == ["fill.before_tx", "fill.mid_tx", "fill.after_tx"]


async def test_fees_in_shares_and_in_collateral_are_both_exact(fills: Fills) -> None:
    in_shares = a_fill("t1", fee=Decimal("0.04"), fee_asset=FeeAsset.SHARES)
    await fills.record(in_shares, SeenBy.STREAM, NOW)
    await fills.record(a_fill("t2", fee=Decimal("0.00001")), SeenBy.STREAM, NOW)
    (held,) = await rows(fills.engine, "SELECT size, cash_usd, fees_usd FROM positions")
    assert held == {
        "size": Decimal("7.96"),
        "cash_usd": Decimal("-3.20001"),
        "fees_usd": Decimal("0.00001"),
    }


async def test_s6_two_legs_of_one_trade_are_two_fills(fills: Fills) -> None:
    legs = [a_fill("t1", an_order("a")), a_fill("t1", an_order("b"), size=Decimal(1))]
    for leg in legs:
        await fills.record(leg, SeenBy.STREAM, NOW)
    assert await one(fills.engine, "SELECT size FROM positions") == Decimal(5)
    assert len(await fills.unsettled(ACCOUNT)) == 1


async def test_unsettled_trades_are_those_without_a_final_status(fills: Fills) -> None:
    for trade, status in (("t1", F.MATCHED), ("t2", F.CONFIRMED), ("t3", F.MINED)):
        await fills.record(a_fill(trade, status=status), SeenBy.STREAM, NOW)
    await fills.record(a_fill("t4", status=F.FAILED), SeenBy.STREAM, NOW)
    found = await fills.unsettled(ACCOUNT)
    assert [(trade.trade_id, trade.status) for trade in found] == [
        ("t1", F.MATCHED),
        ("t3", F.MINED),
    ]
    assert {trade.condition_id for trade in found} == {CONDITION}
    assert await fills.unsettled("other") == []


async def test_the_cursor_never_moves_back(fills: Fills) -> None:
    assert await fills.cursor(ACCOUNT) is None
    for seconds in (10, 5):
        await fills.advance_cursor(ACCOUNT, later(seconds))
        assert await fills.cursor(ACCOUNT) == later(10)


async def test_a_mark_writes_price_and_unrealised_pnl(fills: Fills) -> None:
    await fills.record(a_fill(), SeenBy.STREAM, NOW)
    await fills.mark(ACCOUNT, {YES: Decimal("0.55"), NO: Decimal("0.45")}, later(5))
    await fills.mark(ACCOUNT, {YES: Decimal("0.99")}, later(4))  # an older one comes late
    query = "SELECT current_price, unrealised_pnl, priced_at FROM positions"
    assert await rows(fills.engine, query) == [
        {"current_price": Decimal("0.55"), "unrealised_pnl": Decimal("0.6"), "priced_at": later(5)}
    ]
    # Half is sold: the same price stands on what is left.
    sale = a_fill("t2", an_order("s", side=Side.SELL), size=Decimal(2))
    await fills.record(sale, SeenBy.STREAM, NOW)
    assert await one(fills.engine, "SELECT unrealised_pnl FROM positions") == Decimal("0.3")


async def test_marks_and_fills_at_once_never_stand_in_each_others_way(fills: Fills) -> None:
    legs: list[Fill] = [
        a_fill(f"{token}-{n}", an_order(f"{token}-{n}", token_id=token))
        for n in range(10)
        for token in (YES, NO)
    ]
    prices = {YES: Decimal("0.5"), NO: Decimal("0.5")}
    await asyncio.gather(
        *(fills.record(leg, SeenBy.STREAM, NOW) for leg in legs),
        *(fills.mark(ACCOUNT, prices, later(n)) for n in range(10)),
    )
    await fills.mark(ACCOUNT, prices, later(11))
    found = await rows(fills.engine, "SELECT size, unrealised_pnl FROM positions")
    assert found == [{"size": Decimal(40), "unrealised_pnl": Decimal(4)}] * 2


async def test_a_fill_told_with_another_price_is_said_aloud(
    fills: Fills, caplog: pytest.LogCaptureFixture
) -> None:
    await fills.record(a_fill(), SeenBy.STREAM, NOW)
    await fills.record(a_fill(price=Decimal("0.41"), status=F.MINED), SeenBy.POLL, NOW)
    assert [record.message for record in caplog.records] == ["fill.differs"]
    assert await one(fills.engine, "SELECT price FROM fills") == Decimal("0.4")

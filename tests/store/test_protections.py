"""What protects a position in the database: written with the fill, once each, and all at once."""

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest
from sqlalchemy import update
from sqlmodel import col

from domain.answer import Answer, Submission
from domain.errors import RejectedError
from domain.fill import FillStatus, SeenBy
from domain.guarded import Guarded
from domain.ids import position_id, position_workflow_id
from domain.order import Order, OrderState, OrderType, Side, Sighting, TimeInForce
from domain.position import PositionStatus
from domain.protection import Firing, Plan, Protect, Protection, ProtectionStatus
from domain.signal import PositionTask
from infra.store import tables
from infra.store.fills import Fills
from infra.store.orders import Orders
from infra.store.protections import Protections
from tests.store.making import ACCOUNT, NOW, WIDE, YES, a_fill, an_order, kinds, later, one, rows

pytestmark = pytest.mark.services

HERE = position_id(ACCOUNT, YES)
TASK = PositionTask(account_id=ACCOUNT, token_id=YES)
STOP, TARGET = Decimal("0.30"), Decimal("0.60")
LOST = Firing(reason="the best bid fell to 0.29", floor=Decimal("0.15"), is_stop=True)
MINED = FillStatus.MINED


def an_entry(name: str = "1", **fields: object) -> Order:
    wishes = {"stop_loss": STOP, "take_profit": TARGET, **fields}
    return an_order(name, **wishes)


async def bought(
    orders: Orders, fills: Fills, entry: Order, size: int = 10, trade: str = "t1"
) -> None:
    """Have an entry filled by one settled trade."""
    await orders.admit(entry, b"signed", WIDE)
    fill = a_fill(trade, entry, size=Decimal(size), status=MINED)
    recorded = await fills.record(fill, SeenBy.STREAM, later(1))
    assert recorded.position == TASK


async def known(protections: Protections) -> Guarded:
    guarded = await protections.guarded(ACCOUNT, YES)
    assert guarded is not None
    return guarded


def carried_by(protection: Protection, name: str, **fields: object) -> Order:
    """Return the sale that carries a row out."""
    sale = {
        "intent_id": protection.id,
        "side": Side.SELL,
        "type": OrderType.TAKE_PROFIT,
        "time_in_force": TimeInForce.GTC,
        "price": protection.price or Decimal("0.10"),
        "size": protection.size,
        "workflow_id": position_workflow_id(ACCOUNT, YES),
        **fields,
    }
    return an_order(name, **sale)


async def claimed(protections: Protections, firing: Firing = LOST) -> Protection:
    """Have the position be left."""
    claim = await protections.fire(ACCOUNT, YES, firing, later(3))
    assert claim is not None
    return claim


async def resting(
    orders: Orders, protections: Protections, name: str = "tp", size: int = 10
) -> Order:
    """Have a take-profit rest at the exchange."""
    claim = await protections.rest(ACCOUNT, YES, Decimal(size), later(2))
    assert claim is not None
    order = await orders.admit(carried_by(claim, name), b"signed", WIDE)
    assert isinstance(order, Order)
    await orders.begin_send(order.order_hash, later(2))
    return await orders.answered(order.order_hash, Submission(answer=Answer.LIVE), later(2))


async def test_a_filled_entry_is_planned_and_armed_in_the_same_transaction(
    orders: Orders, fills: Fills, protections: Protections
) -> None:
    await bought(orders, fills, an_entry())

    now = await known(protections)

    assert now.plan == Plan(stop_loss=STOP, take_profit=TARGET)
    assert now.stop is not None
    assert (now.stop.status, now.stop.price, now.stop.size) == ("armed", STOP, 10)
    assert await one(fills.engine, "SELECT sl_order_id FROM positions") == now.stop.id
    told = await kinds(fills.engine)
    assert told[-3:] == ["fill.recorded", "position.planned", "protection.armed"]
    together = (
        "SELECT count(DISTINCT xmin::text) FROM events"
        " WHERE kind IN ('fill.recorded', 'position.planned', 'protection.armed')"
    )
    assert await one(fills.engine, together) == 1


async def test_an_entry_without_wishes_has_nobody_told_and_nothing_armed(
    orders: Orders, fills: Fills, protections: Protections
) -> None:
    await orders.admit(an_order(), b"signed", WIDE)

    recorded = await fills.record(a_fill(), SeenBy.STREAM, later(1))

    assert recorded.position is None
    assert (await known(protections)).stop is None


async def test_a_further_entry_enlarges_the_stop_and_the_newest_wish_wins(
    orders: Orders, fills: Fills, protections: Protections
) -> None:
    await bought(orders, fills, an_entry())
    newer = an_entry("2", stop_loss=Decimal("0.35"), take_profit=None, created_at=later(5))
    await bought(orders, fills, newer, trade="t2")

    now = await known(protections)

    assert now.plan == Plan(stop_loss=Decimal("0.35"), take_profit=TARGET)
    assert now.stop is not None
    assert (now.stop.price, now.stop.size, now.stop.n) == (Decimal("0.35"), 20, 1)


async def test_a_change_of_plan_is_not_undone_by_the_rest_of_an_older_entry(
    orders: Orders, fills: Fills, protections: Protections
) -> None:
    await bought(orders, fills, an_entry(), size=4)
    await protections.plan(ACCOUNT, YES, Protect(stop_loss=Decimal("0.37")), later(3))

    rest = a_fill("t2", an_entry(), size=Decimal(6), status=MINED)
    await fills.record(rest, SeenBy.STREAM, later(4))

    now = await known(protections)
    assert now.plan.stop_loss == Decimal("0.37")
    assert now.stop is not None
    assert (now.stop.price, now.stop.size) == (Decimal("0.37"), 10)


async def test_a_change_of_plan_delivered_twice_is_one_change(
    orders: Orders, fills: Fills, protections: Protections
) -> None:
    await bought(orders, fills, an_entry())
    first = Protect(stop_loss=Decimal("0.33"), signal_id="s1")
    await protections.plan(ACCOUNT, YES, first, later(3))
    await protections.plan(ACCOUNT, YES, Protect(stop_loss=Decimal("0.36")), later(4))

    again = await protections.plan(ACCOUNT, YES, first, later(5))

    assert again.plan.stop_loss == Decimal("0.36")


async def test_a_price_of_zero_takes_a_protection_away(
    orders: Orders, fills: Fills, protections: Protections
) -> None:
    await bought(orders, fills, an_entry())

    now = await protections.plan(ACCOUNT, YES, Protect(stop_loss=Decimal(0)), later(3))

    assert now.plan == Plan(take_profit=TARGET)
    assert now.stop is None
    assert await one(fills.engine, "SELECT sl_order_id FROM positions") is None


async def test_without_a_position_a_plan_is_refused_with_words(protections: Protections) -> None:
    with pytest.raises(RejectedError, match="no position is held"):
        await protections.plan(ACCOUNT, YES, Protect(stop_loss=STOP), NOW)


async def test_while_a_take_profit_may_live_there_is_no_second(
    orders: Orders, fills: Fills, protections: Protections
) -> None:
    await bought(orders, fills, an_entry())
    order = await resting(orders, protections)
    assert await one(fills.engine, "SELECT tp_order_id FROM positions") == order.order_hash

    for state in (OrderState.SENT, OrderState.UNKNOWN, OrderState.DELAYED, OrderState.LIVE):
        await into(fills, state)
        assert await protections.rest(ACCOUNT, YES, Decimal(10), later(3)) is None

    await into(fills, OrderState.LIVE)
    await orders.sighted(order.order_hash, Sighting(is_active=False, is_cancelled=True), later(4))
    second = await protections.rest(ACCOUNT, YES, Decimal(10), later(4))
    assert second is not None
    assert second.n == 2
    statuses = await rows(fills.engine, "SELECT status FROM protections WHERE kind = 'take_profit'")
    assert [row["status"] for row in statuses] == ["cancelled", "resting"]


async def into(fills: Fills, state: OrderState) -> None:
    """Have the sale stand in a state, however it came there."""
    change = (
        update(tables.Orders).where(col(tables.Orders.side) == "SELL").values(state=state.value)
    )
    async with fills.engine.begin() as connection:
        await connection.execute(change)


async def test_a_claim_that_never_became_an_order_is_taken_again(
    orders: Orders, fills: Fills, protections: Protections
) -> None:
    await bought(orders, fills, an_entry())
    first = await protections.rest(ACCOUNT, YES, Decimal(10), later(2))
    again = await protections.rest(ACCOUNT, YES, Decimal(8), later(3))

    assert first is not None
    assert again == replace(first, size=Decimal(8))


async def test_c14_an_exit_claimed_by_many_at_once_is_one_exit(
    orders: Orders, fills: Fills, protections: Protections
) -> None:
    await bought(orders, fills, an_entry())

    claims = await asyncio.gather(
        *(protections.fire(ACCOUNT, YES, LOST, later(3)) for _ in range(8))
    )

    assert {claim.id for claim in claims if claim is not None} == {f"{HERE}:exit:1"}
    now = await known(protections)
    assert now.position.status is PositionStatus.EXITING
    assert now.stop is not None
    assert now.stop.status is ProtectionStatus.FIRING
    assert (await kinds(fills.engine)).count("exit.claimed") == 1


async def test_the_next_sale_of_an_exit_waits_for_evidence_that_the_last_is_over(
    orders: Orders, fills: Fills, protections: Protections
) -> None:
    await bought(orders, fills, an_entry())
    claim = await claimed(protections)
    sale = carried_by(claim, "x1", type=OrderType.STOP_LOSS, time_in_force=TimeInForce.FAK)
    await orders.admit(sale, b"signed", WIDE)
    await orders.begin_send(sale.order_hash, later(3))
    await orders.answered(sale.order_hash, Submission(answer=Answer.UNKNOWN), later(3))

    assert await protections.fire_again(ACCOUNT, YES, later(4)) is None

    await fills.record(
        a_fill("t2", sale, size=Decimal(6), price=Decimal("0.28")), SeenBy.POLL, later(5)
    )
    partial = await known(protections)
    assert partial.position.status is PositionStatus.EXITING
    await orders.sighted(sale.order_hash, Sighting(is_active=False, is_cancelled=True), later(6))
    following = await protections.fire_again(ACCOUNT, YES, later(6))
    assert following is not None
    assert (following.n, following.size, following.price) == (2, 4, LOST.floor)


async def test_a_held_up_exit_is_an_alarm_told_once(
    orders: Orders, fills: Fills, protections: Protections, caplog: pytest.LogCaptureFixture
) -> None:
    await bought(orders, fills, an_entry())
    await protections.fire(ACCOUNT, YES, LOST, later(3))

    await protections.block(ACCOUNT, YES, "post-only mode")
    await protections.block(ACCOUNT, YES, "post-only mode")

    assert (await kinds(fills.engine)).count("exit.blocked") == 1
    notices = await rows(fills.engine, "SELECT payload FROM outbox WHERE kind = 'exit.blocked'")
    assert [row["payload"]["state"] for row in notices] == ["SL_BLOCKED"]
    assert [record.levelname for record in caplog.records].count("CRITICAL") == 1
    now = await known(protections)
    assert now.exit is not None
    assert now.exit.status is ProtectionStatus.BLOCKED


async def sold_out(
    orders: Orders, fills: Fills, protections: Protections, status: FillStatus
) -> Order:
    """Have an exit sell everything by one trade of this status."""
    await bought(orders, fills, an_entry())
    claim = await claimed(protections)
    sale = carried_by(claim, "x1", time_in_force=TimeInForce.FAK)
    await orders.admit(sale, b"signed", WIDE)
    await orders.begin_send(sale.order_hash, later(3))
    fill = a_fill("t2", sale, size=Decimal(10), price=Decimal("0.28"), status=status)
    await fills.record(fill, SeenBy.STREAM, later(4))
    return sale


async def confirm_entry(fills: Fills) -> None:
    entry = a_fill("t1", an_entry(), size=Decimal(10), status=FillStatus.CONFIRMED)
    await fills.record(entry, SeenBy.STREAM, later(5))


async def test_a_flat_position_keeps_its_plan_until_its_trades_are_confirmed(
    orders: Orders, fills: Fills, protections: Protections
) -> None:
    sale = await sold_out(orders, fills, protections, FillStatus.MATCHED)
    await confirm_entry(fills)

    early = await protections.close(ACCOUNT, YES, is_dust=False)
    assert early is not None
    assert (early.position.status, early.exit) == (PositionStatus.FLAT, None)
    assert early.plan == Plan(stop_loss=STOP, take_profit=TARGET)

    last = a_fill("t2", sale, size=Decimal(10), price=Decimal("0.28"), status=FillStatus.CONFIRMED)
    recorded = await fills.record(last, SeenBy.STREAM, later(6))
    assert recorded.position == TASK
    closed = await protections.close(ACCOUNT, YES, is_dust=False)
    assert closed is not None
    assert closed.plan.is_empty
    assert closed.stop is None
    stop = "SELECT status FROM protections WHERE kind = 'stop_loss'"
    assert await one(fills.engine, stop) == "done"


async def test_b1_a_sale_that_fails_after_flat_opens_the_position_again_with_its_plan(
    orders: Orders, fills: Fills, protections: Protections
) -> None:
    sale = await sold_out(orders, fills, protections, FillStatus.MATCHED)
    await confirm_entry(fills)
    await protections.close(ACCOUNT, YES, is_dust=False)

    failed = a_fill("t2", sale, size=Decimal(10), price=Decimal("0.28"), status=FillStatus.FAILED)
    recorded = await fills.record(failed, SeenBy.STREAM, later(6))

    assert recorded.position == TASK
    now = await known(protections)
    assert (now.position.status, now.position.size) == (PositionStatus.OPEN, 10)
    assert now.plan == Plan(stop_loss=STOP, take_profit=TARGET)
    assert now.stop is not None
    assert (now.stop.status, now.stop.size) == (ProtectionStatus.ARMED, 10)
    assert await one(fills.engine, "SELECT sl_order_id FROM positions") == now.stop.id


async def test_m6_what_is_too_little_to_sell_is_dust_and_no_longer_protected(
    orders: Orders, fills: Fills, protections: Protections
) -> None:
    await bought(orders, fills, an_entry(), size=10)
    await confirm_entry(fills)
    await protections.fire(ACCOUNT, YES, LOST, later(3))

    closed = await protections.close(ACCOUNT, YES, is_dust=True)

    assert closed is not None
    assert closed.position.status is PositionStatus.DUST
    assert (closed.plan.is_empty, closed.stop, closed.exit) == (True, None, None)


@pytest.mark.parametrize("is_second", [False, True], ids=["the first wish", "one that joined"])
async def test_a_wish_to_leave_that_comes_again_late_leaves_what_was_bought_since(
    orders: Orders, fills: Fills, protections: Protections, *, is_second: bool
) -> None:
    wish = Firing(reason="enough", floor=None, signal_id="s9")
    await bought(orders, fills, an_entry())
    if is_second:
        await claimed(protections)
    claim = await claimed(protections, wish)
    sale = carried_by(claim, "x1", type=OrderType.STOP_LOSS, time_in_force=TimeInForce.FAK)
    await orders.admit(sale, b"signed", WIDE)
    await orders.begin_send(sale.order_hash, later(3))
    await fills.record(
        a_fill("t2", sale, size=Decimal(10), status=FillStatus.CONFIRMED), SeenBy.POLL, later(4)
    )
    await protections.close(ACCOUNT, YES, is_dust=False)
    assert await protections.fire(ACCOUNT, YES, wish, later(5)) is None
    await bought(orders, fills, an_entry("2", created_at=later(6)), trade="t3")

    assert await protections.fire(ACCOUNT, YES, wish, later(7)) is None

    now = await known(protections)
    assert now.exit is None
    assert now.position.status is PositionStatus.OPEN

"""What a user may rely on when shares are sold: never more than are held, one sale at a time."""

from decimal import Decimal

import pytest

from domain.answer import Answer, Submission
from domain.order import OrderEvent, OrderState, OrderType, Side, TimeInForce
from domain.signal import CancelRequest, OrderRequest, SignalStatus, SizeKind, Sizing
from tests.workflows.conftest import Engine
from tests.workflows.memory import YES, a_wish
from workflows.hold_position import HoldPosition

pytestmark = [pytest.mark.services, pytest.mark.asyncio(loop_scope="session")]


def a_sale(intent: str, shares: int, **changes: object) -> OrderRequest:
    return a_wish(
        intent,
        signal_id=intent,
        side=Side.SELL,
        market=YES,
        outcome=None,
        sizing=Sizing(kind=SizeKind.SIZE, value=Decimal(shares)),
        **changes,
    )


async def test_two_sales_of_everything_sell_everything_once(engine: Engine) -> None:
    engine.ledger.held[YES] = Decimal(40)
    engine.venue.at_look = [lambda _: None, *engine.venue.pieces(40)]

    await (await engine.hold(YES, a_sale("s1", 40), a_sale("s2", 40))).result()

    assert len(engine.venue.sends) == 1
    assert engine.ledger.held[YES] == 0
    assert engine.ledger.settled["s1"][0] is SignalStatus.PROCESSED
    assert engine.ledger.settled["s2"][0] is SignalStatus.DENIED


async def test_a_second_sale_waits_until_the_first_ones_fate_is_known(engine: Engine) -> None:
    engine.ledger.held[YES] = Decimal(40)
    engine.venue.answers = [Submission(answer=Answer.UNKNOWN)] * 2
    engine.venue.lands = [False, False]
    engine.venue.at_look = engine.venue.pieces(20, 20)

    await (await engine.hold(YES, a_sale("s1", 20), a_sale("s2", 20))).result()

    first, second, third, fourth = engine.venue.sends
    assert first == second == third
    assert fourth != first


async def test_the_same_sale_delivered_twice_is_one_sale(engine: Engine) -> None:
    engine.ledger.held[YES] = Decimal(40)
    handle = await engine.hold(YES, a_sale("s1", 15))
    await engine.until(lambda: len(engine.venue.active) == 1)

    await handle.signal(HoldPosition.sell, a_sale("s1", 15))
    status = await handle.query(HoldPosition.status)

    assert status.waiting == 0
    assert len(engine.venue.sends) == 1


async def test_a_sale_of_shares_just_bought_waits_for_their_settlement(engine: Engine) -> None:
    engine.ledger.held[YES] = engine.ledger.unsettled_shares = Decimal(40)
    engine.ledger.settles_after_reads = 4
    engine.venue.at_look = engine.venue.pieces(40)
    sale = a_sale("s1", 40, type=OrderType.MARKET, time_in_force=TimeInForce.FAK, price=None)

    await (await engine.hold(YES, sale)).result()

    assert engine.ledger.settles_after_reads <= 0
    assert next(iter(engine.ledger.rows.values())).size == Decimal(40)
    assert engine.ledger.held[YES] == 0


async def test_one_resting_sale_is_cancelled_and_the_other_stays(engine: Engine) -> None:
    engine.ledger.held[YES] = Decimal(40)
    handle = await engine.hold(YES, a_sale("s1", 20), a_sale("s2", 20))
    await engine.until(lambda: len(engine.venue.active) == 2)
    first, second = engine.venue.sends

    request = CancelRequest(order_hash=first, reason="changed my mind")
    # The SDK leaves a type parameter of this function open.
    await handle.execute_update(  # pyright: ignore[reportUnknownMemberType]
        HoldPosition.cancel, request
    )

    assert set(engine.venue.active) == {second}
    assert engine.ledger.rows[first].state is OrderState.CANCELLED


async def test_a_sale_thought_over_that_turns_out_to_live_is_worked_again(engine: Engine) -> None:
    engine.ledger.held[YES] = Decimal(40)
    handle = await engine.hold(YES, a_sale("s1", 20), a_sale("s2", 20))
    await engine.until(lambda: len(engine.venue.active) == 2)
    first = engine.venue.sends[0]
    request = CancelRequest(order_hash=first, reason="changed my mind")
    # The SDK leaves a type parameter of this function open.
    await handle.execute_update(  # pyright: ignore[reportUnknownMemberType]
        HoldPosition.cancel, request
    )
    engine.venue.rest(first, YES)
    engine.ledger.rows[first] = engine.ledger.rows[first].after(OrderEvent.SEE_LIVE)

    await handle.signal(HoldPosition.sell, a_sale("s1", 20))
    engine.venue.at_look = engine.venue.pieces(20, 20)
    await handle.result()

    assert engine.ledger.rows[first].state is OrderState.FILLED

"""What a user may rely on while one entry is worked, whatever the exchange answers."""

from datetime import timedelta
from decimal import Decimal

import pytest

from domain.answer import Answer, Submission
from domain.order import OrderSource, OrderState, OrderType, Side, TimeInForce
from domain.signal import CancelRequest, OrderRequest, SignalStatus, SizeKind, Sizing
from tests.workflows.conftest import Engine
from tests.workflows.memory import YES

pytestmark = [pytest.mark.services, pytest.mark.asyncio(loop_scope="session")]

LOST = Submission(answer=Answer.UNKNOWN, words="no answer")


def a_wish(intent: str = "s1-0", **changes: object) -> OrderRequest:
    wish: dict[str, object] = {
        "intent_id": intent,
        "account_id": "main",
        "signal_id": "s1",
        "trace_id": "f" * 32,
        "workflow_id": f"order-{intent}",
        "source": OrderSource.WEBHOOK,
        "market": "will-it-rain",
        "outcome": "Yes",
        "side": Side.BUY,
        "type": OrderType.LIMIT,
        "time_in_force": TimeInForce.GTC,
        "sizing": Sizing(kind=SizeKind.SIZE, value=Decimal(40)),
        "price": Decimal("0.50"),
    }
    return OrderRequest(**(wish | changes))  # pyright: ignore[reportArgumentType]


async def test_an_order_is_sent_once_and_followed_to_its_last_share(engine: Engine) -> None:
    handle = await engine.work(a_wish())
    await engine.until(lambda: bool(engine.venue.active))
    engine.venue.match(engine.venue.sends[0], Decimal(15))
    await engine.until(lambda: OrderState.PARTIAL in engine.ledger.history)
    engine.venue.match(engine.venue.sends[0], Decimal(25))

    ended = await handle.result()

    assert ended.order is not None
    assert ended.order.state is OrderState.FILLED
    assert ended.order.filled_size == Decimal(40)
    assert len(engine.venue.sends) == 1
    assert engine.ledger.settled["s1"] == (SignalStatus.PROCESSED, None)


async def test_an_accepted_order_whose_answer_is_lost_is_found_and_not_sent_again(
    engine: Engine,
) -> None:
    engine.venue.answers = [LOST]

    await engine.work(a_wish())
    await engine.until(lambda: OrderState.LIVE in engine.ledger.history)

    assert len(engine.venue.sends) == 1
    assert len(engine.ledger.rows) == 1


async def test_an_order_that_never_landed_is_sent_again_as_the_same_bytes(engine: Engine) -> None:
    engine.venue.answers, engine.venue.lands = [LOST, LOST], [False, False]

    await engine.work(a_wish())
    await engine.until(lambda: OrderState.LIVE in engine.ledger.history)

    assert len(engine.venue.sends) == 3
    assert len(set(engine.venue.sends)) == 1


async def test_a_filled_order_whose_answer_is_lost_is_found_by_its_trades(engine: Engine) -> None:
    engine.venue.answers, engine.venue.lands = [LOST], [False]
    handle = await engine.work(a_wish(type=OrderType.MARKET, time_in_force=TimeInForce.FAK))
    await engine.until(lambda: len(engine.venue.sends) == 1)
    engine.venue.rest(engine.venue.sends[0], YES)
    engine.venue.match(engine.venue.sends[0], Decimal(40))

    ended = await handle.result()

    assert ended.order is not None
    assert ended.order.state is OrderState.FILLED
    assert len(set(engine.venue.sends)) == 1
    assert engine.ledger.held[YES] == Decimal(40)


async def test_an_order_nobody_ever_saw_is_abandoned_only_after_a_minute_and_a_cancel(
    engine: Engine,
) -> None:
    engine.venue.answers, engine.venue.lands = [LOST] * 99, [False] * 99
    ended = await (await engine.work(a_wish())).result()

    assert ended.order is not None
    assert ended.order.state is OrderState.ABANDONED
    assert engine.venue.cancels
    assert ended.order.last_sent_at is not None
    assert await engine.environment.get_current_time() - ended.order.last_sent_at >= timedelta(
        seconds=60
    )
    assert ended.order.last_sent_at - ended.order.created_at < timedelta(minutes=1)
    assert len(set(engine.venue.sends)) == 1


async def test_an_abandoned_order_that_turns_up_late_is_cancelled(engine: Engine) -> None:
    engine.venue.answers, engine.venue.lands = [LOST] * 99, [False] * 99
    handle = await engine.work(a_wish())
    await engine.until(lambda: OrderState.ABANDONED in engine.ledger.history, seconds=200)
    engine.venue.rest(engine.venue.sends[0], YES)

    await handle.result()

    assert not engine.venue.active
    assert next(iter(engine.ledger.rows.values())).state is OrderState.CANCELLED


async def test_a_refused_order_ends_with_the_words_of_the_exchange(engine: Engine) -> None:
    words = "not enough balance / allowance"
    engine.venue.answers = [Submission(answer=Answer.REJECTED, words=words)]

    ended = await (await engine.work(a_wish())).result()

    assert ended.order is not None
    assert ended.order.state is OrderState.REJECTED
    assert engine.ledger.settled["s1"] == (SignalStatus.PROCESSED, f"REJECTED: {words}")


async def test_a_busy_exchange_gets_the_same_bytes_after_the_pause_it_asked_for(
    engine: Engine,
) -> None:
    busy = Submission(answer=Answer.BUSY, words="Too Many Requests", retry_after_seconds=3)
    engine.venue.answers, engine.venue.lands = [busy, busy], [False, False]
    began = await engine.environment.get_current_time()

    await engine.work(a_wish())
    await engine.until(lambda: OrderState.LIVE in engine.ledger.history)

    assert len(engine.venue.sends) == 3
    assert len(set(engine.venue.sends)) == 1
    assert await engine.environment.get_current_time() - began >= timedelta(seconds=6)


async def test_an_entry_that_stays_unsendable_for_a_minute_is_dropped(engine: Engine) -> None:
    busy = Submission(answer=Answer.BUSY, words="Trading is currently disabled")
    engine.venue.answers, engine.venue.lands = [busy] * 999, [False] * 999

    ended = await (await engine.work(a_wish())).result()

    assert ended.order is not None
    assert ended.order.state is OrderState.CANCELLED
    assert not engine.venue.active


async def test_cancelling_a_half_filled_order_keeps_its_fills_and_ends_it(engine: Engine) -> None:
    handle = await engine.work(a_wish())
    await engine.until(lambda: bool(engine.venue.active))
    engine.venue.match(engine.venue.sends[0], Decimal(15))

    status = await handle.execute_update("cancel", CancelRequest(reason="changed my mind"))
    ended = await handle.result()

    assert status is not None
    assert ended.order is not None
    assert ended.order.state is OrderState.CANCELLED
    assert ended.order.filled_size == Decimal(15)
    assert not engine.venue.active


async def test_a_signal_beyond_a_limit_is_denied_with_the_rule_and_nothing_is_signed(
    engine: Engine,
) -> None:
    ended = await (await engine.work(a_wish(price=Decimal("0.505")))).result()

    assert ended.order is None
    assert ended.signal_status is SignalStatus.DENIED
    assert "0.50 and 0.51" in (ended.words or "")
    assert not engine.venue.signed


async def test_an_entry_that_waited_too_long_for_a_worker_expires(engine: Engine) -> None:
    now = await engine.environment.get_current_time()
    await engine.venue.clock.refresh()

    ended = await (await engine.work(a_wish(not_after=now - timedelta(seconds=1)))).result()

    assert ended.signal_status is SignalStatus.EXPIRED
    assert not engine.venue.sends


async def test_a_halted_account_sends_no_entry(engine: Engine) -> None:
    engine.ledger.halted = True

    ended = await (await engine.work(a_wish())).result()

    assert ended.order is not None
    assert ended.order.state is OrderState.CANCELLED
    assert not engine.venue.sends


async def test_a_market_order_filled_at_once_costs_at_most_25_events(engine: Engine) -> None:
    engine.venue.answers, engine.venue.lands = (
        [Submission(answer=Answer.MATCHED, matched_size=Decimal(40))],
        [False],
    )
    original = engine.venue.submit

    async def match_at_once(payload: bytes) -> Submission:
        answer = await original(payload)
        engine.venue.rest(engine.venue.sends[-1], YES)
        engine.venue.match(engine.venue.sends[-1], Decimal(40))
        return answer

    engine.venue.submit = match_at_once
    handle = await engine.work(a_wish(type=OrderType.MARKET, time_in_force=TimeInForce.FAK))
    ended = await handle.result()
    history = await handle.fetch_history()

    assert ended.order is not None
    assert ended.order.state is OrderState.FILLED
    assert len(history.events) <= 25

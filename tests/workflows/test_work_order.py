"""What a user may rely on while one entry is worked, whatever the exchange answers."""

import asyncio
from datetime import timedelta
from decimal import Decimal
from functools import partial

import pytest
from temporalio.client import WorkflowHandle

from domain.answer import Answer, Submission
from domain.order import OrderState, OrderType, TimeInForce
from domain.risk import AccountState
from domain.signal import CancelRequest, SignalStatus
from tests.workflows.conftest import Engine
from tests.workflows.memory import NO, YES, Happening, a_wish
from workflows.work_order import OrderStatus, WorkOrder

pytestmark = [pytest.mark.services, pytest.mark.asyncio(loop_scope="session")]


def nothing(order_hash: str) -> None:
    """A look at which nothing happens."""


LOST = Submission(answer=Answer.UNKNOWN, words="no answer")


async def test_an_order_is_sent_once_and_followed_to_its_last_share(engine: Engine) -> None:
    engine.venue.at_look = engine.venue.pieces(15, 25)

    ended = await (await engine.work(a_wish())).result()

    assert ended.order is not None
    assert ended.order.state is OrderState.FILLED
    assert OrderState.PARTIAL in engine.ledger.history
    assert ended.order.filled_size == Decimal(40)
    assert len(engine.venue.sends) == 1
    assert engine.ledger.settled["s1"] == (SignalStatus.PROCESSED, None)


async def test_x3_an_accepted_order_whose_answer_is_lost_is_found_and_not_sent_again(
    engine: Engine,
) -> None:
    engine.venue.answers = [LOST]
    engine.venue.at_look = [lambda _: None, *engine.venue.pieces(40)]

    await (await engine.work(a_wish())).result()

    assert OrderState.LIVE in engine.ledger.history

    assert len(engine.venue.sends) == 1
    assert len(engine.ledger.rows) == 1


async def test_x3_an_order_whose_answer_was_waited_for_in_vain_is_looked_for_at_once(
    engine: Engine,
) -> None:
    engine.venue.answers, engine.venue.answer_seconds = [LOST], 0.3
    engine.venue.at_look = engine.venue.pieces(40)

    handle = await engine.work(a_wish())
    ended = await handle.result()
    history = await handle.fetch_history()

    assert ended.order is not None
    assert ended.order.state is OrderState.FILLED
    assert not [
        event for event in history.events if event.HasField("timer_started_event_attributes")
    ]


async def test_x2_an_order_that_never_landed_is_sent_again_as_the_same_bytes(
    engine: Engine,
) -> None:
    engine.venue.answers, engine.venue.lands = [LOST, LOST], [False, False]
    engine.venue.at_look = engine.venue.pieces(40)

    await (await engine.work(a_wish())).result()

    assert OrderState.FILLED in engine.ledger.history
    assert len(engine.venue.sends) == 3
    assert len(set(engine.venue.sends)) == 1


async def test_a_filled_order_whose_answer_is_lost_is_found_by_its_trades(engine: Engine) -> None:
    engine.venue.answers = [LOST]
    engine.venue.at_look = engine.venue.pieces(40)
    wish = a_wish(type=OrderType.MARKET, time_in_force=TimeInForce.FAK)

    ended = await (await engine.work(wish)).result()

    assert ended.order is not None
    assert ended.order.state is OrderState.FILLED
    assert len(engine.venue.sends) == 1
    assert engine.ledger.held[YES] == Decimal(40)


async def test_c13_an_order_whose_first_send_came_late_is_sent_again_when_that_one_is_lost(
    engine: Engine,
) -> None:
    slow = Submission(answer=Answer.BUSY, words="held up: not sent", retry_after_seconds=40)
    engine.venue.answers, engine.venue.lands = [slow, LOST], [False, False]
    engine.venue.at_look = engine.venue.pieces(40)

    ended = await (await engine.work(a_wish())).result()

    assert ended.order is not None
    assert ended.order.state is OrderState.FILLED
    assert len(engine.venue.sends) == 3
    assert len(set(engine.venue.sends)) == 1


async def test_c13_an_entry_with_a_limit_of_its_own_is_sent_again_until_then(
    engine: Engine,
) -> None:
    engine.venue.answers, engine.venue.lands = [LOST] * 12, [False] * 12
    engine.venue.at_look = engine.venue.pieces(40)
    not_after = await engine.environment.get_current_time() + timedelta(seconds=300)

    ended = await (await engine.work(a_wish(not_after=not_after))).result()

    assert ended.order is not None
    assert ended.order.state is OrderState.FILLED
    assert engine.venue.sent_at[-1] - engine.venue.sent_at[0] > timedelta(seconds=30)
    assert len(set(engine.venue.sends)) == 1


async def test_x4_an_order_nobody_ever_saw_is_abandoned_only_after_a_minute_and_a_cancel(
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


async def test_x4_an_abandoned_order_that_turns_up_late_is_cancelled(engine: Engine) -> None:
    engine.venue.answers, engine.venue.lands = [LOST] * 99, [False] * 99

    def turn_up_later() -> None:
        turn_up: Happening = partial(engine.venue.rest, token_id=YES)
        engine.venue.when_absent = [lambda _: None, lambda _: None, turn_up]
        engine.venue.at_cancel = None

    engine.venue.at_cancel = turn_up_later
    await (await engine.work(a_wish())).result()

    assert OrderState.ABANDONED in engine.ledger.history
    assert OrderState.LIVE in engine.ledger.history
    assert not engine.venue.active
    assert next(iter(engine.ledger.rows.values())).state is OrderState.CANCELLED


async def test_x10_a_refused_order_ends_with_the_words_of_the_exchange(engine: Engine) -> None:
    words = "not enough balance / allowance"
    engine.venue.answers = [Submission(answer=Answer.REJECTED, words=words)]

    ended = await (await engine.work(a_wish())).result()

    assert ended.order is not None
    assert ended.order.state is OrderState.REJECTED
    assert engine.ledger.settled["s1"] == (SignalStatus.PROCESSED, f"REJECTED: {words}")


async def test_x7_a_busy_exchange_gets_the_same_bytes_after_the_pause_it_asked_for(
    engine: Engine,
) -> None:
    busy = Submission(answer=Answer.BUSY, words="Too Many Requests", retry_after_seconds=3)
    engine.venue.answers, engine.venue.lands = [busy, busy], [False, False]
    engine.venue.at_look = engine.venue.pieces(40)

    await (await engine.work(a_wish())).result()

    first, second, third = engine.venue.sent_at
    assert second - first >= timedelta(seconds=3)
    assert third - second >= timedelta(seconds=3)
    assert len(set(engine.venue.sends)) == 1


async def test_x8_an_entry_that_stays_unsendable_for_a_minute_is_dropped(engine: Engine) -> None:
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

    await _cancel(handle)
    ended = await handle.result()

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
    await engine.ledger.set_state("main", AccountState.HALTED, reason="test")

    ended = await (await engine.work(a_wish())).result()

    assert ended.order is not None
    assert ended.order.state is OrderState.CANCELLED
    assert not engine.venue.sends


async def test_a_market_order_filled_at_once_costs_at_most_25_events(engine: Engine) -> None:
    engine.venue.answers = [Submission(answer=Answer.MATCHED, matched_size=Decimal(40))]
    engine.venue.at_look = engine.venue.pieces(40)
    wish = a_wish(type=OrderType.MARKET, time_in_force=TimeInForce.FAK)

    handle = await engine.work(wish)
    ended = await handle.result()
    history = await handle.fetch_history()

    assert ended.order is not None
    assert ended.order.state is OrderState.FILLED
    assert len(history.events) <= 25
    kinds = [event.WhichOneof("attributes") for event in history.events]
    # Whatever else worked for it would have been started from here, or told from here.
    assert not [kind for kind in kinds if "child" in str(kind) or "external" in str(kind)]


async def test_a_step_that_takes_no_time_is_not_an_entry_in_the_servers_index(
    engine: Engine,
) -> None:
    engine.venue.answers = [Submission(answer=Answer.REJECTED, words="no")]

    handle = await engine.work(a_wish())
    await handle.result()
    history = await handle.fetch_history()

    upserts = [
        event.upsert_workflow_search_attributes_event_attributes.search_attributes
        for event in history.events
        if event.HasField("upsert_workflow_search_attributes_event_attributes")
    ]
    assert [each.indexed_fields["OrderState"].data for each in upserts] == [b'"REJECTED"']


async def test_a_fault_of_our_own_ends_the_signal_as_an_error_and_sends_nothing(
    engine: Engine,
) -> None:
    engine.ledger.is_broken = True

    ended = await (await engine.work(a_wish())).result()

    assert ended.signal_status is SignalStatus.ERROR
    assert engine.ledger.settled["s1"][0] is SignalStatus.ERROR
    assert not engine.venue.sends


async def test_news_that_cannot_be_true_does_not_stop_an_order_from_being_followed(
    engine: Engine,
) -> None:
    engine.ledger.broken_looks = 1
    engine.venue.at_look = engine.venue.pieces(15, 25)

    ended = await (await engine.work(a_wish())).result()

    assert ended.order is not None
    assert ended.order.state is OrderState.FILLED


async def test_an_order_missing_in_one_place_alone_is_not_written_off(engine: Engine) -> None:
    engine.venue.is_blind = True
    engine.venue.at_look = [*([nothing] * 4), *engine.venue.pieces(40)]

    ended = await (await engine.work(a_wish())).result()

    assert ended.order is not None
    assert ended.order.state is OrderState.FILLED
    assert OrderState.CANCELLED not in engine.ledger.history


async def test_a_sale_by_complement_buys_the_other_outcome(engine: Engine) -> None:
    engine.venue.at_look = engine.venue.pieces(40)

    ended = await (await engine.work(a_wish(buys_complement=True))).result()

    assert ended.order is not None
    assert ended.order.token_id == NO


async def _cancel(handle: WorkflowHandle[WorkOrder, OrderStatus]) -> None:
    # The SDK leaves a type parameter of this function open.
    await handle.execute_update(  # pyright: ignore[reportUnknownMemberType]
        WorkOrder.cancel, CancelRequest(reason="changed my mind")
    )


async def test_an_order_cancelled_while_the_exchange_is_busy_is_never_sent_again(
    engine: Engine,
) -> None:
    busy = Submission(answer=Answer.BUSY, words="restarting", retry_after_seconds=30)
    engine.venue.answers, engine.venue.lands = [busy] * 9, [False] * 9
    handle = await engine.work(a_wish())
    await engine.until(lambda: len(engine.venue.sends) == 1)

    await _cancel(handle)
    ended = await handle.result()

    assert ended.order is not None
    assert ended.order.state is OrderState.CANCELLED
    assert len(engine.venue.sends) == 1


async def test_an_order_cancelled_in_doubt_is_not_sent_again_and_dies_when_it_turns_up(
    engine: Engine,
) -> None:
    engine.venue.answers, engine.venue.lands = [LOST] * 9, [False] * 9
    handle = await engine.work(a_wish())
    await engine.until(lambda: OrderState.UNKNOWN in engine.ledger.history)
    asked = asyncio.create_task(_cancel(handle))
    await engine.until(lambda: bool(engine.venue.cancels))
    engine.venue.rest(engine.venue.sends[0], YES)

    ended = await handle.result()
    await asked

    assert ended.order is not None
    assert ended.order.state is OrderState.CANCELLED
    assert len(engine.venue.sends) == 1
    assert not engine.venue.active


async def test_an_entry_that_grew_too_old_while_the_exchange_was_busy_expires(
    engine: Engine,
) -> None:
    busy = Submission(answer=Answer.BUSY, words="restarting", retry_after_seconds=20)
    engine.venue.answers, engine.venue.lands = [busy], [False]
    now = await engine.environment.get_current_time()

    ended = await (await engine.work(a_wish(not_after=now + timedelta(seconds=10)))).result()

    assert ended.signal_status is SignalStatus.EXPIRED
    assert len(engine.venue.sends) == 1

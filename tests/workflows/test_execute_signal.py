"""What a user may rely on for signals that are not a single entry."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from domain.order import OrderSource, OrderState, OrderType
from domain.protection import TAKEN_AWAY, Exit, Protect
from domain.signal import Action, Instruction, SignalStatus, SignalTask
from tests.store.making import NOW, an_order
from tests.workflows.conftest import Engine
from tests.workflows.memory import NO, YES
from workflows.execute_signal import ExecuteSignal
from workflows.order_life import LegOutcome

pytestmark = [pytest.mark.services, pytest.mark.asyncio(loop_scope="session")]


def a_task(signal_id: str, **instruction: object) -> SignalTask:
    return SignalTask(
        signal_id=signal_id,
        account_id="main",
        source=OrderSource.WEBHOOK,
        received_at=NOW,
        instruction=Instruction(**instruction),  # pyright: ignore[reportArgumentType]
    )


async def test_closeall_sells_every_position_and_answers_when_all_have_answered(
    engine: Engine,
) -> None:
    engine.ledger.held = {YES: Decimal(10), NO: Decimal(20)}
    handle = await engine.execute(a_task("all", action=Action.CLOSEALL))
    await engine.until(lambda: len(engine.calls.sales) == 2)
    assert "all" not in engine.ledger.settled

    for _, sale in engine.calls.sales:
        leg = LegOutcome(intent_id=sale.intent_id, status=SignalStatus.PROCESSED, words=None)
        await handle.signal(ExecuteSignal.leg_settled, leg)
    outcome = await handle.result()

    assert {task.token_id for task, _ in engine.calls.sales} == {YES, NO}
    assert outcome.status is SignalStatus.PROCESSED
    assert engine.ledger.settled["all"][0] is SignalStatus.PROCESSED


async def test_closeall_begun_again_leaves_what_was_opened_since(engine: Engine) -> None:
    engine.ledger.held = {YES: Decimal(10), NO: Decimal(20)}
    engine.ledger.opened_at = {YES: NOW, NO: NOW + timedelta(seconds=1)}

    handle = await engine.execute(a_task("again", action=Action.CLOSEALL))
    await engine.until(lambda: len(engine.calls.sales) == 1)
    [(task, sale)] = engine.calls.sales
    leg = LegOutcome(intent_id=sale.intent_id, status=SignalStatus.PROCESSED, words=None)
    await handle.signal(ExecuteSignal.leg_settled, leg)

    assert task.token_id == YES
    assert (await handle.result()).status is SignalStatus.PROCESSED


async def test_closing_nothing_is_processed_and_says_so(engine: Engine) -> None:
    outcome = await (await engine.execute(a_task("none", action=Action.CLOSEALL))).result()

    assert outcome.status is SignalStatus.PROCESSED
    assert "no open position" in (outcome.reason or "")


async def test_maj_is_a_workflow_of_its_own_that_hands_the_plan_to_the_positions_writer(
    engine: Engine,
) -> None:
    engine.ledger.held = {YES: Decimal(10)}
    prices = {"stop_loss": Decimal("0.4"), "take_profit": Decimal("0.6")}
    task = a_task("maj", action=Action.MAJ, market="will-it-rain", outcome="Yes", **prices)

    outcome = await (await engine.execute(task)).result()

    assert outcome.status is SignalStatus.PROCESSED
    [(place, wish)] = engine.calls.wishes
    assert place.token_id == YES
    assert wish == Protect(**prices, by="signal maj", signal_id="maj")
    assert engine.ledger.settled["maj"][0] is SignalStatus.PROCESSED


async def test_maj_without_a_position_is_processed_with_a_message_and_stops(
    engine: Engine,
) -> None:
    task = a_task("late", action=Action.MAJ, market="will-it-rain", outcome="Yes")

    outcome = await (await engine.execute(task)).result()

    assert outcome.status is SignalStatus.PROCESSED
    assert "no open position" in (outcome.reason or "")
    assert engine.calls.wishes == []


async def test_an_operators_exit_is_handed_over_and_answered_when_the_position_is_flat(
    engine: Engine,
) -> None:
    engine.ledger.held = {YES: Decimal(10)}
    task = a_task("exit", action=Action.CLOSE, market=YES, reason="news")

    outcome = await (await engine.execute(replace(task, by="ann"))).result()

    assert [wish for _, wish in engine.calls.wishes] == [
        Exit(reason="news", by="ann", signal_id="exit")
    ]
    assert outcome.status is SignalStatus.PROCESSED
    assert engine.calls.sales == []


async def test_cancelling_a_take_profit_takes_it_out_of_the_plan(engine: Engine) -> None:
    """Cancelled alone, it would be put back by whoever keeps the plan."""
    rest(engine, "1", YES, type=OrderType.TAKE_PROFIT)
    task = a_task("target", action=Action.CANCEL, order_hash="0x1")

    outcome = await (await engine.execute(task)).result()

    [(_, wish)] = engine.calls.wishes
    assert wish == Protect(take_profit=TAKEN_AWAY, by="signal target", signal_id="target")
    assert engine.calls.cancels == []
    assert outcome.status is SignalStatus.PROCESSED


async def test_cancelling_an_order_nobody_knows_is_denied_and_says_so(engine: Engine) -> None:
    task = a_task("cancel", action=Action.CANCEL, order_hash="0xdead")

    outcome = await (await engine.execute(task)).result()

    assert outcome.status is SignalStatus.DENIED
    assert "no order 0xdead" in (outcome.reason or "")


def rest(engine: Engine, name: str, token_id: str, **fields: Any) -> str:
    """Keep an order that rests, and return its workflow."""
    order = an_order(name, token_id=token_id, state=OrderState.LIVE, **fields)
    engine.ledger.rows[order.order_hash] = order
    return order.workflow_id


async def test_cancelling_a_market_cancels_all_that_rests_there_but_what_protects(
    engine: Engine,
) -> None:
    entry, other = rest(engine, "1", YES), rest(engine, "2", NO)
    rest(engine, "3", YES, type=OrderType.TAKE_PROFIT)
    rest(engine, "4", "5" * 70)
    task = a_task("market", action=Action.CANCEL, market="will-it-rain")

    outcome = await (await engine.execute(task)).result()

    assert engine.calls.cancels == [entry, other]
    assert outcome.status is SignalStatus.PROCESSED
    assert outcome.reason == "cancel asked of 2: 0x1, 0x2"


async def test_cancelling_one_outcome_leaves_the_other(engine: Engine) -> None:
    rest(engine, "1", YES)
    other = rest(engine, "2", NO)
    task = a_task("side", action=Action.CANCEL, market="will-it-rain", outcome="No")

    await (await engine.execute(task)).result()

    assert engine.calls.cancels == [other]


async def test_a_cancel_of_a_market_that_missed_one_is_an_error_that_names_it(
    engine: Engine,
) -> None:
    rest(engine, "1", YES)
    engine.calls.gone = {rest(engine, "2", YES)}
    task = a_task("missed", action=Action.CANCEL, market="will-it-rain")

    outcome = await (await engine.execute(task)).result()

    assert outcome.status is SignalStatus.ERROR
    assert outcome.reason == "cancel asked of 1 of 2; nothing works 0x2 (LIVE)"


async def test_cancelling_a_market_without_orders_is_processed_and_says_so(engine: Engine) -> None:
    task = a_task("bare", action=Action.CANCEL, market="will-it-rain")

    outcome = await (await engine.execute(task)).result()

    assert outcome.status is SignalStatus.PROCESSED
    assert "no open order" in (outcome.reason or "")

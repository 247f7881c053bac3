"""What a user may rely on for signals that are not a single entry."""

from decimal import Decimal

import pytest

from domain.order import OrderSource
from domain.signal import Action, Instruction, SignalStatus, SignalTask
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


async def test_closing_nothing_is_processed_and_says_so(engine: Engine) -> None:
    outcome = await (await engine.execute(a_task("none", action=Action.CLOSEALL))).result()

    assert outcome.status is SignalStatus.PROCESSED
    assert "no open position" in (outcome.reason or "")


async def test_a_change_of_protection_is_denied_and_says_why(engine: Engine) -> None:
    task = a_task("maj", action=Action.MAJ, market="will-it-rain", outcome="Yes")

    outcome = await (await engine.execute(task)).result()

    assert outcome.status is SignalStatus.DENIED
    assert "stop-loss" in (outcome.reason or "")


async def test_cancelling_an_order_nobody_knows_is_denied_and_says_so(engine: Engine) -> None:
    task = a_task("cancel", action=Action.CANCEL, order_hash="0xdead")

    outcome = await (await engine.execute(task)).result()

    assert outcome.status is SignalStatus.DENIED
    assert "no order 0xdead" in (outcome.reason or "")

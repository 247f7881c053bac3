"""Carrying out a signal that is not a single entry: the workflow `signal-{signal_id}`."""

from datetime import timedelta
from typing import Final

from temporalio import workflow
from temporalio.exceptions import ActivityError

from domain.signal import SALES, Action, SignalStatus, SignalTask
from workflows import options
from workflows.order_life import LegOutcome

with workflow.unsafe.imports_passed_through():
    from activities.orders import OrderActivities, Outcome
    from activities.signals import SignalActivities
    from activities.wishes import WishActivities

EXIT_LOOKS: Final = 12  # of eight seconds each, and the pauses between them
EXIT_PAUSE: Final = timedelta(seconds=2)
STILL_SELLING: Final = "not flat yet: the position's workflow goes on selling (`holdfast why` it)"


@workflow.defn(name="ExecuteSignal")
class ExecuteSignal:
    """Hands a signal's legs to whom they concern and waits for what comes of them."""

    @workflow.init
    def __init__(self, task: SignalTask) -> None:
        self._task = task
        self._legs: dict[str, LegOutcome] = {}

    @workflow.run
    async def run(self, task: SignalTask) -> Outcome:
        """Carry the signal out and write its outcome."""
        try:
            outcome = await self._carry_out(task)
        except ActivityError as error:
            workflow.logger.error("signal.not_carried_out", exc_info=error)
            outcome = Outcome(
                signal_id=task.signal_id, status=SignalStatus.ERROR, reason=str(error.cause)
            )
        await workflow.execute_local_activity_method(
            OrderActivities.settle_signal, outcome, **options.LOCAL
        )
        return outcome

    @workflow.signal(description="One leg has an outcome; sent by the position's workflow.")
    def leg_settled(self, leg: LegOutcome) -> None:
        """Take note of one leg."""
        self._legs[leg.intent_id] = leg

    async def _carry_out(self, task: SignalTask) -> Outcome:
        """Do what the action asks for."""
        action = task.instruction.action
        if task.is_exit:
            return await self._leave(task)
        if action in SALES or action is Action.CLOSEALL:
            return await self._sell(task)
        if action is Action.CANCEL:
            return await workflow.execute_activity_method(
                SignalActivities.deliver_cancel, task, **options.ACT, summary="cancel an order"
            )
        return await workflow.execute_activity_method(
            WishActivities.deliver_protection,
            task,
            **options.ACT,
            summary="change the plan of a position",
        )

    async def _leave(self, task: SignalTask) -> Outcome:
        """Have the position left and wait until it is flat; its own workflow never gives up."""
        outcome = await workflow.execute_activity_method(
            WishActivities.deliver_exit, task, **options.ACT, summary="leave a position"
        )
        for _ in range(EXIT_LOOKS):
            if outcome is not None:
                return outcome
            outcome = await workflow.execute_activity_method(
                WishActivities.look_at_exit, task, **options.ACT, summary="is it flat?"
            )
            if outcome is None:
                await workflow.sleep(EXIT_PAUSE)
        if outcome is not None:
            return outcome
        return Outcome(signal_id=task.signal_id, status=SignalStatus.ERROR, reason=STILL_SELLING)

    async def _sell(self, task: SignalTask) -> Outcome:
        """Hand the sales over and wait until each rests or is over."""
        legs = await workflow.execute_activity_method(
            SignalActivities.deliver_sales, task, **options.ACT, summary="hand sales to positions"
        )
        if legs.denied is not None:
            words = f"{legs.denied.rule}: {legs.denied.words}"
            return Outcome(signal_id=task.signal_id, status=SignalStatus.DENIED, reason=words)
        await workflow.wait_condition(lambda: set(legs.intent_ids) <= set(self._legs))
        return _together(task.signal_id, [self._legs[intent] for intent in legs.intent_ids])


def _together(signal_id: str, legs: list[LegOutcome]) -> Outcome:
    """Return one outcome for all legs: processed if any of them was."""
    if not legs:
        words = "no open position; nothing to sell"
        return Outcome(signal_id=signal_id, status=SignalStatus.PROCESSED, reason=words)
    is_processed = any(leg.status is SignalStatus.PROCESSED for leg in legs)
    status = SignalStatus.PROCESSED if is_processed else legs[0].status
    words = "; ".join(leg.words for leg in legs if leg.words) or None
    return Outcome(signal_id=signal_id, status=status, reason=words)

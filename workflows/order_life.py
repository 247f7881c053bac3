"""The life of one order, from the wish to its end: run by an entry's or a position's workflow.

A step that a crash interrupts is run again, and finds what the first run left: the order by its
intent, the send by its count, the order on the exchange by its hash.
"""

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

from domain.answer import Answer, Submission
from domain.order import LATE_ARRIVAL, Order, OrderEvent, OrderState, Side
from domain.signal import OrderRequest, SignalStatus
from domain.sizing import STALE, UNSETTLED, Denied
from workflows import options, order_story

with workflow.unsafe.imports_passed_through():
    from activities.orders import Answered, Lesson, OrderActivities, Outcome, Preparation

LOOK_AFTER_SECONDS: Final = (0.2, 1.0, 3.0)  # an order usually shows within the first
RESEND_FOR: Final = timedelta(seconds=30)  # the same bytes again and again, but not for ever
BUSY_FOR: Final = timedelta(seconds=60)  # an entry that could not be sent for so long is stale
POLL_FIRST_SECONDS: Final = 1.0
POLL_MOST_SECONDS: Final = 15.0
DOUBT_PAUSE_SECONDS: Final = 3.0
BUSY_PAUSE_SECONDS: Final = 1.0
WATCH_ABANDONED: Final = timedelta(seconds=120)

# A local step's failure comes as it is, a remote one's wrapped.
STEP_FAILED: Final = (ActivityError, ApplicationError)
TOO_OLD: Final = "too old to send"
FAULT: Final = "fault"  # not a rule of trading: something of ours is broken
NOT_DENIED: Final[Mapping[str, SignalStatus]] = {
    STALE: SignalStatus.EXPIRED,
    FAULT: SignalStatus.ERROR,
}

Subject = TypeVar("Subject")


@dataclass(frozen=True, kw_only=True)
class LegOutcome:
    """What came of one leg of a signal, told to the workflow that waits for it."""

    intent_id: str
    status: SignalStatus
    words: str | None


class OrderLife:
    """One order being worked.

    Attributes:
        order: as last recorded; None until it is prepared.
        denied: why there will be no order.

    Args:
        show: called when there is something new for operators to read.
    """

    def __init__(self, request: OrderRequest, show: Callable[[], None]) -> None:
        self.request = request
        self._show = show
        self.order: Order | None = None
        self.denied: Denied | None = None
        self._cancel_reason: str | None = None
        self._has_news = False
        self._is_answered = False

    @property
    def is_unsettled(self) -> bool:
        """It is denied only because the shares to sell are not settled yet."""
        return self.denied is not None and self.denied.rule == UNSETTLED

    @property
    def is_over(self) -> bool:
        """Nothing more is expected."""
        return self.denied is not None or (self.order is not None and self.order.is_over)

    def tell(self) -> None:
        """Note that the order's row has changed."""
        self._has_news = True

    def ask_cancel(self, reason: str) -> None:
        """Note that the order is to be cancelled."""
        self._cancel_reason = self._cancel_reason or reason
        self._has_news = True

    def ask_again(self, *, waits_for_settlement: bool) -> None:
        """Forget a denial, so that the next `prepare` asks again."""
        self.denied = None
        self.request = replace(self.request, waits_for_settlement=waits_for_settlement)

    async def place(self) -> None:
        """Bring the order to the exchange: until it rests, is over, or is denied."""
        await self.prepare()
        if self.order is not None:
            await self._send(self.order)
        await self._answer_sender()

    async def work(self) -> bool:
        """Follow the order to its end; False where the history asks to be continued as new."""
        pause = POLL_FIRST_SECONDS
        while self.order is not None and not self.is_over:
            if workflow.info().is_continue_as_new_suggested() and self._cancel_reason is None:
                return False
            before = self.order
            await self._follow(before, pause)
            await self._answer_sender()
            changed = self.order != before
            pause = POLL_FIRST_SECONDS if changed else min(pause * 2, POLL_MOST_SECONDS)
        await self._answer_sender()
        if self.order is not None and self.order.state is OrderState.ABANDONED:
            await self._watch(self.order)
        return True

    async def prepare(self) -> bool:
        """Have the order sized, signed and stored; False where it is denied."""
        if self.order is not None or self.denied is not None:
            return self.order is not None
        prepared = await self._prepared()
        self.denied = prepared.denied
        if prepared.order is not None:
            self._known(prepared.order)
        else:
            self._show()
        return self.order is not None

    async def _prepared(self) -> Preparation:
        """Run the first step; a fault that no retry can mend is an answer too: nothing is sent."""
        try:
            return await workflow.execute_local_activity_method(
                OrderActivities.prepare,
                self.request,
                **options.LOCAL,
                summary="size, sign and store; nothing is sent yet",
            )
        except STEP_FAILED as error:
            workflow.logger.error("order.not_prepared", exc_info=error)
            return Preparation(denied=Denied(rule=FAULT, words=str(error.cause or error)))

    async def _send(self, order: Order) -> None:
        """Send the stored bytes until there is evidence of what came of them."""
        begun = workflow.now()
        is_unsent = order.attempts == 0  # no send of it can have reached the exchange
        while order.is_in_doubt:
            if self._stop_reason() is not None:
                await self._withdraw(order, is_unsent=is_unsent)
                return
            submission = await self._submit(order)
            order = await self._record(order, submission)
            is_busy = submission.answer is Answer.BUSY and order.state is OrderState.SENT
            is_unsent = order.attempts == 0 or (is_unsent and is_busy)
            if order.attempts == 0:
                await workflow.sleep(LOOK_AFTER_SECONDS[0])  # it died before anything left
            elif is_busy:
                await self._wait_while_busy(order, submission, begun)
            elif order.is_in_doubt:
                await self._find(order)
            elif submission.answer is Answer.MATCHED and not order.is_over:
                await self._look(order)
            order = self.order or order

    async def _submit(self, order: Order) -> Submission:
        """Send once; a send whose worker died is as unknown as one whose answer was lost."""
        try:
            return await workflow.execute_activity_method(
                OrderActivities.submit, order, **options.SEND, summary=order_story.send_line(order)
            )
        except STEP_FAILED as error:
            workflow.logger.warning("order.send_lost", exc_info=error)
            return Submission(answer=Answer.UNKNOWN, words="the send was cut off")

    async def _record(self, order: Order, submission: Submission) -> Order:
        """Record a send's outcome."""
        answered = Answered(order_hash=order.order_hash, submission=submission)
        words = f"the answer was: {submission.answer}"
        return await self._locally(OrderActivities.record_answer, answered, order, words)

    async def _wait_while_busy(self, order: Order, submission: Submission, begun: datetime) -> None:
        """Pause as the exchange asked; an entry that waited too long ends, nothing being sent."""
        if self.request.side is Side.BUY and workflow.now() - begun >= BUSY_FOR:
            await self._learn(order, OrderEvent.CANCEL, f"too late: {submission.words}")
        else:
            await self._pause(submission.retry_after_seconds or BUSY_PAUSE_SECONDS)

    def _stop_reason(self) -> str | None:
        """Return why nothing more may be sent: a cancel, or an entry that has grown too old."""
        not_after = self.request.not_after
        if self._cancel_reason is None and not_after is not None and workflow.now() > not_after:
            return f"{TOO_OLD}: it was wanted before {not_after:%H:%M:%S} UTC"
        return self._cancel_reason

    async def _withdraw(self, order: Order, *, is_unsent: bool) -> None:
        """End an order without another send: at once if none of it left, else by evidence."""
        reason = self._stop_reason() or "withdrawn"
        self._cancel_reason = reason
        if is_unsent:
            await self._learn(order, OrderEvent.CANCEL, reason)
        else:
            await self._give_up(order)

    async def _pause(self, seconds: float) -> None:
        """Sleep, unless a cancel comes."""
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: self._cancel_reason is not None, timeout=timedelta(seconds=seconds)
            )

    async def _find(self, order: Order) -> Order:
        """Look for an order in doubt; return it in doubt still where it may be sent again."""
        for pause in LOOK_AFTER_SECONDS:
            await self._pause(pause)
            order = await self._look(order)
            if not order.is_in_doubt:
                return order
        is_early = workflow.now() - order.created_at < RESEND_FOR
        if self._stop_reason() is None and not order.was_duplicate and is_early:
            return order
        return await self._give_up(order)

    async def _give_up(self, order: Order) -> Order:
        """End an order in doubt by evidence: time, a cancel by hash, and one more look."""
        while order.is_in_doubt:
            last = order.last_sent_at or order.created_at
            if workflow.now() - last >= LATE_ARRIVAL:
                break
            await workflow.sleep(DOUBT_PAUSE_SECONDS)
            # Asked to cancel, it is cancelled the moment it turns up.
            order = await (
                self._look(order) if self._cancel_reason is None else self._cancel(order)
            )
        if order.is_in_doubt:
            order = await self._cancel(order)
        if order.is_in_doubt:
            order = await self._look(order)
        if order.is_in_doubt:
            words = "sent, never seen, cancelled by its hash"
            order = await self._learn(order, OrderEvent.ABANDON, words)
        return order

    async def _follow(self, order: Order, pause: float) -> None:
        """Wait for news or for the next poll, and take it in."""
        waits = pause if self._cancel_reason is None else POLL_FIRST_SECONDS
        try:
            await workflow.wait_condition(
                lambda: self._has_news, timeout=waits, timeout_summary="next look at the exchange"
            )
        except TimeoutError:
            await (self._look(order) if self._cancel_reason is None else self._cancel(order))
            return
        self._has_news = False
        if self._cancel_reason is not None:
            await self._cancel(order)
        else:
            await self._locally(OrderActivities.reload, order, order, "read our own record")

    async def _watch(self, order: Order) -> None:
        """Watch an abandoned hash for a while and cancel it if it turns up after all."""
        until = workflow.now() + WATCH_ABANDONED
        while workflow.now() < until:
            await workflow.sleep(POLL_MOST_SECONDS)
            order = await self._look(order)
            if not order.is_over:
                order = await self._cancel(order)

    async def _look(self, order: Order) -> Order:
        """Ask the exchange what became of the order."""
        words = "ask the exchange what became of it"
        return await self._locally(OrderActivities.look, order, order, words)

    async def _cancel(self, order: Order) -> Order:
        """Cancel by hash and look."""
        try:
            cancelled = await workflow.execute_activity_method(
                OrderActivities.cancel, order, **options.ACT, summary="cancel by hash"
            )
        except STEP_FAILED as error:
            workflow.logger.warning("order.cancel_failed", exc_info=error)
            return order
        return self._known(cancelled)

    async def _learn(self, order: Order, event: OrderEvent, words: str) -> Order:
        """Record news that this workflow itself decided."""
        lesson = Lesson(order_hash=order.order_hash, event=event, words=words)
        return await self._locally(OrderActivities.learn, lesson, order, f"record: {event}")

    async def _locally(
        self,
        step: Callable[[OrderActivities, Subject], Awaitable[Order]],
        subject: Subject,
        order: Order,
        words: str,
    ) -> Order:
        """Run one local step; a refusal that no retry can mend leaves the order as recorded."""
        try:
            known = await workflow.execute_local_activity_method(
                step, subject, **options.LOCAL, summary=words
            )
        except STEP_FAILED as error:
            workflow.logger.error("order.step_refused", exc_info=error)
            known = await workflow.execute_local_activity_method(
                OrderActivities.reload, order, **options.LOCAL
            )
        return self._known(known)

    def _known(self, order: Order) -> Order:
        """Keep the order as it is recorded now, and show it to operators."""
        is_news = self.order is None or self.order.state is not order.state
        self.order = order
        if is_news:
            # The SDK leaves a type parameter of this function open.
            workflow.upsert_search_attributes(  # pyright: ignore[reportUnknownMemberType]
                [options.ORDER_STATE.value_set(order.state.value)]
            )
        self._show()
        return order

    async def _answer_sender(self) -> None:
        """Tell whoever asked, once, as soon as the order rests or is over."""
        has_answer = self.denied is not None or (
            self.order is not None and self.order.is_settled_for_sender
        )
        if self._is_answered or not has_answer:
            return
        self._is_answered = True
        status, words = self.outcome()
        if self.request.reply_to is not None:
            leg = LegOutcome(intent_id=self.request.intent_id, status=status, words=words)
            await _reply(self.request.reply_to, leg)
        elif self.request.signal_id is not None:
            outcome = Outcome(signal_id=self.request.signal_id, status=status, reason=words)
            await workflow.execute_local_activity_method(
                OrderActivities.settle_signal,
                outcome,
                **options.LOCAL,
                summary=f"tell the signal: {status}",
            )

    def _is_too_late(self) -> bool:
        """The order died of old age before it could be sent."""
        order, not_after = self.order, self.request.not_after
        return (
            order is not None
            and order.state is OrderState.CANCELLED
            and order.filled_size == 0
            and not_after is not None
            and (order.reason or "").startswith(TOO_OLD)
        )

    def outcome(self) -> tuple[SignalStatus, str | None]:
        """Return what the sender is told."""
        if self.denied is not None:
            status = NOT_DENIED.get(self.denied.rule, SignalStatus.DENIED)
            return status, f"{self.denied.rule}: {self.denied.words}"
        if self._is_too_late():
            return SignalStatus.EXPIRED, self.order.reason if self.order else None
        if self.order is not None and self.order.reason:
            return SignalStatus.PROCESSED, f"{self.order.state}: {self.order.reason}"
        return SignalStatus.PROCESSED, None


async def _reply(workflow_id: str, leg: LegOutcome) -> None:
    """Tell the waiting workflow; one that is gone has no use for it."""
    try:
        await workflow.get_external_workflow_handle(workflow_id).signal("leg_settled", leg)
    except ApplicationError as error:
        workflow.logger.info("order.nobody_waits", exc_info=error)

"""The sending half of an order's life: the stored bytes, until there is evidence of their fate."""

import contextlib
from datetime import datetime, timedelta
from typing import Final

from temporalio import workflow

from domain.answer import Answer, Submission
from domain.order import LATE_ARRIVAL, Order, OrderEvent, OrderState, Side
from domain.signal import OrderRequest
from workflows.order_steps import OrderSteps

LOOK_AFTER_SECONDS: Final = (0.2, 1.0, 3.0)  # an order usually shows within the first
# The same bytes again and again, but not for ever where the sender set no limit. Counted from the
# first send: a machine that was slow to begin it has not used up any of it.
RESEND_FOR: Final = timedelta(seconds=30)
BUSY_FOR: Final = timedelta(seconds=60)  # an entry that could not be sent for so long is stale
DOUBT_PAUSE_SECONDS: Final = 3.0
BUSY_PAUSE_SECONDS: Final = 1.0
HELD_PAUSE_SECONDS: Final = 0.3  # a comparison takes about a second
TOO_OLD: Final = "too old to send"


class Sending:
    """Sends one order until it rests, is over, or is known never to have arrived.

    Attributes:
        cancel_reason: why it is to end, as soon as it may; None while it may go on.
        held_up: the exchange's words while it takes nothing; None where it does.
    """

    def __init__(self, request: OrderRequest, steps: OrderSteps) -> None:
        self._request = request
        self._steps = steps
        self._first_sent_at: datetime | None = None  # of the sends that may have arrived
        self.cancel_reason: str | None = None
        self.held_up: str | None = None

    async def send(self, order: Order) -> None:
        """Send the stored bytes until there is evidence of what came of them."""
        begun = workflow.now()
        is_unsent = order.attempts == 0  # no send of it can have reached the exchange
        self._first_sent_at = order.last_sent_at
        while order.is_in_doubt:
            if self._stop_reason() is not None:
                await self._withdraw(order, is_unsent=is_unsent)
                return
            submission = await self._steps.submit(order)
            if submission.answer is Answer.HELD:
                order = await self._wait_while_held(order, begun, is_unsent=is_unsent)
                continue
            order = await self._steps.record(order, submission)
            is_busy = submission.answer is Answer.BUSY and order.state is OrderState.SENT
            is_unsent = order.attempts == 0 or (is_unsent and is_busy)
            if not is_unsent:
                self._first_sent_at = self._first_sent_at or workflow.now()
            self.held_up = submission.words if is_busy else None
            if is_busy:
                await self._wait_while_busy(order, submission, begun)
            else:
                await self._follow_up(order, submission)
            order = self._steps.order or order

    async def _follow_up(self, order: Order, submission: Submission) -> None:
        """Look for what became of a send, where its answer does not say enough."""
        if order.attempts == 0:
            await workflow.sleep(LOOK_AFTER_SECONDS[0])  # it died before anything left
        elif order.is_in_doubt:
            await self._find(order)
        elif submission.answer is Answer.MATCHED and not order.is_over:
            await self._steps.look(order)

    async def _wait_while_held(self, order: Order, begun: datetime, *, is_unsent: bool) -> Order:
        """Wait until the account is compared with the exchange; look for what may be there."""
        if not is_unsent:
            return await self._find(order)
        is_undated = self._request.not_after is None
        if is_undated and workflow.now() - begun >= BUSY_FOR:
            self.cancel_reason = "too late: the account is not reconciled yet"
        else:
            await self._pause(HELD_PAUSE_SECONDS)
        return order

    async def _wait_while_busy(self, order: Order, submission: Submission, begun: datetime) -> None:
        """Pause as the exchange asked; an entry that waited too long ends, nothing being sent."""
        # One that names its own limit may wait up to that: `stop_reason` ends it.
        is_undated = self._request.not_after is None
        is_late = is_undated and workflow.now() - begun >= BUSY_FOR
        if self._request.side is Side.BUY and is_late:
            await self._steps.learn(order, OrderEvent.CANCEL, f"too late: {submission.words}")
        else:
            await self._pause(submission.retry_after_seconds or BUSY_PAUSE_SECONDS)

    def _stop_reason(self) -> str | None:
        """Return why nothing more may be sent: a cancel, or an entry that has grown too old."""
        not_after = self._request.not_after
        if self.cancel_reason is None and not_after is not None and workflow.now() > not_after:
            return f"{TOO_OLD}: it was wanted before {not_after:%H:%M:%S} UTC"
        return self.cancel_reason

    async def _withdraw(self, order: Order, *, is_unsent: bool) -> None:
        """End an order without another send: at once if none of it left, else by evidence."""
        reason = self._stop_reason() or "withdrawn"
        self.cancel_reason = reason
        if is_unsent:
            await self._steps.learn(order, OrderEvent.CANCEL, reason)
        else:
            await self._give_up(order)

    async def _pause(self, seconds: float) -> None:
        """Sleep, unless a cancel comes."""
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: self.cancel_reason is not None, timeout=timedelta(seconds=seconds)
            )

    async def _find(self, order: Order) -> Order:
        """Look for an order in doubt; return it in doubt still where it may be sent again."""
        # A send that was cut off has been on its way for long: it is looked for at once.
        sent_at = order.last_sent_at or workflow.now()
        first, *later = LOOK_AFTER_SECONDS
        for pause in (first - (workflow.now() - sent_at).total_seconds(), *later):
            if pause > 0:
                await self._pause(pause)
            order = await self._steps.look(order)
            if not order.is_in_doubt:
                return order
        if order.was_duplicate or self._stop_reason() is not None or self._is_long_sent():
            return await self._give_up(order)
        return order

    def _is_long_sent(self) -> bool:
        """It has been sent often enough; one that names its own limit is fresh until then."""
        since = self._first_sent_at
        is_undated = self._request.not_after is None
        return is_undated and since is not None and workflow.now() - since >= RESEND_FOR

    async def _give_up(self, order: Order) -> Order:
        """End an order in doubt by evidence: time, a cancel by hash, and one more look."""
        while order.is_in_doubt:
            last = order.last_sent_at or order.created_at
            if workflow.now() - last >= LATE_ARRIVAL:
                break
            await workflow.sleep(DOUBT_PAUSE_SECONDS)
            # Asked to cancel, it is cancelled the moment it turns up.
            order = await (
                self._steps.look(order) if self.cancel_reason is None else self._steps.cancel(order)
            )
        if order.is_in_doubt:
            order = await self._steps.cancel(order)
        if order.is_in_doubt:
            order = await self._steps.look(order)
        if order.is_in_doubt:
            words = "sent, never seen, cancelled by its hash"
            order = await self._steps.learn(order, OrderEvent.ABANDON, words)
        return order

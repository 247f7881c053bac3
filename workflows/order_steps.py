"""The steps of an order's life, each run by an activity and its result kept and shown."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

from domain.answer import Answer, Submission
from domain.order import Order, OrderEvent, OrderState
from domain.signal import OrderRequest
from domain.sizing import Denied
from workflows import options, order_story

with workflow.unsafe.imports_passed_through():
    from activities.orders import Answered, Lesson, OrderActivities, Preparation

# A local step's failure comes as it is, a remote one's wrapped.
STEP_FAILED: Final = (ActivityError, ApplicationError)
FAULT: Final = "fault"  # not a rule of trading: something of ours is broken

Subject = TypeVar("Subject")


class OrderSteps:
    """What can be done for one order; the order is kept as last recorded.

    Attributes:
        order: as last recorded; None until it is prepared.

    Args:
        show: called when there is something new for operators to read.
    """

    def __init__(self, show: Callable[[], None]) -> None:
        self._show = show
        self.order: Order | None = None
        self._indexed: OrderState | None = None

    async def prepare(self, request: OrderRequest) -> Preparation:
        """Run the first step; a fault that no retry can mend is an answer too: nothing is sent."""
        try:
            prepared = await workflow.execute_local_activity_method(
                OrderActivities.prepare,
                request,
                **options.LOCAL,
                summary="size, sign and store; nothing is sent yet",
            )
        except STEP_FAILED as error:
            workflow.logger.error("order.not_prepared", exc_info=error)
            return Preparation(denied=Denied(rule=FAULT, words=str(error.cause or error)))
        if prepared.order is not None:
            self.order = prepared.order
            self._show()
        return prepared

    async def submit(self, order: Order) -> Submission:
        """Send once; a send whose worker died is as unknown as one whose answer was lost."""
        try:
            return await workflow.execute_activity_method(
                OrderActivities.submit, order, **options.SEND, summary=order_story.send_line(order)
            )
        except STEP_FAILED as error:
            workflow.logger.warning("order.send_lost", exc_info=error)
            return Submission(answer=Answer.UNKNOWN, words="the send was cut off")

    async def record(self, order: Order, submission: Submission) -> Order:
        """Record a send's outcome."""
        answered = Answered(
            order_hash=order.order_hash,
            signal_id=order.signal_id,
            trace_id=order.trace_id,
            submission=submission,
        )
        words = f"the answer was: {submission.answer}"
        return await self._locally(OrderActivities.record_answer, answered, order, words)

    async def look(self, order: Order) -> Order:
        """Ask the exchange what became of the order."""
        words = "ask the exchange what became of it"
        return await self._locally(OrderActivities.look, order, order, words, options.LOOK)

    async def cancel(self, order: Order) -> Order:
        """Cancel by hash and look."""
        try:
            cancelled = await workflow.execute_activity_method(
                OrderActivities.cancel, order, **options.ACT, summary="cancel by hash"
            )
        except STEP_FAILED as error:
            workflow.logger.warning("order.cancel_failed", exc_info=error)
            return order
        return self._known(cancelled)

    async def learn(self, order: Order, event: OrderEvent, words: str) -> Order:
        """Record news that this workflow itself decided."""
        lesson = Lesson(
            order_hash=order.order_hash,
            signal_id=order.signal_id,
            trace_id=order.trace_id,
            event=event,
            words=words,
        )
        return await self._locally(OrderActivities.learn, lesson, order, f"record: {event}")

    async def reload(self, order: Order) -> Order:
        """Read the order as it is recorded now."""
        return await self._locally(OrderActivities.reload, order, order, "read our own record")

    async def _locally(
        self,
        step: Callable[[OrderActivities, Subject], Awaitable[Order]],
        subject: Subject,
        order: Order,
        words: str,
        how: options.LocalOptions = options.LOCAL,
    ) -> Order:
        """Run one local step; a refusal that no retry can mend leaves the order as recorded."""
        try:
            known = await workflow.execute_local_activity_method(
                step, subject, **how, summary=words
            )
        except STEP_FAILED as error:
            workflow.logger.error("order.step_refused", exc_info=error)
            known = await workflow.execute_local_activity_method(
                OrderActivities.reload, order, **options.LOCAL
            )
        return self._known(known)

    def _known(self, order: Order) -> Order:
        """Keep the order as it is recorded now, and show it to operators."""
        self.order = order
        # An order is new for as long as a request takes: that is not worth an entry in the index.
        if self._indexed is not order.state:
            self._indexed = order.state
            # The SDK leaves a type parameter of this function open.
            workflow.upsert_search_attributes(  # pyright: ignore[reportUnknownMemberType]
                [options.ORDER_STATE.value_set(order.state.value)]
            )
        self._show()
        return order

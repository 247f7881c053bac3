"""The life of one order, from the wish to its end: run by an entry's or a position's workflow.

A step that a crash interrupts is run again, and finds what the first run left: the order by its
intent, the send by its count, the order on the exchange by its hash.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from domain.order import Order, OrderState
from domain.signal import OrderRequest, SignalStatus
from domain.sizing import STALE, UNSETTLED, Denied
from workflows import options
from workflows.order_sending import TOO_OLD, Sending
from workflows.order_steps import FAULT, OrderSteps

with workflow.unsafe.imports_passed_through():
    from activities.orders import OrderActivities, Outcome

POLL_FIRST_SECONDS: Final = 1.0
POLL_MOST_SECONDS: Final = 15.0
WATCH_ABANDONED: Final = timedelta(seconds=120)

NOT_DENIED: Final[Mapping[str, SignalStatus]] = {
    STALE: SignalStatus.EXPIRED,
    FAULT: SignalStatus.ERROR,
}


@dataclass(frozen=True, kw_only=True)
class LegOutcome:
    """What came of one leg of a signal, told to the workflow that waits for it."""

    intent_id: str
    status: SignalStatus
    words: str | None


class OrderLife:
    """One order being worked.

    Attributes:
        denied: why there will be no order.

    Args:
        show: called when there is something new for operators to read.
    """

    def __init__(self, request: OrderRequest, show: Callable[[], None]) -> None:
        self.request = request
        self._show = show
        self.denied: Denied | None = None
        self._steps = OrderSteps(show)
        self._sending = Sending(request, self._steps)
        self._has_news = False
        self._is_answered = False

    @property
    def order(self) -> Order | None:
        """The order as last recorded; None until it is prepared."""
        return self._steps.order

    @property
    def is_unsettled(self) -> bool:
        """It is denied only because the shares to sell are not settled yet."""
        return self.denied is not None and self.denied.rule == UNSETTLED

    @property
    def held_up(self) -> str | None:
        """The exchange's words while it takes nothing; None where it does."""
        return self._sending.held_up

    @property
    def is_over(self) -> bool:
        """Nothing more is expected."""
        return self.denied is not None or (self.order is not None and self.order.is_over)

    def tell(self) -> None:
        """Note that the order's row has changed."""
        self._has_news = True

    def ask_cancel(self, reason: str) -> None:
        """Note that the order is to be cancelled."""
        self._sending.cancel_reason = self._sending.cancel_reason or reason
        self._has_news = True

    def ask_again(self, *, waits_for_settlement: bool) -> None:
        """Forget a denial, so that the next `prepare` asks again."""
        self.denied = None
        self.request = replace(self.request, waits_for_settlement=waits_for_settlement)

    async def place(self) -> None:
        """Bring the order to the exchange: until it rests, is over, or is denied."""
        await self.prepare()
        if self.order is not None:
            await self._sending.send(self.order)
        await self._answer_sender()

    async def work(self) -> bool:
        """Follow the order to its end; False where the history asks to be continued as new."""
        pause = POLL_FIRST_SECONDS
        while self.order is not None and not self.is_over:
            is_long = workflow.info().is_continue_as_new_suggested()
            if is_long and self._sending.cancel_reason is None:
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
        prepared = await self._steps.prepare(self.request)
        self.denied = prepared.denied
        if self.denied is not None:
            self._show()
        return self.order is not None

    async def _follow(self, order: Order, pause: float) -> None:
        """Wait for news or for the next poll, and take it in."""
        waits = POLL_FIRST_SECONDS if self._sending.cancel_reason is not None else pause
        try:
            await workflow.wait_condition(
                lambda: self._has_news, timeout=waits, timeout_summary="next look at the exchange"
            )
        except TimeoutError:
            is_cancelling = self._sending.cancel_reason is not None
            await (self._steps.cancel(order) if is_cancelling else self._steps.look(order))
            return
        self._has_news = False
        if self._sending.cancel_reason is not None:
            await self._steps.cancel(order)
        else:
            await self._steps.reload(order)

    async def _watch(self, order: Order) -> None:
        """Watch an abandoned hash for a while and cancel it if it turns up after all."""
        until = workflow.now() + WATCH_ABANDONED
        while workflow.now() < until:
            await workflow.sleep(POLL_MOST_SECONDS)
            order = await self._steps.look(order)
            if not order.is_over:
                order = await self._steps.cancel(order)

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

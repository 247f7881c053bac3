"""An entry, worked from intent to end: the workflow `order-{intent_id}`."""

from dataclasses import dataclass

from temporalio import workflow

from domain.order import Order
from domain.signal import CancelRequest, OrderRequest, SignalStatus
from workflows.order_life import OrderLife
from workflows.order_story import story


@dataclass(frozen=True, kw_only=True)
class OrderStatus:
    """How an order stands: what the query `status` answers and the workflow returns."""

    intent_id: str
    signal_status: SignalStatus
    words: str | None
    order: Order | None


@workflow.defn(name="WorkOrder")
class WorkOrder:
    """Works one entry."""

    @workflow.init
    def __init__(self, request: OrderRequest) -> None:
        self._life = OrderLife(request, self._show)

    @workflow.run
    async def run(self, request: OrderRequest) -> OrderStatus:
        """Bring the order to the exchange and follow it to its end."""
        await self._life.place()
        is_over = await self._life.work()
        await workflow.wait_condition(workflow.all_handlers_finished)
        if not is_over:
            workflow.continue_as_new(request)
        return self.status()

    @workflow.signal(description="The order's row has changed; sent by whoever recorded it.")
    def order_changed(self, order_hash: str) -> None:
        """Take note; which order is plain, there is only one."""
        del order_hash
        self._life.tell()

    @workflow.update(description="Cancel what is left of the order.")
    async def cancel(self, request: CancelRequest) -> OrderStatus:
        """Cancel, and answer once the order is over."""
        self._life.ask_cancel(request.reason)
        await workflow.wait_condition(lambda: self._life.is_over)
        return self.status()

    @cancel.validator
    def _check_cancel(self, request: CancelRequest) -> None:
        """Refuse to cancel what is over already."""
        del request
        if self._life.is_over:
            raise ValueError("the order is over already; there is nothing left to cancel")

    @workflow.query(description="The order as last recorded.")
    def status(self) -> OrderStatus:
        """Return how the order stands."""
        status, words = self._life.outcome()
        return OrderStatus(
            intent_id=self._life.request.intent_id,
            signal_status=status,
            words=words,
            order=self._life.order,
        )

    def _show(self) -> None:
        """Show operators the order's story."""
        life = self._life
        workflow.set_current_details(story(life.request, life.order, life.denied))

"""The one writer of a position's sales: the workflow `position-{account}-{token_id}`.

Sales are brought to the exchange one after another, each sized by what is held and not yet
promised; several may then rest there side by side. With nothing to do the workflow ends, and the
next sale starts it again.
"""

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from temporalio import workflow

from domain.order import Order
from domain.signal import CancelRequest, OrderRequest, PositionTask
from workflows.order_life import OrderLife
from workflows.order_story import story

SETTLEMENT_PATIENCE: Final = timedelta(seconds=60)  # trades are mined within seconds, mostly
SETTLEMENT_PAUSE_SECONDS: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class PositionStatus:
    """What the query `status` answers."""

    account_id: str
    token_id: str
    waiting: int
    orders: tuple[Order, ...]


@workflow.defn(name="HoldPosition")
class HoldPosition:
    """Owns the sales of one position."""

    @workflow.init
    def __init__(self, task: PositionTask) -> None:
        self._task = task
        self._queue: list[OrderRequest] = list(task.requests)
        self._lives: dict[str, OrderLife] = {}
        self._working: set[asyncio.Task[None]] = set()
        self._must_continue = False
        self._fault: BaseException | None = None

    @workflow.run
    async def run(self, task: PositionTask) -> None:
        """Take sales one by one until none is left."""
        while True:
            await workflow.wait_condition(lambda: self._has_work() or not self._working)
            if self._fault is not None:
                raise self._fault
            if self._must_continue:
                await workflow.wait_condition(lambda: not self._working)
                workflow.continue_as_new(replace(task, requests=self._unfinished()))
            if self._queue:
                await self._begin(self._queue.pop(0))
            elif not self._working:
                await workflow.wait_condition(workflow.all_handlers_finished)
                if not self._queue:
                    return

    def _has_work(self) -> bool:
        """Something waits for the main line."""
        return bool(self._queue) or self._must_continue or self._fault is not None

    async def _begin(self, request: OrderRequest) -> None:
        """Bring one sale to the exchange, then follow it beside the others."""
        life = OrderLife(request, self._show)
        self._lives[request.intent_id] = life
        await self._place(life)
        following = asyncio.create_task(self._follow(life))
        self._working.add(following)
        following.add_done_callback(self._ended)

    def _ended(self, following: asyncio.Task[None]) -> None:
        """Let go of a sale that is over; one that broke breaks the whole, where it is seen."""
        self._working.discard(following)
        self._fault = self._fault or following.exception()

    async def _place(self, life: OrderLife) -> None:
        """Place a sale; shares bought a moment ago are waited for until they are settled."""
        until = workflow.now() + SETTLEMENT_PATIENCE
        while not await life.prepare() and life.is_unsettled:
            await workflow.sleep(SETTLEMENT_PAUSE_SECONDS)
            life.ask_again(waits_for_settlement=workflow.now() < until)
        await life.place()

    async def _follow(self, life: OrderLife) -> None:
        """Follow a sale to its end."""
        if not await life.work():
            self._must_continue = True

    def _unfinished(self) -> tuple[OrderRequest, ...]:
        """Return the sales to carry on with, those at work first."""
        begun = [life.request for life in self._lives.values() if not life.is_over]
        return (*begun, *self._queue)

    @workflow.signal(description="Sell; the same intent twice is one sale.")
    def sell(self, request: OrderRequest) -> None:
        """Queue a sale."""
        # One whose order is over may come again: its order turned out to live.
        worked = {
            intent for intent, life in self._lives.items() if life.order is None or not life.is_over
        }
        known = worked | {waiting.intent_id for waiting in self._queue}
        if request.intent_id not in known:
            self._queue.append(request)

    @workflow.signal(description="An order's row has changed; sent by whoever recorded it.")
    def order_changed(self, order_hash: str) -> None:
        """Tell the sale whose order it is."""
        for life in self._lives.values():
            if life.order is not None and life.order.order_hash == order_hash:
                life.tell()

    @workflow.update(description="Cancel what is left of one sale.")
    async def cancel(self, request: CancelRequest) -> PositionStatus:
        """Cancel one sale's order, and answer once it is over."""
        life = self._life_of(request)
        life.ask_cancel(request.reason)
        await workflow.wait_condition(lambda: life.is_over)
        return self.status()

    @cancel.validator
    def _check_cancel(self, request: CancelRequest) -> None:
        """Refuse to cancel what is not being worked."""
        if self._life_of(request).is_over:
            raise ValueError("the order is over already; there is nothing left to cancel")

    def _life_of(self, request: CancelRequest) -> OrderLife:
        """Return the sale whose order is meant."""
        for life in self._lives.values():
            if life.order is not None and life.order.order_hash == request.order_hash:
                return life
        raise ValueError(f"no order {request.order_hash} is worked here")

    @workflow.query(description="The sales of this position that are being worked.")
    def status(self) -> PositionStatus:
        """Return how the position's sales stand."""
        orders = [life.order for life in self._lives.values() if life.order is not None]
        return PositionStatus(
            account_id=self._task.account_id,
            token_id=self._task.token_id,
            waiting=len(self._queue),
            orders=tuple(orders),
        )

    def _show(self) -> None:
        """Show operators the sales, newest last."""
        stories = [story(life.request, life.order, life.denied) for life in self._lives.values()]
        waiting = f"{len(self._queue)} waiting" if self._queue else "none waiting"
        workflow.set_current_details("\n\n---\n\n".join([f"Sales: {waiting}", *stories]))

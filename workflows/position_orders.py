"""The orders of one position that are being worked, side by side, each by a task of its own.

Nothing here waits for the exchange on behalf of the workflow's main line, so that a stop never
stands behind a sale or a take-profit whose answer is awaited.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from temporalio import workflow

from domain.guarded import Guarded
from domain.order import Order, OrderState, OrderType
from domain.protection_steps import PROTECTIVE
from domain.signal import CancelRequest, OrderRequest, resumed
from workflows import options
from workflows.order_life import OrderLife
from workflows.order_steps import STEP_FAILED, OrderSteps

with workflow.unsafe.imports_passed_through():
    from activities.orders import OrderActivities

SETTLEMENT_PATIENCE: Final = timedelta(seconds=60)  # trades are mined within seconds, mostly
SETTLEMENT_PAUSE_SECONDS: Final = 1.0
PATIENCE: Final = timedelta(seconds=1)  # then an exit goes on with the least that is sure
# How long after one that came to nothing the next may be tried, and so on.
TARGET_PAUSES: Final = (1.0, 2.0, 5.0, 15.0, 30.0)
EXIT_PAUSES: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
MOST_SHOWN: Final = 10


class Tries:
    """How often in a row something came to nothing, and when it may be tried again."""

    def __init__(self, pauses: tuple[float, ...]) -> None:
        self._pauses = pauses
        self._failures = 0
        self._again_at: datetime | None = None
        self.words: str | None = None

    @property
    def seconds_left(self) -> float:
        """How long to wait before the next try; 0 is now."""
        if self._again_at is None:
            return 0.0
        return max((self._again_at - workflow.now()).total_seconds(), 0.0)

    def note(self, words: str | None) -> None:
        """Take note of how a try ended; None is well."""
        self.words = words
        if words is None:
            self._failures, self._again_at = 0, None
            return
        pause = self._pauses[min(self._failures, len(self._pauses) - 1)]
        self._failures += 1
        self._again_at = workflow.now() + timedelta(seconds=pause)


class PositionOrders:
    """The orders of one position that are being worked.

    Attributes:
        targets, exits: how the last take-profit, and the last sale of an exit, ended.
        is_leaving: nothing is waited for any more that an exit would have to wait for as well.

    Args:
        tell: called when something is over or has changed.
    """

    def __init__(self, show: Callable[[], None], tell: Callable[[], None]) -> None:
        self._show = show
        self._tell = tell
        self._lives: dict[str, OrderLife] = {}
        self._working: dict[str, asyncio.Task[None]] = {}
        self._awaited: dict[str, datetime] = {}
        self.placing: OrderLife | None = None
        self.targets = Tries(TARGET_PAUSES)
        self.exits = Tries(EXIT_PAUSES)
        self.is_leaving = False
        self.fault: BaseException | None = None

    @property
    def is_idle(self) -> bool:
        """Nothing is being worked."""
        return not self._working

    @property
    def lives(self) -> list[OrderLife]:
        """What is being worked, and what was lately."""
        return list(self._lives.values())

    @property
    def unfinished(self) -> tuple[OrderRequest, ...]:
        """The sales to carry on with; what protects is found by its rows."""
        begun = [life.request for life in self._lives.values() if not life.is_over]
        return tuple(request for request in begun if request.type not in PROTECTIVE)

    def start(self, request: OrderRequest) -> None:
        """Work an order from now on."""
        life = OrderLife(request, self._show)
        self._lives.pop(request.intent_id, None)
        self._lives[request.intent_id] = life
        self.placing = life
        task = asyncio.create_task(self._carry(life))
        self._working[request.intent_id] = task
        task.add_done_callback(lambda done: self._ended(life, done))

    def resume(self, order: Order) -> None:
        """Work an order on of which nobody knows yet what became of it."""
        self.start(resumed(order))

    def is_worked(self, intent_id: str) -> bool:
        """Tell whether an order has a task of its own."""
        return intent_id in self._working

    def of(self, order_hash: str | None) -> OrderLife | None:
        """Return the life of an order that is known here."""
        for life in self._lives.values():
            if life.order is not None and life.order.order_hash == order_hash:
                return life
        return None

    @property
    def known(self) -> set[str]:
        """The intents that need no second start: at work, or denied for good."""
        # One whose order is over may come again: its order turned out to live.
        lives = self._lives.items()
        return {intent for intent, life in lives if life.order is None or not life.is_over}

    @property
    def overdue(self) -> frozenset[str]:
        """The orders whose matched shares have been waited for long enough."""
        now = workflow.now()
        return frozenset(each for each, since in self._awaited.items() if now - since >= PATIENCE)

    def wait_for(self, order: Order) -> None:
        """Note since when an order's matched shares are waited for."""
        self._awaited.setdefault(order.order_hash, workflow.now())

    def held_up(self, intent_id: str) -> str | None:
        """Return the exchange's words where it does not take an order now."""
        life = self._lives.get(intent_id)
        return life.held_up if life is not None else None

    def check(self, request: CancelRequest, now: Guarded | None) -> None:
        """Refuse a cancel of what is not ours or over.

        Raises:
            ValueError: it is.
        """
        life = self.of(request.order_hash)
        order = life.order if life is not None else _resting(now, request.order_hash)
        if order is None:
            raise ValueError(f"no order {request.order_hash} is worked here")
        if order.is_over:
            raise ValueError("the order is over already; there is nothing left to cancel")

    async def end(self, request: CancelRequest, now: Guarded | None) -> None:
        """Cancel one order, and return once it is over."""
        life = self.of(request.order_hash)
        if life is not None and self.is_worked(life.request.intent_id):
            life.ask_cancel(request.reason)
            await workflow.wait_condition(lambda: life.is_over)
            return
        order = life.order if life is not None else _resting(now, request.order_hash)
        steps = OrderSteps(self._show)
        while order is not None and not order.is_over:
            order = await steps.cancel(order)
            if not order.is_over:
                await workflow.sleep(SETTLEMENT_PAUSE_SECONDS)

    def ask_cancel(self, intent_id: str, reason: str) -> None:
        """Have an order end that is being worked."""
        self._lives[intent_id].ask_cancel(reason)

    async def withdraw(self, order: Order) -> bool:
        """Cancel an order that nobody works, once; False where the exchange was not reached."""
        try:
            await workflow.execute_activity_method(
                OrderActivities.cancel, order, **options.TRY, summary="cancel by hash"
            )
        except STEP_FAILED as error:
            workflow.logger.warning("order.cancel_failed", exc_info=error)
            return False
        return True

    async def look(self, order: Order) -> Order:
        """Ask the exchange what became of an order that nobody works."""
        return await OrderSteps(self._show).look(order)

    async def _carry(self, life: OrderLife) -> None:
        """Bring an order to the exchange and follow it; a take-profit rests unfollowed."""
        until = workflow.now() + SETTLEMENT_PATIENCE
        try:
            while not await life.prepare() and life.is_unsettled and not self.is_leaving:
                await workflow.sleep(SETTLEMENT_PAUSE_SECONDS)
                life.ask_again(waits_for_settlement=workflow.now() < until)
            await life.place()
        finally:
            if self.placing is life:
                self.placing = None
            self._tell()
        if life.request.type is OrderType.TAKE_PROFIT:
            return
        await life.work()  # ended early where the history is long: carried on with by a new run

    def _ended(self, life: OrderLife, done: asyncio.Task[None]) -> None:
        """Let go of an order; one that broke breaks the whole, where it is seen."""
        self._working.pop(life.request.intent_id, None)
        if not done.cancelled():
            self.fault = self.fault or done.exception()
        if life.request.type is OrderType.TAKE_PROFIT:
            self.targets.note(_came_to_nothing(life))
        elif life.request.type is OrderType.STOP_LOSS:
            self.exits.note(_came_to_nothing(life))
        for intent in list(self._lives)[:-MOST_SHOWN]:
            if not self.is_worked(intent):
                del self._lives[intent]
        self._tell()


def _came_to_nothing(life: OrderLife) -> str | None:
    """Return why an order neither rests nor sold anything; None where it did."""
    if life.denied is not None:
        return f"{life.denied.rule}: {life.denied.words}"
    order = life.order
    if order is None or order.filled_size > 0 or order.matched_size > 0 or not order.is_over:
        return None
    if order.state is OrderState.CANCELLED and order.may_rest:
        return None  # withdrawn by us
    return f"{order.state}: {order.reason or 'nothing was sold'}"


def _resting(now: Guarded | None, order_hash: str | None) -> Order | None:
    """Return one of a position's sales that may still match."""
    resting = now.resting if now is not None else ()
    return next((order for order in resting if order.order_hash == order_hash), None)

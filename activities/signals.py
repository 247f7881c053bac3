"""What carrying out a signal does to the outside, apart from its orders."""

from dataclasses import dataclass, replace

from temporalio import activity

from activities.orders import Outcome
from activities.wishes import WishActivities
from domain.errors import InvalidInputError, RejectedError
from domain.ids import position_id, position_workflow_id, signal_workflow_id
from domain.order import Order, OrderType
from domain.ports import FillStore, MarketStore, OrderStore, Workflows
from domain.protection import TAKEN_AWAY, Protect
from domain.signal import (
    Action,
    CancelRequest,
    PositionTask,
    SignalStatus,
    SignalTask,
    order_request,
)
from domain.sizing import Denied


@dataclass(frozen=True, kw_only=True)
class Legs:
    """The sales a signal came to: either of the two."""

    intent_ids: tuple[str, ...] = ()
    denied: Denied | None = None


@dataclass(frozen=True)
class SignalActivities:
    """The activities of signals that are not a single entry.

    Attributes:
        wishes: those about one position's protection or its end.
    """

    wishes: WishActivities
    orders: OrderStore
    fills: FillStore
    markets: MarketStore
    workflows: Workflows

    @activity.defn
    async def deliver_sales(self, task: SignalTask) -> Legs:
        """Hand each sale of a signal to its position; handed over twice, it is sold once."""
        if task.instruction.action is Action.CLOSEALL:
            # Begun again long after (a lost store), it sells nothing that was opened since.
            tokens = await self.fills.open_tokens(task.account_id, opened_by=task.received_at)
        else:
            try:
                wish = task.instruction
                _, token_id = await self.markets.find(wish.market or "", wish.outcome)
            except InvalidInputError as error:
                return Legs(denied=Denied(rule="unknown_market", words=str(error)))
            tokens = [token_id]
        return Legs(intent_ids=tuple([await self._deliver(task, token) for token in tokens]))

    async def _deliver(self, task: SignalTask, token_id: str) -> str:
        """Hand one sale over and return its intent."""
        owner = position_workflow_id(task.account_id, token_id)
        request = order_request(task, owner)
        leg = replace(
            request,
            intent_id=f"{request.intent_id}-{position_id(task.account_id, token_id)}",
            market=token_id,
            outcome=None,
            reply_to=signal_workflow_id(task.signal_id),
        )
        position = PositionTask(account_id=task.account_id, token_id=token_id)
        await self.workflows.sell(position, leg)
        return leg.intent_id

    @activity.defn
    async def deliver_cancel(self, task: SignalTask) -> Outcome:
        """Ask the order's own workflow to cancel it and return what came of that."""
        words, status = await self._cancel(task)
        return Outcome(signal_id=task.signal_id, status=status, reason=words)

    async def _cancel(self, task: SignalTask) -> tuple[str, SignalStatus]:
        """Return what became of a cancel; denied where nothing was, or will be, cancelled."""
        wish = task.instruction
        if wish.order_hash is not None:
            return await self._cancel_one(task, wish.order_hash)
        try:
            market, token_id = await self.markets.find(wish.market or "", wish.outcome)
        except InvalidInputError as error:
            return f"unknown_market: {error}", SignalStatus.DENIED
        is_whole = wish.outcome is None and wish.market != token_id
        tokens = {one.token_id for one in market.tokens} if is_whole else {token_id}
        return await self._cancel_all(task, tokens)

    async def _cancel_one(self, task: SignalTask, wanted: str) -> tuple[str, SignalStatus]:
        """Cancel the order that was named."""
        order = await self.orders.by_hash(wanted)
        if order is None or order.account_id != task.account_id:
            return f"no order {wanted} on this account", SignalStatus.DENIED
        if order.is_over:
            return f"already {order.state}", SignalStatus.PROCESSED
        if order.type is OrderType.TAKE_PROFIT:
            return await self._take_away(task, order)
        if not await self.workflows.cancel_order(order.workflow_id, _cancel_request(task, wanted)):
            words = f"nothing works order {wanted} any more; it is {order.state}"
            return words, SignalStatus.ERROR
        return "cancel asked", SignalStatus.PROCESSED

    async def _take_away(self, task: SignalTask, order: Order) -> tuple[str, SignalStatus]:
        """Take a take-profit out of its plan: cancelled alone, it would be put back."""
        place = PositionTask(account_id=order.account_id, token_id=order.token_id)
        by = task.by or f"signal {task.signal_id}"
        wish = Protect(take_profit=TAKEN_AWAY, by=by, signal_id=task.signal_id)
        try:
            await self.workflows.protect(place, wish)
        except RejectedError as error:
            return str(error), SignalStatus.DENIED
        return "cancel asked; the plan has no take-profit any more", SignalStatus.PROCESSED

    async def _cancel_all(self, task: SignalTask, tokens: set[str]) -> tuple[str, SignalStatus]:
        """Cancel what rests in these tokens; a plan's take-profits stay, they protect."""
        found = [
            order
            for order in await self.orders.open_orders(task.account_id)
            if order.token_id in tokens and order.type is not OrderType.TAKE_PROFIT
        ]
        if not found:
            return "no open order in this market; nothing to cancel", SignalStatus.PROCESSED
        asked = [
            await self.workflows.cancel_order(
                order.workflow_id, _cancel_request(task, order.order_hash)
            )
            for order in found
        ]
        named = ", ".join(order.order_hash for order in found)
        if all(asked):
            return f"cancel asked of {len(found)}: {named}", SignalStatus.PROCESSED
        missed = [
            f"{order.order_hash} ({order.state})"
            for order, is_taken in zip(found, asked, strict=True)
            if not is_taken
        ]
        words = f"cancel asked of {sum(asked)} of {len(found)}; nothing works {', '.join(missed)}"
        return words, SignalStatus.ERROR


def _cancel_request(task: SignalTask, order_hash: str) -> CancelRequest:
    """Return the wish as the order's workflow takes it."""
    if task.by is None:
        return CancelRequest(reason=f"signal {task.signal_id}", order_hash=order_hash)
    reason = task.instruction.reason or "cancelled by hand"
    return CancelRequest(reason=f"{reason} ({task.by})", order_hash=order_hash)

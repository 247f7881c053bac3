"""What a sender may ask for, after its words have been understood."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final

from domain.ids import intent_id, trace_id
from domain.order import Order, OrderSource, OrderType, Side, TimeInForce


class Action(StrEnum):
    """The vocabulary, in the words of the first source."""

    BUY_MARKET = "BuyMarket"
    SELL_MARKET = "SellMarket"
    BUY_LIMIT = "BuyLimit"
    SELL_LIMIT = "SellLimit"
    MAJ = "MAJ"
    CLOSE = "CLOSE"
    CLOSEALL = "CLOSEALL"
    CANCEL = "CANCEL"
    PING = "PING"
    KILL = "KILL"  # an operator's alone: no alert can say it
    RESUME = "RESUME"  # likewise


ENTRIES: Final = frozenset({Action.BUY_MARKET, Action.BUY_LIMIT})
SALES: Final = frozenset({Action.SELL_MARKET, Action.SELL_LIMIT, Action.CLOSE})
SWITCHES: Final = frozenset({Action.KILL, Action.RESUME})


class SignalStatus(StrEnum):
    """Where a signal stands."""

    RECEIVED = "received"
    PROCESSING = "processing"
    PROCESSED = "processed"
    DENIED = "denied"
    EXPIRED = "expired"
    ERROR = "error"


class SizeKind(StrEnum):
    """What a size is counted in."""

    PERCENT = "percent"  # of free collateral for a buy, of the shares held for a sale
    NOTIONAL = "notional"  # collateral
    SIZE = "size"  # shares


@dataclass(frozen=True, kw_only=True)
class Sizing:
    """How much, before it is turned into shares."""

    kind: SizeKind
    value: Decimal


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """One sender's wish, understood but not yet checked against any market.

    Attributes:
        market: slug, condition id or token id; None where the action needs none.
        outcome: the exchange's word for the outcome; None where `market` is a token id.
        price: limit, or the worst price of a marketable order; None lets the book decide.
        order_hash: which order to cancel.
        rests_seconds: how long a limit order may rest; None is until cancelled.
        reason: why, in an operator's words; kept on what it changes.
    """

    action: Action
    market: str | None = None
    outcome: str | None = None
    sizing: Sizing | None = None
    price: Decimal | None = None
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    order_hash: str | None = None
    rests_seconds: int | None = None
    sells_by_complement: bool = False
    sent_at: datetime | None = None
    reason: str | None = None


def is_entry(wish: Instruction) -> bool:
    """Tell whether a wish opens something: those alone go stale, and need no position."""
    return wish.action in ENTRIES or wish.sells_by_complement


@dataclass(frozen=True, kw_only=True)
class OrderRequest:
    """An order that somebody wants worked: the input of an order's life.

    Attributes:
        workflow_id: the workflow that works it, and so the one to tell of its fills.
        market, outcome: what to trade, in any name the registry knows.
        reply_to: the workflow that waits for this leg's outcome; None settles the signal itself.
        buys_complement: `outcome` is what the sender sells; its complement is bought instead.
        not_after: an entry not sent by then is dropped: late is worse than never.
        stop_loss, take_profit: what an entry wishes for its position, once it fills.
        waits_for_settlement: a sale wants shares too that were bought and are not settled yet.
    """

    intent_id: str
    account_id: str
    signal_id: str | None
    trace_id: str
    workflow_id: str
    source: OrderSource
    market: str
    outcome: str | None
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    sizing: Sizing
    price: Decimal | None = None
    post_only: bool = False
    rests_seconds: int | None = None
    reply_to: str | None = None
    waits_for_settlement: bool = True
    buys_complement: bool = False
    not_after: datetime | None = None
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None


@dataclass(frozen=True, kw_only=True)
class PositionTask:
    """Which position a workflow owns and what it has to sell: its input.

    Attributes:
        requests: sales begun or waiting; each finds its order again by its intent.
        is_crossed: a price beyond the stop was told and not judged yet.
    """

    account_id: str
    token_id: str
    requests: tuple[OrderRequest, ...] = ()
    is_crossed: bool = False


@dataclass(frozen=True, kw_only=True)
class CancelRequest:
    """A wish to cancel an order.

    Attributes:
        order_hash: which, where one workflow works several; None means its only one.
    """

    reason: str
    order_hash: str | None = None


@dataclass(frozen=True, kw_only=True)
class SignalTask:
    """What carries out one signal: the input of its workflow.

    Attributes:
        not_after: when its entries go stale; exits never do.
        received_at: when it came; what was opened later is none of its business.
        by: the operator who asks; None for an alert.
    """

    signal_id: str
    account_id: str
    source: OrderSource
    instruction: Instruction
    not_after: datetime | None = None
    received_at: datetime | None = None
    by: str | None = None

    @property
    def is_exit(self) -> bool:
        """An operator wants out of the whole position, however long that takes."""
        return self.by is not None and self.instruction.action is Action.CLOSE


def resumed(order: Order) -> OrderRequest:
    """Return the request that works `order` on: preparing it finds its row by the intent."""
    return OrderRequest(
        intent_id=order.intent_id,
        account_id=order.account_id,
        signal_id=order.signal_id,
        trace_id=order.trace_id,
        workflow_id=order.workflow_id,
        source=order.source,
        market=order.token_id,
        outcome=None,
        side=order.side,
        type=order.type,
        time_in_force=order.time_in_force,
        sizing=Sizing(kind=SizeKind.SIZE, value=order.size),
        price=order.price,
        post_only=order.post_only,
        stop_loss=order.stop_loss,
        take_profit=order.take_profit,
    )


def order_request(task: SignalTask, workflow_id: str, leg: int = 0) -> OrderRequest:
    """Return the order that a buying or selling instruction asks for.

    `task.instruction` names a market and, but for CLOSE, a size: parsing has seen to it.
    """
    wish = task.instruction
    is_limit = wish.action in {Action.BUY_LIMIT, Action.SELL_LIMIT}
    dated = TimeInForce.GTD if wish.rests_seconds is not None else TimeInForce.GTC
    return OrderRequest(
        intent_id=intent_id(task.signal_id, leg),
        account_id=task.account_id,
        signal_id=task.signal_id,
        trace_id=trace_id(task.signal_id),
        workflow_id=workflow_id,
        source=task.source,
        market=wish.market or "",
        outcome=wish.outcome,
        side=Side.BUY if is_entry(wish) else Side.SELL,
        type=OrderType.LIMIT if is_limit else OrderType.MARKET,
        time_in_force=dated if is_limit else TimeInForce.FAK,
        sizing=wish.sizing or Sizing(kind=SizeKind.PERCENT, value=Decimal(100)),
        price=wish.price,
        rests_seconds=wish.rests_seconds,
        buys_complement=wish.sells_by_complement,
        not_after=task.not_after if is_entry(wish) else None,
        stop_loss=wish.stop_loss if is_entry(wish) else None,
        take_profit=wish.take_profit if is_entry(wish) else None,
    )

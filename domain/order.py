"""One order and its life: two tables and the rules that read them.

Two rules stand above the tables. An order never leaves UNKNOWN without the exchange's evidence.
`state` and `filled_size` describe matching and are never taken back; what a failed trade takes
back is the position's business.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final

from domain.errors import InvariantError


class Side(StrEnum):
    """Which way shares move, seen from us."""

    BUY = "BUY"
    SELL = "SELL"


class TimeInForce(StrEnum):
    """How long an order may rest: until cancelled, until a date, or not at all."""

    GTC = "GTC"
    GTD = "GTD"
    FOK = "FOK"
    FAK = "FAK"


RESTING: Final = frozenset({TimeInForce.GTC, TimeInForce.GTD})  # these may stay on the book
IMMEDIATE: Final = frozenset(TimeInForce) - RESTING  # these match at once or not at all


class OrderType(StrEnum):
    """Why the order exists, in the words traders use."""

    MARKET = "market"
    LIMIT = "limit"
    STOP_LOSS = "stop_loss"
    TAKE_PROFIT = "take_profit"


class OrderSource(StrEnum):
    """Who asked for it."""

    WEBHOOK = "webhook"
    API = "api"
    ORDER_MONITOR = "order_monitor"
    MANUAL = "manual"
    STRATEGY = "strategy"
    ADJUSTMENT = "adjustment"  # no order at all: shares that moved outside every trade we know


class OrderState(StrEnum):
    """Where an order stands, as far as there is evidence."""

    NEW = "NEW"
    SENT = "SENT"
    UNKNOWN = "UNKNOWN"
    DELAYED = "DELAYED"
    LIVE = "LIVE"
    PARTIAL = "PARTIAL"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"
    ABANDONED = "ABANDONED"


class OrderEvent(StrEnum):
    """What can be learnt about an order, apart from its fills."""

    SEND = "send"  # the bytes are about to leave
    LOSE = "lose"  # they left, and no proof of what came of it
    ACCEPT = "accept"  # the answer to the send: it is on the book or matched
    DELAY = "delay"  # the answer: the exchange holds it back for a moment
    REJECT = "reject"  # the answer: refused, nothing exists
    SEE_LIVE = "see_live"  # a look found it resting
    CANCEL = "cancel"  # proof that what is left of it is dead
    EXPIRE = "expire"  # the same, because its date has passed
    ABANDON = "abandon"  # we stopped trying and found nothing; the hash stays watched


S, E = OrderState, OrderEvent

TERMINAL: Final = frozenset({S.FILLED, S.CANCELLED, S.EXPIRED, S.REJECTED, S.ABANDONED})
SENDABLE: Final = frozenset({S.NEW, S.SENT, S.UNKNOWN})
OPEN: Final = frozenset(OrderState) - TERMINAL  # what may still match counts as exposure in full

_ENDS: Final = {E.CANCEL: S.CANCELLED, E.EXPIRE: S.EXPIRED}
NEXT: Final[Mapping[OrderState, Mapping[OrderEvent, OrderState]]] = {
    S.NEW: {E.SEND: S.SENT, E.CANCEL: S.CANCELLED},
    S.SENT: {
        E.SEND: S.SENT,  # the same bytes again after "not processed"
        E.LOSE: S.UNKNOWN,
        E.ACCEPT: S.LIVE,
        E.DELAY: S.DELAYED,
        E.REJECT: S.REJECTED,
        E.SEE_LIVE: S.LIVE,
        E.ABANDON: S.ABANDONED,
        **_ENDS,
    },
    S.UNKNOWN: {
        E.SEND: S.UNKNOWN,  # sending again does not make the first send known
        E.LOSE: S.UNKNOWN,
        E.ACCEPT: S.LIVE,
        E.DELAY: S.DELAYED,
        E.REJECT: S.REJECTED,
        E.SEE_LIVE: S.LIVE,
        E.ABANDON: S.ABANDONED,
        **_ENDS,
    },
    S.DELAYED: {E.ACCEPT: S.LIVE, E.SEE_LIVE: S.LIVE, E.REJECT: S.REJECTED, **_ENDS},
    S.LIVE: _ENDS,
    S.PARTIAL: _ENDS,
    S.FILLED: {},
    # What we called dead may turn up alive: the exchange is right and we were early.
    S.CANCELLED: {E.SEE_LIVE: S.LIVE},
    S.EXPIRED: {E.SEE_LIVE: S.LIVE},
    S.REJECTED: {E.SEE_LIVE: S.LIVE},
    S.ABANDONED: {E.SEE_LIVE: S.LIVE, E.ACCEPT: S.LIVE, **_ENDS},
}

# News that comes twice, or later than better news: true once, and nothing to do now.
_ANSWERS: Final = frozenset({E.LOSE, E.ACCEPT, E.DELAY})
OLD_NEWS: Final[Mapping[OrderState, frozenset[OrderEvent]]] = {
    S.NEW: frozenset({E.LOSE}),  # a send that died before it was counted sent nothing
    S.SENT: frozenset(),
    S.UNKNOWN: frozenset(),
    S.DELAYED: frozenset({E.DELAY, E.LOSE}),
    S.LIVE: _ANSWERS | {E.SEE_LIVE},
    S.PARTIAL: _ANSWERS | {E.SEE_LIVE},
    S.FILLED: _ANSWERS | {E.SEE_LIVE, E.CANCEL, E.EXPIRE},
    S.CANCELLED: _ANSWERS | {E.CANCEL, E.EXPIRE, E.REJECT},
    S.EXPIRED: _ANSWERS | {E.CANCEL, E.EXPIRE, E.REJECT},
    S.REJECTED: _ANSWERS | {E.CANCEL, E.EXPIRE, E.REJECT},
    S.ABANDONED: frozenset({E.LOSE, E.DELAY, E.ABANDON, E.REJECT}),
}

COMPLETE_WITHIN: Final = Decimal("0.01")  # shares; the exchange's own rounding dust
ABSENT_TWICE_AFTER: Final = timedelta(seconds=2)  # a read may lag the match by about a second
ABSENT_LONG_AFTER: Final = timedelta(
    seconds=10
)  # longer than any market's own delay, or a bad read
LATE_ARRIVAL: Final = timedelta(seconds=60)  # requests have landed 40 s late
EXPIRY_MARGIN: Final = timedelta(seconds=60)  # the exchange ends a dated order this much early


@dataclass(frozen=True, kw_only=True)
class Order:
    """An instruction to the exchange, known by its hash before it is sent.

    Attributes:
        order_hash: the EIP-712 hash of the signed order; the exchange's id for it as well.
        price: the limit, or the worst price of a marketable order.
        size: shares, as signed.
        filled_size: shares matched, as recorded in fills; never falls.
        matched_size: shares the exchange says are matched; fills may still be on their way.
        attempts, last_sent_at: sends begun, each committed before its bytes leave.
        was_duplicate: the exchange has said that it saw these bytes before.
        absent_since: first look, since it was last seen, that did not find it.
        reason: the exchange's or our words for its end.
        stop_loss, take_profit: what an entry wishes for its position, once it fills.
    """

    order_hash: str
    intent_id: str
    account_id: str
    token_id: str
    condition_id: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    post_only: bool
    source: OrderSource
    state: OrderState
    price: Decimal
    size: Decimal
    filled_size: Decimal = Decimal(0)
    matched_size: Decimal = Decimal(0)
    signal_id: str | None
    workflow_id: str
    trace_id: str
    attempts: int = 0
    last_sent_at: datetime | None = None
    expires_at: datetime | None = None
    was_duplicate: bool = False
    absent_since: datetime | None = None
    reason: str | None = None
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    created_at: datetime

    @property
    def is_over(self) -> bool:
        """Nothing more is expected of it, and every share matched is recorded."""
        return self.state in TERMINAL and self.matched_size - self.filled_size <= COMPLETE_WITHIN

    @property
    def is_settled_for_sender(self) -> bool:
        """Its sender has an answer: it rests, or it is over."""
        return self.is_over or (self.may_rest and self.state in {S.LIVE, S.PARTIAL})

    @property
    def may_rest(self) -> bool:
        """It may stay on the book; the others are over at once, and what they leave is dead."""
        return self.time_in_force in RESTING

    @property
    def is_in_doubt(self) -> bool:
        """No answer of the exchange has ever said what became of it."""
        return self.state in SENDABLE

    @property
    def remaining(self) -> Decimal:
        """Shares that may still be matched."""
        return max(self.size - self.filled_size, Decimal(0))

    def after(self, event: OrderEvent, reason: str | None = None) -> "Order":
        """Return the order once `event` is known.

        Raises:
            InvariantError: the event is impossible in this state; nothing has changed.
        """
        if event in OLD_NEWS[self.state]:
            return self
        state = NEXT[self.state].get(event)
        if state is None:
            raise InvariantError(f"order {self.order_hash}: {event} cannot follow {self.state}")
        reopened = self.state in TERMINAL and state not in TERMINAL
        settled = replace(
            self,
            state=state,
            reason=None if reopened else (reason or self.reason),
            absent_since=None if event is E.SEE_LIVE else self.absent_since,
        )
        return settled.with_fills(self.filled_size)

    def with_fills(self, filled_size: Decimal) -> "Order":
        """Return the order once `filled_size` shares in all are recorded; a fill fits any state."""
        filled = max(filled_size, self.filled_size)
        state = self.state
        if filled > 0 and self.size - filled <= COMPLETE_WITHIN:
            state = S.FILLED
        elif filled > 0 and (state in SENDABLE or state in {S.DELAYED, S.LIVE}):
            state = S.PARTIAL
        return replace(
            self,
            state=state,
            filled_size=filled,
            matched_size=max(self.matched_size, filled),
            reason=None if state is S.FILLED else self.reason,
        )


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """What one look at the exchange, taken after its trades were recorded, says of an order.

    Attributes:
        is_active: it is among the orders that may still match.
        matched_size: shares it says are matched; None where it no longer says.
        is_cancelled: the exchange itself says that what is left is dead.
        is_refused: a cancel just before found nothing there to cancel.
    """

    is_active: bool
    matched_size: Decimal | None = None
    is_cancelled: bool = False
    is_refused: bool = False


def seen(order: Order, sighting: Sighting, now: datetime) -> Order:
    """Return the order as one look leaves it.

    Absence ends an order only on evidence: the exchange's word, or two looks far enough apart,
    and never while a send of it may still be on its way.
    """
    if sighting.matched_size is not None:
        order = replace(order, matched_size=max(order.matched_size, sighting.matched_size))
    if sighting.is_active:
        return replace(order.after(E.SEE_LIVE), absent_since=None)
    if order.state in TERMINAL:
        return order
    if sighting.is_cancelled:
        return order.after(E.CANCEL, order.reason or "cancelled on the exchange")
    return _absent(order, now, is_refused=sighting.is_refused)


def _absent(order: Order, now: datetime, *, is_refused: bool) -> Order:
    """Return the order after a look that did not find it among the active ones.

    One that was seen to rest, and that a cancel did not find, can only have matched: what is left
    to wait for is that its trades show.
    """
    if order.absent_since is None:
        order = replace(order, absent_since=now)
    if order.is_in_doubt and not order.was_duplicate:
        return order
    is_brief = order.state in {S.LIVE, S.PARTIAL} and (is_refused or not order.may_rest)
    enough = ABSENT_TWICE_AFTER if is_brief else ABSENT_LONG_AFTER
    if order.absent_since is None or now - order.absent_since < enough:
        return order
    if order.expires_at is not None and now >= order.expires_at - EXPIRY_MARGIN:
        return order.after(E.EXPIRE, "expired")
    return order.after(E.CANCEL, order.reason or "no longer on the exchange")

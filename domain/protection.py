"""What protects a position: the plan somebody wishes for, and the rows that carry it out.

The plan is two prices on the position. The rows say what is done about it: a stop that is armed
(the exchange has none, so it is watched), a take-profit that rests, an exit that is under way.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final

TAKEN_AWAY: Final = Decimal(0)  # the price that means: without this one


class ProtectionKind(StrEnum):
    """What a row does for its position."""

    STOP_LOSS = "stop_loss"
    TAKE_PROFIT = "take_profit"
    EXIT = "exit"


class ProtectionStatus(StrEnum):
    """Where a row stands."""

    ARMED = "armed"  # a stop that is watched
    RESTING = "resting"  # a take-profit that is at the exchange, or on its way
    FIRING = "firing"  # an exit at work
    BLOCKED = "blocked"  # an exit that cannot go on now: an alarm, and another try
    DONE = "done"
    CANCELLED = "cancelled"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """At which prices a position is to be left; None is nowhere."""

    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None

    @property
    def is_empty(self) -> bool:
        """Nothing protects the position."""
        return self.stop_loss is None and self.take_profit is None


@dataclass(frozen=True, kw_only=True)
class Protection:
    """One intent to leave a position.

    Attributes:
        n: rises only once the row before is over by evidence; a repair is a new row, a repeat
            is not.
        price: of a stop or a take-profit; of an exit, below which it does not sell.
        order_hash: the order at the exchange; None for a stop that is only watched.
        reason: why an exit was begun, or why it cannot go on.
    """

    id: str
    position_id: str
    kind: ProtectionKind
    price: Decimal | None
    size: Decimal
    n: int
    status: ProtectionStatus
    order_hash: str | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Protect:
    """A wish to change the plan: the update `protect` of a position's workflow.

    Attributes:
        stop_loss, take_profit: the new price; None leaves what is there, 0 takes it away.
        signal_id: the signal that asks; None for one asked in the Temporal UI.
    """

    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    by: str = "an operator"
    signal_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Exit:
    """A wish to leave the position now: the update `exit` of a position's workflow."""

    reason: str = "no reason given"
    by: str = "an operator"
    signal_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Firing:
    """Why a position is left now, and how far down it may be sold.

    Attributes:
        floor: below it nothing is sold: an alarm and a pause instead; None sells at any price.
        is_stop: the stop did it; otherwise somebody asked.
        best_bid, seen_at: the book as it was when that was decided.
    """

    reason: str
    floor: Decimal | None
    is_stop: bool = False
    best_bid: Decimal | None = None
    seen_at: datetime | None = None
    by: str = "holdfast"
    signal_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """A price beyond the stop, as somebody saw it: the signal `price_crossed`.

    Attributes:
        seen_by: "guardian" or the stream.
    """

    price: Decimal
    seen_at: datetime
    seen_by: str


@dataclass(frozen=True, kw_only=True)
class Repair:
    """A hint that wanted and actual differ: the signal `repair`.

    Whoever takes it looks for itself before it does anything.

    Attributes:
        why: what was seen, one line each ("no take-profit rests"; "a fill").
    """

    why: tuple[str, ...]
    by: str = "guardian"


def changed(plan: Plan, wish: Protect) -> Plan:
    """Return the plan once `wish` is granted."""
    return Plan(
        stop_loss=_wished(plan.stop_loss, wish.stop_loss),
        take_profit=_wished(plan.take_profit, wish.take_profit),
    )


def _wished(now: Decimal | None, asked: Decimal | None) -> Decimal | None:
    """Return one price of the plan after a wish."""
    if asked is None:
        return now
    return None if asked == TAKEN_AWAY else asked

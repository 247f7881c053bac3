"""What a guardian looks for in each position: two tables of rules.

`EXEMPT` says which positions are left alone and why; `GAPS` says what is missing or wrong about
the others.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from domain.order import COMPLETE_WITHIN, SENDABLE, TERMINAL, OrderState
from domain.position import PositionStatus
from domain.protection import ProtectionStatus

ZERO: Final = Decimal(0)
RESTS: Final = frozenset({OrderState.LIVE, OrderState.PARTIAL})
IN_DOUBT: Final = SENDABLE | {OrderState.DELAYED}
GONE: Final = frozenset({PositionStatus.SETTLING, PositionStatus.REDEEMED})
# A send is answered or called unknown within 4 s: until then it is on its way, not missing.
ON_ITS_WAY: Final = timedelta(seconds=5)


class Held(NamedTuple):
    """A position with what is wished for it and what is done about it, as one read found it.

    A tuple, because ten thousand of them are made at every tick.

    Attributes:
        unsettled_size: shares that cannot be sold yet.
        promised_size: shares that sales other than the take-profit may still take.
        stop_loss, take_profit: the plan; None is nowhere.
        stop_status, stop_price, stop_size: the row of the stop that is not over.
        profit_id, profit_price: the row of the take-profit that is not over.
        order_hash, order_state, order_price, order_left, order_sent_at: the order that carries
            it out; `order_left` is what may still be matched.
        exit_status: of the exit at work.
        unprotected_since: since when something was missing, as an earlier look wrote.
    """

    position_id: str
    token_id: str
    status: str
    size: Decimal
    unsettled_size: Decimal
    promised_size: Decimal
    stop_loss: Decimal | None
    take_profit: Decimal | None
    unprotected_since: datetime | None
    market: str
    outcome: str
    tick_size: Decimal
    min_size: Decimal
    accepting_orders: bool
    closed: bool
    stop_status: str | None = None
    stop_price: Decimal | None = None
    stop_size: Decimal | None = None
    profit_id: str | None = None
    profit_price: Decimal | None = None
    order_hash: str | None = None
    order_state: str | None = None
    order_price: Decimal | None = None
    order_left: Decimal | None = None
    order_sent_at: datetime | None = None
    exit_status: str | None = None


class Case(NamedTuple):
    """One position beside what the exchange says of its take-profit.

    Attributes:
        coverable: shares that a take-profit is for, at least: what can be sold and is promised
            to no other sale. Those not settled may be covered as well; nothing demands it.
        wants_profit: one ought to rest: wished for, allowed, and large enough for the exchange.
        rests: it does, as far as our own rows know.
        is_listed: it does, as far as the exchange's list knows, which was asked at `listed_at`.
    """

    held: Held
    coverable: Decimal
    wants_profit: bool
    rests: bool
    is_listed: bool
    listed_at: datetime
    now: datetime


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What the exchange listed, and when it was asked.

    Attributes:
        hashes: of the orders that may match, all pages.
        at: what was sent later may lack there.
    """

    hashes: frozenset[str]
    at: datetime


def case_of(held: Held, listing: Listing, now: datetime, *, is_halted: bool) -> Case:
    """Return a position beside what the exchange says of its take-profit."""
    coverable = held.size - held.unsettled_size - held.promised_size
    is_wished = held.take_profit is not None and not is_halted
    return Case(
        held=held,
        coverable=coverable,
        wants_profit=is_wished and coverable >= held.min_size,
        rests=held.order_state in RESTS,
        is_listed=held.order_hash in listing.hashes,
        listed_at=listing.at,
        now=now,
    )


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One row of a table of rules.

    Attributes:
        is_gap: the position is unprotected while it holds.
        is_repaired: its workflow is told.
    """

    name: str
    words: str
    holds: Callable[[Case], bool]
    is_gap: bool = False
    is_repaired: bool = True


def _is_dust(case: Case) -> bool:
    held = case.held
    return held.status == PositionStatus.DUST or held.size < held.min_size


def _is_left(case: Case) -> bool:
    return case.held.exit_status is not None or case.held.status == PositionStatus.EXITING


# The first that holds wins: nothing of such a position is repaired, and it is not unprotected.
EXEMPT: Final = (
    Rule(
        name="resolved",
        words="its market is closed: it is settled, not sold",
        holds=lambda case: case.held.closed or case.held.status in GONE,
    ),
    Rule(name="leaving", words="it is being left", holds=_is_left),
    Rule(
        name="paused",
        words="its market takes no orders",
        holds=lambda case: not case.held.accepting_orders,
    ),
    Rule(name="dust", words="too little for any order", holds=_is_dust),
    Rule(
        name="unplanned",
        words="nobody wished for protection",
        holds=lambda case: (
            case.held.stop_loss is None
            and case.held.take_profit is None
            and case.held.stop_status is None
            and case.held.profit_id is None
        ),
    ),
)


def _stop_missing(case: Case) -> bool:
    return case.held.stop_loss is not None and case.held.stop_status != ProtectionStatus.ARMED


def _stop_differs(case: Case) -> bool:
    held = case.held
    return (
        held.stop_loss is not None
        and held.stop_status == ProtectionStatus.ARMED
        and (held.stop_price != held.stop_loss or held.stop_size != held.size)
    )


def _profit_lost(case: Case) -> bool:
    """It rests in our rows, the exchange does not list it, and it was sent before we asked."""
    sent_at = case.held.order_sent_at
    return (
        case.wants_profit
        and case.rests
        and not case.is_listed
        and (sent_at is None or sent_at < case.listed_at)
    )


def _profit_at_other_price(case: Case) -> bool:
    """The plan's price has moved, or a tick or more lies between it and what was signed."""
    held = case.held
    if not case.wants_profit or not case.rests or held.order_price is None:
        return False
    wished = held.take_profit
    return held.profit_price != wished or abs(held.order_price - (wished or ZERO)) >= held.tick_size


def _profit_of_other_size(case: Case) -> bool:
    """It covers less than can be sold, or more than is held."""
    held = case.held
    if not case.wants_profit or not case.rests or held.order_left is None:
        return False
    most = held.size - held.promised_size
    is_short = held.order_left < case.coverable - COMPLETE_WITHIN
    return is_short or held.order_left > most + COMPLETE_WITHIN


def _profit_in_doubt(case: Case) -> bool:
    sent_at = case.held.order_sent_at
    return (
        case.wants_profit
        and case.held.order_state in IN_DOUBT
        and (sent_at is None or case.now - sent_at > ON_ITS_WAY)
    )


# Everything about one position that can be missing or wrong. An order in doubt is no row's
# business but the last one's, which is never repaired: while it may live, none is made.
GAPS: Final = (
    Rule(name="stop_missing", words="its stop is not armed", holds=_stop_missing, is_gap=True),
    Rule(
        name="stop_differs",
        words="its stop is armed at another price or for another size",
        holds=_stop_differs,
    ),
    Rule(
        name="stop_unwanted",
        words="a stop is armed that nobody wishes for",
        holds=lambda case: (
            case.held.stop_loss is None and case.held.stop_status == ProtectionStatus.ARMED
        ),
    ),
    Rule(
        name="profit_missing",
        words="no take-profit rests",
        holds=lambda case: case.wants_profit and case.held.order_state is None,
        is_gap=True,
    ),
    Rule(
        name="profit_over",
        words="its take-profit is over and it is still held",
        holds=lambda case: case.wants_profit and case.held.order_state in TERMINAL,
        is_gap=True,
    ),
    Rule(
        name="profit_lost",
        words="the exchange does not list its take-profit",
        holds=_profit_lost,
        is_gap=True,
    ),
    Rule(
        name="profit_price",
        words="its take-profit rests at another price",
        holds=_profit_at_other_price,
    ),
    Rule(
        name="profit_size",
        words="its take-profit is for another size",
        holds=_profit_of_other_size,
    ),
    Rule(
        name="profit_unwanted",
        words="a take-profit rests that nobody wishes for",
        holds=lambda case: case.held.take_profit is None and case.rests,
    ),
    Rule(
        name="profit_in_doubt",
        words="what became of its take-profit is not known",
        holds=_profit_in_doubt,
        is_gap=True,
        is_repaired=False,
    ),
)


def exemption(case: Case) -> Rule | None:
    """Return why a position is left alone; None where it is looked after."""
    return next((rule for rule in EXEMPT if rule.holds(case)), None)


def gaps(case: Case) -> list[Rule]:
    """Return everything that is missing or wrong about a position that is looked after."""
    return [rule for rule in GAPS if rule.holds(case)]


def stop_of(held: Held) -> Decimal | None:
    """Return the price at which a position is to be left; a plan counts before its row is armed."""
    if held.stop_loss is not None:
        return held.stop_loss
    return held.stop_price if held.stop_status == ProtectionStatus.ARMED else None


def is_judged(held: Held) -> bool:
    """Tell whether a position's price is held against its stop: its book has to be read."""
    return (
        stop_of(held) is not None
        and held.size > 0
        and held.exit_status is None
        and held.status == PositionStatus.OPEN
        and not held.closed
    )

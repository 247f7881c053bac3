"""What comes next for a position: wanted is compared with actual, and one step is named.

The same rows give the same step, whoever asks and however often: whatever a crash interrupted is
found half done, and gone on with.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

from domain.guarded import Guarded
from domain.market import Market
from domain.order import TERMINAL, Order, OrderType
from domain.protection import Protection, ProtectionStatus
from domain.sizing import LOT

UNRECORDED: Final = "shares it matched are not recorded yet"
PROTECTIVE: Final = frozenset({OrderType.STOP_LOSS, OrderType.TAKE_PROFIT})
DIFFERENCE: Final = Decimal("0.01")  # of the size: a smaller growth is not worth a new order


class Act(StrEnum):
    """One thing to do."""

    ARM = "arm"  # have the stop's row say what the plan asks for
    REST = "rest"  # place a take-profit
    RETIRE = "retire"  # write that the take-profit's row is over
    FOLLOW = "follow"  # bring an order on: nobody knows yet what became of it
    WITHDRAW = "withdraw"  # cancel an order that stands in the way
    SELL = "sell"  # one sale of an exit
    CLOSE = "close"  # end the exit, and the plan once nothing can bring the position back
    BEGIN = "begin"  # let a sale that somebody asked for go to the exchange
    WAIT = "wait"
    END = "end"


@dataclass(frozen=True, kw_only=True)
class Step:
    """What to do next.

    Attributes:
        order: which one, where it is about an order.
        size: how many shares, for REST.
        why: for whoever reads the history.
    """

    act: Act
    order: Order | None = None
    size: Decimal | None = None
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What the rows do not say.

    Attributes:
        sale_waits: somebody wants to sell, and waits for its shares to be free.
        may_rest: a take-profit may be tried now; one was refused a moment ago otherwise.
        overdue: orders whose matched shares have been waited for long enough.
    """

    sale_waits: bool = False
    may_rest: bool = True
    overdue: frozenset[str] = frozenset()


CALM: Final = Situation()


def next_step(now: Guarded, market: Market, around: Situation = CALM) -> Step:
    """Return the next step for a position in `market`."""
    if now.exit is not None:
        return _leave(now, now.exit, around.overdue)
    stray = _stray(now)
    if stray is not None:
        return stray
    if now.position.size <= 0 or now.is_dust:
        return _flat(now, sale_waits=around.sale_waits)
    return _protect(now, market, around)


def _protect(now: Guarded, market: Market, around: Situation) -> Step:
    """Return the next step where something is held that nobody is leaving."""
    if _stop_differs(now):
        return Step(act=Act.ARM, why="the stop is not as the plan has it")
    step = _take_profit(now, market, around)
    if step is not None:
        return step
    if around.sale_waits:
        return Step(act=Act.BEGIN)
    if now.plan.is_empty and now.stop is None and now.take_profit is None:
        return Step(act=Act.END)
    return Step(act=Act.WAIT)


def _leave(now: Guarded, claim: Protection, overdue: frozenset[str]) -> Step:
    """Return the next step of an exit: nothing else may rest, then sell, until nothing is left."""
    mine = now.order_of(claim)
    for order in now.resting:
        if mine is not None and order.order_hash == mine.order_hash:
            return Step(act=Act.FOLLOW, order=order, why="a sale of the exit is under way")
        if order.state not in TERMINAL:
            return Step(act=Act.WITHDRAW, order=order, why="the exit needs its shares")
        if order.order_hash not in overdue or now.position.size <= 0:
            return Step(act=Act.FOLLOW, order=order, why=UNRECORDED)
    if now.position.size <= 0:
        return Step(act=Act.CLOSE, why="nothing is left")
    return Step(act=Act.SELL)


def _stray(now: Guarded) -> Step | None:
    """Return the next step about an order of ours that no row asks for any more."""
    rows = {each.id for each in (now.take_profit, now.exit) if each is not None}
    for order in now.resting:
        if order.type in PROTECTIVE and order.intent_id not in rows:
            is_dead = order.state in TERMINAL
            act = Act.FOLLOW if is_dead else Act.WITHDRAW
            return Step(act=act, order=order, why="it was thought over, and is not")
    return None


def _flat(now: Guarded, *, sale_waits: bool) -> Step:
    """Return the next step where nothing is held: what protected it goes, once that is final."""
    order = now.order_of(now.take_profit)
    if order is not None and not order.is_over:
        is_dead = order.state in TERMINAL
        act = Act.FOLLOW if is_dead else Act.WITHDRAW
        return Step(act=act, order=order, why="nothing is held any more")
    if now.take_profit is not None:
        return Step(act=Act.RETIRE)
    if sale_waits:
        return Step(act=Act.BEGIN)
    if now.plan.is_empty and now.stop is None:
        return Step(act=Act.END)
    if now.unconfirmed:
        return Step(act=Act.WAIT, why="a trade is not confirmed yet")
    return Step(act=Act.CLOSE, why="flat, and every trade is final")


def _stop_differs(now: Guarded) -> bool:
    """Tell whether the stop's row is not what the plan and the size held ask for."""
    stop, wanted = now.stop, now.plan.stop_loss
    if stop is None or wanted is None:
        return stop is not None or wanted is not None
    is_as_planned = (stop.price, stop.size) == (wanted, now.position.size)
    return not is_as_planned or stop.status is not ProtectionStatus.ARMED


def _take_profit(now: Guarded, market: Market, around: Situation) -> Step | None:
    """Return the next step about the take-profit, None where it is as it should be."""
    order = now.order_of(now.take_profit)
    if order is not None and not order.is_over:
        return _living(now, market, order, sale_waits=around.sale_waits)
    wanted = Decimal(0) if around.sale_waits else wanted_size(now, market)
    if wanted > 0:
        return Step(act=Act.REST, size=wanted) if around.may_rest else None
    if now.take_profit is not None and (order is not None or now.plan.take_profit is None):
        return Step(act=Act.RETIRE)
    return None


def _living(now: Guarded, market: Market, order: Order, *, sale_waits: bool) -> Step | None:
    """Return the next step about a take-profit that may still match."""
    if order.state in TERMINAL:
        return Step(act=Act.FOLLOW, order=order, why=UNRECORDED)
    why = _why_not(now, market, order, sale_waits=sale_waits)
    if why is not None:
        return Step(act=Act.WITHDRAW, order=order, why=why)
    if order.is_in_doubt or order.absent_since is not None:
        return Step(act=Act.FOLLOW, order=order, why="it is not known to rest")
    return None


def _why_not(now: Guarded, market: Market, order: Order, *, sale_waits: bool) -> str | None:
    """Return why a take-profit must go; None where it may stay."""
    if sale_waits:
        return "a sale needs its shares"
    if now.is_halted:
        return f"the account is {now.account}: nothing may rest"
    if now.plan.take_profit is None:
        return "no take-profit is wished any more"
    return _unlike(now, now.plan.take_profit, market, order)


def _unlike(now: Guarded, target: Decimal, market: Market, order: Order) -> str | None:
    """Return how a take-profit differs from what is wished; None where that does not matter."""
    if order.price != on_grid(target, market.tick_size):
        return f"the target moved to {target}"
    wanted, left = _sellable(now), order.remaining
    if left - wanted >= LOT:
        return f"{left} are on sale and {wanted} are held"
    if wanted - left >= max(LOT, wanted * DIFFERENCE) and wanted >= market.min_size:
        return f"{left} are on sale and {wanted} could be"
    return None


def wanted_size(now: Guarded, market: Market) -> Decimal:
    """Return the size of the take-profit that ought to rest; 0 is none."""
    if now.plan.take_profit is None or now.is_halted or not market.accepting_orders:
        return Decimal(0)
    size = _sellable(now)
    return size if size >= market.min_size else Decimal(0)


def _sellable(now: Guarded) -> Decimal:
    """Return the settled shares that no other sale takes, in steps the exchange takes."""
    return max(now.settled_size - now.promised_size, Decimal(0)) // LOT * LOT


def on_grid(price: Decimal, tick: Decimal) -> Decimal:
    """Return a target on the market's grid: never below what was asked, but below 1."""
    steps = -(-price // tick)
    return min(steps * tick, 1 - tick)

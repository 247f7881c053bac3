"""One sale of an exit: how much is left to sell, how far down, and when it must wait."""

from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
from typing import Final

from domain.guarded import Guarded
from domain.ids import position_workflow_id, trace_id
from domain.market import Book, Market
from domain.order import OrderSource, OrderType, Side, TimeInForce
from domain.protection import Plan, Protect, Protection, changed
from domain.signal import OrderRequest, SizeKind, Sizing
from domain.sizing import (
    SLIPPAGE_FRACTION,
    SLIPPAGE_TICKS,
    sale_step,
    worst_price,
)

FINEST_TICK: Final = Decimal("0.0001")  # where it is not known yet which market it is


class Verdict(StrEnum):
    """What an exit can do now."""

    SELL = "sell"
    WAIT = "wait"  # it passes by itself, and soon: shares settle, a balance follows
    BLOCKED = "blocked"  # somebody should look: an alarm, and another try
    DUST = "dust"  # what is left cannot be sold


@dataclass(frozen=True, kw_only=True)
class Sale:
    """One step of an exit.

    Attributes:
        price: below it nothing of this step is sold.
        words: what it follows from, or why there is none.
    """

    verdict: Verdict
    size: Decimal = Decimal(0)
    price: Decimal = Decimal(0)
    words: str = ""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the outside says, read for one step.

    Attributes:
        balance: settled shares as the exchange has them; None where it did not say in time.
        book: None where it did not say, or there is none.
        floor: the exit's hard floor; None sells at any price.
    """

    balance: Decimal | None
    book: Book | None
    floor: Decimal | None


def left_to_sell(now: Guarded, balance: Decimal | None) -> Decimal:
    """Return the least of what the sources say is left: ours, and the exchange's where it says."""
    ours = max(now.settled_size - now.taken_size, Decimal(0))
    return ours if balance is None else min(ours, balance)


def next_sale(now: Guarded, market: Market, facts: Facts) -> Sale:
    """Return the next sale of an exit, or why there is none now."""
    if market.closed or not market.accepting_orders:
        return Sale(verdict=Verdict.BLOCKED, words=f"{market.slug} takes no orders now")
    if facts.book is None:
        return Sale(verdict=Verdict.BLOCKED, words="the book cannot be read")
    best = facts.book.best_bid
    if best is None:
        return Sale(verdict=Verdict.BLOCKED, words=f"nobody bids on {market.slug}")
    floor = hard_floor(facts.floor, market.tick_size)
    if best < floor:
        words = f"the best bid {best} is below the floor {floor}"
        return Sale(verdict=Verdict.BLOCKED, words=words)
    price = max(step_floor(best, market.tick_size), floor)
    return _sized(now, facts.balance, best, price)


def _sized(now: Guarded, balance: Decimal | None, best: Decimal, price: Decimal) -> Sale:
    """Return the sale of what is left at a price, or what it waits for."""
    left, step = left_to_sell(now, balance), sale_step(price)
    size = left // step * step
    words = f"best bid {best}, held {now.position.size}, exchange {balance}"
    if size > 0:
        return Sale(verdict=Verdict.SELL, size=size, price=price, words=words)
    if now.position.size // step * step == 0:
        return Sale(verdict=Verdict.DUST, words=f"{now.position.size} shares cannot be sold")
    if now.unsettled_size:
        return Sale(verdict=Verdict.WAIT, words=f"{now.unsettled_size} shares are not settled")
    return Sale(verdict=Verdict.WAIT, words=f"nothing is free to sell: {words}")


def step_floor(best: Decimal, tick: Decimal) -> Decimal:
    """Return the worst price of one step: 5 % or 2 ticks below the best bid, the wider."""
    allowance = max(best * SLIPPAGE_FRACTION, tick * SLIPPAGE_TICKS)
    return worst_price(Side.SELL, best - allowance, tick)


def hard_floor(floor: Decimal | None, tick: Decimal) -> Decimal:
    """Return the price below which an exit sells nothing, on the market's grid."""
    if floor is None:
        return tick
    steps = (floor / tick).to_integral_value(rounding=ROUND_CEILING)
    return min(max(steps * tick, tick), 1 - tick)


def floor_of(plan: Plan, best_bid: Decimal | None, fraction: Decimal) -> Decimal | None:
    """Return an exit's hard floor: a part of the stop's price, or of what was bid as it began."""
    around = plan.stop_loss if plan.stop_loss is not None else best_bid
    return None if around is None else around * fraction


def has_crossed(now: Guarded, best_bid: Decimal | None) -> bool:
    """Tell whether the armed stop is to fire; an empty book is no price."""
    stop = now.plan.stop_loss
    if stop is None or best_bid is None or now.exit is not None or now.position.size <= 0:
        return False
    return best_bid <= stop


def refusal(now: Guarded | None, wish: Protect, market: Market, book: Book | None) -> str | None:
    """Return why a wish makes no sense now, in words for whoever wished it; None where it does.

    Without a book, a price that the market is beyond already cannot be told, and is granted.
    """
    if now is None or now.position.size <= 0:
        return "no position is held here: there is nothing to protect"
    if now.is_dust:
        return f"only {now.position.size} shares are held, too few to sell"
    if now.exit is not None:
        return "the position is being left: its plan can no longer change"
    words = nonsense(changed(now.plan, wish), market)
    return words if words is not None or book is None else _beyond_book(now, wish, book)


def nonsense(plan: Plan, market: Market | None) -> str | None:
    """Return what is wrong with a plan whatever the book says."""
    tick = market.tick_size if market is not None else FINEST_TICK
    for name, price in (("stop_loss", plan.stop_loss), ("take_profit", plan.take_profit)):
        if price is not None and (price % tick or not tick <= price <= 1 - tick):
            return f"{name} {price} is off the market's grid of {tick}, from {tick} to {1 - tick}"
    return order_of_prices(plan)


def order_of_prices(plan: Plan) -> str | None:
    """Return what is wrong with two prices beside each other."""
    stop, target = plan.stop_loss, plan.take_profit
    if stop is not None and target is not None and stop >= target:
        return f"stop_loss {stop} is not below take_profit {target}"
    return None


def _beyond_book(now: Guarded, wish: Protect, book: Book) -> str | None:
    """Return what would fire at once."""
    bid, ask = book.best_bid, _best_ask_of_others(now, book)
    if wish.stop_loss and bid is not None and wish.stop_loss >= bid:
        return (
            f"stop_loss {wish.stop_loss} is not below the best bid {bid}: it would sell at once;"
            " use exit to leave now"
        )
    if wish.take_profit and ask is not None and wish.take_profit < ask:
        return (
            f"take_profit {wish.take_profit} is below the best ask {ask}: the market is beyond it"
            " already; use exit to leave now"
        )
    return None


def _best_ask_of_others(now: Guarded, book: Book) -> Decimal | None:
    """Return the best offer that is not our own."""
    ours: dict[Decimal, Decimal] = {}
    for order in now.resting:
        ours[order.price] = ours.get(order.price, Decimal(0)) + order.remaining
    for level in book.asks:
        if level.size > ours.get(level.price, Decimal(0)):
            return level.price
    return None


def sale_request(account_id: str, token_id: str, claim: Protection, sale: Sale) -> OrderRequest:
    """Return the order of one step of an exit: sold at once, or not at all."""
    target = target_request(account_id, token_id, claim, post_only=False)
    return replace(
        target,
        type=OrderType.STOP_LOSS,
        time_in_force=TimeInForce.FAK,
        sizing=Sizing(kind=SizeKind.SIZE, value=sale.size),
        price=sale.price,
    )


def target_request(
    account_id: str, token_id: str, claim: Protection, *, post_only: bool
) -> OrderRequest:
    """Return the order of a take-profit: it rests until it is reached or withdrawn."""
    return OrderRequest(
        intent_id=claim.id,
        account_id=account_id,
        signal_id=None,
        trace_id=trace_id(claim.id),
        workflow_id=position_workflow_id(account_id, token_id),
        source=OrderSource.ORDER_MONITOR,
        market=token_id,
        outcome=None,
        side=Side.SELL,
        type=OrderType.TAKE_PROFIT,
        time_in_force=TimeInForce.GTC,
        sizing=Sizing(kind=SizeKind.SIZE, value=claim.size),
        price=claim.price,
        post_only=post_only,
        waits_for_settlement=False,
    )

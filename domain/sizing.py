"""From a wish to a price and a size that the exchange will take.

The exchange's own accuracy rules (polymarket.md 4.3) decide the rounding: an order that may not
rest must spend whole cents, and one that may rest sizes to a hundredth of a share. Sizes round
down, worst prices round against us within the slippage allowed; nothing is rounded into a larger
risk than was asked for.
"""

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from math import gcd
from typing import Final

from domain.fill import taker_fee
from domain.market import Book, Market
from domain.order import RESTING, OrderType, Side, TimeInForce
from domain.signal import OrderRequest, SizeKind

SLIPPAGE_FRACTION: Final = Decimal("0.05")  # a marketable order walks at most this far,
SLIPPAGE_TICKS: Final = 2  # or this many ticks, whichever is wider
LOT: Final = Decimal("0.01")  # shares; finest size the exchange takes
CENT: Final = Decimal("0.01")  # collateral; finest amount of an order that may not rest
COARSE_TICK: Final = Decimal("0.01")  # worst prices on this grid keep amounts within accuracy
FEE_SAMPLE: Final = Decimal(1_000_000)  # shares; enough that rounding the fee does not matter
MIN_MARKETABLE_USD: Final = Decimal(1)
STALE: Final = "stale"  # the wish has outlived its sender's patience
UNSETTLED: Final = "shares_unsettled"  # the one denial that time alone may lift


@dataclass(frozen=True, kw_only=True)
class Funds:
    """What an order may be sized by, at the moment it is prepared.

    Attributes:
        free_usd: collateral not yet promised to other orders.
        free_shares: shares held, settled, and not yet promised to other sales.
        unsettled_shares: shares bought that cannot be sold before their trade is mined.
    """

    free_usd: Decimal
    free_shares: Decimal
    unsettled_shares: Decimal = Decimal(0)


@dataclass(frozen=True, kw_only=True)
class Denied:
    """Refused by us before anything was sent: a value, not an error.

    Attributes:
        rule: short name of the rule ("max_open_orders").
        words: the limit, its value and what was asked.
        trips: it stops the account, not this wish alone.
    """

    rule: str
    words: str
    trips: bool = False


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What will be signed."""

    side: Side
    time_in_force: TimeInForce
    price: Decimal
    size: Decimal
    post_only: bool = False

    @property
    def notional_usd(self) -> Decimal:
        """Collateral at the limit."""
        return self.price * self.size


def terms(request: OrderRequest, market: Market, book: Book, funds: Funds) -> Terms | Denied:
    """Return the price and size to sign for `request`, or why there is none."""
    if market.closed or not market.accepting_orders:
        return Denied(rule="market_closed", words=f"{market.slug} takes no orders now")
    price = _price(request, market, book)
    if isinstance(price, Denied):
        return price
    size = _size(request, market, price, funds)
    if isinstance(size, Denied):
        return size
    asked = Terms(
        side=request.side,
        time_in_force=request.time_in_force,
        price=price,
        size=size,
        post_only=request.post_only,
    )
    return _large_enough(asked, request, market) or asked


def _price(request: OrderRequest, market: Market, book: Book) -> Decimal | Denied:
    """Return the limit to sign."""
    tick = market.tick_size
    if request.type is OrderType.LIMIT:
        return _limit(request.price, tick)
    best = book.best_ask if request.side is Side.BUY else book.best_bid
    if request.price is not None:
        return bounded_price(request.side, request.price, tick)
    if best is None:
        side = "offers" if request.side is Side.BUY else "bids"
        return Denied(rule="no_liquidity", words=f"nobody {side} on {market.slug}; give a price")
    allowance = max(best * SLIPPAGE_FRACTION, tick * SLIPPAGE_TICKS)
    away = best + allowance if request.side is Side.BUY else best - allowance
    return worst_price(request.side, away, tick)


def _limit(price: Decimal | None, tick: Decimal) -> Decimal | Denied:
    """Return a limit price that lies on the market's grid, or say which prices do."""
    if price is None:
        return Denied(rule="price_missing", words="a limit order needs a price")
    if price % tick or not tick <= price <= 1 - tick:
        below = max(tick, min(price // tick * tick, 1 - tick))
        above = min(1 - tick, below + tick)
        words = f"price {price} is off the grid of {tick}; the nearest are {below} and {above}"
        return Denied(rule="price_off_tick", words=words)
    return price


def worst_price(side: Side, price: Decimal, tick: Decimal) -> Decimal:
    """Return `price` on a grid that keeps amounts within the exchange's accuracy.

    A coarse grid is wider than asked by less than a cent; near 0 and 1, where a cent is much,
    the market's own tick is kept.
    """
    price = min(max(price, tick), 1 - tick)
    rounding = ROUND_CEILING if side is Side.BUY else ROUND_FLOOR
    grid = max(tick, COARSE_TICK)
    steps = (price / grid).to_integral_value(rounding=rounding)
    coarse = steps * grid
    if grid <= coarse <= 1 - grid:
        return coarse
    return (price / tick).to_integral_value(rounding=rounding) * tick


def bounded_price(side: Side, price: Decimal, tick: Decimal) -> Decimal | Denied:
    """Return the sender's own worst price on the market's grid, never beyond it."""
    rounding = ROUND_FLOOR if side is Side.BUY else ROUND_CEILING
    on_grid = (price / tick).to_integral_value(rounding=rounding) * tick
    if (on_grid < tick) if side is Side.BUY else (on_grid > 1 - tick):
        words = f"no price between {tick} and {1 - tick} is as good as {price}"
        return Denied(rule="price_off_tick", words=words)
    return min(max(on_grid, tick), 1 - tick)


def _size(request: OrderRequest, market: Market, price: Decimal, funds: Funds) -> Decimal | Denied:
    """Return shares, rounded down to what may be signed at `price`."""
    wanted = _shares(request, market, price, funds)
    if request.side is Side.SELL:
        if funds.free_shares < wanted and funds.unsettled_shares and request.waits_for_settlement:
            words = f"{funds.unsettled_shares} shares are bought and not yet settled"
            return Denied(rule=UNSETTLED, words=words)
        if funds.free_shares <= 0:
            return Denied(rule="nothing_to_sell", words="no shares are held that are free to sell")
        wanted = min(wanted, funds.free_shares)
    step = LOT
    if request.time_in_force in {TimeInForce.FAK, TimeInForce.FOK}:
        step = whole_cent_step(price) if request.side is Side.BUY else sale_step(price)
    return wanted // step * step


def _shares(request: OrderRequest, market: Market, price: Decimal, funds: Funds) -> Decimal:
    """Return what a sizing means in shares at `price`, unrounded.

    A share of the collateral has to pay the fee as well: the exchange takes it on top.
    """
    sizing = request.sizing
    if sizing.kind is SizeKind.SIZE:
        return sizing.value
    if sizing.kind is SizeKind.NOTIONAL:
        return sizing.value / price
    if request.side is Side.SELL:
        return (funds.free_shares + funds.unsettled_shares) * sizing.value / 100
    fee = taker_fee(market, price, FEE_SAMPLE) / FEE_SAMPLE
    return max(funds.free_usd, Decimal(0)) * sizing.value / 100 / (price + fee)


def whole_cent_step(price: Decimal) -> Decimal:
    """Return the smallest step in shares whose cost at `price` is always whole cents."""
    exponent = int(price.normalize().as_tuple().exponent)
    scale = 10 ** max(-exponent, 2)
    numerator = int(price * scale)
    # size x price must be a multiple of a cent, and the size of a hundredth of a share:
    # size/0.01 = k with k x numerator divisible by scale.
    return LOT * (scale // gcd(numerator, scale))


def sale_step(price: Decimal) -> Decimal:
    """Return the smallest step in shares whose proceeds at `price` have at most four places."""
    places = -int(price.normalize().as_tuple().exponent)
    return LOT.scaleb(max(places - 2, 0))


def _large_enough(asked: Terms, request: OrderRequest, market: Market) -> Denied | None:
    """Return a denial where the exchange would call the order too small."""
    if asked.size <= 0:
        return Denied(rule="size_zero", words=f"{request.sizing.value} comes to no shares at all")
    if asked.time_in_force in RESTING and asked.size < market.min_size:
        words = f"{asked.size} shares are fewer than the market's minimum of {market.min_size}"
        return Denied(rule="below_min_size", words=words)
    if asked.side is Side.BUY and asked.notional_usd < MIN_MARKETABLE_USD:
        words = f"${asked.notional_usd} is less than the exchange's minimum of $1"
        return Denied(rule="below_min_notional", words=words)
    return None

"""What production checks about an order's numbers, in production's words."""

from dataclasses import dataclass
from typing import Final

from infra.paper.catalogue import Market
from infra.paper.signed_order import SignedOrder
from infra.paper.wire import MICRO, RefusedError, text_of

IMMEDIATE: Final = frozenset({"FOK", "FAK"})
SMALLEST_MARKETABLE: Final = MICRO  # one dollar
_SHARE_STEP: Final = 10_000  # two decimals
_MARKET_STEP: Final = 100  # four decimals
_AMOUNT_DECIMALS: Final = {100_000: 3, 10_000: 4, 5_000: 5, 2_500: 6, 1_000: 5, 100: 6}


@dataclass(frozen=True, slots=True)
class Terms:
    """What an order's two amounts say: price of its token and shares, in micro-units."""

    price: int
    size: int


def terms_of(order: SignedOrder, order_type: str, market: Market, order_hash: str) -> Terms:
    """Return price and size of a signed order.

    Raises RefusedError when amounts are too fine, or the price is off the grid or out of range.
    """
    if order.maker_amount == 0 or order.taker_amount == 0:
        raise RefusedError(400, "invalid amounts, maker and taker amount must be higher than 0")
    if order_type in IMMEDIATE:
        _check_market_accuracy(order)
        price = _nearest_price(order, market.tick)
    else:
        _check_limit_accuracy(order, market.tick)
        price = _exact_price(order)
    if price is None or price % market.tick or not market.tick <= price <= MICRO - market.tick:
        shown = _shown_price(order)
        raise RefusedError(
            400,
            f"order {order_hash} is invalid. Price ({shown}) breaks minimum tick size rule: "
            + text_of(market.tick),
        )
    return Terms(price, order.taker_amount if order.side == "BUY" else order.maker_amount)


def check_size(terms: Terms, order_type: str, market: Market, order_hash: str) -> None:
    """Refuse an order that may rest and is smaller than the market's minimum."""
    if order_type not in IMMEDIATE and terms.size < market.min_size:
        raise RefusedError(
            400,
            f"order {order_hash} is invalid. Size ({text_of(terms.size)}) lower than the minimum: "
            + text_of(market.min_size),
        )


def check_marketable(order: SignedOrder) -> None:
    """Refuse a BUY that would execute at once and spends less than a dollar."""
    if order.side == "BUY" and order.maker_amount < SMALLEST_MARKETABLE:
        raise RefusedError(
            400,
            f"invalid amount for a marketable BUY order (${text_of(order.maker_amount)}), "
            "min size: $1",
        )


def cash_of(size: int, price: int) -> int:
    """Return the collateral for `size` shares at `price`, rounded up: what a buyer must hold."""
    return -(-size * price // MICRO)


def _collateral_and_shares(order: SignedOrder) -> tuple[int, int]:
    if order.side == "BUY":
        return order.maker_amount, order.taker_amount
    return order.taker_amount, order.maker_amount


def _shown_price(order: SignedOrder) -> str:
    collateral, shares = _collateral_and_shares(order)
    return text_of(collateral * MICRO // shares)


def _exact_price(order: SignedOrder) -> int | None:
    collateral, shares = _collateral_and_shares(order)
    price, rest = divmod(collateral * MICRO, shares)
    return None if rest else price


def _nearest_price(order: SignedOrder, tick: int) -> int | None:
    """Return the grid price a market order was made from; its amounts may differ by rounding."""
    collateral, shares = _collateral_and_shares(order)
    price = (2 * collateral * MICRO + shares * tick) // (2 * shares * tick) * tick
    if price == 0:
        return None
    if order.side == "BUY":
        rounding = abs(collateral * MICRO // price - shares)
    else:
        rounding = abs(shares * price // MICRO - collateral)
    return price if rounding <= _MARKET_STEP else None


def _check_market_accuracy(order: SignedOrder) -> None:
    if order.maker_amount % _SHARE_STEP or order.taker_amount % _MARKET_STEP:
        kind = "market buy" if order.side == "BUY" else "sell"
        raise RefusedError(
            400,
            f"invalid amounts, the {kind} orders maker amount supports a max accuracy of "
            "2 decimals, taker amount a max of 4 decimals",
        )


def _check_limit_accuracy(order: SignedOrder, tick: int) -> None:
    decimals = _AMOUNT_DECIMALS[tick]
    collateral, shares = _collateral_and_shares(order)
    if collateral % 10 ** (6 - decimals) == 0 and shares % _SHARE_STEP == 0:
        return
    most = (decimals, 2) if order.side == "BUY" else (2, decimals)
    raise RefusedError(
        400,
        f"invalid amounts, the {order.side.lower()} orders maker amount supports a max accuracy "
        f"of {most[0]} decimals, taker amount a max of {most[1]} decimals",
    )

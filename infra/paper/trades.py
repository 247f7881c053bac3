"""What a match becomes: a trade with one leg per order in it, and the life it then has."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Final

from infra.paper.book import Match, Order
from infra.paper.catalogue import Market
from infra.paper.wire import MICRO


class TradeStatus(StrEnum):
    """Where a trade stands on its way on-chain, in the exchange's words."""

    MATCHED = "MATCHED"
    MINED = "MINED"
    CONFIRMED = "CONFIRMED"
    RETRYING = "RETRYING"
    FAILED = "FAILED"


_FEE_UNIT: Final = Decimal(10)  # micro-units: fees have five places
OVER = frozenset({TradeStatus.CONFIRMED, TradeStatus.FAILED})


@dataclass(slots=True)
class Leg:
    """One order's part of a trade: `size` shares at `price` for `cash`, fee apart.

    All micro-units. `fee` is in dollars or, for a buyer where `fee_asset` says so, in shares.
    """

    trade_id: str
    place: int
    role: str
    order_hash: str
    condition_id: str
    token_id: str
    index: int
    outcome: str
    side: str
    price: int
    size: int
    cash: int
    fee: int
    fee_asset: str
    wallet: str
    address: str
    api_key: str
    origin: str
    matched_at: int


@dataclass(slots=True)
class Trade:
    """A match at one price of one taker with one or more makers; times in microseconds."""

    trade_id: str
    condition_id: str
    taker_order: str
    bucket: int
    transaction_hash: str
    matched_at: int
    updated_at: int
    next_at: int
    will_fail: bool = False
    status: TradeStatus = TradeStatus.MATCHED
    legs: list[Leg] = field(default_factory=list[Leg])

    @property
    def taker(self) -> Leg:
        """Return the incoming order's leg."""
        return self.legs[0]

    @property
    def makers(self) -> list[Leg]:
        """Return the resting orders' legs."""
        return self.legs[1:]


def _uuid(digest: str) -> str:
    return f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-8{digest[17:20]}-{digest[20:32]}"


def trade_id_of(order_hash: str, bucket: int, at: int) -> str:
    """Return the id of a trade, shaped like a UUID, from what it is."""
    return _uuid(hashlib.sha256(f"{order_hash}/{bucket}/{at}".encode()).hexdigest())


def trade_of(market: Market, taker: Order, matches: Sequence[Match], bucket: int, at: int) -> Trade:
    """Return the trade of `taker` with makers that rest at one price, or at several.

    A trade over several prices is told at their average on the grid; its cash and its fee are
    those of each price.
    """
    trade_id = trade_id_of(taker.order_hash, bucket, at)
    trade = Trade(
        trade_id=trade_id,
        condition_id=market.condition_id,
        taker_order=taker.order_hash,
        bucket=bucket,
        transaction_hash="0x" + hashlib.sha256(trade_id.encode()).hexdigest(),
        matched_at=at,
        updated_at=at,
        next_at=at,
    )
    made = [
        _leg(trade, match.maker, place, (match.size, match.maker.book_price))
        for place, match in enumerate(matches, start=1)
    ]
    taken = _leg(trade, taker, 0, _average(matches, market.tick))
    taken.cash = sum(_cash(match.size, match.maker.book_price, taker.index) for match in matches)
    if taker.origin != "maker":
        _charge(market, taken, matches)
    trade.legs = [taken, *made]
    return trade


def _cash(size: int, book_price: int, index: int) -> int:
    """Return the collateral of a leg; the two tokens' parts of a share always add up to it."""
    first = size * book_price // MICRO
    return first if index == 0 else size - first


def _leg(trade: Trade, order: Order, place: int, match: tuple[int, int]) -> Leg:
    size, book_price = match
    return Leg(
        trade_id=trade.trade_id,
        place=place,
        role="MAKER" if place else "TAKER",
        order_hash=order.order_hash,
        condition_id=order.condition_id,
        token_id=order.token_id,
        index=order.index,
        outcome=order.outcome,
        side=order.side,
        price=book_price if order.index == 0 else MICRO - book_price,
        size=size,
        cash=_cash(size, book_price, order.index),
        fee=0,
        fee_asset="collateral",
        wallet=order.wallet,
        address=order.address,
        api_key=order.api_key,
        origin=order.origin,
        matched_at=trade.matched_at,
    )


def _average(matches: Sequence[Match], tick: int) -> tuple[int, int]:
    """Return the size of all matches and their price, on the grid where they have several."""
    size = sum(match.size for match in matches)
    prices = {match.maker.book_price for match in matches}
    if len(prices) == 1:
        return size, prices.pop()
    cash = sum(match.size * match.maker.book_price for match in matches)
    return size, (2 * cash + size * tick) // (2 * size * tick) * tick


def _charge(market: Market, leg: Leg, matches: Sequence[Match]) -> None:
    """Charge the taker, price by price."""
    sizes: dict[int, int] = {}
    for match in matches:
        price = match.maker.book_price if leg.index == 0 else MICRO - match.maker.book_price
        sizes[price] = sizes.get(price, 0) + match.size
    in_shares = market.fee_asset == "shares" and leg.side == "BUY"
    leg.fee_asset = "shares" if in_shares else leg.fee_asset
    leg.fee = sum(
        _share_fee(market, size, price) if in_shares else market.fee(size, price)
        for price, size in sizes.items()
    )


def _share_fee(market: Market, size: int, price: int) -> int:
    """Return a fee in shares: the curve over the price, rounded to five places by itself."""
    if not market.has_fees:
        return 0
    chance = Decimal(price) / MICRO
    curve = (chance * (1 - chance)) ** market.fee_exponent
    exact = Decimal(size) * Decimal(market.fee_rate) * curve / chance
    return int((exact / _FEE_UNIT).to_integral_value() * _FEE_UNIT)


def plan_by_price(matches: Sequence[Match]) -> list[list[Match]]:
    """Return the matches of one order, one group per resting price."""
    groups: list[list[Match]] = []
    for match in matches:
        if groups and groups[-1][0].maker.book_price == match.maker.book_price:
            groups[-1].append(match)
        else:
            groups.append([match])
    return groups

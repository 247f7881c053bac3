"""The unified book of one market: both tokens' orders in one queue by price and time.

Everything is told in the first outcome's price. Buying the second token at q is offering the
first at 1 - q, so it stands among the asks; selling the second stands among the bids. That is
how a mint (two buyers) and a merge (two sellers) match like any other pair.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import gcd

from infra.paper.wire import MICRO


@dataclass(slots=True)
class Order:
    """An order the exchange accepted; price of its own token, sizes and prices in micro-units.

    `address` is the EOA of the API key (empty for the exchange's own makers), `wallet` the maker
    that holds the funds, `index` 0 or 1 for the market's first or second token.
    """

    order_hash: str
    condition_id: str
    token_id: str
    index: int
    outcome: str
    side: str
    price: int
    size: int
    type: str
    wallet: str
    address: str
    api_key: str
    origin: str
    created_at: int
    expiration: int = 0
    filled: int = 0
    status: str = "LIVE"
    due_at: int = 0

    @property
    def remaining(self) -> int:
        """Return the size still to be matched; below zero where dollars bought more than that."""
        return self.size - self.filled

    @property
    def is_bid(self) -> bool:
        """Tell whether it stands among the bids of the unified book."""
        return (self.side == "BUY") == (self.index == 0)

    @property
    def book_price(self) -> int:
        """Return its price in terms of the first token."""
        return self.price if self.index == 0 else MICRO - self.price


@dataclass(frozen=True, slots=True)
class Match:
    """Part of a resting order that an incoming one takes, at the resting order's price."""

    maker: Order
    size: int


@dataclass(slots=True)
class _Level:
    orders: dict[str, Order] = field(default_factory=dict[str, Order])
    total: int = 0


@dataclass(slots=True)
class Half:
    """One side of a book; `prices` ascends."""

    levels: dict[int, _Level] = field(default_factory=dict[int, _Level])
    prices: list[int] = field(default_factory=list[int])

    def add(self, order: Order) -> None:
        """Queue an order behind its price."""
        price = order.book_price
        level = self.levels.get(price)
        if level is None:
            level = self.levels[price] = _Level()
            insort(self.prices, price)
        level.orders[order.order_hash] = order
        level.total += order.remaining

    def take(self, order: Order, size: int) -> None:
        """Match `size` of a queued order; a complete one leaves the queue."""
        level = self.levels[order.book_price]
        order.filled += size
        level.total -= size
        if order.remaining == 0:
            self._drop(order, level)

    def remove(self, order: Order) -> None:
        """Take an order out of the queue."""
        level = self.levels[order.book_price]
        level.total -= order.remaining
        self._drop(order, level)

    def _drop(self, order: Order, level: _Level) -> None:
        del level.orders[order.order_hash]
        if not level.orders:
            del self.levels[order.book_price]
            del self.prices[bisect_left(self.prices, order.book_price)]

    def size_at(self, price: int) -> int:
        """Return the shares resting at a price."""
        level = self.levels.get(price)
        return level.total if level else 0

    def rows(self) -> list[tuple[int, int]]:
        """Return (price, shares) by ascending price."""
        return [(price, self.levels[price].total) for price in self.prices]


@dataclass(slots=True)
class MarketBook:
    """Bids and asks of one market in the first token's price."""

    bids: Half = field(default_factory=Half)
    asks: Half = field(default_factory=Half)

    def half(self, *, is_bid: bool) -> Half:
        """Return one side."""
        return self.bids if is_bid else self.asks

    @property
    def best_bid(self) -> int | None:
        """Return the highest bid."""
        return self.bids.prices[-1] if self.bids.prices else None

    @property
    def best_ask(self) -> int | None:
        """Return the lowest ask."""
        return self.asks.prices[0] if self.asks.prices else None

    def add(self, order: Order) -> None:
        """Rest an order."""
        self.half(is_bid=order.is_bid).add(order)

    def remove(self, order: Order) -> None:
        """Take a resting order out."""
        self.half(is_bid=order.is_bid).remove(order)

    def take(self, match: Match) -> None:
        """Fill a resting order by a planned match."""
        self.half(is_bid=match.maker.is_bid).take(match.maker, match.size)

    def plan(self, order: Order) -> list[Match]:
        """Return what an incoming order would match, best price first, then oldest first.

        Nothing is changed.
        """
        left = order.remaining
        matches: list[Match] = []
        for maker in self._opposite(order):
            if left == 0:
                break
            size = min(left, maker.remaining)
            matches.append(Match(maker, size))
            left -= size
        return matches

    def plan_spending(self, order: Order, spend: int) -> tuple[list[Match], bool]:
        """Return what a BUY matches for so many micro-dollars, and whether it spends them.

        Of the last order it takes as much as costs whole micro-dollars. Nothing is changed.
        """
        matches: list[Match] = []
        for maker in self._opposite(order):
            price = maker.book_price if order.index == 0 else MICRO - maker.book_price
            step = MICRO // gcd(price, MICRO)
            size = spend * MICRO // price // step * step
            if size < maker.remaining:
                return [*matches, Match(maker, size)] if size else matches, True
            matches.append(Match(maker, maker.remaining))
            spend -= -(-maker.remaining * price // MICRO)
        return matches, spend == 0

    def would_cross(self, order: Order) -> bool:
        """Tell whether an order meets a resting one."""
        return next(self._opposite(order), None) is not None

    def _opposite(self, order: Order) -> Iterator[Order]:
        half = self.half(is_bid=not order.is_bid)
        prices = half.prices if order.is_bid else reversed(half.prices)
        limit = order.book_price
        for price in prices:
            if price > limit if order.is_bid else price < limit:
                return
            yield from half.levels[price].orders.values()

    def resting(self) -> Iterator[Order]:
        """Yield every order in the book."""
        for half in (self.bids, self.asks):
            for level in half.levels.values():
                yield from level.orders.values()

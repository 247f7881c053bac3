"""The exchange's own market makers: a seeded random walk that keeps every open book deep."""

import hashlib
from dataclasses import dataclass
from typing import Final, cast

from infra.paper.book import Order
from infra.paper.catalogue import Market
from infra.paper.engine import Engine
from infra.paper.wire import MICRO, Json, RefusedError, json_list, micro_of

MAKER_WALLET: Final = "0x5bDf7A8C1e2e9B0F4d36C2A8E17f0B94C6d3a2E1"
MAKER_KEY: Final = "6f1c2b1e-7a40-4c58-9d0e-3b5f8c2a7d61"
_WALK: Final = "makers"
_BOOKS: Final = "books"
_LEVELS: Final = 8
_DEPTH_DOLLARS: Final = 300
_QUICKEST_US: Final = 1_000_000
_SPREAD_OF_TIMES_US: Final = 1_000_000
_REMEMBER_EVERY_US: Final = 5_000_000
_LOWEST: Final = 40_000
_HIGHEST: Final = 960_000


def draw(*parts: object) -> int:
    """Return 32 bits that look random and are always the same for the same parts."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


@dataclass(slots=True)
class _Walk:
    mid: int
    step: int = 0
    next_at: int = 0


class Makers:
    """Quotes every open market, and steps aside where a book was set by hand.

    A walk's orders live in memory only, unless they trade; a book set by hand is written down and
    is there again after a restart. Every second level is quoted in the other token, so that
    takers meet mints and merges too.

    Args:
        engine: where they quote.
        seed: what the walk follows from.
    """

    def __init__(self, engine: Engine, seed: str = "holdfast") -> None:
        self._engine = engine
        self._seed = seed
        self._count = 0
        self._walks: dict[str, _Walk] = {}
        self._quotes: dict[str, dict[tuple[bool, int], Order]] = {}
        self._remembered_at = 0
        self._still = set(cast("list[str]", engine.ledger.meta(_BOOKS) or []))
        self._mids = cast("dict[str, int]", engine.ledger.meta(_WALK) or {})
        self._adopt()

    def _adopt(self) -> None:
        """Keep the orders of books set by hand; drop those an earlier walk left behind."""
        for order in [o for o in self._engine.orders.values() if o.origin == "maker"]:
            if order.condition_id not in self._still:
                self._engine.cancel(order)

    def is_due(self, now: int) -> bool:
        """Tell whether some market wants a new quote."""
        walks = self._walks
        return any(
            condition not in walks or walks[condition].next_at <= now
            for condition in self._walked()
        )

    def _walked(self) -> list[str]:
        return [
            condition
            for condition, market in self._engine.markets.items()
            if not market.closed and condition not in self._still
        ]

    def advance(self, now: int) -> None:
        """Requote the markets whose time has come."""
        for condition in self._walked():
            market = self._engine.markets[condition]
            walk = self._walks.get(condition)
            if walk is None:
                start = self._mids.get(condition, market.start_mid)
                walk = self._walks[condition] = _Walk(start)
            if walk.next_at <= now:
                self._step(market, walk, now)
                self._requote(market, walk)
        if now - self._remembered_at >= _REMEMBER_EVERY_US:
            self._remembered_at = now
            self._mids = {condition: walk.mid for condition, walk in self._walks.items()}
            self._engine.ledger.set_meta(_WALK, self._mids)

    def _step(self, market: Market, walk: _Walk, now: int) -> None:
        walk.step += 1
        chance = draw(self._seed, market.slug, walk.step, walk.mid)
        walk.next_at = now + _QUICKEST_US + chance % _SPREAD_OF_TIMES_US
        move = (-1, 0, 0, 1)[chance >> 8 & 3] * market.tick
        pull = (market.start_mid > walk.mid) - (market.start_mid < walk.mid)
        if chance >> 16 & 7 == 0:  # now and then the price leans home, so it never wanders off
            move = pull * market.tick
        walk.mid = min(_HIGHEST, max(_LOWEST, walk.mid + move))

    def _requote(self, market: Market, walk: _Walk) -> None:
        wanted = self._wanted(market, walk)
        quotes = self._quotes.setdefault(market.condition_id, {})
        for place, order in list(quotes.items()):
            if order.status != "LIVE" or wanted.get(place) != order.remaining:
                if order.status == "LIVE":
                    self._engine.cancel(order)
                del quotes[place]
        for place, size in wanted.items():
            if place not in quotes:
                quotes[place] = self._quote(market, place, size)

    def _wanted(self, market: Market, walk: _Walk) -> dict[tuple[bool, int], int]:
        """Return the sizes to quote, by side and price of the first token."""
        middle = walk.mid // market.tick * market.tick
        wanted: dict[tuple[bool, int], int] = {}
        for level in range(_LEVELS):
            for is_bid in (True, False):
                gap = (level if is_bid else level + 1) * market.tick
                price = middle - gap if is_bid else middle + gap
                if not market.tick <= price <= MICRO - market.tick:
                    continue
                chance = draw(self._seed, market.slug, price, is_bid, walk.step // 8)
                dollars = (_DEPTH_DOLLARS + chance % _DEPTH_DOLLARS) * (1 + level // 2)
                shares = dollars * MICRO // min(price, MICRO - price)
                wanted[is_bid, price] = shares * MICRO
        return wanted

    def _quote(self, market: Market, place: tuple[bool, int], size: int) -> Order:
        is_bid, book_price = place
        index = (book_price // market.tick) % 2
        side = "BUY" if is_bid == (index == 0) else "SELL"
        price = book_price if index == 0 else MICRO - book_price
        order = self._order(market, index, side, (price, size))
        self._engine.rest_maker(order, keep=False)
        return order

    def _order(self, market: Market, index: int, side: str, terms: tuple[int, int]) -> Order:
        self._count += 1
        now = self._engine.now()
        digest = hashlib.sha256(f"{self._seed}/maker/{now}/{self._count}".encode()).hexdigest()
        return Order(
            order_hash="0x" + digest,
            condition_id=market.condition_id,
            token_id=market.token_ids[index],
            index=index,
            outcome=market.outcomes[index],
            side=side,
            price=terms[0],
            size=terms[1],
            type="GTC",
            wallet=MAKER_WALLET,
            address="",
            api_key=MAKER_KEY,
            origin="maker",
            created_at=now,
        )

    def set_book(self, token_id: str, bids: object, asks: object) -> None:
        """Replace all makers' orders of a market by these levels, and stop its walk.

        What crosses resting orders of users matches at once, at their prices. Raises
        RefusedError for an unknown token, a price off the range or bids that cross asks.
        """
        market = self._engine.tradable(token_id)
        buys, sells = _levels(bids), _levels(asks)
        if buys and sells and max(price for price, _ in buys) >= min(price for price, _ in sells):
            raise RefusedError(400, "bids cross asks")
        self._clear(market.condition_id)
        self._still.add(market.condition_id)
        self._engine.ledger.set_meta(_BOOKS, sorted(self._still))
        index = market.index_of(token_id)
        for side, rows in (("BUY", sorted(buys, reverse=True)), ("SELL", sorted(sells))):
            for terms in rows:
                self._engine.rest_maker(self._order(market, index, side, terms), keep=True)

    def resume(self, token_id: str) -> None:
        """Give a market back to its walk. Raises RefusedError for an unknown token."""
        condition_id = self._engine.tradable(token_id).condition_id
        self._still.discard(condition_id)
        self._engine.ledger.set_meta(_BOOKS, sorted(self._still))
        self._clear(condition_id)

    def _clear(self, condition_id: str) -> None:
        self._quotes.pop(condition_id, None)
        resting = list(self._engine.books[condition_id].resting())
        self._engine.cancel_all(order for order in resting if order.origin == "maker")


def _levels(value: object) -> list[tuple[int, int]]:
    rows: list[tuple[int, int]] = []
    for row in json_list(value if value is not None else [], "levels must be [[price, size], …]"):
        price, size = _pair(row)
        if not 0 < price < MICRO or size <= 0:
            raise RefusedError(400, "a level needs a price between 0 and 1 and a size above 0")
        rows.append((price, size))
    return rows


def _pair(row: object) -> tuple[int, int]:
    if isinstance(row, dict):
        level = cast("Json", row)
        return micro_of(level.get("price")), micro_of(level.get("size"))
    match json_list(row, "a level is [price, size]"):
        case [price, size]:
            return micro_of(price), micro_of(size)
        case _:
            raise RefusedError(400, "a level is [price, size]")

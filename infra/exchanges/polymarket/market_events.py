"""What the market channel says, from its JSON to values: books, changes, trades, ticks, ends."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from domain.errors import InvalidInputError
from domain.market import Book, Level
from domain.order import Side
from infra.exchanges.polymarket import market_parsing, wire
from infra.exchanges.polymarket.wire import Json


@dataclass(frozen=True, kw_only=True)
class BookShown:
    """A token's whole book; it replaces what was known."""

    book: Book
    at: datetime


@dataclass(frozen=True, kw_only=True)
class LevelChanged:
    """The shares that now wait at one price of a book; none at all where the size is 0.

    Attributes:
        best_bid, best_ask: after the change, where the exchange says.
    """

    token_id: str
    side: Side
    level: Level
    best_bid: Decimal | None
    best_ask: Decimal | None
    at: datetime


@dataclass(frozen=True, kw_only=True)
class TradePrinted:
    """Somebody traded; `side` is the taker's."""

    token_id: str
    price: Decimal
    size: Decimal
    side: Side | None
    at: datetime


@dataclass(frozen=True, kw_only=True)
class TickChanged:
    """A token's price grid changed; its book must be shown anew."""

    token_id: str
    condition_id: str
    tick_size: Decimal
    at: datetime


@dataclass(frozen=True, kw_only=True)
class MarketResolved:
    """A market has its outcome."""

    condition_id: str
    winning_token_id: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class MarketListed:
    """A market is new; the registry tells the rest."""

    condition_id: str
    slug: str
    token_ids: tuple[str, ...]
    at: datetime


MarketEvent = BookShown | LevelChanged | TradePrinted | TickChanged | MarketResolved | MarketListed


def market_events(raw: object) -> list[MarketEvent]:
    """Return what one event of the market channel says; several where it changes several prices.

    Raises:
        InvalidInputError: its kind or a field is not understood.
    """
    event = wire.record(raw, "event")
    kind = wire.optional_text(event, "event_type") or _guessed_kind(event)
    if kind == "price_change":
        rows = event.get("price_changes") or [event]  # one flat change, as before 2025-09
        at = wire.moment(event, "timestamp")
        return [_change(row, at) for row in wire.records(rows, "price_changes")]
    parse = PARSERS.get(kind)
    if parse is None:
        raise InvalidInputError("event_type", f"unknown event: {wire.shown(kind)}")
    return [parse(event)]


def _guessed_kind(event: Json) -> str:
    """Return the kind of an event that does not name it, by the fields only that kind has."""
    marks = {"bids": "book", "price_changes": "price_change", "new_tick_size": "tick_size_change"}
    for name, kind in marks.items():
        if name in event:
            return kind
    return "last_trade_price" if "fee_rate_bps" in event else ""


def _book(event: Json) -> BookShown:
    """Return a book."""
    return BookShown(book=market_parsing.book(event), at=wire.moment(event, "timestamp"))


def _change(row: Json, at: datetime) -> LevelChanged:
    """Return the change of one price."""
    return LevelChanged(
        token_id=wire.text(row, "asset_id"),
        side=wire.side(row),
        level=Level(price=wire.price(row), size=wire.size(row, "size")),
        best_bid=wire.optional_number(row, "best_bid"),
        best_ask=wire.optional_number(row, "best_ask"),
        at=at,
    )


def _trade(event: Json) -> TradePrinted:
    """Return a trade between any two."""
    return TradePrinted(
        token_id=wire.text(event, "asset_id"),
        price=wire.price(event),
        size=wire.size(event, "size"),
        side=wire.optional_side(event),
        at=wire.moment(event, "timestamp"),
    )


def _tick(event: Json) -> TickChanged:
    """Return a new price grid."""
    tick_size = wire.number(event, "new_tick_size")
    if tick_size <= 0:
        raise InvalidInputError("new_tick_size", f"expected a number above 0, got {tick_size}")
    return TickChanged(
        token_id=wire.text(event, "asset_id"),
        condition_id=wire.text(event, "market"),
        tick_size=tick_size,
        at=wire.moment(event, "timestamp"),
    )


def _resolved(event: Json) -> MarketResolved:
    """Return a market's outcome."""
    return MarketResolved(
        condition_id=wire.text(event, "market"),
        winning_token_id=wire.text(event, "winning_asset_id"),
        at=wire.moment(event, "timestamp"),
    )


def _listed(event: Json) -> MarketListed:
    """Return a new market."""
    named = "clob_token_ids" if event.get("clob_token_ids") else "assets_ids"
    return MarketListed(
        condition_id=wire.text(event, "condition_id", "market"),
        slug=wire.text(event, "slug"),
        token_ids=tuple(wire.texts(event, named)),
        at=wire.moment(event, "timestamp"),
    )


PARSERS: Final = {
    "book": _book,
    "last_trade_price": _trade,
    "tick_size_change": _tick,
    "market_resolved": _resolved,
    "new_market": _listed,
}

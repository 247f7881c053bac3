"""The tops of many books from the exchange's JSON, quickly: five hundred books come at once."""

from decimal import Decimal
from operator import itemgetter
from typing import Final

from domain.stop import Quote
from infra.exchanges.polymarket import wire
from infra.exchanges.polymarket.wire import Json

PRICE: Final = itemgetter("price")


def quotes(raw: object) -> dict[str, Quote]:
    """Return the top of each book; tokens that the exchange has no book for are left out."""
    found = (quote(one) for one in wire.records(raw, "books"))
    return {one.token_id: one for one in found}


def quote(answer: Json) -> Quote:
    """Return the top of one book."""
    return Quote(
        token_id=wire.text(answer, "asset_id"),
        best_bid=_best(answer, "bids", is_bid=True),
        best_ask=_best(answer, "asks", is_bid=False),
        last_price=wire.optional_number(answer, "last_trade_price"),
    )


def _best(answer: Json, side: str, *, is_bid: bool) -> Decimal | None:
    """Return a side's best price that has shares, whatever order the levels come in.

    Prices are written as fractions of one ("0.45"), and such texts sort as the numbers do: only
    the winner is read as one. Anything written otherwise is read in full.
    """
    levels = wire.records(answer.get(side) or [], side)
    if not levels:
        return None
    if all(_is_fraction(level) for level in (levels[0], levels[-1])):
        try:
            top = max(levels, key=PRICE) if is_bid else min(levels, key=PRICE)
        except (KeyError, TypeError):
            return _read_in_full(levels, is_bid=is_bid)
        if _is_fraction(top) and wire.size(top, "size") > 0:
            return wire.price(top)
    return _read_in_full(levels, is_bid=is_bid)


def _is_fraction(level: Json) -> bool:
    price = level.get("price")
    return isinstance(price, str) and price.startswith("0.")


def _read_in_full(levels: list[Json], *, is_bid: bool) -> Decimal | None:
    """Return the best price of levels whose texts do not sort as their numbers do."""
    prices = [wire.price(level) for level in levels if wire.size(level, "size") > 0]
    if not prices:
        return None
    return max(prices) if is_bid else min(prices)

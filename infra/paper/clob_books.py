"""The CLOB's public REST: books and prices, one or many."""

from collections.abc import Callable
from typing import Final

from infra.paper.catalogue import Market
from infra.paper.exchange import Exchange
from infra.paper.routes import Paths, Served
from infra.paper.views import best, book_of
from infra.paper.wire import (
    Answer,
    Json,
    RefusedError,
    Request,
    answered,
    json_list,
    json_object,
    text_of,
)

_MOST_BOOKS: Final = 500
_NO_BOOK: Final = "No orderbook exists for the requested token id"
_PAYLOAD: Final = "Invalid payload"
_Quote = Callable[[Exchange, str, str], Json]
_Found = list[tuple[str, str, Json]]


def _open(exchange: Exchange, token_id: str) -> tuple[Market, int]:
    if not token_id.isdecimal():
        raise RefusedError(400, "Invalid token id")
    market = exchange.engine.by_token.get(token_id)
    if market is None or market.closed:
        raise RefusedError(404, _NO_BOOK)
    return market, market.index_of(token_id)


def _best(exchange: Exchange, token_id: str) -> tuple[int | None, int | None]:
    market, index = _open(exchange, token_id)
    return best(exchange.engine.books[market.condition_id], index)


def _both(exchange: Exchange, token_id: str) -> tuple[int, int]:
    bid, ask = _best(exchange, token_id)
    if bid is None or ask is None:
        raise RefusedError(404, _NO_BOOK)
    return bid, ask


def _book(exchange: Exchange, token_id: str, _: str) -> Json:
    market, index = _open(exchange, token_id)
    book = exchange.engine.books[market.condition_id]
    last = exchange.engine.last_price(market.condition_id, index)
    return book_of(market, book, index, last, exchange.now())


def _midpoint(exchange: Exchange, token_id: str, _: str) -> Json:
    bid, ask = _both(exchange, token_id)
    return {"mid": text_of((bid + ask) // 2)}


def _price(exchange: Exchange, token_id: str, side: str) -> Json:
    if side.upper() not in {"BUY", "SELL"}:
        raise RefusedError(400, "Invalid side")
    bid, ask = _best(exchange, token_id)
    price = bid if side.upper() == "BUY" else ask
    if price is None:
        raise RefusedError(404, _NO_BOOK)
    return {"price": text_of(price)}


def _spread(exchange: Exchange, token_id: str, _: str) -> Json:
    bid, ask = _both(exchange, token_id)
    return {"spread": text_of(ask - bid)}


def _last(exchange: Exchange, token_id: str, _: str) -> Json:
    market, index = _open(exchange, token_id)
    last = exchange.engine.last_trades.get(market.condition_id)
    if last is None:
        return {"price": "0.5", "side": ""}
    return {"price": exchange.engine.last_price(market.condition_id, index), "side": last[0]}


def _one(quote: _Quote) -> Served:
    def respond(exchange: Exchange, request: Request) -> Answer:
        return answered(quote(exchange, request.one("token_id"), request.one("side")))

    return respond


def _many(quote: _Quote, gather: Callable[[_Found], object]) -> Served:
    def respond(exchange: Exchange, request: Request) -> Answer:
        rows = [json_object(row, _PAYLOAD) for row in json_list(request.json(), _PAYLOAD)]
        if len(rows) > _MOST_BOOKS:
            raise RefusedError(400, "Payload exceeds the limit")
        found: _Found = []
        for row in rows:
            token_id, side = str(row.get("token_id", "")), str(row.get("side", ""))
            try:
                found.append((token_id, side.upper(), quote(exchange, token_id, side or "BUY")))
            except RefusedError:
                continue  # production leaves out what it has no book for
        return answered(gather(found))

    return respond


def _sides(found: _Found) -> object:
    prices: dict[str, Json] = {}
    for token_id, side, row in found:
        prices.setdefault(token_id, {})[side] = row["price"]
    return prices


def _by_token(key: str) -> Callable[[_Found], object]:
    return lambda found: {token_id: row[key] for token_id, _, row in found}


def _rows(found: _Found) -> object:
    return [row for _, _, row in found]


def _named_rows(found: _Found) -> object:
    return [{"token_id": token_id, **row} for token_id, _, row in found]


PATHS: Final[Paths] = {
    ("GET", "/book"): _one(_book),
    ("POST", "/books"): _many(_book, _rows),
    ("GET", "/midpoint"): _one(_midpoint),
    ("POST", "/midpoints"): _many(_midpoint, _by_token("mid")),
    ("GET", "/price"): _one(_price),
    ("POST", "/prices"): _many(_price, _sides),
    ("GET", "/spread"): _one(_spread),
    ("POST", "/spreads"): _many(_spread, _by_token("spread")),
    ("GET", "/last-trade-price"): _one(_last),
    ("POST", "/last-trades-prices"): _many(_last, _named_rows),
}

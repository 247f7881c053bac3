"""The CLOB's public REST: books, prices and markets."""

from collections.abc import Callable
from typing import Final

from infra.paper.catalogue import Market
from infra.paper.clob_trading import page_of, page_start
from infra.paper.engine import Engine
from infra.paper.exchange import Exchange
from infra.paper.routes import Routes
from infra.paper.signatures import EXCHANGE
from infra.paper.views import best, book_of
from infra.paper.wire import (
    MICRO,
    Answer,
    Json,
    RefusedError,
    Request,
    answered,
    json_list,
    json_object,
    number_of,
    text_of,
)

_MOST_BOOKS: Final = 500
_PAGE: Final = 1000
_NO_BOOK: Final = "No orderbook exists for the requested token id"
_PAYLOAD: Final = "Invalid payload"
_HISTORY_ROWS: Final = 500
_LEGACY_FEE_BPS: Final = 1000  # what /fee-rate says of any market with fees; not the real rate


class ClobPublic:
    """Answers what anyone may ask.

    Args:
        exchange: the exchange it speaks for.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    @property
    def _engine(self) -> Engine:
        return self._exchange.engine

    def register(self, routes: Routes) -> None:
        """Add its paths."""
        for path, one, many in (
            ("/book", self._book, "/books"),
            ("/midpoint", self._midpoint, "/midpoints"),
            ("/price", self._price, "/prices"),
            ("/spread", self._spread, "/spreads"),
            ("/last-trade-price", self._last, "/last-trades-prices"),
        ):
            routes.add("GET", path, _single(one))
            routes.add("POST", many, self._batch(path, one))
        routes.add_all(
            ("GET", "/tick-size", self._tick_size),
            ("GET", "/tick-size/", self._tick_size),
            ("GET", "/neg-risk", self._neg_risk),
            ("GET", "/neg-risk/", self._neg_risk),
            ("GET", "/fee-rate", self._fee_rate),
            ("GET", "/fee-rate/", self._fee_rate),
            ("GET", "/markets-by-token/", self._by_token),
            ("GET", "/clob-markets/", self._clob_market),
            ("GET", "/markets", self._markets),
            ("GET", "/sampling-markets", self._markets),
            ("GET", "/markets/", self._market),
            ("GET", "/simplified-markets", self._simplified),
            ("GET", "/sampling-simplified-markets", self._simplified),
            ("GET", "/prices-history", self._history),
            ("GET", "/fees/builder-fees/", self._builder_fees),
            ("GET", "/time", lambda _: answered(self._exchange.now() // MICRO)),
            ("GET", "/ok", lambda _: answered("OK")),
            ("GET", "/version", lambda _: answered({"version": 2})),
        )

    def _open(self, token_id: str) -> tuple[Market, int]:
        if not token_id.isdecimal():
            raise RefusedError(400, "Invalid token id")
        market = self._engine.by_token.get(token_id)
        if market is None or market.closed:
            raise RefusedError(404, _NO_BOOK)
        return market, market.index_of(token_id)

    def _known(self, request: Request) -> Market:
        market = self._engine.by_token.get(request.tail or request.one("token_id"))
        if market is None:
            raise RefusedError(404, "market not found")
        return market

    def _best(self, token_id: str) -> tuple[int | None, int | None]:
        market, index = self._open(token_id)
        return best(self._engine.books[market.condition_id], index)

    def _book(self, token_id: str, _: str) -> Json:
        market, index = self._open(token_id)
        return book_of(
            market,
            self._engine.books[market.condition_id],
            index,
            self._engine.last_price(market.condition_id, index),
            self._exchange.now(),
        )

    def _midpoint(self, token_id: str, _: str) -> Json:
        bid, ask = self._best(token_id)
        if bid is None or ask is None:
            raise RefusedError(404, _NO_BOOK)
        return {"mid": text_of((bid + ask) // 2)}

    def _price(self, token_id: str, side: str) -> Json:
        if side.upper() not in {"BUY", "SELL"}:
            raise RefusedError(400, "Invalid side")
        bid, ask = self._best(token_id)
        price = bid if side.upper() == "BUY" else ask
        if price is None:
            raise RefusedError(404, _NO_BOOK)
        return {"price": text_of(price)}

    def _spread(self, token_id: str, _: str) -> Json:
        bid, ask = self._best(token_id)
        if bid is None or ask is None:
            raise RefusedError(404, _NO_BOOK)
        return {"spread": text_of(ask - bid)}

    def _last(self, token_id: str, _: str) -> Json:
        market, index = self._open(token_id)
        last = self._engine.last_trades.get(market.condition_id)
        if last is None:
            return {"price": "0.5", "side": ""}
        return {"price": self._engine.last_price(market.condition_id, index), "side": last[0]}

    def _batch(self, path: str, one: Callable[[str, str], Json]) -> Callable[[Request], Answer]:
        def respond(request: Request) -> Answer:
            rows = [json_object(row, _PAYLOAD) for row in json_list(request.json(), _PAYLOAD)]
            if len(rows) > _MOST_BOOKS:
                raise RefusedError(400, "Payload exceeds the limit")
            found: list[tuple[str, str, Json]] = []
            for row in rows:
                token_id, side = str(row.get("token_id", "")), str(row.get("side", ""))
                try:
                    found.append((token_id, side.upper(), one(token_id, side or "BUY")))
                except RefusedError:
                    continue  # production leaves out what it has no book for
            return answered(_BATCHES[path](found))

        return respond

    def _tick_size(self, request: Request) -> Answer:
        return answered({"minimum_tick_size": number_of(self._known(request).tick)})

    def _neg_risk(self, request: Request) -> Answer:
        return answered({"neg_risk": self._known(request).neg_risk})

    def _fee_rate(self, request: Request) -> Answer:
        market = self._engine.by_token.get(request.tail or request.one("token_id"))
        if market is None:
            raise RefusedError(404, "fee rate not found for market")
        return answered({"base_fee": _LEGACY_FEE_BPS if market.has_fees else 0})

    def _by_token(self, request: Request) -> Answer:
        market = self._known(request)
        first, second = market.token_ids
        return answered(
            {
                "condition_id": market.condition_id,
                "primary_token_id": first,
                "secondary_token_id": second,
            }
        )

    def _of_condition(self, request: Request) -> Market:
        market = self._engine.markets.get(request.tail)
        if market is None:
            raise RefusedError(404, "market not found")
        return market

    def _clob_market(self, request: Request) -> Answer:
        market = self._of_condition(request)
        named = zip(market.token_ids, market.outcomes, strict=True)
        document: Json = {
            "c": market.condition_id,
            "t": [{"t": token, "o": outcome} for token, outcome in named],
            "mts": number_of(market.tick),
            "mos": number_of(market.min_size),
            "mbf": 0,
            "tbf": _LEGACY_FEE_BPS if market.has_fees else 0,
            "r": None,
            "ao": not market.closed,
            "cbos": True,
            "v": "v1",
        }
        if market.neg_risk:
            document["nr"] = True
        if market.has_fees:
            rate = number_of(int(float(market.fee_rate) * MICRO))
            document["fd"] = {"r": rate, "e": market.fee_exponent, "to": True}
        if market.delay_us:
            document["sd"] = market.delay_us // MICRO
            document["itode"] = True
        return answered(document)

    def _market(self, request: Request) -> Answer:
        return answered(self._full(self._of_condition(request)))

    def _markets(self, request: Request) -> Answer:
        return self._page(request, self._full)

    def _simplified(self, request: Request) -> Answer:
        return self._page(request, self._brief)

    def _page(self, request: Request, shown: Callable[[Market], Json]) -> Answer:
        start = page_start(request)
        chosen = list(self._engine.markets.values())[start : start + _PAGE + 1]
        return answered(page_of([shown(market) for market in chosen], start, _PAGE))

    def _tokens(self, market: Market) -> list[Json]:
        return [
            {
                "token_id": token_id,
                "outcome": market.outcomes[index],
                "price": number_of(price_of(self._exchange, market, index)),
                "winner": market.payouts is not None and market.payouts[index] == "1",
            }
            for index, token_id in enumerate(market.token_ids)
        ]

    def _brief(self, market: Market) -> Json:
        return {
            "condition_id": market.condition_id,
            "tokens": self._tokens(market),
            "rewards": {"rates": None, "min_size": 0, "max_spread": 0},
            "active": True,
            "closed": market.closed,
            "archived": False,
            "accepting_orders": not market.closed,
        }

    def _full(self, market: Market) -> Json:
        fee = _LEGACY_FEE_BPS if market.has_fees else 0
        return {
            **self._brief(market),
            "enable_order_book": True,
            "accepting_order_timestamp": market.start_date,
            "minimum_order_size": number_of(market.min_size),
            "minimum_tick_size": number_of(market.tick),
            "question_id": market.question_id,
            "question": market.question,
            "description": market.question,
            "market_slug": market.slug,
            "end_date_iso": market.end_date,
            "game_start_time": None,
            "seconds_delay": market.delay_us // MICRO,
            "fpmm": EXCHANGE,
            "maker_base_fee": fee,
            "taker_base_fee": fee,
            "notifications_enabled": True,
            "neg_risk": market.neg_risk,
            "neg_risk_market_id": market.neg_risk_market_id,
            "neg_risk_request_id": "",
            "icon": "",
            "image": "",
            "is_50_50_outcome": False,
            "tags": [market.tag, "All"],
        }

    def _history(self, request: Request) -> Answer:
        token_id = request.one("market")
        market = self._engine.by_token.get(token_id)
        if market is None:
            raise RefusedError(404, "market not found")
        index = market.index_of(token_id)
        rows = self._engine.ledger.rows(
            "SELECT matched_at, price, token_id FROM legs WHERE place = 0 AND condition_id = ? "
            "ORDER BY matched_at DESC LIMIT ?",
            (market.condition_id, _HISTORY_ROWS),
        )
        points = [
            {
                "t": int(str(row["matched_at"])) // MICRO,
                "p": number_of(_own(int(str(row["price"])), same=row["token_id"] == token_id)),
            }
            for row in reversed(rows)
        ]
        now = {
            "t": self._exchange.now() // MICRO,
            "p": number_of(price_of(self._exchange, market, index)),
        }
        return answered({"history": [*points, now]})

    def _builder_fees(self, request: Request) -> Answer:
        if set(request.tail.removeprefix("0x")) != {"0"}:
            raise RefusedError(404, "builder not found")
        return answered({"builder_maker_fee_rate_bps": 0, "builder_taker_fee_rate_bps": 0})


def _own(price: int, *, same: bool) -> int:
    return price if same else MICRO - price


def price_of(exchange: Exchange, market: Market, index: int) -> int:
    """Return what a token is worth now: its payout, its middle, or the market's first price."""
    if market.payouts is not None:
        return int(float(market.payouts[index]) * MICRO)
    bid, ask = best(exchange.engine.books[market.condition_id], index)
    if bid is not None and ask is not None:
        return (bid + ask) // 2
    return market.start_mid if index == 0 else MICRO - market.start_mid


def _single(one: Callable[[str, str], Json]) -> Callable[[Request], Answer]:
    return lambda request: answered(one(request.one("token_id"), request.one("side")))


_Found = list[tuple[str, str, Json]]


def _sides(found: _Found) -> Json:
    prices: dict[str, Json] = {}
    for token_id, side, row in found:
        prices.setdefault(token_id, {})[side] = row["price"]
    return {**prices}


def _books(found: _Found) -> object:
    return [row for _, _, row in found]


def _lasts(found: _Found) -> object:
    return [{"token_id": token_id, **row} for token_id, _, row in found]


_BATCHES: Final[dict[str, Callable[[_Found], object]]] = {
    "/book": _books,
    "/midpoint": lambda found: {token_id: row["mid"] for token_id, _, row in found},
    "/price": _sides,
    "/spread": lambda found: {token_id: row["spread"] for token_id, _, row in found},
    "/last-trade-price": _lasts,
}

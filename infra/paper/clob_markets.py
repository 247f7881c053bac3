"""The CLOB's public REST: markets, their parameters and their past."""

import re
from collections.abc import Callable
from typing import Final, cast

from infra.paper.catalogue import Market
from infra.paper.exchange import Exchange
from infra.paper.market_views import LEGACY_FEE_BPS, brief_market, full_market
from infra.paper.pages import MARKETS_PAGE, cursor_page, cursor_start, integer
from infra.paper.prices import market_of_path, market_of_token, price_of
from infra.paper.routes import Paths, Served
from infra.paper.wire import (
    MICRO,
    Answer,
    Json,
    RefusedError,
    Request,
    answered,
    number_of,
    text_of,
)

_HISTORY_ROWS: Final = 500
_ACTIVITY_ROWS: Final = 50
_DAY: Final = 86_400
_SPANS: Final = {"1h": 3_600, "6h": 21_600, "1d": _DAY, "1w": 7 * _DAY, "1m": 30 * _DAY}
_LEAST_FIDELITY: Final = {"1w": 5, "1m": 10}  # minutes
_BUILDER: Final = re.compile(r"0x[0-9a-fA-F]{64}")


def _token_of(request: Request) -> str:
    return request.tail or request.one("token_id")


def _tick_size(exchange: Exchange, request: Request) -> Answer:
    market = market_of_token(exchange, _token_of(request))
    return answered({"minimum_tick_size": number_of(market.tick)})


def _neg_risk(exchange: Exchange, request: Request) -> Answer:
    return answered({"neg_risk": market_of_token(exchange, _token_of(request)).neg_risk})


def _fee_rate(exchange: Exchange, request: Request) -> Answer:
    market = exchange.engine.by_token.get(_token_of(request))
    if market is None:
        raise RefusedError(404, "fee rate not found for market")
    return answered({"base_fee": LEGACY_FEE_BPS if market.has_fees else 0})


def _by_token(exchange: Exchange, request: Request) -> Answer:
    market = market_of_token(exchange, request.tail)
    first, second = market.token_ids
    return answered(
        {
            "condition_id": market.condition_id,
            "primary_token_id": first,
            "secondary_token_id": second,
        }
    )


def _clob_market(exchange: Exchange, request: Request) -> Answer:
    market = market_of_path(exchange, request)
    named = zip(market.token_ids, market.outcomes, strict=True)
    document: Json = {
        "c": market.condition_id,
        "t": [{"t": token, "o": outcome} for token, outcome in named],
        "mts": number_of(market.tick),
        "mos": number_of(market.min_size),
        "mbf": 0,
        "tbf": LEGACY_FEE_BPS if market.has_fees else 0,
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


def _market(exchange: Exchange, request: Request) -> Answer:
    return answered(full_market(exchange, market_of_path(exchange, request)))


def _listing(shown: Callable[[Exchange, Market], Json], *, sampling: bool) -> Served:
    """Return the responder of a listing; a sampling one holds only markets that take orders."""

    def respond(exchange: Exchange, request: Request) -> Answer:
        start = cursor_start(request)
        markets = [m for m in exchange.engine.markets.values() if not (sampling and m.closed)]
        chosen = markets[start : start + MARKETS_PAGE + 1]
        return answered(cursor_page([shown(exchange, m) for m in chosen], start, MARKETS_PAGE))

    return respond


def history_of(
    exchange: Exchange, market: Market, index: int, window: tuple[int, int]
) -> list[tuple[int, int]]:
    """Return (second, price) of a token's trades in a window of unix seconds, oldest first."""
    rows = exchange.ledger.rows(
        "SELECT matched_at, price, token_id FROM legs WHERE place = 0 AND condition_id = ? "
        "AND matched_at BETWEEN ? AND ? ORDER BY matched_at DESC LIMIT ?",
        (market.condition_id, window[0] * MICRO, (window[1] + 1) * MICRO - 1, _HISTORY_ROWS),
    )
    points: list[tuple[int, int]] = []
    for row in reversed(rows):
        price = cast("int", row["price"])
        shown = price if row["token_id"] == market.token_ids[index] else MICRO - price
        points.append((cast("int", row["matched_at"]) // MICRO, shown))
    return points


def _history(exchange: Exchange, request: Request) -> Answer:
    token_id = request.one("market")
    market = market_of_token(exchange, token_id)
    index, now = market.index_of(token_id), exchange.now() // MICRO
    points = history_of(exchange, market, index, _window(request, now))
    points.append((now, price_of(exchange, market, index)))
    return answered({"history": [{"t": at, "p": number_of(price)} for at, price in points]})


def _window(request: Request, now: int) -> tuple[int, int]:
    """Return the seconds a price history spans. Raises RefusedError as production does."""
    interval = request.one("interval")
    fidelity = integer(request, "fidelity", 0, 400)
    least = _LEAST_FIDELITY.get(interval, 0)
    if fidelity and fidelity < least:
        raise RefusedError(
            400, f"invalid filters: minimum 'fidelity' for '{interval}' range is {least}"
        )
    if interval:
        return now - _SPANS.get(interval, now), now
    return integer(request, "startTs", 0, 400), integer(request, "endTs", now, 400)


def _builder_fees(_: Exchange, request: Request) -> Answer:
    """Answer for any builder code: none is registered here, and none takes a fee."""
    if _BUILDER.fullmatch(request.tail) is None:
        raise RefusedError(404, "builder not found")
    return answered({"builder_maker_fee_rate_bps": 0, "builder_taker_fee_rate_bps": 0})


def _live_activity(exchange: Exchange, request: Request) -> Answer:
    market = market_of_path(exchange, request)
    rows = exchange.ledger.trades(
        "condition_id = ? ORDER BY seq DESC LIMIT ?", (market.condition_id, _ACTIVITY_ROWS)
    )
    return answered(
        [
            {
                "event_type": "trade",
                "market": {
                    "condition_id": market.condition_id,
                    "asset_id": trade.taker.token_id,
                    "question": market.question,
                    "icon": "",
                    "slug": market.slug,
                },
                "user": {
                    "address": trade.taker.wallet,
                    "username": "",
                    "profile_picture": "",
                    "optimized_profile_picture": "",
                    "pseudonym": "",
                },
                "side": trade.taker.side,
                "size": text_of(trade.taker.size),
                "fee_rate_bps": "0",
                "price": text_of(trade.taker.price),
                "outcome": trade.taker.outcome,
                "outcome_index": trade.taker.index,
                "transaction_hash": trade.transaction_hash,
                "timestamp": str(trade.matched_at // MICRO),
            }
            for trade in rows
        ]
    )


PATHS: Final[Paths] = {
    ("GET", "/time"): lambda exchange, _: answered(exchange.now() // MICRO),
    ("GET", "/ok"): lambda _exchange, _request: answered("OK"),
    ("GET", "/version"): lambda _exchange, _request: answered({"version": 2}),
    ("GET", "/tick-size"): _tick_size,
    ("GET", "/tick-size/{}"): _tick_size,
    ("GET", "/neg-risk"): _neg_risk,
    ("GET", "/neg-risk/{}"): _neg_risk,
    ("GET", "/fee-rate"): _fee_rate,
    ("GET", "/fee-rate/{}"): _fee_rate,
    ("GET", "/markets-by-token/{}"): _by_token,
    ("GET", "/clob-markets/{}"): _clob_market,
    ("GET", "/markets"): _listing(full_market, sampling=False),
    ("GET", "/markets/{}"): _market,
    ("GET", "/sampling-markets"): _listing(full_market, sampling=True),
    ("GET", "/simplified-markets"): _listing(brief_market, sampling=False),
    ("GET", "/sampling-simplified-markets"): _listing(brief_market, sampling=True),
    ("GET", "/markets/live-activity/{}"): _live_activity,
    ("GET", "/prices-history"): _history,
    ("GET", "/fees/builder-fees/{}"): _builder_fees,
}

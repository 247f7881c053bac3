"""The Gamma API: what markets and events there are."""

from collections.abc import Iterable
from typing import Final, TypeVar

from infra.paper.catalogue import Market
from infra.paper.clob_public import price_of
from infra.paper.engine import Engine
from infra.paper.exchange import Exchange
from infra.paper.routes import Routes
from infra.paper.views import best
from infra.paper.wire import (
    Answer,
    Json,
    RefusedError,
    Request,
    answered,
    encode,
    number_of,
    text_of,
)

_ORACLE: Final = "0x65070BE91477460D8A7AeEb94ef92fe056C2f2A7"
_DEFAULT_LIMIT: Final = 20
_MOST: Final = 500
_FARTHEST: Final = 2000
_Row = TypeVar("_Row")


class Gamma:
    """Answers the listing API.

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
        routes.add_all(
            ("GET", "/markets", self._markets),
            ("GET", "/markets/keyset", self._markets_keyset),
            ("GET", "/markets/slug/", self._market),
            ("GET", "/markets/", self._market),
            ("GET", "/events", self._events),
            ("GET", "/events/keyset", self._events_keyset),
            ("GET", "/events/slug/", self._event),
            ("GET", "/events/", self._event),
            ("GET", "/public-search", self._search),
            ("GET", "/tags", lambda _: answered(_tags(self._engine.markets.values()))),
            ("GET", "/series", lambda _: answered([])),
            ("GET", "/sports", lambda _: answered([])),
        )

    def _wanted(self, request: Request) -> list[Market]:
        slugs, closed = set(request.many("slug")), request.one("closed")
        conditions = {text.lower() for text in request.many("condition_ids")}
        tokens, ids = set(request.many("clob_token_ids")), set(request.many("id"))
        return [
            market
            for market in self._engine.markets.values()
            if (not slugs or market.slug in slugs)
            and (not conditions or market.condition_id in conditions)
            and (not tokens or tokens.intersection(market.token_ids))
            and (not ids or market.gamma_id in ids)
            and (not closed or market.closed == (closed == "true"))
        ]

    def _markets(self, request: Request) -> Answer:
        return answered([self._shown(market) for market in _offset(request, self._wanted(request))])

    def _markets_keyset(self, request: Request) -> Answer:
        page, cursor = _keyset(request, self._wanted(request))
        return answered(
            {"markets": [self._shown(market) for market in page], "next_cursor": cursor}
        )

    def _market(self, request: Request) -> Answer:
        for market in self._engine.markets.values():
            if request.tail in (market.gamma_id, market.slug):
                return answered(self._shown(market))
        raise RefusedError(404, "id not found")

    def _grouped(self, request: Request) -> list[list[Market]]:
        groups: dict[str, list[Market]] = {}
        for market in self._engine.markets.values():
            groups.setdefault(market.event_id, []).append(market)
        slugs, ids, closed = (
            set(request.many("slug")),
            set(request.many("id")),
            request.one("closed"),
        )
        return [
            group
            for group in groups.values()
            if (not slugs or group[0].event_slug in slugs)
            and (not ids or group[0].event_id in ids)
            and (not closed or all(m.closed for m in group) == (closed == "true"))
        ]

    def _events(self, request: Request) -> Answer:
        return answered([self._event_of(g) for g in _offset(request, self._grouped(request))])

    def _events_keyset(self, request: Request) -> Answer:
        page, cursor = _keyset(request, self._grouped(request))
        return answered({"events": [self._event_of(g) for g in page], "next_cursor": cursor})

    def _event(self, request: Request) -> Answer:
        wanted, request.query = request.tail, {}
        for group in self._grouped(request):
            if wanted in (group[0].event_id, group[0].event_slug):
                return answered(self._event_of(group))
        raise RefusedError(404, "id not found")

    def _search(self, request: Request) -> Answer:
        words = request.one("q").lower().split()
        request.query = {}
        found = [
            self._event_of(group)
            for group in self._grouped(request)
            if any(all(word in market.question.lower() for word in words) for market in group)
        ]
        return answered({"events": found, "tags": [], "profiles": [], "pagination": _SEARCH_END})

    def _event_of(self, group: list[Market]) -> Json:
        first = group[0]
        return {
            "id": first.event_id,
            "ticker": first.event_slug,
            "slug": first.event_slug,
            "title": first.event_title,
            "description": first.event_title,
            "active": True,
            "closed": all(market.closed for market in group),
            "archived": False,
            "startDate": first.start_date,
            "endDate": first.end_date,
            "negRisk": first.neg_risk,
            "negRiskMarketID": first.neg_risk_market_id,
            "enableNegRisk": first.neg_risk,
            "negRiskAugmented": False,
            "enableOrderBook": True,
            "tags": _tags([first]),
            "markets": [self._shown(market) for market in group],
        }

    def _shown(self, market: Market) -> Json:
        prices = [text_of(price_of(self._exchange, market, index)) for index in (0, 1)]
        return {
            "id": market.gamma_id,
            "version": "v1",
            "question": market.question,
            "conditionId": market.condition_id,
            "slug": market.slug,
            "description": market.question,
            "startDate": market.start_date,
            "endDate": market.end_date,
            "outcomes": encode(market.outcomes).decode(),
            "outcomePrices": encode(prices).decode(),
            "clobTokenIds": encode(market.token_ids).decode(),
            "active": True,
            "closed": market.closed,
            "archived": False,
            "acceptingOrders": not market.closed,
            "enableOrderBook": True,
            "negRisk": market.neg_risk,
            "negRiskMarketID": market.neg_risk_market_id,
            "questionID": market.question_id,
            "orderPriceMinTickSize": number_of(market.tick),
            "orderMinSize": number_of(market.min_size),
            "groupItemTitle": market.question if market.neg_risk else "",
            "resolvedBy": _ORACLE,
            "events": [
                {
                    "id": market.event_id,
                    "slug": market.event_slug,
                    "title": market.event_title,
                }
            ],
            "tags": _tags([market]),
            **self._quotes(market),
            **_fees(market),
            **_closing(market),
        }

    def _quotes(self, market: Market) -> Json:
        bid, ask = best(self._engine.books[market.condition_id], 0)
        last = self._engine.last_trades.get(market.condition_id)
        shown = last[1] if last else price_of(self._exchange, market, 0)
        return {
            "bestBid": number_of(bid or 0),
            "bestAsk": number_of(1_000_000 if ask is None else ask),
            "spread": number_of(ask - bid if bid is not None and ask is not None else 0),
            "lastTradePrice": number_of(shown),
            "volume": "0",
            "volumeNum": 0,
            "volume24hr": 0,
            "liquidity": "0",
            "liquidityNum": 0,
        }


_SEARCH_END: Final = {"hasMore": False, "totalResults": 0}


def _fees(market: Market) -> Json:
    if not market.has_fees:
        return {"feesEnabled": False}
    return {
        "feesEnabled": True,
        "feeType": f"{market.tag.lower()}_fees",
        "feeSchedule": {
            "exponent": market.fee_exponent,
            "rate": float(market.fee_rate),
            "takerOnly": True,
            "rebateRate": 0.25,
        },
    }


def _closing(market: Market) -> Json:
    if not market.closed:
        return {}
    resolved: Json = {"closedTime": market.closed_time}
    if market.payouts is not None:
        resolved["umaResolutionStatus"] = "resolved"
        resolved["umaResolutionStatuses"] = '["proposed","resolved"]'
    return resolved


def _tags(markets: Iterable[Market]) -> list[Json]:
    names = dict.fromkeys(market.tag for market in markets)
    return [{"id": str(100 + sum(n.encode())), "label": n, "slug": n.lower()} for n in names]


def _integer(request: Request, name: str, default: int) -> int:
    text = request.one(name)
    if text and not text.isdecimal():
        raise RefusedError(422, f"invalid {name}")
    return int(text) if text else default


def _offset(request: Request, rows: list[_Row]) -> list[_Row]:
    start = _integer(request, "offset", 0)
    if start > _FARTHEST:
        raise RefusedError(422, "offset exceeds maximum")
    return rows[start : start + min(_MOST, _integer(request, "limit", _DEFAULT_LIMIT))]


def _keyset(request: Request, rows: list[_Row]) -> tuple[list[_Row], str | None]:
    start = _integer(request, "after_cursor", 0)
    limit = min(_MOST, max(1, _integer(request, "limit", _DEFAULT_LIMIT)))
    end = start + limit
    return rows[start:end], str(end) if len(rows) > end else None

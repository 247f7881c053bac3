"""The Gamma API: what markets and events there are, filtered, ordered and searched."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final

from infra.paper.catalogue import Market
from infra.paper.exchange import Exchange
from infra.paper.gamma_views import (
    Group,
    event_view,
    groups,
    liquidity_of,
    market_view,
    tag_id_of,
    tags_of,
    volume_of,
)
from infra.paper.pages import integer, keyset_page, offset_page
from infra.paper.prices import price_of
from infra.paper.routes import Paths
from infra.paper.wire import Answer, Json, RefusedError, Request, answered, micro_of

_DAY_US: Final = 86_400_000_000
_Amount = Callable[[Exchange, Market], int | str]
_ORDERS: Final[dict[str, _Amount]] = {
    "id": lambda _, market: int(market.gamma_id),
    "volume": volume_of,
    "volumenum": volume_of,
    "volume24hr": lambda exchange, market: volume_of(exchange, market, exchange.now() - _DAY_US),
    "liquidity": liquidity_of,
    "liquiditynum": liquidity_of,
    "startdate": lambda _, market: market.start_date,
    "enddate": lambda _, market: market.end_date,
    "closedtime": lambda _, market: market.closed_time,
    "lasttradeprice": lambda exchange, market: price_of(exchange, market, 0),
    "title": lambda _, market: market.event_title,
    "slug": lambda _, market: market.slug,
}
_LEAST: Final = {
    "volume_min": volume_of,
    "volume_num_min": volume_of,
    "liquidity_min": liquidity_of,
    "liquidity_num_min": liquidity_of,
}
_MOST: Final = {
    "volume_max": volume_of,
    "volume_num_max": volume_of,
    "liquidity_max": liquidity_of,
    "liquidity_num_max": liquidity_of,
}


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise RefusedError(422, "invalid date") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _fits(exchange: Exchange, request: Request, market: Market) -> bool:
    """Tell whether a market passes the filters that markets and events have in common."""
    closed, tags = request.one("closed"), {*request.many("tag_id"), *request.many("tag_ids")}
    tag_slug, version = request.one("tag_slug"), request.many("version")
    return (
        (not closed or market.closed == (closed.lower() == "true"))
        and (request.one("active").lower() != "false")
        and (request.one("archived").lower() != "true")
        and (not tags or tag_id_of(market.tag) in tags)
        and (not tag_slug or market.tag.lower() == tag_slug.lower())
        and (not version or "v1" in version)
        and _is_in_time(request, market)
        and _is_in_size(exchange, request, market)
    )


def _is_in_time(request: Request, market: Market) -> bool:
    start, end = _moment(market.start_date), _moment(market.end_date)
    for name, moment in (("start_date", start), ("end_date", end)):
        low, high = request.one(f"{name}_min"), request.one(f"{name}_max")
        if (low and moment < _moment(low)) or (high and moment > _moment(high)):
            return False
    return True


def _is_in_size(exchange: Exchange, request: Request, market: Market) -> bool:
    low = ((name, size) for name, size in _LEAST.items() if request.one(name))
    high = ((name, size) for name, size in _MOST.items() if request.one(name))
    return all(size(exchange, market) >= micro_of(request.one(n)) for n, size in low) and all(
        size(exchange, market) <= micro_of(request.one(n)) for n, size in high
    )


def _orders(request: Request) -> list[_Amount]:
    named = [name for name in request.one("order").split(",") if name]
    unknown = [name for name in named if name.replace("_", "").lower() not in _ORDERS]
    if unknown:
        raise RefusedError(422, f"order field '{unknown[0]}' is not valid")
    return [_ORDERS[name.replace("_", "").lower()] for name in named]


def _wanted(exchange: Exchange, request: Request) -> list[Market]:
    slugs, ids = set(request.many("slug")), set(request.many("id"))
    conditions = {text.lower() for text in request.many("condition_ids")}
    questions = {text.lower() for text in request.many("question_ids")}
    tokens = set(request.many("clob_token_ids") or request.many("position_ids"))
    found = [
        market
        for market in exchange.engine.markets.values()
        if (not slugs or market.slug in slugs)
        and (not ids or market.gamma_id in ids)
        and (not conditions or market.condition_id in conditions)
        and (not questions or market.question_id in questions)
        and (not tokens or not tokens.isdisjoint(market.token_ids))
        and _fits(exchange, request, market)
    ]
    orders = _orders(request)
    if orders:
        rising = request.one("ascending", "true").lower() == "true"
        found.sort(key=lambda m: tuple(by(exchange, m) for by in orders), reverse=not rising)
    return found


def _grouped(exchange: Exchange, request: Request) -> list[Group]:
    slugs, ids = set(request.many("slug")), set(request.many("id"))
    title = request.one("title_search").lower()
    found = [
        group
        for group in groups(exchange)
        if (not slugs or group[0].event_slug in slugs)
        and (not ids or group[0].event_id in ids)
        and title in group[0].event_title.lower()
        and any(_fits(exchange, request, market) for market in group)
    ]
    orders = _orders(request)
    if orders:
        rising = request.one("ascending", "true").lower() == "true"
        found.sort(key=lambda g: tuple(by(exchange, g[0]) for by in orders), reverse=not rising)
    return found


def _shown(exchange: Exchange, markets: Iterable[Market]) -> list[Json]:
    return [market_view(exchange, market) for market in markets]


def _markets(exchange: Exchange, request: Request) -> Answer:
    return answered(_shown(exchange, offset_page(request, _wanted(exchange, request))))


def _markets_keyset(exchange: Exchange, request: Request) -> Answer:
    page, cursor = keyset_page(request, _wanted(exchange, request))
    return answered({"markets": _shown(exchange, page), "next_cursor": cursor})


def _named(exchange: Exchange, request: Request) -> Market:
    for market in exchange.engine.markets.values():
        if request.tail in (market.gamma_id, market.slug):
            return market
    raise RefusedError(404, "id not found")


def _market(exchange: Exchange, request: Request) -> Answer:
    return answered(market_view(exchange, _named(exchange, request)))


def _market_tags(exchange: Exchange, request: Request) -> Answer:
    return answered(tags_of([_named(exchange, request)]))


def _events(exchange: Exchange, request: Request) -> Answer:
    page = offset_page(request, _grouped(exchange, request))
    return answered([event_view(exchange, group) for group in page])


def _events_keyset(exchange: Exchange, request: Request) -> Answer:
    page, cursor = keyset_page(request, _grouped(exchange, request))
    shown = [event_view(exchange, group) for group in page]
    return answered({"events": shown, "next_cursor": cursor})


def _group(exchange: Exchange, request: Request) -> Group:
    for group in groups(exchange):
        if request.tail in (group[0].event_id, group[0].event_slug):
            return group
    raise RefusedError(404, "id not found")


def _event(exchange: Exchange, request: Request) -> Answer:
    return answered(event_view(exchange, _group(exchange, request)))


def _event_tags(exchange: Exchange, request: Request) -> Answer:
    return answered(tags_of(_group(exchange, request)))


def _search(exchange: Exchange, request: Request) -> Answer:
    """Answer with events whose question or title has all the words, and tags when asked for."""
    words = request.one("q").lower().split()
    status = request.one("events_status")
    found = [
        group
        for group in groups(exchange)
        if any(_has(words, f"{market.question} {market.event_title}") for market in group)
        and (not status or all(m.closed for m in group) == (status in {"closed", "resolved"}))
    ]
    page = max(1, integer(request, "page", 1))
    limit = max(1, integer(request, "limit_per_type", 10))
    shown = found[(page - 1) * limit : page * limit]
    asked = request.one("search_tags").lower() == "true"
    tags = [tag for tag in tags_of(exchange.engine.markets.values()) if _has(words, _label(tag))]
    more = len(found) > page * limit
    return answered(
        {
            "events": [event_view(exchange, group) for group in shown],
            "tags": [{**tag, "event_count": 0} for tag in tags] if asked else [],
            "profiles": [],
            "pagination": {"hasMore": more, "totalResults": len(found)},
        }
    )


def _has(words: list[str], text: str) -> bool:
    return all(word in text.lower() for word in words)


def _label(tag: Json) -> str:
    return str(tag["label"])


PATHS: Final[Paths] = {
    ("GET", "/markets"): _markets,
    ("GET", "/markets/keyset"): _markets_keyset,
    ("GET", "/markets/{}"): _market,
    ("GET", "/markets/slug/{}"): _market,
    ("GET", "/markets/{}/tags"): _market_tags,
    ("GET", "/events"): _events,
    ("GET", "/events/keyset"): _events_keyset,
    ("GET", "/events/{}"): _event,
    ("GET", "/events/slug/{}"): _event,
    ("GET", "/events/{}/tags"): _event_tags,
    ("GET", "/public-search"): _search,
}

"""The JSON shapes of markets, events and tags as the Gamma API shows them."""

from collections.abc import Iterable
from typing import Final, cast

from infra.paper.catalogue import Market
from infra.paper.exchange import Exchange
from infra.paper.prices import price_of
from infra.paper.views import best
from infra.paper.wire import MICRO, Json, encode, number_of, text_of

_ORACLE: Final = "0x65070BE91477460D8A7AeEb94ef92fe056C2f2A7"
_DAY_US: Final = 86_400 * MICRO
Group = list[Market]


def groups(exchange: Exchange) -> list[Group]:
    """Return the markets of each event."""
    found: dict[str, Group] = {}
    for market in exchange.engine.markets.values():
        found.setdefault(market.event_id, []).append(market)
    return list(found.values())


def tag_id_of(name: str) -> str:
    """Return the id of a tag; it follows from its name."""
    return str(100 + sum(name.encode()))


def tags_of(markets: Iterable[Market]) -> list[Json]:
    """Return the tags of markets, each once."""
    names = dict.fromkeys(market.tag for market in markets)
    return [{"id": tag_id_of(name), "label": name, "slug": name.lower()} for name in names]


def volume_of(exchange: Exchange, market: Market, since: int = 0) -> int:
    """Return the dollars takers traded in a market since a moment."""
    row = exchange.ledger.rows(
        "SELECT COALESCE(SUM(cash), 0) AS cash FROM legs "
        "WHERE place = 0 AND condition_id = ? AND matched_at >= ?",
        (market.condition_id, since),
    )[0]
    return cast("int", row["cash"])


def liquidity_of(exchange: Exchange, market: Market) -> int:
    """Return the dollars resting on both sides of a market's book."""
    book = exchange.engine.books[market.condition_id]
    bids = sum(price * size // MICRO for price, size in book.bids.rows())
    return bids + sum((MICRO - price) * size // MICRO for price, size in book.asks.rows())


def market_view(exchange: Exchange, market: Market) -> Json:
    """Return a market."""
    prices = [text_of(price_of(exchange, market, index)) for index in (0, 1)]
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
        "events": [{"id": market.event_id, "slug": market.event_slug, "title": market.event_title}],
        "tags": tags_of([market]),
        **_quotes(exchange, market),
        **_fees(market),
        **_closing(market),
    }


def _quotes(exchange: Exchange, market: Market) -> Json:
    bid, ask = best(exchange.engine.books[market.condition_id], 0)
    last = exchange.engine.last_trades.get(market.condition_id)
    shown = last[1] if last else price_of(exchange, market, 0)
    return {
        "bestBid": number_of(bid or 0),
        "bestAsk": number_of(MICRO if ask is None else ask),
        "spread": number_of(ask - bid if bid is not None and ask is not None else 0),
        "lastTradePrice": number_of(shown),
        **_sums(exchange, [market]),
    }


def _sums(exchange: Exchange, markets: Group) -> Json:
    volume = sum(volume_of(exchange, market) for market in markets)
    today = sum(volume_of(exchange, market, exchange.now() - _DAY_US) for market in markets)
    liquidity = sum(liquidity_of(exchange, market) for market in markets)
    return {
        "volume": text_of(volume),
        "volumeNum": number_of(volume),
        "volume24hr": number_of(today),
        "liquidity": text_of(liquidity),
        "liquidityNum": number_of(liquidity),
    }


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


def event_view(exchange: Exchange, group: Group) -> Json:
    """Return an event with its markets."""
    first, sums = group[0], _sums(exchange, group)
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
        "volume": sums["volumeNum"],
        "volume24hr": sums["volume24hr"],
        "liquidity": sums["liquidityNum"],
        "tags": tags_of(group),
        "markets": [market_view(exchange, market) for market in group],
    }

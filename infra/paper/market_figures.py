"""The Data API's view of markets: holders, open interest, volume, prices, resolutions, tokens."""

from collections.abc import Callable, Iterable
from typing import Final, cast

from infra.paper.accounts import FEES
from infra.paper.catalogue import Market
from infra.paper.clob_markets import history_of
from infra.paper.exchange import Exchange
from infra.paper.holdings import Holding, holdings
from infra.paper.pages import data_page, integer
from infra.paper.prices import market_of_token, price_of
from infra.paper.routes import Paths
from infra.paper.wire import (
    MICRO,
    Answer,
    Json,
    RefusedError,
    Request,
    answered,
    micro_of,
    number_of,
    text_of,
)

_DAY: Final = 86_400
_SPANS: Final = {"1h": 3_600, "6h": 21_600, "1d": _DAY, "1w": 7 * _DAY, "1m": 30 * _DAY}
_HOLDERS: Final = 20
Point = tuple[int, int]


def _asked(exchange: Exchange, request: Request, *names: str) -> list[Market]:
    """Return the known markets among the conditions a request names."""
    wanted = [text.lower() for name in names for text in request.many(name)]
    known = exchange.engine.markets
    return [known[condition] for condition in dict.fromkeys(wanted) if condition in known]


def _held(exchange: Exchange, token_id: str) -> list[tuple[str, int]]:
    """Return the wallets that own a token and how many shares, most first."""
    rows = exchange.engine.accounts.all_balances().items()
    mine = [(who, n) for (who, asset), n in rows if asset == token_id and n > 0 and who != FEES]
    return sorted(mine, key=lambda row: (-row[1], row[0]))


def _holders(exchange: Exchange, request: Request) -> Answer:
    markets = _asked(exchange, request, "condition_id")
    if not request.many("condition_id"):
        raise RefusedError(400, "condition_id is required")
    least = micro_of(request.one("min_balance", "0"), "invalid min_balance")
    with_gains = request.one("include_pnl").lower() == "true"
    tokens = [(market, index) for market in markets for index in (0, 1)]
    limit = min(1000, max(1, integer(request, "limit", 100, 400)))

    def shown(token: tuple[Market, int]) -> Json:
        market, index = token
        token_id = market.token_ids[index]
        rows = [row for row in _held(exchange, token_id) if row[1] >= max(1, least)]
        return {
            "token_id": token_id,
            "holders": [
                _holder(exchange, (market, index), row, with_gains=with_gains)
                for row in rows[:limit]
            ],
        }

    return answered(
        {
            "data": [shown(token) for token in tokens],
            "pagination": {"has_more": False, "next_cursor": None},
        }
    )


def _holder(
    exchange: Exchange, token: tuple[Market, int], row: tuple[str, int], *, with_gains: bool
) -> Json:
    (market, index), (wallet, amount) = token, row
    shown: Json = {
        "proxy_wallet": wallet,
        "token_id": market.token_ids[index],
        "amount": text_of(amount),
        "outcome_index": index,
        "display_username_public": False,
        "verified": False,
        "name": "",
        "pseudonym": "",
        "bio": "",
        "profile_image": "",
        "profile_image_optimized": "",
    }
    return {**shown, **_gains(exchange, token, wallet)} if with_gains else shown


def _gains(exchange: Exchange, token: tuple[Market, int], wallet: str) -> Json:
    mine = (h for h in holdings(exchange, wallet) if (h.market, h.index) == token)
    held: Holding = next(mine)
    return {
        "avg_price": text_of(held.average),
        "entry_cost_usdc": text_of(held.cost),
        "current_price": text_of(held.price),
        "current_value": text_of(held.value),
        "realized_pnl": text_of(held.realized),
        "unrealized_pnl": text_of(held.gain),
        "total_pnl": text_of(held.realized + held.gain),
    }


def _old_holders(exchange: Exchange, request: Request) -> Answer:
    if not request.many("market"):
        raise RefusedError(400, "required query param 'market' not provided")
    limit = min(_HOLDERS, max(1, integer(request, "limit", _HOLDERS, 400)))
    return answered(
        [
            {
                "token": token_id,
                "holders": [
                    {
                        "proxyWallet": wallet,
                        "asset": token_id,
                        "amount": number_of(amount),
                        "outcomeIndex": index,
                        "displayUsernamePublic": False,
                        "name": "",
                        "pseudonym": "",
                        "bio": "",
                        "profileImage": "",
                        "profileImageOptimized": "",
                    }
                    for wallet, amount in _held(exchange, token_id)[:limit]
                ],
            }
            for market in _asked(exchange, request, "market")
            for index, token_id in enumerate(market.token_ids)
        ]
    )


def _interest(exchange: Exchange, market: Market) -> int:
    """Return the collateral behind a market's shares: what the side held most stands for."""
    sides = (sum(n for _, n in _held(exchange, token)) for token in market.token_ids)
    return 0 if market.payouts is not None else max(sides)


def _interests(exchange: Exchange, request: Request) -> list[tuple[str, int]]:
    named = request.many("condition_id") or request.many("market")
    if named:
        markets = _asked(exchange, request, "condition_id", "market")
        return [(market.condition_id, _interest(exchange, market)) for market in markets]
    total = sum(_interest(exchange, market) for market in exchange.engine.markets.values())
    return [("GLOBAL", total)]


def _open_interest(exchange: Exchange, request: Request) -> Answer:
    rows = _interests(exchange, request)
    return answered({"data": [{"condition_id": c, "value": text_of(n)} for c, n in rows]})


def _old_interest(exchange: Exchange, request: Request) -> Answer:
    rows = _interests(exchange, request)
    return answered([{"market": c, "value": number_of(n)} for c, n in rows])


def _taken(exchange: Exchange, markets: Iterable[Market]) -> list[tuple[str, int]]:
    """Return the shares takers traded in each market."""
    sql = "SELECT COALESCE(SUM(size), 0) AS size FROM legs WHERE place = 0 AND condition_id = ?"
    conditions = [market.condition_id for market in markets]
    sums = [(condition, exchange.ledger.rows(sql, (condition,))) for condition in conditions]
    return [(condition, cast("int", rows[0]["size"])) for condition, rows in sums]


def _of_event(exchange: Exchange, *events: str) -> list[Market]:
    return [market for market in exchange.engine.markets.values() if market.event_id in events]


def _live_volume(exchange: Exchange, request: Request) -> Answer:
    rows = _taken(exchange, _of_event(exchange, *request.many("event_id")))
    return answered(
        {
            "data": {
                "taker_volume_total": text_of(sum(size for _, size in rows)),
                "conditions": [{"condition_id": c, "taker_volume": text_of(n)} for c, n in rows],
            }
        }
    )


def _old_volume(exchange: Exchange, request: Request) -> Answer:
    rows = _taken(exchange, _of_event(exchange, request.one("id")))
    return answered(
        [
            {
                "total": number_of(sum(size for _, size in rows)),
                "markets": [{"market": c, "value": number_of(n)} for c, n in rows],
            }
        ]
    )


def _history(exchange: Exchange, request: Request) -> Answer:
    token_id, now = request.one("token_id"), exchange.now() // MICRO
    market = market_of_token(exchange, token_id)
    index = market.index_of(token_id)
    at = integer(request, "as_of", 0, 400)
    if at:
        past = history_of(exchange, market, index, (0, at))[-1:]
        return data_page(request, [(at, price) for _, price in past], _point(0))
    span = _SPANS.get(request.one("interval"), now)
    start = integer(request, "start", now - span, 400)
    end = integer(request, "end", now, 400)
    points = history_of(exchange, market, index, (start, end))
    if end >= now:
        points.append((now, price_of(exchange, market, index)))
    seconds = integer(request, "bucket_seconds", 0, 400)
    return data_page(request, _bucketed(points, seconds), _point(seconds))


def _bucketed(points: list[Point], seconds: int) -> list[Point]:
    """Return the last price of each bucket of so many seconds; all points for 0."""
    if not seconds:
        return points
    return list({at - at % seconds: price for at, price in points}.items())


def _point(seconds: int) -> Callable[[Point], Json]:
    def shown(point: Point) -> Json:
        return {"timestamp": point[0], "price": text_of(point[1]), "resolution_seconds": seconds}

    return shown


def _resolutions(exchange: Exchange, request: Request) -> Answer:
    markets = _asked(exchange, request, "condition_id", "condition_ids")
    if request.many("event_id"):
        markets = _of_event(exchange, *request.many("event_id"))
    if request.one("question_id"):
        every = exchange.engine.markets.values()
        markets = [market for market in every if market.question_id == request.one("question_id")]
    now = exchange.now() // MICRO
    return data_page(request, markets, lambda market: _resolution(market, now))


def _resolution(market: Market, now: int) -> Json:
    payouts = None if market.payouts is None else [str(micro_of(p)) for p in market.payouts]
    return {
        "question_id": market.question_id,
        "condition_id": market.condition_id,
        "status": "initialized" if payouts is None else "resolved",
        "extended_review": False,
        "was_disputed": False,
        "new_version_q": False,
        "last_update_timestamp": now,
        "market_type": "INCREMENTAL_NEGRISK" if market.neg_risk else "BINARY",
        "payouts": payouts,
        "resolution_source": None if payouts is None else "reported",
    }


def _tokens(exchange: Exchange, request: Request) -> Answer:
    by_token = exchange.engine.by_token
    tokens = [text for text in request.many("token_id") if text in by_token]
    tokens += [t for m in _asked(exchange, request, "condition") for t in m.token_ids]
    return answered({"data": [_token(by_token[token_id], token_id) for token_id in tokens]})


def _token(market: Market, token_id: str) -> Json:
    index = market.index_of(token_id)
    return {
        "token_id": token_id,
        "condition_id": market.condition_id,
        "structural_condition_id": None,
        "module": "v1_ctf",
        "outcome_index": index,
        "clob_index": index,
        "outcome": market.outcomes[index],
        "opposite_token_id": market.token_ids[1 - index],
        "resolved": market.payouts is not None,
        "final_price": None if market.payouts is None else market.payouts[index],
        "title": market.question,
        "market_slug": market.slug,
        "closed": market.closed,
        "neg_risk": market.neg_risk,
        "neg_risk_market_id": market.neg_risk_market_id or None,
        "question_index": None,
        "event_id": int(market.event_id),
        "event_slug": market.event_slug,
    }


PATHS: Final[Paths] = {
    ("GET", "/v2/holders"): _holders,
    ("GET", "/v2/oi"): _open_interest,
    ("GET", "/v2/live-volume"): _live_volume,
    ("GET", "/v2/prices-history"): _history,
    ("GET", "/v2/resolutions"): _resolutions,
    ("GET", "/v2/tokens"): _tokens,
    ("GET", "/holders"): _old_holders,
    ("GET", "/oi"): _old_interest,
    ("GET", "/live-volume"): _old_volume,
}

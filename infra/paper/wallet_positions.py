"""The Data API's positions and values, in both of its versions."""

from collections.abc import Callable
from typing import Final

from infra.paper.exchange import Exchange
from infra.paper.holdings import Holding, holdings, wallet_of, wallets
from infra.paper.pages import data_list, data_page
from infra.paper.routes import Paths
from infra.paper.wire import MICRO, Answer, Json, RefusedError, Request, answered, micro_of
from infra.paper.wire import number_of as number
from infra.paper.wire import text_of as text

_SORTS: Final[dict[str, Callable[[Holding], int]]] = {
    "CURRENT_VALUE": lambda held: held.value,
    "CURRENT": lambda held: held.value,
    "INITIAL": lambda held: held.cost,
    "PRICE": lambda held: held.price,
    "TOKENS": lambda held: held.size,
    "UNREALIZED_PNL": lambda held: held.gain,
    "CASHPNL": lambda held: held.gain,
    "REALIZED_PNL": lambda held: held.realized,
    "REALIZEDPNL": lambda held: held.realized,
    "TOTAL_PNL": lambda held: held.realized + held.gain,
    "TIMESTAMP": lambda held: held.last_at,
    "AVGPRICE": lambda held: held.average,
}
_STATUSES: Final[dict[str, Callable[[Holding], bool]]] = {
    "OPEN": lambda held: held.status == "OPEN",
    "REDEEMABLE": lambda held: held.status == "REDEEMABLE",
    "REDEEMABLE_LOST": lambda held: held.status == "REDEEMABLE" and held.price == 0,
    "MERGEABLE": lambda held: held.status == "OPEN" and held.opposite > 0,
    "CLOSED": lambda held: held.status == "CLOSED" and held.last_at > 0,
    "": lambda held: held.status != "CLOSED",
}


def _chosen(exchange: Exchange, request: Request, found: list[Holding]) -> list[Holding]:
    """Return the positions a request of the second version asks for, in its order."""
    status = _STATUSES.get(request.one("status").upper())
    if status is None:
        raise RefusedError(400, "invalid status")
    conditions = {text.lower() for text in request.many("condition_id")}
    events, title = set(request.many("event_id")), request.one("title").lower()
    by = request.one("filter_type", "TOKENS").upper()
    least = micro_of(request.one("filter_amount", "0"), "invalid filter_amount")
    start = micro_of(request.one("start", "0"), "invalid start")
    end = micro_of(request.one("end", "0"), "invalid end") or exchange.now()
    rows = [
        held
        for held in found
        if status(held)
        and (not conditions or held.market.condition_id in conditions)
        and (not events or held.market.event_id in events)
        and title in held.market.question.lower()
        and (held.value if by == "CASH" else held.size) >= least
        and start <= held.last_at <= end
    ]
    return _sorted(rows, request.one("sort_by", "CURRENT_VALUE"), request.one("sort_direction"))


def _sorted(rows: list[Holding], by: str, direction: str) -> list[Holding]:
    key = _SORTS.get(by.upper())
    if key is None:
        raise RefusedError(400, "invalid sort")
    return sorted(rows, key=key, reverse=direction.upper() != "ASC")


def _positions(exchange: Exchange, request: Request) -> Answer:
    wallet = wallet_of(request, is_needed=False)
    if not wallet and len(request.many("condition_id")) != 1:
        raise RefusedError(400, "provide user or exactly one condition_id")
    asked = [wallet] if wallet else wallets(exchange)
    found = [held for owner in asked for held in holdings(exchange, owner)]
    return data_page(request, _chosen(exchange, request, found), _position)


def _position(held: Holding) -> Json:
    market = held.market
    cost, gained = held.cost, held.realized
    return {
        "proxy_wallet": held.wallet,
        "token_id": held.token_id,
        "condition_id": market.condition_id,
        "current_size": text(held.size),
        "avg_price": text(held.average),
        "entry_cost_usdc": text(cost),
        "entry_fees_usdc": text(held.fees),
        "total_cost_usdc": text(cost + held.fees),
        "current_price": text(held.price),
        "current_value": text(held.value),
        "total_size": text(held.bought),
        "realized_pnl": text(gained),
        "unrealized_pnl": text(held.gain),
        "total_pnl": text(gained + held.gain),
        "percent_pnl": _percent(held.gain, cost),
        "percent_realized_pnl": _percent(gained, held.paid - cost),
        "status": held.status,
        "redeemable": held.status == "REDEEMABLE",
        "mergeable": held.opposite > 0 and held.size > 0,
        "negative_risk": market.neg_risk,
        "archived": False,
        "verified": True,
        "event_id": market.event_id,
        "last_event_at": held.last_at // MICRO,
        "first_entry_at": held.first_at // MICRO,
        "title": market.question,
        "slug": market.slug,
        "icon": "",
        "event_slug": market.event_slug,
        "outcome": market.outcomes[held.index],
        "outcome_index": held.index,
        "opposite_outcome": market.outcomes[1 - held.index],
        "opposite_token_id": market.token_ids[1 - held.index],
        "end_date": market.end_date[:10],
    }


def _percent(part: int, whole: int) -> float:
    return float(number(part * 100 * MICRO // whole)) if whole else 0


def _total(exchange: Exchange, request: Request) -> tuple[str, int]:
    wallet = wallet_of(request)
    conditions = set(request.many("condition_id") or request.many("market"))
    found = holdings(exchange, wallet)
    mine = [h for h in found if not conditions or h.market.condition_id in conditions]
    return wallet, sum(held.value for held in mine)


def _value(exchange: Exchange, request: Request) -> Answer:
    wallet, total = _total(exchange, request)
    return answered({"data": {"proxy_wallet": wallet, "value": text(total)}})


def _old_value(exchange: Exchange, request: Request) -> Answer:
    wallet, total = _total(exchange, request)
    return answered([{"user": wallet, "value": number(total)}])


def _old_positions(exchange: Exchange, request: Request) -> Answer:
    least = micro_of(request.one("sizeThreshold", "1"), "invalid sizeThreshold")
    markets, redeemable = set(request.many("market")), request.one("redeemable") == "true"
    rows = [
        held
        for held in holdings(exchange, wallet_of(request))
        if held.size > 0
        and held.size >= least
        and (not markets or held.market.condition_id in markets)
        and (not redeemable or held.market.payouts is not None)
    ]
    chosen = _sorted(rows, request.one("sortBy", "TOKENS"), request.one("sortDirection"))
    return data_list(request, chosen, _old_position)


def _old_closed(exchange: Exchange, request: Request) -> Answer:
    markets = set(request.many("market"))
    rows = [
        held
        for held in holdings(exchange, wallet_of(request))
        if held.status == "CLOSED"
        and held.last_at
        and (not markets or held.market.condition_id in markets)
    ]
    chosen = _sorted(rows, request.one("sortBy", "REALIZEDPNL"), request.one("sortDirection"))
    return data_list(request, chosen, _old_closed_position)


def _old_common(held: Holding) -> Json:
    market = held.market
    return {
        "proxyWallet": held.wallet,
        "asset": held.token_id,
        "conditionId": market.condition_id,
        "avgPrice": number(held.average),
        "totalBought": number(held.bought),
        "realizedPnl": number(held.realized),
        "curPrice": number(held.price),
        "title": market.question,
        "slug": market.slug,
        "icon": "",
        "eventSlug": market.event_slug,
        "outcome": market.outcomes[held.index],
        "outcomeIndex": held.index,
        "oppositeOutcome": market.outcomes[1 - held.index],
        "oppositeAsset": market.token_ids[1 - held.index],
        "endDate": market.end_date[:10],
    }


def _old_position(held: Holding) -> Json:
    return {
        **_old_common(held),
        "size": number(held.size),
        "initialValue": number(held.cost),
        "currentValue": number(held.value),
        "cashPnl": number(held.gain),
        "percentPnl": _percent(held.gain, held.cost),
        "percentRealizedPnl": _percent(held.realized, held.paid - held.cost),
        "redeemable": held.market.payouts is not None,
        "mergeable": held.opposite > 0,
        "negativeRisk": held.market.neg_risk,
    }


def _old_closed_position(held: Holding) -> Json:
    return {**_old_common(held), "timestamp": held.last_at // MICRO}


PATHS: Final[Paths] = {
    ("GET", "/v2/positions"): _positions,
    ("GET", "/v2/value"): _value,
    ("GET", "/positions"): _old_positions,
    ("GET", "/closed-positions"): _old_closed,
    ("GET", "/value"): _old_value,
}

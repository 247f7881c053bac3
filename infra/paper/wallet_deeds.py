"""The Data API's trades and activity, in both of its versions."""

from dataclasses import dataclass
from typing import Final, cast

import orjson

from infra.paper.catalogue import Market
from infra.paper.exchange import Exchange
from infra.paper.holdings import wallet_of
from infra.paper.pages import data_list, data_page
from infra.paper.routes import Paths
from infra.paper.wire import MICRO, Answer, Json, RefusedError, Request, micro_of
from infra.paper.wire import number_of as number
from infra.paper.wire import text_of as text

_SQL: Final = (
    "SELECT legs.*, trades.transaction_hash FROM legs "
    "JOIN trades ON trades.trade_id = legs.trade_id "
    "WHERE trades.status != 'FAILED' AND {} "
    "ORDER BY trades.seq DESC, legs.place LIMIT ?"
)
_MOST: Final = 3000
_SIDES: Final = frozenset({"", "BUY", "SELL"})


@dataclass(frozen=True, slots=True)
class Deed:
    """Something a wallet did: a fill, or shares paid out; micro-units and microseconds."""

    kind: str
    wallet: str
    market: Market
    index: int
    side: str
    size: int
    cash: int
    price: int
    at: int
    transaction_hash: str

    @property
    def token_id(self) -> str:
        """Return the token it was done with; a payout has none."""
        return self.market.token_ids[self.index] if self.kind == "TRADE" else ""


def fills(exchange: Exchange, clauses: list[str], values: list[object]) -> list[Deed]:
    """Return fills that were not given up, newest first; `clauses` are SQL over `legs`."""
    sql = _SQL.format(" AND ".join(clauses or ["1"]))
    rows = exchange.ledger.rows(sql, [*values, _MOST])
    return [_deed(exchange, row) for row in rows]


def _deed(exchange: Exchange, row: Json) -> Deed:
    return Deed(
        kind="TRADE",
        wallet=str(row["wallet"]),
        market=exchange.engine.markets[str(row["condition_id"])],
        index=cast("int", row["index"]),
        side=str(row["side"]),
        size=cast("int", row["size"]),
        cash=cast("int", row["cash"]),
        price=cast("int", row["price"]),
        at=cast("int", row["matched_at"]),
        transaction_hash=str(row["transaction_hash"]),
    )


def _payouts(exchange: Exchange, wallet: str) -> list[Deed]:
    found: list[Deed] = []
    for row in exchange.engine.notices.redemptions(wallet):
        said = cast("Json", orjson.loads(cast("bytes", row["document"])))
        market = exchange.engine.markets[str(row["condition_id"])]
        paid, at = micro_of(said["amount"]), cast("int", row["at"])
        found.append(Deed("REDEEM", wallet, market, 0, "", paid, paid, 0, at, str(said["txnHash"])))
    return found


def _filters(request: Request) -> tuple[list[str], list[object]]:
    """Return the SQL of a request's filters, in either version's names."""
    wallet = wallet_of(request, is_needed=False)
    conditions = request.many("condition_id") or request.many("market")
    side = request.one("side").upper()
    if side not in _SIDES:
        raise RefusedError(400, "invalid side")
    takers = request.one("taker_only") or request.one("takerOnly")
    clauses: list[str] = []
    values: list[object] = []
    for clause, value in (("legs.wallet = ?", wallet), ("legs.side = ?", side)):
        if value:
            clauses.append(clause)
            values.append(value)
    if conditions:
        clauses.append(f"legs.condition_id IN ({', '.join('?' * len(conditions))})")
        values += [condition.lower() for condition in conditions]
    if takers == "true" or (not takers and not wallet):
        clauses.append("legs.place = 0")
    _bound(request, clauses, values)
    return clauses, values


def _bound(request: Request, clauses: list[str], values: list[object]) -> None:
    """Add the bounds of time and of size that a request names."""
    by_cash = (request.one("filter_type") or request.one("filterType")).upper() == "CASH"
    for name, clause in (
        ("start", "legs.matched_at >= ?"),
        ("end", "legs.matched_at <= ?"),
        ("filter_amount", f"legs.{'cash' if by_cash else 'size'} >= ?"),
        ("filterAmount", f"legs.{'cash' if by_cash else 'size'} >= ?"),
    ):
        if request.one(name):
            clauses.append(clause)
            values.append(micro_of(request.one(name), f"invalid {name}"))


def _of_events(request: Request, deeds: list[Deed]) -> list[Deed]:
    events = set(request.many("event_id") or request.many("eventId"))
    return [deed for deed in deeds if not events or deed.market.event_id in events]


def _trade_rows(exchange: Exchange, request: Request) -> list[Deed]:
    return _of_events(request, fills(exchange, *_filters(request)))


def _deeds(exchange: Exchange, request: Request) -> list[Deed]:
    wallet = wallet_of(request)
    kinds = {kind.upper() for kind in request.many("type")}
    conditions = set(request.many("condition_id") or request.many("market"))
    deeds = [*fills(exchange, *_filters(request))]
    if not request.one("side"):
        deeds += [
            deed
            for deed in _payouts(exchange, wallet)
            if not conditions or deed.market.condition_id in conditions
        ]
    rising = (request.one("sort_direction") or request.one("sortDirection")).upper() == "ASC"
    chosen = [deed for deed in _of_events(request, deeds) if not kinds or deed.kind in kinds]
    return sorted(chosen, key=lambda deed: deed.at, reverse=not rising)


def _trade(deed: Deed) -> Json:
    market = deed.market
    return {
        "proxy_wallet": deed.wallet,
        "token_id": deed.token_id,
        "condition_id": market.condition_id,
        "side": deed.side,
        "size": text(deed.size),
        "price": text(deed.price),
        "timestamp": deed.at // MICRO,
        "transaction_hash": deed.transaction_hash,
        "title": market.question,
        "slug": market.slug,
        "icon": "",
        "event_slug": market.event_slug,
        "outcome": market.outcomes[deed.index] if deed.kind == "TRADE" else "",
        "outcome_index": deed.index if deed.kind == "TRADE" else 999,
        "name": "",
        "pseudonym": "",
        "bio": "",
        "profile_image": "",
        "profile_image_optimized": "",
    }


def _activity(deed: Deed) -> Json:
    return {**_trade(deed), "type": deed.kind, "usdc_size": text(deed.cash), "is_combo": False}


def _old_trade(deed: Deed) -> Json:
    market = deed.market
    return {
        "proxyWallet": deed.wallet,
        "side": deed.side,
        "asset": deed.token_id,
        "conditionId": market.condition_id,
        "size": number(deed.size),
        "price": number(deed.price),
        "timestamp": deed.at // MICRO,
        "title": market.question,
        "slug": market.slug,
        "icon": "",
        "eventSlug": market.event_slug,
        "outcome": market.outcomes[deed.index] if deed.kind == "TRADE" else "",
        "outcomeIndex": deed.index if deed.kind == "TRADE" else 999,
        "name": "",
        "pseudonym": "",
        "bio": "",
        "profileImage": "",
        "profileImageOptimized": "",
        "transactionHash": deed.transaction_hash,
    }


def _old_activity(deed: Deed) -> Json:
    return {**_old_trade(deed), "type": deed.kind, "usdcSize": number(deed.cash)}


def _trades(exchange: Exchange, request: Request) -> Answer:
    return data_page(request, _trade_rows(exchange, request), _trade)


def _activities(exchange: Exchange, request: Request) -> Answer:
    return data_page(request, _deeds(exchange, request), _activity)


def _old_trades(exchange: Exchange, request: Request) -> Answer:
    return data_list(request, _trade_rows(exchange, request), _old_trade)


def _old_activities(exchange: Exchange, request: Request) -> Answer:
    return data_list(request, _deeds(exchange, request), _old_activity)


PATHS: Final[Paths] = {
    ("GET", "/v2/trades"): _trades,
    ("GET", "/v2/activity"): _activities,
    ("GET", "/trades"): _old_trades,
    ("GET", "/activity"): _old_activities,
}

"""The CLOB's private REST that only reads: orders, trades, balances and notifications."""

from typing import Final, cast

import orjson

from infra.paper.accounts import COLLATERAL, ApiKey
from infra.paper.authentication import authenticate, reader
from infra.paper.clob_orders import is_of
from infra.paper.exchange import Exchange
from infra.paper.market_views import full_market
from infra.paper.notices import Kind
from infra.paper.pages import CLOB_PAGE, cursor_page, cursor_start
from infra.paper.routes import Paths
from infra.paper.signatures import EXCHANGE, NEG_RISK_ADAPTER, NEG_RISK_EXCHANGE
from infra.paper.views import builder_trade, open_order, rest_trade
from infra.paper.wire import MICRO, Answer, Json, RefusedError, Request, answered, json_list

_ASSET_TYPES: Final = frozenset({"COLLATERAL", "CONDITIONAL", "CONDITIONAL-V2"})
_SIGNATURE_TYPES: Final = frozenset("0123")


def _reader(exchange: Exchange, request: Request) -> ApiKey:
    return reader(request, exchange.engine.accounts, exchange.ledger)


def _order(exchange: Exchange, request: Request) -> Answer:
    key = _reader(exchange, request)
    request.order_hash = request.tail
    order = exchange.engine.orders.get(request.tail)
    if order is None or order.address != key.address:
        raise RefusedError(404, "Order not found")
    return answered(open_order(order))


def _orders(exchange: Exchange, request: Request) -> Answer:
    key = _reader(exchange, request)
    start = cursor_start(request)
    wanted = request.one("id")
    rows = [
        open_order(order)
        for order in exchange.engine.open_of(key.address)
        if (not wanted or order.order_hash == wanted)
        and is_of(order, request.one("asset_id"), request.one("market"))
    ]
    return answered(cursor_page(rows[start : start + CLOB_PAGE + 1], start))


def _old_orders(exchange: Exchange, request: Request) -> Answer:
    """Answer with no order: an exchange that opened after the migration has none before it."""
    _reader(exchange, request)
    return answered(cursor_page([], cursor_start(request)))


def _trades(exchange: Exchange, request: Request) -> Answer:
    key = _reader(exchange, request)
    start = cursor_start(request)
    clauses, values = ["address = ?"], [cast("object", key.address)]
    _narrow(request, clauses, values)
    mine = f"SELECT trade_id FROM legs AS mine WHERE {' AND '.join(clauses)}"  # noqa: S608 - constants
    where = f"trade_id IN ({mine}) ORDER BY seq DESC LIMIT ? OFFSET ?"
    found = exchange.ledger.trades(where, [*values, CLOB_PAGE + 1, start])
    return answered(cursor_page([rest_trade(trade, key.address) for trade in found], start))


def _builder_trades(exchange: Exchange, request: Request) -> Answer:
    """Answer with the fills of orders signed with a builder's code; anyone may ask."""
    start = cursor_start(request)
    code = request.one("builder_code").lower()
    clauses, values = ["builder = ?"], [cast("object", code)]
    _narrow(request, clauses, values)
    sql = (
        "SELECT trade_id, mine.order_hash FROM legs AS mine "  # noqa: S608 - constants
        "JOIN builders ON builders.order_hash = mine.order_hash "
        f"WHERE {' AND '.join(clauses)} ORDER BY matched_at DESC, trade_id LIMIT ? OFFSET ?"
    )
    rows: list[Json] = []
    for row in exchange.ledger.rows(sql, [*values, CLOB_PAGE + 1, start]):
        trade = exchange.ledger.trades("trade_id = ?", (row["trade_id"],))[0]
        leg = next(leg for leg in trade.legs if leg.order_hash == row["order_hash"])
        rows.append(builder_trade(trade, leg, code))
    return answered(cursor_page(rows, start))


def _narrow(request: Request, clauses: list[str], values: list[object]) -> None:
    """Add the conditions of the query's filters, over `legs AS mine`."""
    for name, clause in _TRADE_FILTERS.items():
        if request.one(name):
            clauses.append(clause)
            values.append(_filter_value(name, request.one(name)))


def _scoring(exchange: Exchange, request: Request) -> Answer:
    authenticate(request, exchange.engine.accounts)
    if not request.one("order_id"):
        raise RefusedError(400, "Invalid order_id")
    return answered({"scoring": False})


def _scorings(exchange: Exchange, request: Request) -> Answer:
    authenticate(request, exchange.engine.accounts)
    listed = json_list(request.json(), "Invalid order payload")
    return answered({str(order_id): False for order_id in listed})


def _balance(exchange: Exchange, request: Request) -> Answer:
    accounts = exchange.engine.accounts
    key = authenticate(request, accounts)
    asset_type = request.one("asset_type", "COLLATERAL")
    signature_type = request.one("signature_type", "0")
    if asset_type not in _ASSET_TYPES:
        raise RefusedError(400, "Invalid asset type")
    if signature_type not in _SIGNATURE_TYPES:
        raise RefusedError(400, "Invalid signature_type")
    wallet = accounts.wallet_of(key.address, int(signature_type))
    request.wallet = wallet
    asset = COLLATERAL if asset_type == "COLLATERAL" else request.one("token_id")
    account = accounts.account(wallet)
    allowance = account.allowance if account else "0"
    spenders = (EXCHANGE, NEG_RISK_EXCHANGE, NEG_RISK_ADAPTER)
    return answered(
        {
            "balance": str(accounts.shown_balance(wallet, asset)),
            "allowances": dict.fromkeys(spenders, allowance),
        }
    )


def _notifications(exchange: Exchange, request: Request) -> Answer:
    key = authenticate(request, exchange.engine.accounts)
    rows = exchange.engine.notices.listed(key.address)
    return answered(
        [
            {
                "id": row["id"],
                "type": row["kind"],
                "owner": row["owner"] or key.api_key,
                "payload": _payload(exchange, row),
                "timestamp": cast("int", row["at"]) // MICRO,
            }
            for row in rows
        ]
    )


def _payload(exchange: Exchange, row: Json) -> Json:
    document = cast("Json", orjson.loads(cast("bytes", row["document"])))
    market = exchange.engine.markets[str(row["condition_id"])]
    if row["kind"] == Kind.REDEEMED:
        return document
    if row["kind"] == Kind.RESOLVED:
        return {**full_market(exchange, market), "eventSlug": market.event_slug}
    return {
        **document,
        "question": market.question,
        "market_slug": market.slug,
        "eventSlug": market.event_slug,
        "icon": "",
        "image": "",
        "seriesSlug": "",
    }


def _drop_notifications(exchange: Exchange, request: Request) -> Answer:
    """Drop the notifications named, or all when none is."""
    address = authenticate(request, exchange.engine.accounts).address
    notices = exchange.engine.notices
    named = request.many("ids")
    if not all(text.isdecimal() for text in named):
        raise RefusedError(400, "Invalid notification ids")
    every = [cast("int", row["id"]) for row in notices.listed(address)] if not named else []
    notices.drop(address, [int(text) for text in named] or every)
    return answered("OK")


_TRADE_FILTERS: Final = {
    "id": "trade_id = ?",
    "market": "condition_id = ?",
    "asset_id": "(SELECT token_id FROM legs WHERE trade_id = mine.trade_id AND place = 0) = ?",
    "maker_address": "wallet = ? COLLATE NOCASE",
    "after": "matched_at >= ?",
    "before": "matched_at < ?",
}


def _filter_value(name: str, text: str) -> object:
    if name not in {"after", "before"}:
        return text
    if not text.isdecimal():
        raise RefusedError(400, "Invalid trade params payload")
    return int(text) * MICRO


PATHS: Final[Paths] = {
    ("GET", "/data/order/{}"): _order,
    ("GET", "/data/orders"): _orders,
    ("GET", "/data/pre-migration-orders"): _old_orders,
    ("GET", "/data/trades"): _trades,
    ("GET", "/builder/trades"): _builder_trades,
    ("GET", "/order-scoring"): _scoring,
    ("POST", "/orders-scoring"): _scorings,
    ("GET", "/balance-allowance"): _balance,
    ("GET", "/balance-allowance/update"): _balance,
    ("GET", "/notifications"): _notifications,
    ("DELETE", "/notifications"): _drop_notifications,
}

"""The CLOB's private REST: keys, orders, cancels, trades, balances and heartbeats."""

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Final, cast

from infra.paper.accounts import COLLATERAL, Accounts, ApiKey
from infra.paper.authentication import authenticate, create_key, derive_key
from infra.paper.book import Order
from infra.paper.engine import Engine
from infra.paper.exchange import Exchange
from infra.paper.placement import leg_refusal, order_answer
from infra.paper.routes import Routes
from infra.paper.signatures import EXCHANGE, NEG_RISK_ADAPTER, NEG_RISK_EXCHANGE
from infra.paper.signed_order import MALFORMED, parse_posted
from infra.paper.trades import Trade
from infra.paper.views import open_order, rest_trade
from infra.paper.wire import (
    MICRO,
    Answer,
    Json,
    RefusedError,
    Request,
    answered,
    json_list,
    json_object,
)

MOST_ORDERS: Final = 15
MOST_CANCELS: Final = 3000
PAGE: Final = 100
END: Final = "LTE="
_ORDER_ID: Final = re.compile(r"0x[0-9a-fA-F]{64}")
_GONE: Final = "order can't be found - already canceled or matched"
_ASSET_TYPES: Final = frozenset({"COLLATERAL", "CONDITIONAL", "CONDITIONAL-V2"})


def page_start(request: Request) -> int:
    """Return the offset a cursor stands for. Raises RefusedError for one past the end."""
    cursor = request.one("next_cursor")
    if cursor == END:
        raise RefusedError(400, "next item should be greater than or equal to 0")
    try:
        return int(base64.b64decode(cursor)) if cursor else 0
    except (ValueError, binascii.Error) as error:
        raise RefusedError(400, "invalid next_cursor") from error


def page_of(rows: list[Json], start: int, limit: int = PAGE) -> Json:
    """Return one page of `rows`, which begin at `start` and may hold one more than fits."""
    has_more = len(rows) > limit
    cursor = base64.b64encode(str(start + limit).encode()).decode() if has_more else END
    shown = rows[:limit]
    return {"data": shown, "next_cursor": cursor, "limit": limit, "count": len(shown)}


class ClobTrading:
    """Answers what needs an API key.

    Args:
        exchange: the exchange it speaks for.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    @property
    def _engine(self) -> Engine:
        return self._exchange.engine

    @property
    def _accounts(self) -> Accounts:
        return self._exchange.engine.accounts

    def register(self, routes: Routes) -> None:
        """Add its paths."""
        routes.add_all(
            ("POST", "/auth/api-key", self._create_key),
            ("GET", "/auth/derive-api-key", self._derive_key),
            ("GET", "/auth/api-keys", self._keys),
            ("DELETE", "/auth/api-key", self._delete_key),
            ("GET", "/auth/ban-status/closed-only", self._closed_only),
            ("POST", "/order", self._post_order),
            ("POST", "/orders", self._post_orders),
            ("DELETE", "/order", self._cancel_order),
            ("DELETE", "/orders", self._cancel_orders),
            ("DELETE", "/cancel-all", self._cancel_all),
            ("DELETE", "/cancel-market-orders", self._cancel_market),
            ("GET", "/data/order/", self._order),
            ("GET", "/data/orders", self._orders),
            ("GET", "/data/trades", self._trades),
            ("GET", "/order-scoring", self._scoring),
            ("POST", "/orders-scoring", self._scorings),
            ("POST", "/v1/heartbeats", self._heartbeat),
            ("POST", "/heartbeats", self._legacy_heartbeat),
            ("GET", "/balance-allowance", self._balance),
            ("GET", "/balance-allowance/update", self._balance),
            ("GET", "/notifications", self._notifications),
            ("DELETE", "/notifications", self._drop_notifications),
        )

    def _key(self, request: Request) -> ApiKey:
        return authenticate(request, self._accounts)

    def _create_key(self, request: Request) -> Answer:
        return answered(_credentials(create_key(request, self._accounts)))

    def _derive_key(self, request: Request) -> Answer:
        return answered(_credentials(derive_key(request, self._accounts)))

    def _keys(self, request: Request) -> Answer:
        mine = self._accounts.keys_of(self._key(request).address)
        return answered({"apiKeys": [key.api_key for key in mine]})

    def _delete_key(self, request: Request) -> Answer:
        self._accounts.drop_key(self._key(request).api_key)
        return answered("OK")

    def _closed_only(self, request: Request) -> Answer:
        self._key(request)
        return answered({"closed_only": False})

    def _post_order(self, request: Request) -> Answer:
        key = self._key(request)
        self._exchange.mode.check_orders()
        posted = parse_posted(request.json())
        placed = self._exchange.placement.post(posted, key, request)
        request.outcome = placed.status
        return answered(order_answer(placed))

    def _post_orders(self, request: Request) -> Answer:
        key = self._key(request)
        self._exchange.mode.check_orders()
        legs = json_list(request.json(), MALFORMED)
        if len(legs) > MOST_ORDERS:
            raise RefusedError(
                400, f"Too many orders in payload: {len(legs)}, max allowed: {MOST_ORDERS}"
            )
        return answered([self._leg(leg, key, request) for leg in legs])

    def _leg(self, leg: object, key: ApiKey, request: Request) -> Json:
        part = replace(request, parts=[])
        request.parts.append(part)
        try:
            placed = self._exchange.placement.post(parse_posted(leg), key, part)
        except RefusedError as error:
            part.outcome = error.text
            return leg_refusal(error)
        part.outcome = placed.status
        return order_answer(placed)

    def _cancel(self, key: ApiKey, order_ids: Iterable[str]) -> Answer:
        canceled: list[str] = []
        kept: Json = {}
        for order_id in dict.fromkeys(order_ids):
            order = self._engine.orders.get(order_id)
            if order is None or order.address != key.address:
                kept[order_id] = _GONE
                continue
            self._engine.cancel(order)
            canceled.append(order_id)
        return answered({"canceled": canceled, "not_canceled": kept})

    def _cancel_order(self, request: Request) -> Answer:
        key = self._key(request)
        self._exchange.mode.check_cancels()
        order_id = _order_id(request.json_object("Invalid orderID").get("orderID"))
        request.order_hash = order_id
        return self._cancel(key, [order_id])

    def _cancel_orders(self, request: Request) -> Answer:
        key = self._key(request)
        self._exchange.mode.check_cancels()
        listed = json_list(request.json("Invalid order payload"), "Invalid order payload")
        if len(listed) > MOST_CANCELS:
            raise RefusedError(400, f"Too many orders in payload, max allowed: {MOST_CANCELS}")
        order_ids = [_order_id(value) for value in listed]
        request.order_hash = order_ids[0] if len(order_ids) == 1 else ""
        return self._cancel(key, order_ids)

    def _cancel_all(self, request: Request) -> Answer:
        key = self._key(request)
        self._exchange.mode.check_cancels()
        return self._cancel(key, [o.order_hash for o in self._engine.open_of(key.address)])

    def _cancel_market(self, request: Request) -> Answer:
        key = self._key(request)
        self._exchange.mode.check_cancels()
        wanted = request.json_object("Invalid order payload")
        token_id, market = str(wanted.get("asset_id") or ""), str(wanted.get("market") or "")
        if not token_id and not market:
            raise RefusedError(400, "Invalid order payload")
        request.token_id = token_id
        mine = self._engine.open_of(key.address)
        chosen = [order.order_hash for order in mine if _is_of(order, token_id, market)]
        return self._cancel(key, chosen)

    def _order(self, request: Request) -> Answer:
        key = self._key(request)
        request.order_hash = request.tail
        order = self._engine.orders.get(request.tail)
        if order is None or order.address != key.address:
            raise RefusedError(404, "Order not found")
        return answered(open_order(order))

    def _orders(self, request: Request) -> Answer:
        key = self._key(request)
        start = page_start(request)
        wanted = request.one("id")
        rows = [
            open_order(order)
            for order in self._engine.open_of(key.address)
            if (not wanted or order.order_hash == wanted)
            and _is_of(order, request.one("asset_id"), request.one("market"))
        ]
        return answered(page_of(rows[start : start + PAGE + 1], start))

    def _trades(self, request: Request) -> Answer:
        key = self._key(request)
        start = page_start(request)
        clauses, values = ["address = ?"], [cast("object", key.address)]
        for name, clause in _TRADE_FILTERS.items():
            if request.one(name):
                clauses.append(clause)
                values.append(_filter_value(name, request.one(name)))
        mine = f"SELECT trade_id FROM legs AS mine WHERE {' AND '.join(clauses)}"  # noqa: S608 - constants
        where = f"trade_id IN ({mine}) ORDER BY seq DESC LIMIT ? OFFSET ?"
        found = self._engine.ledger.trades(where, [*values, PAGE + 1, start])
        return answered(page_of([self._shown(trade, key) for trade in found], start))

    def _shown(self, trade: Trade, key: ApiKey) -> Json:
        return rest_trade(trade, key.address)

    def _scoring(self, request: Request) -> Answer:
        self._key(request)
        return answered({"scoring": False})

    def _scorings(self, request: Request) -> Answer:
        self._key(request)
        listed = json_list(request.json(), "Invalid order payload")
        return answered({str(order_id): False for order_id in listed})

    def _heartbeat(self, request: Request) -> Answer:
        key = self._key(request)
        wanted = json_object(request.json(), "Invalid Heartbeat ID").get("heartbeat_id")
        fresh = self._exchange.heartbeats.beat(key.api_key, str(wanted or ""))
        return answered({"heartbeat_id": fresh})

    def _legacy_heartbeat(self, request: Request) -> Answer:
        self._exchange.heartbeats.revive(self._key(request).api_key)
        return answered({"status": "ok"})

    def _balance(self, request: Request) -> Answer:
        key = self._key(request)
        asset_type = request.one("asset_type", "COLLATERAL")
        signature_type = request.one("signature_type", "0")
        if asset_type not in _ASSET_TYPES:
            raise RefusedError(400, "Invalid asset type")
        if signature_type not in {"0", "1", "2", "3"}:
            raise RefusedError(400, "Invalid signature_type")
        wallet = self._accounts.wallet_of(key.address, int(signature_type))
        request.wallet = wallet
        asset = COLLATERAL if asset_type == "COLLATERAL" else request.one("token_id")
        account = self._accounts.account(wallet)
        allowance = account.allowance if account else "0"
        spenders = (EXCHANGE, NEG_RISK_EXCHANGE, NEG_RISK_ADAPTER)
        return answered(
            {
                "balance": str(self._accounts.shown_balance(wallet, asset)),
                "allowances": dict.fromkeys(spenders, allowance),
            }
        )

    def _notifications(self, request: Request) -> Answer:
        self._key(request)
        return answered([])

    def _drop_notifications(self, request: Request) -> Answer:
        self._key(request)
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


def _credentials(key: ApiKey) -> Json:
    return {"apiKey": key.api_key, "secret": key.secret, "passphrase": key.passphrase}


def _order_id(value: object) -> str:
    if not isinstance(value, str) or _ORDER_ID.fullmatch(value) is None:
        raise RefusedError(400, "Invalid orderID")
    return value.lower()


def _is_of(order: Order, token_id: str, market: str) -> bool:
    return (not token_id or order.token_id == token_id) and (
        not market or order.condition_id == market
    )

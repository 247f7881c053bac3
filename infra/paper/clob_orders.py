"""The CLOB's private REST that changes something: orders, cancels and heartbeats."""

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from infra.paper.accounts import ApiKey
from infra.paper.authentication import authenticate
from infra.paper.book import Order
from infra.paper.exchange import Exchange
from infra.paper.placement import leg_refusal, order_answer
from infra.paper.routes import Paths
from infra.paper.signed_order import MALFORMED, parse_posted
from infra.paper.wire import (
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
_ORDER_ID: Final = re.compile(r"0x[0-9a-fA-F]{64}")
_GONE: Final = "order can't be found - already canceled or matched"


def _key(exchange: Exchange, request: Request) -> ApiKey:
    return authenticate(request, exchange.engine.accounts)


def _post_order(exchange: Exchange, request: Request) -> Answer:
    key = _key(exchange, request)
    exchange.mode.check_orders()
    posted = parse_posted(request.json())
    placed = exchange.placement.post(posted, key, request)
    request.outcome = placed.status
    return answered(order_answer(placed))


def _post_orders(exchange: Exchange, request: Request) -> Answer:
    key = _key(exchange, request)
    exchange.mode.check_orders()
    legs = json_list(request.json(), MALFORMED)
    if len(legs) > MOST_ORDERS:
        raise RefusedError(
            400, f"Too many orders in payload: {len(legs)}, max allowed: {MOST_ORDERS}"
        )
    return answered([_leg(exchange, leg, key, request) for leg in legs])


def _leg(exchange: Exchange, leg: object, key: ApiKey, request: Request) -> Json:
    part = replace(request, parts=[])
    request.parts.append(part)
    try:
        placed = exchange.placement.post(parse_posted(leg), key, part)
    except RefusedError as error:
        part.outcome = error.text
        return leg_refusal(error)
    part.outcome = placed.status
    return order_answer(placed)


def _cancel(exchange: Exchange, key: ApiKey, order_ids: Iterable[str]) -> Answer:
    canceled: list[str] = []
    kept: Json = {}
    for order_id in dict.fromkeys(order_ids):
        order = exchange.engine.orders.get(order_id)
        if order is None or order.address != key.address:
            kept[order_id] = _GONE
            continue
        exchange.engine.cancel(order)
        canceled.append(order_id)
    return answered({"canceled": canceled, "not_canceled": kept})


def _cancel_order(exchange: Exchange, request: Request) -> Answer:
    key = _key(exchange, request)
    exchange.mode.check_cancels()
    order_id = _order_id(request.json_object("Invalid orderID").get("orderID"))
    request.order_hash = order_id
    return _cancel(exchange, key, [order_id])


def _cancel_orders(exchange: Exchange, request: Request) -> Answer:
    key = _key(exchange, request)
    exchange.mode.check_cancels()
    listed = json_list(request.json("Invalid order payload"), "Invalid order payload")
    if len(listed) > MOST_CANCELS:
        raise RefusedError(400, f"Too many orders in payload, max allowed: {MOST_CANCELS}")
    order_ids = [_order_id(value) for value in listed]
    request.order_hash = order_ids[0] if len(order_ids) == 1 else ""
    return _cancel(exchange, key, order_ids)


def _cancel_all(exchange: Exchange, request: Request) -> Answer:
    key = _key(exchange, request)
    exchange.mode.check_cancels()
    mine = exchange.engine.open_of(key.address)
    return _cancel(exchange, key, [order.order_hash for order in mine])


def _cancel_market(exchange: Exchange, request: Request) -> Answer:
    key = _key(exchange, request)
    exchange.mode.check_cancels()
    wanted = request.json_object("Invalid order payload")
    token_id, market = str(wanted.get("asset_id") or ""), str(wanted.get("market") or "")
    if not token_id and not market:
        raise RefusedError(400, "Invalid order payload")
    request.token_id = token_id
    mine = exchange.engine.open_of(key.address)
    chosen = [order.order_hash for order in mine if is_of(order, token_id, market)]
    return _cancel(exchange, key, chosen)


def _heartbeat(exchange: Exchange, request: Request) -> Answer:
    key = _key(exchange, request)
    wanted = json_object(request.json(), "Invalid Heartbeat ID").get("heartbeat_id")
    fresh = exchange.heartbeats.beat(key.api_key, str(wanted or ""))
    return answered({"heartbeat_id": fresh})


def _legacy_heartbeat(exchange: Exchange, request: Request) -> Answer:
    exchange.heartbeats.revive(_key(exchange, request).api_key)
    return answered({"status": "ok"})


def _order_id(value: object) -> str:
    if not isinstance(value, str) or _ORDER_ID.fullmatch(value) is None:
        raise RefusedError(400, "Invalid orderID")
    return value.lower()


def is_of(order: Order, token_id: str, market: str) -> bool:
    """Tell whether an order is of a token and of a market, where they are named."""
    return (not token_id or order.token_id == token_id) and (
        not market or order.condition_id == market
    )


PATHS: Final[Paths] = {
    ("POST", "/order"): _post_order,
    ("POST", "/orders"): _post_orders,
    ("DELETE", "/order"): _cancel_order,
    ("DELETE", "/orders"): _cancel_orders,
    ("DELETE", "/cancel-all"): _cancel_all,
    ("DELETE", "/cancel-market-orders"): _cancel_market,
    ("POST", "/v1/heartbeats"): _heartbeat,
    ("POST", "/heartbeats"): _legacy_heartbeat,
}

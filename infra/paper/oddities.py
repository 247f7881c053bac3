"""Answers and events in the forms that production gives them at other times: see `switches`."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from functools import cache
from typing import Final, cast

import orjson

from infra.paper.exchange import Exchange
from infra.paper.signed_order import MALFORMED
from infra.paper.switches import PLAIN, Switches
from infra.paper.trades import TradeStatus
from infra.paper.wire import Answer, Json, RefusedError, Request, answered, encode

_OK: Final = 200
_DECIMALS: Final = frozenset(
    {
        "price",
        "size",
        "original_size",
        "size_matched",
        "matched_amount",
        "makingAmount",
        "takingAmount",
        "best_bid",
        "best_ask",
        "spread",
        "mid",
        "min_order_size",
        "tick_size",
        "last_trade_price",
    }
)
_PLACES: Final = Decimal(1).scaleb(-6)
_NANOS_PER_US: Final = 1_000
_UNMINED: Final = frozenset({TradeStatus.MATCHED, TradeStatus.RETRYING, TradeStatus.FAILED})
_NOVELTY: Final[Json] = {"since": "tomorrow", "values": [1, None]}
NOVEL_EVENT: Final = encode({"event_type": "novelty", "type": "NOVELTY", "novelty": _NOVELTY})


@cache
def _has_forms(switches: Switches) -> bool:
    """Tell whether answers and events differ at all from their plain form."""
    plain = replace(
        switches,
        leg_success=PLAIN.leg_success,
        order_status=PLAIN.order_status,
        trade_status=PLAIN.trade_status,
        matched_word=PLAIN.matched_word,
        hashes=PLAIN.hashes,
        trade_ids=PLAIN.trade_ids,
        nulls=PLAIN.nulls,
        unknown_fields=PLAIN.unknown_fields,
        decimals=PLAIN.decimals,
        maker_sides=PLAIN.maker_sides,
        read_lag_seconds=PLAIN.read_lag_seconds,
    )
    return plain != switches


def refusal(switches: Switches, request: Request, error: RefusedError) -> Answer | None:
    """Return the other form of a refusal, or None where it is told as it is."""
    place = request.method, request.path
    if place[0] == "GET" and place[1].startswith("/data/order/") and error.status == 404:  # noqa: PLR2004
        return answered(None) if switches.gone_orders == "null" else None
    is_judged = error.status == 400 and error.text != MALFORMED  # noqa: PLR2004
    if place != ("POST", "/order") or not is_judged or switches.refusals == "http_400":
        return None
    refused: Json = {
        "errorMsg": error.text,
        "orderID": "",
        "takingAmount": "",
        "makingAmount": "",
        "status": "",
        "success": switches.refusals == "success_true",
    }
    return answered(_formed(switches, refused, is_rest=True), headers=error.headers)


def told(exchange: Exchange, request: Request, answer: Answer) -> Answer:
    """Return an answer of the CLOB in the form that the switches give it."""
    switches = exchange.switches
    if answer.status != _OK or not _has_forms(switches):
        return answer
    body = cast("object", orjson.loads(answer.body))
    if switches.read_lag_us and request.method == "GET":
        body = _as_listed(exchange, request, body)
    return Answer(_OK, encode(_formed(switches, body, is_rest=True)), answer.headers)


def event(switches: Switches, frame: Json) -> Json:
    """Return a frame of a stream in the form that the switches give it."""
    if not _has_forms(switches):
        return frame
    return cast("Json", _formed(switches, frame, is_rest=False))


def _formed(switches: Switches, value: object, *, is_rest: bool) -> object:
    if isinstance(value, list):
        items = cast("list[object]", value)
        return [_formed(switches, item, is_rest=is_rest) for item in items]
    if not isinstance(value, dict):
        return value
    known = cast("Json", value)
    out = {name: _formed(switches, item, is_rest=is_rest) for name, item in known.items()}
    form = _form_of(out)
    if form is not None:
        form(switches, out, is_rest)
        if switches.unknown_fields:
            out["novelty"] = _NOVELTY
    if switches.decimals == "padded":
        for name in _DECIMALS & out.keys():
            out[name] = _padded(out[name])
    return out


_Form = Callable[[Switches, Json, bool], None]


def _form_of(value: Json) -> _Form | None:
    """Return what forms an object of this kind: a trade, an order, an answer to one."""
    if "maker_orders" in value:
        return _form_trade
    if "original_size" in value:
        return _form_order
    return _form_answer if "orderID" in value and "success" in value else None


def _form_trade(switches: Switches, trade: Json, is_rest: bool) -> None:  # noqa: FBT001
    status = str(trade["status"])
    if switches.hashes == "when_mined" and status in _UNMINED:
        trade["transaction_hash"] = ""
    if is_rest and status == TradeStatus.MATCHED:
        status = switches.matched_word
    if is_rest and switches.trade_status == "prefixed":
        status = f"TRADE_STATUS_{status}"
    trade["status"] = status
    if not switches.maker_sides:
        for leg in cast("list[Json]", trade["maker_orders"]):
            leg.pop("side", None)


def _form_order(switches: Switches, order: Json, _: bool) -> None:  # noqa: FBT001
    status = str(order["status"])
    if switches.order_status == "prefixed":
        order["status"] = f"ORDER_STATUS_{status}"
    elif switches.order_status == "lower":
        order["status"] = status.lower()
    if switches.nulls:
        order["associate_trades"] = None


def _form_answer(switches: Switches, answer: Json, _: bool) -> None:  # noqa: FBT001
    if answer["errorMsg"] and not answer["orderID"] and switches.leg_success:
        answer["success"] = True
    if switches.hashes == "when_mined" or not switches.trade_ids:
        answer.pop("transactionsHashes", None)
    if not switches.trade_ids:
        answer.pop("tradeIDs", None)
    if switches.nulls:
        for name in ("errorMsg", "takingAmount", "makingAmount"):
            answer[name] = answer[name] or None


def _padded(value: object) -> object:
    return str(Decimal(value).quantize(_PLACES)) if isinstance(value, str) and value else value


def _as_listed(exchange: Exchange, request: Request, body: object) -> object:
    """Return an answer without the orders and trades that are not listed yet."""
    since = exchange.now() - exchange.switches.read_lag_us
    if request.path.startswith("/data/order/"):
        return body if _is_old_order(exchange, cast("Json", body), since) else None
    if request.path == "/data/orders":
        return _without(body, lambda row: _is_old_order(exchange, row, since))
    if request.path == "/data/trades":
        return _without(body, lambda row: _matched_at(row) <= since)
    return body


def _is_old_order(exchange: Exchange, row: Json, since: int) -> bool:
    order = exchange.engine.orders.get(str(row["id"]))
    return order is None or order.created_at <= since


def _matched_at(row: Json) -> int:
    return int(str(row["match_time_nano"])) // _NANOS_PER_US


def _without(body: object, is_listed: Callable[[Json], bool]) -> Json:
    page = cast("Json", body)
    rows = [row for row in cast("list[Json]", page["data"]) if is_listed(row)]
    return {**page, "data": rows, "count": len(rows)}

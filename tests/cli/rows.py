"""Rows as the API shows them."""

from typing import Any

Row = dict[str, Any]

HASH = "0x12ab" + "0" * 58 + "9f"
OTHER_HASH = "0x77cd" + "0" * 58 + "11"
SIGNAL = "ab" * 10
POSITION = "cd" * 10
TOKEN = "7" * 70


def an_order(**given: Any) -> Row:
    return {
        "order_hash": HASH,
        "created_at": "2026-11-20T10:00:00+00:00",
        "last_sent_at": "2026-11-20T10:00:00+00:00",
        "side": "BUY",
        "type": "limit",
        "market_slug": "will-the-committee-cut-rates-by-fifty-points-in-december-2026",
        "outcome": "Yes",
        "price": "0.450000000000000000",
        "size": "100.000000000000000000",
        "filled_size": "0E-18",
        "state": "LIVE",
        "source": "webhook",
        "workflow_id": "order-x-0",
        "signal_id": SIGNAL,
        "trace_id": "f" * 32,
        "reason": None,
    } | given


def a_signal(**given: Any) -> Row:
    return {
        "id": SIGNAL,
        "received_at": "2026-11-20T10:00:00+00:00",
        "source": "tradingview",
        "action": "BuyMarket",
        "prix_sl": "0.300000000000000000",
        "prix_tp": None,
        "status": "processed",
        "reason": None,
        "raw_payload": '{"action": "BuyMarket"}',
        "workflow_id": f"order-{SIGNAL}-0",
        "trace_id": "f" * 32,
    } | given


def a_fill(**given: Any) -> Row:
    return {
        "trade_id": "trade-1",
        "order_hash": HASH,
        "matched_at": "2026-11-20T10:00:01+00:00",
        "side": "BUY",
        "market_slug": "plain-1",
        "outcome": "Yes",
        "price": "0.45",
        "size": "100",
        "fee": "0.10",
        "status": "CONFIRMED",
        "source": "webhook",
    } | given


def a_position(**given: Any) -> Row:
    return {
        "id": POSITION,
        "account_id": "main",
        "token_id": TOKEN,
        "market_slug": "will-the-committee-cut-rates-by-fifty-points-in-december-2026",
        "outcome": "Yes",
        "status": "open",
        "size": "1234.500000000000000000",
        "average_price": "0.451230000000000000",
        "current_price": "0.470000000000000000",
        "unrealised_pnl": "23.170000000000000000",
        "realised_pnl_average": "-1234.560000000000000000",
        "realised_pnl_fifo": "-1200.000000000000000000",
        "fees_usd": "1.200000000000000000",
        "current_sl": "0.300000000000000000",
        "current_tp": "0.900000000000000000",
    } | given


def an_event(**given: Any) -> Row:
    return {
        "seq": 1,
        "at": "2026-11-20T10:00:00.500000+00:00",
        "kind": "order.live",
        "subject_kind": "order",
        "subject_id": HASH,
        "who": None,
        "detail": {"before": "SENT", "after": {"state": "LIVE", "price": "0.450000000000000000"}},
    } | given


def a_market(**given: Any) -> Row:
    return {
        "slug": "plain-1",
        "condition_id": "0x" + "1" * 64,
        "tokens": [
            {"token_id": "1" * 77, "outcome": "Yes"},
            {"token_id": "2" * 77, "outcome": "No"},
        ],
        "neg_risk": False,
        "tick_size": "0.010000000000000000",
        "min_size": "5.000000000000000000",
        "accepting_orders": True,
        "updated_at": "2026-11-20T10:00:00+00:00",
    } | given


def an_account(**given: Any) -> Row:
    return {
        "id": "main",
        "state": "running",
        "state_reason": None,
        "state_changed_at": "2026-11-20T10:00:00+00:00",
        "wallet": "0x" + "ab" * 20,
        "starting_equity_usd": "10000",
        "starting_equity_at": "2026-11-20T00:00:03+00:00",
        "pnl_today_usd": "-123.45",
        "limits": {
            "max_daily_loss_fraction": {
                "limit": "1000",
                "used": "123.45",
                "left": "876.55",
                "of": "0.1 of 10000.00",
            }
        },
        "limits_confirmed": True,
    } | given


def a_story(**given: Any) -> Row:
    return {
        "kind": "signal",
        "id": SIGNAL,
        "trace_id": "f" * 32,
        "workflows": [
            {
                "workflow_id": f"order-{SIGNAL}-0",
                "url": f"http://127.0.0.1:2/namespaces/default/workflows/order-{SIGNAL}-0",
            }
        ],
        "temporal_url": None,
        "signals": [a_signal()],
        "orders": [an_order()],
        "fills": [a_fill()],
        "positions": [a_position()],
        "protections": [],
        "events": [
            an_event(),
            an_event(seq=2, at="2026-11-20T10:00:02+00:00", kind="order.filled"),
        ],
    } | given


ROWS = {
    "signals": a_signal(),
    "orders": an_order(),
    "fills": a_fill(),
    "positions": a_position(),
    "events": an_event(),
    "markets": a_market(),
    "accounts": an_account(),
}
STATUS = {
    "accounts": [an_account()],
    "signals": {"processed": 3, "error": 1},
    "orders": {"LIVE": 2},
    "positions": {"open": 1},
    "open_orders": 2,
    "open_orders_by_state": {"LIVE": 2},
    "waiting_signals": 0,
    "parts": {"database": "ok", "migrations": "ok", "temporal": "ok"},
}
CALLS = {
    "minutes": 60,
    "items": [
        {
            "endpoint": "GET /balance-allowance",
            "calls": 120_345,
            "statuses": {"none": 3, "200": 120_000, "429": 300, "500": 42},
            "retry_count": 12,
            "rate_limit_hits": 300,
            "bytes_out": 0,
            "bytes_in": 123_456_789,
            **{
                f"{name}_ms_p{one}": 1234.567
                for name in ("connect", "first_byte", "total")
                for one in (50, 95, 99)
            },
        }
    ],
}
PNL = {
    "items": [a_position()],
    "accounts": [
        {
            "account_id": "main",
            "fees_usd": "1.2",
            "realised_pnl_average": "-1234.56",
            "realised_pnl_fifo": "-1200",
            "unrealised_pnl": "23.17",
            "unpriced": 0,
        }
    ],
}

"""A twin of each recorded message: the same form and the same odd values, with little else."""

import json
from typing import Any, Final

from tests.exchanges.scripted import CONDITION, NO, YES

HASH: Final = "0x1234567890abcdef1234567890abcdef1234567890abcdef1234567890abcdef12"
OWNER: Final = "00000000-0000-0000-0000-000000000001"
WALLET: Final = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
MAKER_WALLET: Final = "0xa3D82Ed56F4c68d2328Fb8c29e568Ba2cAF7d7c8"
MAKER_OWNER: Final = "3e2c94ca-8124-c4c1-c7ea-be1ea21b71fe"
TOKEN: Final = "21742633143463906290569050155826241533067272736897614950488156847949938836455"


def levels(*rows: tuple[str, str]) -> list[dict[str, str]]:
    return [{"price": price, "size": size} for price, size in rows]


def a_book(bids: list[str], asks: list[str], **more: object) -> dict[str, Any]:
    return {
        "market": CONDITION,
        "asset_id": YES,
        "timestamp": "1703875200000",
        "bids": levels(*((price, "100") for price in bids)),
        "asks": levels(*((price, "100") for price in asks)),
        **more,
    }


def an_order(**more: object) -> dict[str, Any]:
    order: dict[str, Any] = {
        "id": HASH,
        "owner": OWNER,
        "maker_address": WALLET,
        "market": CONDITION,
        "asset_id": YES,
        "status": "LIVE",
        "side": "BUY",
        "price": "0.5000",
        "original_size": "100.0000",
        "size_matched": "25.0000",
        "associate_trades": None,
        "expiration": None,
        "created_at": 1703875200,
    }
    return order | more


def an_order_event(kind: str, status: str, matched: str, **more: object) -> dict[str, Any]:
    told = {"type": kind, "status": status, "size_matched": matched, "original_size": "100.0"}
    return an_order(created_at="1703875200000", timestamp="1703875200001") | told | more


def a_trade(size: str, status: str, **more: object) -> dict[str, Any]:
    trade: dict[str, Any] = {
        "id": "trade-0xabcdef1234",
        "taker_order_id": HASH,
        "market": CONDITION,
        "asset_id": YES,
        "side": "BUY",
        "size": size,
        "price": "0.5000",
        "fee_rate_bps": "0",
        "status": status,
        "match_time": "2024-01-01T00:00:00Z",
        "last_update": "2024-01-01T00:01:00Z",
        "owner": OWNER,
        "maker_address": WALLET,
        "maker_orders": [],
        "trader_side": "TAKER",
    }
    return trade | more


def a_made_trade(price: str, status: str, **leg: object) -> dict[str, Any]:
    """A trade as its maker sees it: everything of the maker stands in its own leg."""
    ours = {
        "order_id": "0xab679e56242324e15e59cfd488cd0f12e4fd71b153b9bfb57518898b9983145e",
        "owner": MAKER_OWNER,
        "maker_address": MAKER_WALLET,
        "matched_amount": "5",
        "price": price,
        "asset_id": TOKEN,
        "fee_rate_bps": "0",
    }
    other = ours | {"owner": "another", "maker_address": "0x" + "ff" * 20, "asset_id": NO}
    taker = {"owner": "taker", "maker_address": "0x" + "aa" * 20, "trader_side": "MAKER"}
    times = {"match_time": "1725868859", "timestamp": "1725868885871", "type": "TRADE"}
    made = {"asset_id": TOKEN, "maker_orders": [other, ours | leg], "event_type": "trade"}
    return a_trade("10", status, **taker, **times, **made)


def a_gamma_market(outcomes: list[str], tick: float | None, **more: object) -> dict[str, Any]:
    market: dict[str, Any] = {
        "conditionId": CONDITION,
        "slug": "a-market",
        "question": "Is it?",
        "outcomes": json.dumps(outcomes),
        "clobTokenIds": json.dumps([YES, NO]),
        "active": True,
        "closed": False,
        "archived": False,
        "acceptingOrders": True,
        "enableOrderBook": True,
        "endDate": "2028-11-07T00:00:00Z",
        "orderPriceMinTickSize": tick,
        "orderMinSize": 5,
        "feesEnabled": False,
        "feeType": None,
    }
    return market | more


def a_clob_market(tick: float, **more: object) -> dict[str, Any]:
    market: dict[str, Any] = {
        "condition_id": CONDITION,
        "market_slug": "a-market",
        "question": "Is it?",
        "minimum_tick_size": tick,
        "minimum_order_size": 5,
        "neg_risk": True,
        "closed": False,
        "accepting_orders": True,
        "enable_order_book": True,
        "end_date_iso": "2024-11-05T00:00:00Z",
        "tokens": [{"token_id": YES, "outcome": "Yes"}, {"token_id": NO, "outcome": "No"}],
    }
    return market | more


def a_change(price: str, size: str, side: str, **more: object) -> dict[str, Any]:
    return {"asset_id": YES, "price": price, "size": size, "side": side, **more}


def at(**more: object) -> dict[str, Any]:
    return {"market": CONDITION, "asset_id": YES, "timestamp": "1703875201000", **more}


def a_sports_market() -> dict[str, Any]:
    schedule = {"exponent": 1, "rate": 0.03, "rebateRate": 0.25, "takerOnly": True}
    closed = {"closed": True, "acceptingOrders": False}
    fees = {"feesEnabled": True, "feeType": "sports_fees_v2", "feeSchedule": schedule}
    return a_gamma_market(["FaZe", "illwill"], 0.001, **closed, **fees)


YES_NO: Final = ["Yes", "No"]
EMPTY_TOKENS: Final = [{"token_id": "", "outcome": ""}, {"token_id": "", "outcome": ""}]
KILLED: Final = "CANCELED_order couldn't be fully filled. FOK orders are fully filled or killed."
BEST: Final = {"best_bid": "0.51", "best_ask": "0.52", "hash": "0xhash001"}
ONE_CHANGE: Final = [a_change("0.51", "150.0", "BUY", **BEST)]

TWINS: Final[dict[str, Any]] = {
    "captured/book.json": a_book(["0.01", "0.09", "0.1"], ["0.98", "0.2", "0.14"]),
    "captured/event.json": {"markets": [{"conditionId": CONDITION, "slug": "a-market"}]},
    "captured/market.json": a_clob_market(0.001),
    "captured/market_slug.json": {"conditionId": CONDITION, "clobTokenIds": [YES, NO]},
    "captured/markets.json": {
        "data": [a_clob_market(0.01)] * 99 + [a_clob_market(0.01, tokens=EMPTY_TOKENS)]
    },
    "captured/ws_book.json": a_book(["0.001", "0.511"], ["0.999", "0.514"]),
    "captured/ws_last_trade_price.json": at(
        event_type="last_trade_price", fee_rate_bps="0", price="0.491", side="SELL", size="85.36"
    ),
    "captured/ws_order_placement.json": an_order_event("PLACEMENT", "LIVE", "0", original_size="5"),
    "captured/ws_price_change.json": at(
        event_type="price_change", price="0.514", side="SELL", size="21574.08"
    ),
    "captured/ws_price_change_v2.json": at(price_changes=[a_change("0.6", "3300", "BUY")]),
    "captured/ws_tick_size_change.json": at(
        event_type="tick_size_change", new_tick_size="0.001", old_tick_size="0.01"
    ),
    "captured/ws_user_trade1.json": a_made_trade("0.518", "MINED"),
    "captured/ws_user_trade3.json": a_made_trade("0.513", "CONFIRMED", side="BUY"),
    "constructed/clob_book_response.json": a_book(["0.48", "0.50"], ["0.51", "0.53"]),
    "constructed/clob_market_closed_binary_accepting_true.json": a_clob_market(
        0.01, closed=True, enable_order_book=False
    ),
    "constructed/gamma_event.json": [{"markets": [a_gamma_market(YES_NO, 0.001)]}],
    "constructed/gamma_market.json": a_gamma_market(["Up", "Down"], 0.01, feesEnabled=True),
    "constructed/gamma_market_closed_binary_accepting_true.json": a_gamma_market(
        YES_NO, 0.01, closed=True
    ),
    "constructed/gamma_market_closed_nonbinary_legacy.json": a_gamma_market(YES_NO, None),
    "constructed/gamma_market_sports_market_map_handicap.json": a_sports_market(),
    "constructed/gamma_market_sports_market_money_line.json": a_sports_market(),
    "constructed/http_balance_allowance_collateral.json": {"balance": "1000000000"},
    "constructed/http_balance_allowance_no_allowance.json": {"balance": "250.500000"},
    "constructed/http_cancel_response_failed.json": {
        "canceled": [],
        "not_canceled": {HASH: "already canceled or matched"},
    },
    "constructed/http_cancel_response_ok.json": {"canceled": [HASH], "not_canceled": {}},
    "constructed/http_open_order.json": an_order(associate_trades=["0xabc001"]),
    "constructed/http_open_order_sell_fok.json": an_order(status="MATCHED", side="SELL"),
    "constructed/http_open_orders_page.json": {
        "data": [
            an_order(original_size="200.0000", size_matched="0.0000"),
            an_order(original_size="150.0000", size_matched="50.0000", order_type="GTD"),
        ],
        "next_cursor": "LTE=",
    },
    "constructed/http_order_response_error_500.json": {"error": "Internal server error"},
    "constructed/http_signed_order.json": {
        "salt": 123456789,
        "maker": WALLET,
        "signer": WALLET,
        "tokenId": YES,
        "makerAmount": "100000000",
        "takerAmount": "50000000",
        "side": "BUY",
        "signatureType": 0,
        "expiration": "0",
        "timestamp": "1713398400000",
        "metadata": "0x" + "00" * 32,
        "builder": "0x" + "00" * 32,
        "signature": "0xab",
    },
    "constructed/http_trade_report.json": a_trade(
        "25.0000",
        "CONFIRMED",
        maker_orders=[
            a_change("0.5000", "", "SELL", matched_amount="25.0000", order_id="0xmaker01"),
            a_change("0.5000", "", "SELL", matched_amount="5.0000", order_id="0xmaker02"),
        ],
    ),
    "constructed/http_trades_page.json": {"data": [a_trade("10.0000", "MINED")]},
    "constructed/search_response.json": {"events": [{"markets": [a_gamma_market(YES_NO, 0.001)]}]},
    "constructed/ws_book_snapshot.json": a_book(["0.48", "0.50"], ["0.53", "0.51"]),
    "constructed/ws_last_trade.json": at(fee_rate_bps="0", price="0.51", side="BUY", size="25.0"),
    "constructed/ws_market_book_msg.json": a_book(["0.50", "0.49"], ["0.51"], event_type="book"),
    "constructed/ws_market_last_trade_msg.json": at(
        event_type="last_trade_price", price="0.51", side="BUY", size="25.0"
    ),
    "constructed/ws_market_new_market_msg.json": at(
        event_type="new_market",
        slug="nvda-above-240-on-january-30-2026",
        clob_token_ids=[YES, NO],
        line="",
    ),
    "constructed/ws_market_price_change_msg.json": at(
        event_type="price_change", price_changes=ONE_CHANGE
    ),
    "constructed/ws_market_resolved_msg.json": at(
        event_type="market_resolved", winning_asset_id="76043073", winning_outcome="Yes"
    ),
    "constructed/ws_market_tick_size_msg.json": at(
        event_type="tick_size_change", new_tick_size="0.01", old_tick_size="0.1"
    ),
    "constructed/ws_quotes.json": at(
        price_changes=[*ONE_CHANGE, a_change("0.49", "100.0", "SELL", asset_id=NO)]
    ),
    "constructed/ws_tick_size_change.json": at(new_tick_size="0.01", old_tick_size="0.1"),
    "constructed/ws_user_order_cancellation.json": an_order_event(
        "CANCELLATION", "CANCELED", "0.0"
    ),
    "constructed/ws_user_order_fok_killed.json": an_order_event(
        "CANCELLATION", KILLED, "", original_size="12", created_at="", market="0x0014"
    ),
    "constructed/ws_user_order_matched.json": an_order_event("UPDATE", "MATCHED", "100.0"),
    "constructed/ws_user_order_msg.json": an_order_event("PLACEMENT", "LIVE", "0.0"),
    "constructed/ws_user_order_placement.json": an_order_event("PLACEMENT", "LIVE", "0.0"),
    "constructed/ws_user_order_update.json": an_order_event("UPDATE", "LIVE", "25.0"),
    "constructed/ws_user_trade.json": a_trade("25.0", "CONFIRMED", type="TRADE"),
    "constructed/ws_user_trade_msg.json": a_trade("25.0", "CONFIRMED", event_type="trade"),
}

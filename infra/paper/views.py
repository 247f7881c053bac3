"""The JSON shapes of orders, trades and books, exactly as strict clients parse them."""

import hashlib
from collections.abc import Iterable

from infra.paper.book import MarketBook, Order
from infra.paper.catalogue import Market
from infra.paper.trades import Leg, Trade
from infra.paper.wire import MICRO, Json, encode, text_of

_MICROS_PER_MS = 1_000


def seconds_text(at: int) -> str:
    """Return microseconds as a text of whole seconds."""
    return str(at // MICRO)


def millis_text(at: int) -> str:
    """Return microseconds as a text of milliseconds."""
    return str(at // _MICROS_PER_MS)


def open_order(order: Order) -> Json:
    """Return an order as `/data/orders` shows it."""
    return {
        "id": order.order_hash,
        "status": order.status,
        "owner": order.api_key,
        "maker_address": order.wallet,
        "market": order.condition_id,
        "asset_id": order.token_id,
        "side": order.side,
        "original_size": text_of(order.size),
        "size_matched": text_of(order.filled),
        "price": text_of(order.price),
        "outcome": order.outcome,
        "expiration": str(order.expiration),
        "order_type": order.type,
        "associate_trades": [],
        "created_at": order.created_at // MICRO,
    }


def order_event(order: Order, kind: str, status: str, at: int) -> Json:
    """Return a user-channel order event; `kind` is PLACEMENT, UPDATE or CANCELLATION."""
    return {
        **open_order(order),
        "event_type": "order",
        "type": kind,
        "status": status,
        "order_owner": order.api_key,
        "created_at": seconds_text(order.created_at),
        "timestamp": millis_text(at),
    }


def _maker_order(leg: Leg) -> Json:
    return {
        "order_id": leg.order_hash,
        "owner": leg.api_key,
        "maker_address": leg.wallet,
        "matched_amount": text_of(leg.size),
        "price": text_of(leg.price),
        "fee_rate_bps": "0",
        "asset_id": leg.token_id,
        "outcome": leg.outcome,
        "outcome_index": leg.index,
        "side": leg.side,
    }


def _trade(trade: Trade, address: str) -> Json:
    taker = trade.taker
    return {
        "id": trade.trade_id,
        "taker_order_id": taker.order_hash,
        "market": trade.condition_id,
        "asset_id": taker.token_id,
        "side": taker.side,
        "size": text_of(taker.size),
        "price": text_of(taker.price),
        "fee_rate_bps": "0",
        "status": str(trade.status),
        "match_time": seconds_text(trade.matched_at),
        "last_update": seconds_text(trade.updated_at),
        "outcome": taker.outcome,
        "bucket_index": trade.bucket,
        "owner": taker.api_key,
        "maker_address": taker.wallet,
        "transaction_hash": trade.transaction_hash,
        "trader_side": "TAKER" if taker.address == address else "MAKER",
        "maker_orders": [_maker_order(leg) for leg in trade.makers],
    }


def rest_trade(trade: Trade, address: str) -> Json:
    """Return a trade as `/data/trades` shows it to one of its parties."""
    return {
        **_trade(trade, address),
        "match_time_nano": str(trade.matched_at * 1_000),
        "type": "TRADE",
    }


def builder_trade(trade: Trade, leg: Leg, code: str) -> Json:
    """Return a fill of an order that a builder's code was signed into."""
    fee = leg.fee if leg.fee_asset == "collateral" else leg.fee * leg.price // MICRO
    return {
        "id": trade.trade_id,
        "tradeType": leg.role,
        "takerOrderHash": trade.taker_order,
        "builder": code,
        "market": trade.condition_id,
        "assetId": leg.token_id,
        "side": leg.side,
        "size": text_of(leg.size),
        "sizeUsdc": text_of(leg.cash),
        "price": text_of(leg.price),
        "status": f"TRADE_STATUS_{trade.status}",
        "outcome": leg.outcome,
        "outcomeIndex": leg.index,
        "owner": leg.api_key,
        "maker": leg.wallet,
        "transactionHash": trade.transaction_hash,
        "matchTime": seconds_text(trade.matched_at),
        "bucketIndex": trade.bucket,
        "fee": text_of(fee),
        "feeUsdc": text_of(fee),
        "err_msg": None,
        "createdAt": None,
        "updatedAt": None,
    }


def trade_event(trade: Trade, address: str) -> Json:
    """Return a trade as the user channel tells it to one of its parties."""
    return {
        **_trade(trade, address),
        "event_type": "trade",
        "type": "TRADE",
        "trade_owner": trade.taker.api_key,
        "timestamp": millis_text(trade.updated_at),
    }


def levels(book: MarketBook, index: int) -> tuple[list[Json], list[Json]]:
    """Return a token's bids ascending and asks descending: the best is the last of each."""
    if index == 0:
        return _rows(book.bids.rows()), _rows(reversed(book.asks.rows()))
    mirrored = [(MICRO - price, size) for price, size in reversed(book.asks.rows())]
    offered = [(MICRO - price, size) for price, size in book.bids.rows()]
    return _rows(mirrored), _rows(offered)


def _rows(pairs: Iterable[tuple[int, int]]) -> list[Json]:
    return [{"price": text_of(price), "size": text_of(size)} for price, size in pairs]


def book_of(market: Market, book: MarketBook, index: int, last: str, at: int) -> Json:
    """Return a token's order book with its hash; `last` is the last trade's price or ""."""
    bids, asks = levels(book, index)
    document: Json = {
        "market": market.condition_id,
        "asset_id": market.token_ids[index],
        "timestamp": millis_text(at),
        "hash": "",
        "bids": bids,
        "asks": asks,
        "min_order_size": text_of(market.min_size),
        "tick_size": text_of(market.tick),
        "neg_risk": market.neg_risk,
        "last_trade_price": last,
    }
    document["hash"] = hashlib.sha1(encode(document), usedforsecurity=False).hexdigest()
    return document


def best(book: MarketBook, index: int) -> tuple[int | None, int | None]:
    """Return a token's best bid and best ask."""
    bid, ask = book.best_bid, book.best_ask
    if index == 0:
        return bid, ask
    return None if ask is None else MICRO - ask, None if bid is None else MICRO - bid

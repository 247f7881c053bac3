"""The frames of the market channel."""

from dataclasses import dataclass
from typing import Final

from infra.paper.catalogue import Market
from infra.paper.exchange import Exchange
from infra.paper.news import MarketNews
from infra.paper.trades import Trade
from infra.paper.views import best, book_of, millis_text
from infra.paper.wire import MICRO, Json, text_of


@dataclass(frozen=True, slots=True)
class MarketFrame:
    """A frame, the tokens whose subscribers get it, and whether only flagged ones do.

    Without tokens it goes to every flagged connection.
    """

    body: Json
    tokens: frozenset[str]
    is_special: bool = False

    def reaches(self, assets: set[str], *, is_flagged: bool) -> bool:
        """Tell whether a connection gets this frame."""
        if self.is_special and not is_flagged:
            return False
        return not self.tokens or not self.tokens.isdisjoint(assets)


_EVERYONE: Final[frozenset[str]] = frozenset()


def book_event(exchange: Exchange, token_id: str) -> Json | None:
    """Return the `book` event of a token, or None for one without a book."""
    market = exchange.engine.by_token.get(token_id)
    if market is None or market.closed:
        return None
    index = market.index_of(token_id)
    last = exchange.engine.last_price(market.condition_id, index)
    book = exchange.engine.books[market.condition_id]
    return {"event_type": "book", **book_of(market, book, index, last, exchange.now())}


def market_frames(exchange: Exchange, market: Market, news: MarketNews) -> list[MarketFrame]:
    """Return the frames of one commit in one market, in the order they are sent."""
    frames: list[MarketFrame] = []
    both = frozenset(market.token_ids)
    if news.traded:
        for index, token_id in enumerate(market.token_ids):
            book = book_event(exchange, token_id)
            if book is not None:
                frames.append(MarketFrame(book, frozenset({token_id})))
            frames += [
                MarketFrame(_last_trade(market, index, trade), frozenset({token_id}))
                for trade in news.traded
                if trade.taker.index == index
            ]
    if news.touched:
        frames.append(MarketFrame(_price_change(exchange, market, news), both))
        frames += _best_bid_asks(exchange, market)
    frames += [MarketFrame(body, both) for body in news.plain]
    frames += [MarketFrame(body, _EVERYONE, is_special=True) for body in news.special]
    return frames


def _last_trade(market: Market, index: int, trade: Trade) -> Json:
    return {
        "event_type": "last_trade_price",
        "market": market.condition_id,
        "asset_id": market.token_ids[index],
        "price": text_of(trade.taker.price),
        "size": text_of(trade.taker.size),
        "side": trade.taker.side,
        "fee_rate_bps": "0",
        "timestamp": millis_text(trade.matched_at),
        "transaction_hash": trade.transaction_hash,
    }


def _price_change(exchange: Exchange, market: Market, news: MarketNews) -> Json:
    book = exchange.engine.books[market.condition_id]
    now = exchange.now()
    last = [exchange.engine.last_price(market.condition_id, index) for index in (0, 1)]
    hashes = [book_of(market, book, index, last[index], now)["hash"] for index in (0, 1)]
    changes: list[Json] = []
    for is_bid, price in sorted(news.touched):
        size = text_of(book.half(is_bid=is_bid).size_at(price))
        for index, token_id in enumerate(market.token_ids):
            bid, ask = best(book, index)
            changes.append(
                {
                    "asset_id": token_id,
                    "price": text_of(price if index == 0 else MICRO - price),
                    "size": size,
                    "side": "BUY" if is_bid == (index == 0) else "SELL",
                    "hash": hashes[index],
                    "best_bid": text_of(bid or 0),
                    "best_ask": text_of(MICRO if ask is None else ask),
                }
            )
    return {
        "event_type": "price_change",
        "market": market.condition_id,
        "timestamp": millis_text(now),
        "price_changes": changes,
    }


def _best_bid_asks(exchange: Exchange, market: Market) -> list[MarketFrame]:
    frames: list[MarketFrame] = []
    for index, token_id in enumerate(market.token_ids):
        bid, ask = best(exchange.engine.books[market.condition_id], index)
        low, high = bid or 0, MICRO if ask is None else ask
        body: Json = {
            "event_type": "best_bid_ask",
            "market": market.condition_id,
            "asset_id": token_id,
            "best_bid": text_of(low),
            "best_ask": text_of(high),
            "spread": text_of(high - low),
            "timestamp": millis_text(exchange.now()),
        }
        frames.append(MarketFrame(body, frozenset({token_id}), is_special=True))
    return frames

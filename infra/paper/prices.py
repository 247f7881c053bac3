"""What a token is worth, and the lookups of markets that several services share."""

from infra.paper.catalogue import Market
from infra.paper.exchange import Exchange
from infra.paper.views import best
from infra.paper.wire import MICRO, RefusedError, Request, micro_of


def price_of(exchange: Exchange, market: Market, index: int) -> int:
    """Return what a token is worth now: its payout, its middle, or the market's first price."""
    if market.payouts is not None:
        return micro_of(market.payouts[index])
    bid, ask = best(exchange.engine.books[market.condition_id], index)
    if bid is not None and ask is not None:
        return (bid + ask) // 2
    return market.start_mid if index == 0 else MICRO - market.start_mid


def market_of_token(exchange: Exchange, token_id: str) -> Market:
    """Return a token's market. Raises RefusedError (404) when there is none."""
    market = exchange.engine.by_token.get(token_id)
    if market is None:
        raise RefusedError(404, "market not found")
    return market


def market_of_path(exchange: Exchange, request: Request) -> Market:
    """Return the market whose condition is in the path. Raises RefusedError (404) for none."""
    market = exchange.engine.markets.get(request.tail)
    if market is None:
        raise RefusedError(404, "market not found")
    return market

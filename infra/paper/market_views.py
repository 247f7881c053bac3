"""The JSON shapes of a market as the CLOB shows it, brief and full."""

from typing import Final

from infra.paper.catalogue import Market
from infra.paper.exchange import Exchange
from infra.paper.prices import price_of
from infra.paper.signatures import EXCHANGE
from infra.paper.wire import MICRO, Json, number_of

LEGACY_FEE_BPS: Final = 1000  # what is said of any market with fees; not the real rate


def tokens_of(exchange: Exchange, market: Market) -> list[Json]:
    """Return a market's two tokens with price and whether they won."""
    return [
        {
            "token_id": token_id,
            "outcome": market.outcomes[index],
            "price": number_of(price_of(exchange, market, index)),
            "winner": market.payouts is not None and market.payouts[index] == "1",
        }
        for index, token_id in enumerate(market.token_ids)
    ]


def brief_market(exchange: Exchange, market: Market) -> Json:
    """Return a row of the simplified listings."""
    return {
        "condition_id": market.condition_id,
        "tokens": tokens_of(exchange, market),
        "rewards": {"rates": None, "min_size": 0, "max_spread": 0},
        "active": True,
        "closed": market.closed,
        "archived": False,
        "accepting_orders": not market.closed,
    }


def full_market(exchange: Exchange, market: Market) -> Json:
    """Return a market with everything the CLOB says of it."""
    fee = LEGACY_FEE_BPS if market.has_fees else 0
    return {
        **brief_market(exchange, market),
        "enable_order_book": True,
        "accepting_order_timestamp": market.start_date,
        "minimum_order_size": number_of(market.min_size),
        "minimum_tick_size": number_of(market.tick),
        "question_id": market.question_id,
        "question": market.question,
        "description": market.question,
        "market_slug": market.slug,
        "end_date_iso": market.end_date,
        "game_start_time": None,
        "seconds_delay": market.delay_us // MICRO,
        "fpmm": EXCHANGE,
        "maker_base_fee": fee,
        "taker_base_fee": fee,
        "notifications_enabled": True,
        "neg_risk": market.neg_risk,
        "neg_risk_market_id": market.neg_risk_market_id,
        "neg_risk_request_id": "",
        "icon": "",
        "image": "",
        "is_50_50_outcome": False,
        "tags": [market.tag, "All"],
    }

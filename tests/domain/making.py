"""Values for tests: only what a test is about needs saying."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from domain.fill import FeeAsset, Fill, FillStatus
from domain.market import Market, Token
from domain.order import Order, OrderSource, OrderState, OrderType, Side, TimeInForce

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def an_order(state: OrderState = OrderState.SENT, **fields: Any) -> Order:
    """Return a buy of 10 shares at 0.40 that rests."""
    order = Order(
        order_hash="0x1",
        intent_id="intent-1",
        account_id="main",
        token_id="111",
        condition_id="0xc0",
        side=Side.BUY,
        type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        post_only=False,
        source=OrderSource.WEBHOOK,
        state=state,
        price=Decimal("0.40"),
        size=Decimal(10),
        signal_id=None,
        workflow_id="order-1",
        trace_id="trace-1",
        created_at=NOW,
    )
    return replace(order, **fields)


def a_fill(side: Side = Side.BUY, size: str = "4", price: str = "0.4", **fields: Any) -> Fill:
    """Return a fill without a fee."""
    fill = Fill(
        trade_id="t1",
        order_hash="0x1",
        account_id="main",
        token_id="111",
        condition_id="0xc0",
        side=side,
        price=Decimal(price),
        size=Decimal(size),
        fee=Decimal(0),
        fee_asset=FeeAsset.COLLATERAL,
        status=FillStatus.MATCHED,
        source=OrderSource.WEBHOOK,
        matched_at=NOW,
    )
    return replace(fill, **fields)


def a_market(**fields: Any) -> Market:
    market = Market(
        condition_id="0xc0",
        slug="rain",
        question="Will it rain?",
        tokens=(
            Token(token_id="111", outcome="Yes", position=0),
            Token(token_id="222", outcome="No", position=1),
        ),
        neg_risk=False,
        tick_size=Decimal("0.01"),
        min_size=Decimal(5),
        fee_rate=Decimal("0.04"),
        fee_exponent=1,
        accepting_orders=True,
        closed=False,
        end_at=None,
    )
    return replace(market, **fields)

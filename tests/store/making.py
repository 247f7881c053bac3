"""Values for tests: only what a test is about needs saying."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.fill import FeeAsset, Fill, FillStatus
from domain.market import Market, Token
from domain.order import Order, OrderSource, OrderState, OrderType, Side, TimeInForce
from domain.risk import Limits

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
ACCOUNT = "main"
WALLET = "0x" + "a" * 40
CONDITION = "0xc0"
YES, NO = "111", "222"
KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="  # 32 bytes of nobody
WIDE = Limits(
    max_order_notional_usd=Decimal(1000),
    max_market_exposure_usd=Decimal(5000),
    max_open_orders=1000,
)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def an_order(name: str = "1", **fields: Any) -> Order:
    """Return a buy of 10 shares at 0.40, not sent yet."""
    order = Order(
        order_hash=f"0x{name}",
        intent_id=f"intent-{name}",
        account_id=ACCOUNT,
        token_id=YES,
        condition_id=CONDITION,
        side=Side.BUY,
        type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        post_only=False,
        source=OrderSource.WEBHOOK,
        state=OrderState.NEW,
        price=Decimal("0.40"),
        size=Decimal(10),
        signal_id="signal-1",
        workflow_id=f"order-intent-{name}",
        trace_id="trace-1",
        created_at=NOW,
    )
    return replace(order, **fields)


def a_fill(trade: str = "t1", order: Order | None = None, **fields: Any) -> Fill:
    """Return 4 shares of an order, matched at its price, without a fee."""
    order = order or an_order()
    fill = Fill(
        trade_id=trade,
        order_hash=order.order_hash,
        account_id=ACCOUNT,
        token_id=order.token_id,
        condition_id=order.condition_id,
        side=order.side,
        price=order.price,
        size=Decimal(4),
        fee=Decimal(0),
        fee_asset=FeeAsset.COLLATERAL,
        status=FillStatus.MATCHED,
        source=OrderSource.MANUAL,
        matched_at=NOW,
    )
    return replace(fill, **fields)


def a_market(name: str = "rain", **fields: Any) -> Market:
    """Return an open market; that of `an_order` is called rain."""
    tokens = (YES, NO) if name == "rain" else (f"{name}-yes", f"{name}-no")
    market = Market(
        condition_id=CONDITION if name == "rain" else f"0x{name}",
        slug=name,
        question=f"Will there be {name}?",
        tokens=(
            Token(token_id=tokens[0], outcome="Yes", position=0),
            Token(token_id=tokens[1], outcome="No", position=1),
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


async def rows(engine: AsyncEngine, query: str) -> list[dict[str, Any]]:
    """Return what a query of the database itself returns."""
    async with engine.connect() as connection:
        return [dict(row) for row in (await connection.execute(text(query))).mappings()]


async def one(engine: AsyncEngine, query: str) -> Any:
    """Return the only value of the only row."""
    (row,) = await rows(engine, query)
    (value,) = row.values()
    return value


async def kinds(engine: AsyncEngine) -> list[str]:
    """Return the kinds of all events, oldest first."""
    return [row["kind"] for row in await rows(engine, "SELECT kind FROM events ORDER BY seq")]

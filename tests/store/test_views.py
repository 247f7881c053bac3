"""The names under which the first alert receiver knew its tables."""

from decimal import Decimal

import pytest
from sqlalchemy import text

from domain.fill import SeenBy
from domain.ids import position_id
from infra.store.fills import Fills
from infra.store.orders import Orders
from tests.store.making import ACCOUNT, NOW, WIDE, YES, a_fill, an_order, rows

pytestmark = pytest.mark.services


async def test_an_armed_stop_is_an_open_trade_and_a_fired_one_is_not(
    orders: Orders, fills: Fills
) -> None:
    await orders.admit(an_order(), b"", WIDE)
    await fills.record(a_fill(), SeenBy.STREAM, NOW)
    insert = text(
        "INSERT INTO protections (id, position_id, kind, price, size, n, status, created_at)"
        " VALUES (:id, :position, :kind, 0.35, 4, :n, :status, :at)"
    )
    protections = [("stop_loss", 1, "done"), ("stop_loss", 2, "armed"), ("take_profit", 1, "armed")]
    async with orders.engine.begin() as connection:
        for kind, n, status in protections:
            held = position_id(ACCOUNT, YES)
            row = {"position": held, "kind": kind, "n": n, "status": status, "at": NOW}
            await connection.execute(insert, row | {"id": f"{kind}-{n}"})
    trades = await rows(orders.engine, "SELECT * FROM trades ORDER BY type")
    assert [(t["type"], t["status"], t["source"]) for t in trades] == [
        ("limit", "PARTIAL", "webhook"),
        ("stop_loss", "open", "order_monitor"),
    ]
    assert trades[0]["exchange_order_id"] == "0x1"
    assert (trades[1]["price"], trades[1]["token_id"]) == (Decimal("0.35"), YES)

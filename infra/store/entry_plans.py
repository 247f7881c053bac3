"""The plan that an entry brings to its position, changed while the entry is still open."""

from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col

from domain.order import Order, Side
from domain.protection import Plan, Protect, changed
from domain.signal import PositionTask
from infra.store.database import rerun, transaction
from infra.store.events import write
from infra.store.order_rows import order_event
from infra.store.rows import read
from infra.store.tables import OPEN_STATES, Orders


@dataclass(frozen=True)
class EntryPlans:
    """The port EntryPlans on PostgreSQL."""

    engine: AsyncEngine

    @rerun
    async def change(self, place: PositionTask, wish: Protect) -> list[str]:
        """Change the wish of each open entry of a position; return their hashes.

        The rows are locked as recording a fill locks them: a fill brings the old plan or the new.
        """
        query = (
            select(Orders)
            .where(
                col(Orders.account_id) == place.account_id,
                col(Orders.token_id) == place.token_id,
                col(Orders.side) == Side.BUY.value,
                col(Orders.state).in_(OPEN_STATES),
            )
            .order_by(col(Orders.created_at), col(Orders.order_hash))
            .with_for_update()
        )
        async with transaction(self.engine) as connection:
            rows = (await connection.execute(query)).mappings().all()
            orders = [read(Order, row) for row in rows]
            for order in orders:
                before = Plan(stop_loss=order.stop_loss, take_profit=order.take_profit)
                after = changed(before, wish)
                values = {"stop_loss": after.stop_loss, "take_profit": after.take_profit}
                mine = col(Orders.order_hash) == order.order_hash
                await connection.execute(update(Orders).where(mine).values(values))
                told = {"plan_before": before, "plan_after": after, "by": wish.by}
                await write(connection, order_event(order, "order.planned", told))
        return [order.order_hash for order in orders]

"""Reading and writing rows of orders within a transaction that somebody else opened."""

from collections.abc import Mapping

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from domain.errors import InvariantError
from domain.order import TERMINAL, Order
from infra.store.events import announce, order_event, write
from infra.store.rows import changes, columns_of, read
from infra.store.tables import Orders


async def locked_order(connection: AsyncConnection, order_hash: str) -> Order:
    """Return an order, locked until the transaction ends.

    Raises:
        InvariantError: no such order.
    """
    order = await by_hash(connection, order_hash, is_locking=True)
    if order is None:
        raise InvariantError(f"there is no order {order_hash}")
    return order


async def store_order(
    connection: AsyncConnection, before: Order, after: Order, detail: Mapping[str, object]
) -> None:
    """Write what changed of a locked order, its event and, for an end, its notice."""
    is_step = before.state is not after.state
    kind = f"order.{after.state.lower()}" if is_step else "order.changed"
    changed = changes(before, after)
    mine = col(Orders.order_hash) == after.order_hash
    row = columns_of(after, updated_at=func.clock_timestamp())
    await connection.execute(update(Orders).where(mine).values(row))
    told = {**detail, "before": before.state.value, "after": changed}
    await write(connection, order_event(after, kind, told))
    if is_step and after.state in TERMINAL:
        await announce(connection, kind, columns_of(after))


async def by_hash(
    connection: AsyncConnection, order_hash: str, *, is_locking: bool = False
) -> Order | None:
    """Return an order of ours, locked until the transaction ends if so asked."""
    found = select(Orders).where(col(Orders.order_hash) == order_hash)
    rows = await connection.execute(found.with_for_update() if is_locking else found)
    row = rows.mappings().one_or_none()
    return read(Order, row) if row is not None else None


async def by_intent(connection: AsyncConnection, intent_id: str) -> Order | None:
    """Return the order of an intent."""
    found = select(Orders).where(col(Orders.intent_id) == intent_id)
    row = (await connection.execute(found)).mappings().one_or_none()
    return read(Order, row) if row is not None else None

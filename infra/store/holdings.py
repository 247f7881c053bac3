"""Reading and writing positions and their lots within a transaction that somebody else opened."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from domain.fill import Fill
from domain.position import Holding, Lot, Position, empty
from infra.store.rows import columns_of, read
from infra.store.tables import Fills, Lots, Positions


async def locked_holding(connection: AsyncConnection, fill: Fill) -> Holding:
    """Return what is held of the fill's token, locked; an empty row is made where there is none.

    A lock on a row that does not exist holds nothing, so the row comes first.
    """
    start = empty(fill.account_id, fill.token_id, fill.condition_id).position
    added = insert(Positions).values(columns_of(start))
    await connection.execute(added.on_conflict_do_nothing(index_elements=["id"]))
    mine = select(Positions).where(col(Positions.id) == start.id)
    row = (await connection.execute(mine.with_for_update())).mappings().one()
    return Holding(position=read(Position, row), lots=await _lots(connection, start.id))


async def store_holding(
    connection: AsyncConnection, before: Holding, after: Holding, now: datetime
) -> None:
    """Write a locked holding: its position's new numbers and only the lots that changed."""
    held = after.position
    row: dict[str, Any] = columns_of(held, updated_at=func.clock_timestamp())
    if before.position.size == 0 and held.size != 0:
        row["opened_at"] = now
    price = col(Positions.current_price)
    row["unrealised_pnl"] = held.size * price - held.cost_usd
    mine = col(Positions.id) == held.id
    await connection.execute(update(Positions).where(mine).values(row))
    await _store_lots(connection, held.id, before.lots, after.lots)


async def fills_of(connection: AsyncConnection, account_id: str, token_id: str) -> list[Fill]:
    """Return every fill of a position in the order in which they reached it."""
    theirs = (
        select(Fills)
        .where(col(Fills.account_id) == account_id, col(Fills.token_id) == token_id)
        .order_by(col(Fills.seq))
    )
    return [read(Fill, row) for row in (await connection.execute(theirs)).mappings()]


async def _lots(connection: AsyncConnection, position_id: str) -> tuple[Lot, ...]:
    theirs = select(Lots).where(col(Lots.position_id) == position_id).order_by(col(Lots.number))
    rows: Iterable[RowMapping] = (await connection.execute(theirs)).mappings()
    return tuple(read(Lot, row) for row in rows)


async def _store_lots(
    connection: AsyncConnection,
    position_id: str,
    before: tuple[Lot, ...],
    after: tuple[Lot, ...],
) -> None:
    """Write the difference between two queues of lots."""
    old = {lot.number: lot for lot in before}
    new = {lot.number: lot for lot in after}
    gone = [number for number in old if number not in new]
    if gone:
        theirs = col(Lots.position_id) == position_id
        await connection.execute(delete(Lots).where(theirs, col(Lots.number).in_(gone)))
    changed = [lot for number, lot in new.items() if old.get(number) != lot]
    if changed:
        rows = [columns_of(lot, position_id=position_id) for lot in changed]
        added = insert(Lots).values(rows)
        values = {name: added.excluded[name] for name in rows[0] if name != "position_id"}
        keys = ["position_id", "number"]
        await connection.execute(added.on_conflict_do_update(index_elements=keys, set_=values))

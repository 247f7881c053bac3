"""Reading and writing positions and their lots within a transaction that somebody else opened."""

from dataclasses import fields
from datetime import datetime
from typing import Any, Final, Protocol

from sqlalchemy import delete, select, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from domain.fill import Fill
from domain.position import Holding, Lot, Position, empty
from infra.store.rows import columns_of, inserting, read
from infra.store.tables import Fills, Lots

# Written out: a builder takes longer to make a statement than the server to run it.
_NAMES: Final = tuple(field.name for field in fields(Position))
_LOCK: Final = text("SELECT * FROM holdfast.positions WHERE id = :id FOR UPDATE")
_MAKE: Final = text(f"{inserting('positions', _NAMES)} ON CONFLICT (id) DO NOTHING")
_STORE: Final = text(
    f"""
    UPDATE holdfast.positions SET {", ".join(f"{name} = :{name}" for name in _NAMES)},
        updated_at = clock_timestamp(),
        opened_at = coalesce(CAST(:opened_at AS timestamptz), opened_at),
        unrealised_pnl = CAST(:size AS numeric) * current_price - CAST(:cost_usd AS numeric)
    WHERE id = :id
    """  # noqa: S608  # only our own names are put in
)
_LOTS: Final = text("SELECT * FROM holdfast.lots WHERE position_id = :id ORDER BY number")
_LOT_NAMES: Final = (*(field.name for field in fields(Lot)), "position_id")
_STORE_LOT: Final = text(
    f"{inserting('lots', _LOT_NAMES)} ON CONFLICT (position_id, number) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _LOT_NAMES if name != "position_id")
)


class OfToken(Protocol):
    """What is about one account's holding of one token: a fill, a row that was edited."""

    @property
    def account_id(self) -> str: ...  # noqa: D102  # its name says it
    @property
    def token_id(self) -> str: ...  # noqa: D102
    @property
    def condition_id(self) -> str: ...  # noqa: D102


async def locked_holding(connection: AsyncConnection, of: OfToken) -> Holding:
    """Return what is held of a token, locked; an empty row is made where there is none.

    A lock on a row that does not exist holds nothing, so the row comes first.
    """
    start = empty(of.account_id, of.token_id, of.condition_id).position
    mine = {"id": start.id}
    row = (await connection.execute(_LOCK, mine)).mappings().one_or_none()
    if row is None:
        await connection.execute(_MAKE, columns_of(start))
        row = (await connection.execute(_LOCK, mine)).mappings().one()
    return Holding(position=read(Position, row), lots=await _lots(connection, start.id))


async def store_holding(
    connection: AsyncConnection, before: Holding, after: Holding, now: datetime
) -> None:
    """Write a locked holding: its position's new numbers and only the lots that changed."""
    held = after.position
    is_opening = before.position.size == 0 and held.size != 0
    row: dict[str, Any] = columns_of(held, opened_at=now if is_opening else None)
    await connection.execute(_STORE, row)
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
    rows = (await connection.execute(_LOTS, {"id": position_id})).mappings()
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
    for lot in changed:
        await connection.execute(_STORE_LOT, columns_of(lot, position_id=position_id))

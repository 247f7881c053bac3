"""Rows of protection, read and written within a transaction that somebody else opened."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from domain.errors import InvariantError
from domain.fill import FINAL
from domain.guarded import Guarded, protection_id
from domain.order import Order, OrderState, Side
from domain.position import Position
from domain.protection import Plan, Protection, ProtectionKind, ProtectionStatus
from domain.risk import AccountState
from infra.store import tables
from infra.store.events import Event, write
from infra.store.order_rows import by_intent
from infra.store.rows import columns_of, read, shortest
from infra.store.stakes import stakes

Row = Mapping[Any, Any]
K, S = ProtectionKind, ProtectionStatus
OVER: Final = (S.DONE, S.CANCELLED)


async def position_row(
    connection: AsyncConnection, identity: str, *, is_locking: bool = True
) -> Row | None:
    """Return a position's row, locked until the transaction ends if so asked."""
    found = select(tables.Positions).where(col(tables.Positions.id) == identity)
    rows = await connection.execute(found.with_for_update() if is_locking else found)
    return rows.mappings().one_or_none()


async def set_position(connection: AsyncConnection, identity: str, values: Row) -> None:
    """Write some columns of a position."""
    mine = col(tables.Positions.id) == identity
    now = {"updated_at": func.clock_timestamp()}
    await connection.execute(update(tables.Positions).where(mine).values({**values, **now}))


def plan_of(row: Row) -> Plan:
    """Return the plan that a position's row keeps."""
    return Plan(stop_loss=_price(row["current_sl"]), take_profit=_price(row["current_tp"]))


async def current(
    connection: AsyncConnection, identity: str, kind: ProtectionKind
) -> Protection | None:
    """Return the row of one kind that is not over."""
    row = tables.Protections
    found = (
        select(row)
        .where(col(row.position_id) == identity, col(row.kind) == kind.value)
        .where(col(row.status).not_in([status.value for status in OVER]))
        .order_by(col(row.n).desc())
        .limit(1)
    )
    last = (await connection.execute(found)).mappings().one_or_none()
    return read(Protection, last) if last is not None else None


async def order_of(connection: AsyncConnection, protection: Protection) -> Order | None:
    """Return the order that carries a row out."""
    return await by_intent(connection, protection.id)


async def insert_row(
    connection: AsyncConnection, position: Row, draft: Protection, now: datetime
) -> Protection:
    """Write the next row of its kind; the position's lock keeps two from being the same."""
    row = tables.Protections
    highest = select(func.coalesce(func.max(col(row.n)), 0)).where(
        col(row.position_id) == position["id"], col(row.kind) == draft.kind.value
    )
    n = (await connection.execute(highest)).scalar_one() + 1
    made = replace(draft, id=protection_id(position["id"], draft.kind, n), n=n)
    await connection.execute(insert(row).values(columns_of(made, created_at=now)))
    await tell(connection, position, f"protection.{made.status}", {"after": made})
    return made


async def change_row(
    connection: AsyncConnection, position: Row, before: Protection, after: Protection
) -> Protection:
    """Write what changed of a row, with its event; nothing where nothing did."""
    if after != before:
        mine = col(tables.Protections.id) == before.id
        values = columns_of(after, updated_at=func.clock_timestamp())
        await connection.execute(update(tables.Protections).where(mine).values(values))
        told = {"before": before, "after": after}
        await tell(connection, position, f"protection.{after.status}", told)
    return after


async def end_row(
    connection: AsyncConnection, position: Row, protection: Protection, order: Order | None
) -> None:
    """Write that a row is over: done where its order sold everything it was for."""
    is_done = order is not None and order.state is OrderState.FILLED
    over = replace(protection, status=S.DONE if is_done else S.CANCELLED)
    await change_row(connection, position, protection, over)
    if protection.kind is K.TAKE_PROFIT:
        await set_position(connection, position["id"], {"tp_order_id": None})


async def carry_out(connection: AsyncConnection, order: Order) -> None:
    """Write which order carries a row out, if the order's intent is one."""
    row = tables.Protections
    mine = update(row).where(col(row.id) == order.intent_id).values(order_hash=order.order_hash)
    told = mine.returning(col(row.position_id), col(row.kind))
    found = (await connection.execute(told)).mappings().one_or_none()
    if found is not None and found["kind"] == K.TAKE_PROFIT:
        await set_position(connection, found["position_id"], {"tp_order_id": order.order_hash})


async def sync_stop(connection: AsyncConnection, position: Row, now: datetime) -> None:
    """Have the stop's row say what the plan and the size held ask for; a flat one keeps it."""
    price, size = _price(position["current_sl"]), shortest(position["size"])
    stop = await current(connection, position["id"], K.STOP_LOSS)
    if size <= 0:
        return
    if price is None:
        if stop is not None:
            await change_row(connection, position, stop, replace(stop, status=S.CANCELLED))
            await set_position(connection, position["id"], {"sl_order_id": None})
        return
    is_exiting = await current(connection, position["id"], K.EXIT) is not None
    if stop is None:
        draft = Protection(
            id="",
            position_id=position["id"],
            kind=K.STOP_LOSS,
            price=price,
            size=size,
            n=0,
            status=S.ARMED,
        )
        stop = await insert_row(connection, position, draft, now)
        await set_position(connection, position["id"], {"sl_order_id": stop.id})
        return
    status = stop.status if is_exiting else S.ARMED
    await change_row(
        connection, position, stop, replace(stop, price=price, size=size, status=status)
    )


async def read_guarded(connection: AsyncConnection, row: Row) -> Guarded:
    """Return a position and what protects it, as the rows say it within this transaction."""
    position = read(Position, row)
    rows = {kind: await current(connection, position.id, kind) for kind in ProtectionKind}
    intents = [each.id for each in rows.values() if each is not None]
    order = tables.Orders
    theirs = select(order).where(
        col(order.account_id) == position.account_id,
        col(order.token_id) == position.token_id,
        col(order.side) == Side.SELL.value,
        or_(
            col(order.state).in_(tables.OPEN_STATES),
            col(order.matched_size) > col(order.filled_size),
            col(order.intent_id).in_(intents),
        ),
    )
    orders = (await connection.execute(theirs.order_by(col(order.created_at)))).mappings().all()
    staked = await stakes(connection, position.account_id, position.token_id)
    return Guarded(
        position=position,
        plan=plan_of(row),
        stop=rows[K.STOP_LOSS],
        take_profit=rows[K.TAKE_PROFIT],
        exit=rows[K.EXIT],
        orders=tuple(read(Order, each) for each in orders),
        unsettled_size=shortest(staked.unsettled_shares),
        unconfirmed=await _unconfirmed(connection, position),
        account=await _account(connection, position.account_id),
    )


async def is_told(connection: AsyncConnection, kind: str, signal_id: str, identity: str) -> bool:
    """Tell whether an event of a position speaks of a signal: its wish was granted before."""
    event = tables.Events
    found = select(col(event.seq)).where(
        col(event.signal_id) == signal_id,
        col(event.kind) == kind,
        col(event.position_id) == identity,
    )
    return (await connection.execute(found.limit(1))).first() is not None


async def tell(
    connection: AsyncConnection,
    position: Row,
    kind: str,
    detail: Mapping[str, object],
    signal_id: str | None = None,
) -> None:
    """Write an event of a position."""
    event = Event(
        kind=kind,
        subject_kind="position",
        subject_id=position["id"],
        account_id=position["account_id"],
        position_id=position["id"],
        signal_id=signal_id,
        detail=detail,
    )
    await write(connection, event)


async def _unconfirmed(connection: AsyncConnection, position: Position) -> int:
    """Return how many fills of a position are not final."""
    fill = tables.Fills
    open_ones = select(func.count()).where(
        col(fill.account_id) == position.account_id,
        col(fill.token_id) == position.token_id,
        col(fill.status).not_in([status.value for status in FINAL]),
    )
    return (await connection.execute(open_ones)).scalar_one()


async def _account(connection: AsyncConnection, account_id: str) -> AccountState:
    """Return where the account stands."""
    found = select(col(tables.Accounts.state)).where(col(tables.Accounts.id) == account_id)
    state = (await connection.execute(found)).scalar_one_or_none()
    if state is None:
        raise InvariantError(f"there is no account {account_id}")
    return AccountState(state)


def _price(stored: Decimal | None) -> Decimal | None:
    return None if stored is None else shortest(stored)

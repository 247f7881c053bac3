"""Rows of orders: read, and written in one statement with the event that tells of the change."""

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from sqlalchemy import TextClause, select, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from domain.errors import InvariantError
from domain.ids import ID_LENGTH
from domain.order import TERMINAL, Order
from infra.store.events import Event, order_event
from infra.store.rows import as_json, changes, columns_of, read
from infra.store.tables import Orders

KEY: Final = "order_hash"
# domain.ids.position_id of a row of orders, as the database counts it.
POSITION_ID: Final = "left(encode(sha256({}), 'hex'), {})".format(
    " || ".join(
        f"int8send(octet_length({part})) || convert_to({part}, 'UTF8')"
        for part in ("'position'", "account_id", "token_id")
    ),
    ID_LENGTH,
)
_NAMES: Final = tuple(field.name for field in fields(Order))
_EVENT: Final = tuple(field.name for field in fields(Event) if field.name != "detail")


def _telling(written: str) -> str:
    """Return the insert of an event for each row of the CTE `written`, from parameters."""
    values = ", ".join(f"CAST(:event_{name} AS text)" for name in _EVENT)
    return f"""
        INSERT INTO holdfast.events ({", ".join(_EVENT)}, detail)
        SELECT {values}, CAST(:event_detail AS jsonb) FROM {written}
    """  # noqa: S608  # only our own names are put in


_INSERT: Final = text(
    f"""
    WITH written AS (
        INSERT INTO holdfast.orders ({", ".join(_NAMES)}, signed_order)
        VALUES ({", ".join(f":{name}" for name in _NAMES)}, :signed_order)
        ON CONFLICT (intent_id) DO NOTHING
        RETURNING order_hash
    ), told AS ({_telling("written")})
    SELECT count(*) FROM written
    """  # noqa: S608
)
_UPDATE: Final = f"""
    WITH written AS (
        UPDATE holdfast.orders
        SET {", ".join(f"{name} = :{name}" for name in _NAMES if name != KEY)},
            updated_at = clock_timestamp()
        WHERE order_hash = :order_hash
            AND (CAST(:version AS text) IS NULL OR CAST(xmin AS text) = CAST(:version AS text))
        RETURNING order_hash
    ), told AS ({_telling("written")})
"""  # noqa: S608
_ANNOUNCED: Final = """, announced AS (
        INSERT INTO holdfast.outbox (kind, payload)
        SELECT CAST(:event_kind AS text), CAST(:payload AS jsonb) FROM written
    )
"""
_COUNT: Final = "SELECT count(*) FROM written"
_CHANGE: Final = text(_UPDATE + _COUNT)
_END: Final = text(_UPDATE + _ANNOUNCED + _COUNT)


async def insert_order(connection: AsyncConnection, order: Order, signed: bytes) -> bool:
    """Insert an order and its event; False where its intent has one already."""
    event = order_event(order, "order.prepared", {"after": columns_of(order)})
    row = columns_of(order) | {"signed_order": signed}
    return await _written(connection, _INSERT, row | _told(event))


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
    connection: AsyncConnection,
    before: Order,
    after: Order,
    detail: Mapping[str, object],
    version: str | None = None,
) -> bool:
    """Write what changed of an order, its event and, for an end, its notice.

    `version` is that of the row which `before` was read from, and None where the row is locked.
    False says that the row is of another version by now: nothing was written.
    """
    is_step = before.state is not after.state
    kind = f"order.{after.state.lower()}" if is_step else "order.changed"
    told = {**detail, "before": before.state.value, "after": changes(before, after)}
    row = columns_of(after) | {"version": version} | _told(order_event(after, kind, told))
    if is_step and after.state in TERMINAL:
        payload = json.dumps(as_json(columns_of(after)))
        return await _written(connection, _END, row | {"payload": payload})
    return await _written(connection, _CHANGE, row)


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


def _told(event: Event) -> dict[str, Any]:
    """Return the parameters of `_telling`."""
    columns = columns_of(event)
    detail = json.dumps(as_json(columns.pop("detail")))
    return {f"event_{name}": value for name, value in columns.items()} | {"event_detail": detail}


async def _written(
    connection: AsyncConnection, statement: TextClause, values: Mapping[str, Any]
) -> bool:
    """Run a statement that counts what it wrote; tell whether that is anything."""
    return bool((await connection.execute(statement, values)).scalar_one())

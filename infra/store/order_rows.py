"""Rows of orders: read, and written in one statement with the event that tells of the change."""

from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import InvariantError
from domain.ids import ID_LENGTH
from domain.order import TERMINAL, Order
from infra.store.events import announced, announcing, order_event, telling, told
from infra.store.rows import changes, columns_of, read

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
_INSERT: Final = text(
    f"""
    WITH written AS (
        INSERT INTO holdfast.orders ({", ".join(_NAMES)}, signed_order)
        VALUES ({", ".join(f":{name}" for name in _NAMES)}, :signed_order)
        ON CONFLICT (intent_id) DO NOTHING
        RETURNING order_hash
    ), told AS ({telling("written")})
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
    ), told AS ({telling("written")})
"""  # noqa: S608
_ANNOUNCED: Final = f", announced AS ({announcing('written')})"
_COUNT: Final = "SELECT count(*) FROM written"
_BY_HASH: Final = text("SELECT * FROM holdfast.orders WHERE order_hash = :order_hash")
_BY_INTENT: Final = text("SELECT * FROM holdfast.orders WHERE intent_id = :intent")
_LOCK: Final = text(
    """
    SELECT mine.*, (
        SELECT sum(size) FROM holdfast.fills WHERE order_hash = mine.order_hash
    ) AS recorded
    FROM holdfast.orders AS mine WHERE order_hash = :order_hash FOR UPDATE
    """
)
_CHANGE: Final = text(_UPDATE + _COUNT)
_END: Final = text(_UPDATE + _ANNOUNCED + _COUNT)


async def insert_order(
    connection: AsyncConnection, order: Order, signed: bytes | None, kind: str = "order.prepared"
) -> bool:
    """Insert an order and its event; False where its intent has one already.

    `signed` is None for an order that was not signed here.
    """
    event = order_event(order, kind, {"after": columns_of(order)})
    row = columns_of(order) | {"signed_order": signed}
    return await _written(connection, _INSERT, row | told(event))


async def locked_order(connection: AsyncConnection, order_hash: str) -> tuple[Order, Decimal]:
    """Return an order, locked until the transaction ends, and how much of it is in fills.

    Raises:
        InvariantError: no such order.
    """
    row = (await connection.execute(_LOCK, {KEY: order_hash})).mappings().one_or_none()
    if row is None:
        raise InvariantError(f"there is no order {order_hash}")
    return read(Order, row), row["recorded"]


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
    change = {**detail, "before": before.state.value, "after": changes(before, after)}
    row = columns_of(after) | {"version": version} | told(order_event(after, kind, change))
    if is_step and after.state in TERMINAL:
        return await _written(connection, _END, row | announced(kind, columns_of(after)))
    return await _written(connection, _CHANGE, row)


async def by_hash(connection: AsyncConnection, order_hash: str) -> Order | None:
    """Return an order of ours."""
    row = (await connection.execute(_BY_HASH, {KEY: order_hash})).mappings().one_or_none()
    return read(Order, row) if row is not None else None


async def by_intent(connection: AsyncConnection, intent_id: str) -> Order | None:
    """Return the order of an intent."""
    row = (await connection.execute(_BY_INTENT, {"intent": intent_id})).mappings().one_or_none()
    return read(Order, row) if row is not None else None


async def _written(
    connection: AsyncConnection, statement: TextClause, values: Mapping[str, Any]
) -> bool:
    """Run a statement that counts what it wrote; tell whether that is anything."""
    return bool((await connection.execute(statement, values)).scalar_one())

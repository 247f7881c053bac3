"""The audit trail and the outbox: written in the transaction they speak of, never after it."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from domain.fill import Fill
from domain.ids import position_id
from domain.order import Order
from infra.store.database import transaction
from infra.store.rows import as_json, columns_of, storable_text

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened, and to what.

    Attributes:
        kind: noun.past_participle ("order.sent").
        who: an operator's name; None is the engine itself.
        detail: for a change of state, the changed fields under "after".
    """

    kind: str
    subject_kind: str
    subject_id: str
    account_id: str | None = None
    signal_id: str | None = None
    order_hash: str | None = None
    position_id: str | None = None
    trace_id: str | None = None
    who: str | None = None
    detail: Mapping[str, object] = field(default_factory=dict[str, object])


_TEXTS: Final = tuple(field.name for field in fields(Event) if field.name != "detail")
_COLUMNS: Final = f"({', '.join(_TEXTS)}, detail)"
_VALUES: Final = ", ".join(
    (*(f"CAST(:event_{name} AS text)" for name in _TEXTS), "CAST(:event_detail AS jsonb)")
)
_NOTICE: Final = """
    INSERT INTO holdfast.outbox (kind, payload)
    SELECT CAST(:notice_kind AS text), CAST(:notice_payload AS jsonb)
"""


def telling(written: str) -> str:
    """Return the insert of an event for each row of the CTE `written`, from `told`."""
    return f"INSERT INTO holdfast.events {_COLUMNS} SELECT {_VALUES} FROM {written}"  # noqa: S608


def announcing(written: str) -> str:
    """Return the insert of a notice for each row of the CTE `written`, from `announced`."""
    return f"{_NOTICE} FROM {written}"


_WRITE: Final = text(f"INSERT INTO holdfast.events {_COLUMNS} VALUES ({_VALUES})")  # noqa: S608
_ANNOUNCE: Final = text(_NOTICE)
_WRITE_AND_ANNOUNCE: Final = text(
    f"WITH told AS (INSERT INTO holdfast.events {_COLUMNS} VALUES ({_VALUES})) {_NOTICE}"  # noqa: S608
)


def order_event(order: Order, kind: str, detail: Mapping[str, object]) -> Event:
    """Return an event of `order`."""
    return Event(
        kind=kind,
        subject_kind="order",
        subject_id=order.order_hash,
        account_id=order.account_id,
        signal_id=order.signal_id,
        order_hash=order.order_hash,
        position_id=position_id(order.account_id, order.token_id),
        trace_id=order.trace_id,
        detail=detail,
    )


def fill_event(fill: Fill, order: Order | None, kind: str, detail: Mapping[str, object]) -> Event:
    """Return an event of `fill`, whose order may be a stranger's to us."""
    return Event(
        kind=kind,
        subject_kind="fill",
        subject_id=fill.trade_id,
        account_id=fill.account_id,
        signal_id=order.signal_id if order else None,
        order_hash=fill.order_hash,
        position_id=position_id(fill.account_id, fill.token_id),
        trace_id=order.trace_id if order else None,
        detail=detail,
    )


def told(event: Event) -> dict[str, Any]:
    """Return the parameters of `telling`."""
    columns = columns_of(event)
    detail = json.dumps(as_json(columns.pop("detail")))
    return {f"event_{name}": value for name, value in columns.items()} | {"event_detail": detail}


def announced(kind: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of `announcing`."""
    return {"notice_kind": kind, "notice_payload": json.dumps(as_json(payload))}


async def write(connection: AsyncConnection, *events: Event) -> None:
    """Append `events` to the audit trail."""
    for event in events:
        await connection.execute(_WRITE, told(event))


async def announce(connection: AsyncConnection, kind: str, payload: Mapping[str, Any]) -> None:
    """Put a notice in the outbox; it is sent after this transaction is committed."""
    await connection.execute(_ANNOUNCE, announced(kind, payload))


async def write_and_announce(
    connection: AsyncConnection, event: Event, payload: Mapping[str, Any]
) -> None:
    """Append an event and put its notice in the outbox, on one way to the server."""
    await connection.execute(_WRITE_AND_ANNOUNCE, told(event) | announced(event.kind, payload))


async def write_broken(engine: AsyncEngine, event: Event, words: str) -> None:
    """Record that a rule was broken, in a transaction of its own: the other one is undone."""
    log.critical("invariant.broken", extra={"subject": event.subject_id, "words": words})
    async with transaction(engine) as connection:
        await write(connection, event)
        await announce(
            connection,
            "invariant.broken",
            {"subject": event.subject_id, "words": storable_text(words)},
        )

"""The audit trail and the outbox: written in the transaction they speak of, never after it."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from domain.fill import Fill
from domain.ids import position_id
from domain.order import Order
from infra.store.database import transaction
from infra.store.rows import as_json, columns_of, storable_text
from infra.store.tables import Events, Outbox

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


async def write(connection: AsyncConnection, *events: Event) -> None:
    """Append `events` to the audit trail."""
    rows = [columns_of(event, detail=as_json(event.detail)) for event in events]
    if rows:
        await connection.execute(insert(Events), rows)


async def announce(connection: AsyncConnection, kind: str, payload: Mapping[str, Any]) -> None:
    """Put a notice in the outbox; it is sent after this transaction is committed."""
    row = {"kind": kind, "payload": as_json(payload)}
    await connection.execute(insert(Outbox).values(row))


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

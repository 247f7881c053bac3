"""The inbox as the engine reads it: what waits, and what became of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ARRAY, Text, all_, cast, select, text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col

from domain.signal import SignalStatus
from infra.store.arrivals import event_of
from infra.store.database import rerun, statement, transaction
from infra.store.events import telling, told
from infra.store.rows import read, storable_text
from infra.store.tables import SCHEMA, UNDERSTOOD, UNPROVEN, WAITING
from infra.store.tables import Signals as Table

FORGET: Final = text(
    f"""
    DELETE FROM {SCHEMA}.signals WHERE {UNPROVEN} AND id IN (
        SELECT id FROM (
            SELECT id, received_at, row_number() OVER newest AS place,
                sum(octet_length(raw_payload)) OVER newest AS bytes
            FROM {SCHEMA}.signals WHERE {UNPROVEN} WINDOW newest AS (ORDER BY received_at DESC, id)
        ) AS ranked
        WHERE received_at < :before OR place > :most OR bytes > :most_bytes
    )
    """  # noqa: S608  # our own words only
)
# One statement, so that it is one commit and one way to the server and back.
_SETTLE: Final = text(
    f"""
    WITH settled AS (
        UPDATE {SCHEMA}.signals
        SET status = :status, reason = :reason, updated_at = clock_timestamp()
        WHERE id = :id AND status IN ('{SignalStatus.RECEIVED}', '{SignalStatus.PROCESSING}')
        RETURNING id
    )
    {telling("settled")}
    """  # noqa: S608  # our own words only
)


@dataclass(frozen=True, kw_only=True)
class StoredSignal:
    """A row of the inbox, as the sweep needs it."""

    id: str
    source: str
    external_id: str | None
    received_at: datetime
    status: SignalStatus
    reason: str | None
    action: str | None
    raw_payload: bytes
    account_id: str | None
    trace_id: str
    workflow_id: str | None


@dataclass(frozen=True)
class Signals:
    """The port SignalStore on PostgreSQL, and what the sweep needs of the inbox."""

    engine: AsyncEngine

    @rerun
    async def settle(self, signal_id: str, status: SignalStatus, reason: str | None) -> None:
        """Write a signal's outcome; an outcome once written stays, told again or not."""
        reason = storable_text(reason) if reason is not None else None
        row = {"id": signal_id, "status": status.value, "reason": reason}
        event = event_of(signal_id, status, {"reason": reason})
        async with statement(self.engine) as connection:
            await connection.execute(_SETTLE, row | told(event))

    async def waiting(
        self, now: datetime, older_than_seconds: float, limit: int, held: Iterable[str] = ()
    ) -> list[StoredSignal]:
        """Return signals received so long ago and not started yet, oldest first.

        Those `held` are passed over: somebody is about to start them.
        """
        query = (
            select(Table)
            .where(text(WAITING))
            .where(col(Table.received_at) <= now - timedelta(seconds=older_than_seconds))
            .where(col(Table.id) != all_(cast(list(held), ARRAY(Text))))
            .order_by(col(Table.received_at), col(Table.id))
            .limit(limit)
        )
        async with transaction(self.engine) as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [read(StoredSignal, row) for row in rows]

    async def by_id(self, signal_id: str) -> StoredSignal | None:
        """Return one row of the inbox."""
        query = select(Table).where(col(Table.id) == signal_id)
        async with transaction(self.engine) as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        return read(StoredSignal, row) if row is not None else None

    async def by_external_id(self, source: str, external_id: str) -> StoredSignal | None:
        """Return the understood signal that holds a sender's own id."""
        query = select(Table).where(
            col(Table.source) == source,
            col(Table.external_id) == storable_text(external_id),
            text(UNDERSTOOD),
        )
        async with transaction(self.engine) as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        return read(StoredSignal, row) if row is not None else None

    async def forget_strangers(self, before: datetime, most: int, most_bytes: int) -> int:
        """Delete what strangers sent before a moment and beyond a size; return how many rows.

        The newest stay: `most` rows at most, and no more than `most_bytes` of bodies.
        """
        beyond = {"before": before, "most": most, "most_bytes": most_bytes}
        async with transaction(self.engine) as connection:
            return (await connection.execute(FORGET, beyond)).rowcount

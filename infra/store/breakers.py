"""Breakers of calls to the exchange: what one worker learns, every worker knows."""

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlmodel import col

from domain.breaker import Breaker, CallGroup
from infra.store.database import transaction
from infra.store.events import Event, announce, write
from infra.store.rows import columns_of, read, storable_text
from infra.store.tables import Breakers as Table

log = logging.getLogger(__name__)

COLUMNS: Final = tuple(col(getattr(Table, name)) for name in Breaker.__dataclass_fields__)


@dataclass(frozen=True)
class Breakers:
    """Rows of `breakers`."""

    engine: AsyncEngine

    async def known(self, scopes: Collection[str] | None = None) -> list[Breaker]:
        """Return the breakers of these scopes, or all."""
        query = select(*COLUMNS).order_by(col(Table.scope), col(Table.call_group))
        if scopes is not None:
            query = query.where(col(Table.scope).in_(scopes))
        async with transaction(self.engine) as connection:
            return [read(Breaker, row) for row in (await connection.execute(query)).mappings()]

    async def failed(self, scope: str, group: CallGroup, words: str, now: datetime) -> Breaker:
        """Count a failure; whoever's it is that opens the breaker writes the event."""
        return await self._changed(scope, group, lambda known: known.failed(words, now))

    async def succeeded(self, scope: str, group: CallGroup) -> Breaker:
        """Note that a call was answered; the first one of an open breaker closes it."""
        return await self._changed(scope, group, lambda known: known.succeeded())

    async def claim_probe(
        self, scope: str, group: CallGroup, now: datetime, *, is_urgent: bool
    ) -> tuple[bool, Breaker]:
        """Take the leave for the one call that is let through, if it is time and nobody has."""
        claimed: list[bool] = []

        def claim(known: Breaker) -> Breaker:
            if known.is_closed:
                claimed.append(True)
                return known
            if known.probe_in(now, is_urgent=is_urgent).total_seconds() > 0:
                return known
            claimed.append(True)
            return known.probing(now)

        known = await self._changed(scope, group, claim)
        return bool(claimed), known

    async def _changed(
        self, scope: str, group: CallGroup, change: Callable[[Breaker], Breaker]
    ) -> Breaker:
        """Apply a change under the row's lock; write an event if the breaker opens or closes."""
        mine = (col(Table.scope) == scope, col(Table.call_group) == group.value)
        async with transaction(self.engine) as connection:
            before = await _locked(connection, Breaker(scope=scope, call_group=group), mine)
            after = change(before)
            if after != before:
                values = columns_of(after) | {"words": storable_text(after.words or "") or None}
                changed = update(Table).where(*mine)
                at = func.clock_timestamp()
                await connection.execute(changed.values(**values, updated_at=at))
            if after.is_closed != before.is_closed:
                await _tell(connection, after)
        return after


async def _locked(
    connection: AsyncConnection, new: Breaker, mine: tuple[ColumnElement[bool], ...]
) -> Breaker:
    """Return the breaker as it stands, its row locked; one that has no row is given one."""
    query = select(*COLUMNS).where(*mine).with_for_update()
    row = (await connection.execute(query)).mappings().one_or_none()
    if row is None:
        await connection.execute(insert(Table).values(columns_of(new)).on_conflict_do_nothing())
        row = (await connection.execute(query)).mappings().one()
    return read(Breaker, row)


async def _tell(connection: AsyncConnection, breaker: Breaker) -> None:
    """Write the event and the notice of a breaker that opened or closed."""
    kind = "circuit.closed" if breaker.is_closed else "circuit.opened"
    detail: dict[str, Any] = {
        "group": breaker.call_group.value,
        "after": {"state": breaker.state.value},
        "failures": breaker.failures,
        "words": breaker.words,
    }
    event = Event(
        kind=kind,
        subject_kind="circuit",
        subject_id=f"{breaker.scope}:{breaker.call_group}",
        account_id=breaker.scope,
        detail=detail,
    )
    await write(connection, event)
    await announce(connection, kind, detail | {"account_id": breaker.scope})

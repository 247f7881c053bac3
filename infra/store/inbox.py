"""The inbox as the door fills it: a message is stored, understood and told in one commit.

A message never seen before, which is nearly every one, is one statement: its id follows from its
bytes, so that the keys themselves say whether it is new. Whatever the keys refuse came before in
some way, and takes the careful way through a transaction with locks.
"""

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import RowMapping, bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlmodel import col

from domain.errors import InvariantError, UnavailableError
from domain.signal import SignalStatus
from infra.store.arrivals import (
    CONFLICT_WITH,
    REPEAT_OF,
    Arrival,
    Taken,
    Verdict,
)
from infra.store.database import ConflictError, plain_session, retried, transaction
from infra.store.events import Event, write
from infra.store.group_commit import Connection, GroupCommit
from infra.store.rows import as_json, storable_text
from infra.store.tables import Signals as Table

AT_ONCE: Final = 4  # careful ways at the same time: most of the pool is left for readers
WAIT_SECONDS: Final = 3.0  # for one of them; an alert sender gives up soon after
SAME_WITHIN: Final = timedelta(seconds=60)  # two identical bodies closer than this are one signal

_COLUMNS: Final = {
    "id": "text",
    "source": "text",
    "external_id": "text",
    "received_at": "timestamptz",
    "status": "text",
    "reason": "text",
    "action": "text",
    "prix_sl": "numeric",
    "prix_tp": "numeric",
    "raw_payload": "bytea",
    "body_digest": "text",
    "is_unproven": "bool",
    "account_id": "text",
    "trace_id": "text",
    "workflow_id": "text",
}
_NAMES: Final = ", ".join(_COLUMNS)
_ARRAYS: Final = ", ".join(f"%s::{kind}[]" for kind in _COLUMNS.values())

STORE: Final = f"""
WITH stored AS (
    INSERT INTO holdfast.signals ({_NAMES}, repeats)
    SELECT {_NAMES}, 0 FROM unnest({_ARRAYS}) AS arrived ({_NAMES})
    ON CONFLICT DO NOTHING
    RETURNING id
), told AS (
    INSERT INTO holdfast.events (kind, subject_kind, subject_id, signal_id, trace_id, detail)
    SELECT kind, 'signal', signal_id, signal_id, trace_id, detail::jsonb
    FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[])
        WITH ORDINALITY AS happened (kind, signal_id, trace_id, detail, place)
    JOIN stored ON stored.id = signal_id
    ORDER BY place
)
SELECT id FROM stored
UNION ALL
SELECT id FROM holdfast.signals
JOIN unnest(%s::text[], %s::timestamptz[]) AS mine (id, received_at) USING (id, received_at)
"""  # noqa: S608  # our own words only

# A repeat of a repeat, or of a conflict, is answered as that one was: by the careful way.
COUNT: Final = f"""
UPDATE holdfast.signals SET repeats = repeats + %(times)s, updated_at = clock_timestamp()
WHERE id = (
    SELECT id FROM holdfast.signals
    WHERE source = %(source)s AND body_digest = %(digest)s AND is_unproven = %(is_unproven)s
        AND (is_unproven OR received_at > %(since)s)
    ORDER BY received_at DESC LIMIT 1
)
AND NOT starts_with(coalesce(reason, ''), '{REPEAT_OF}')
AND NOT starts_with(coalesce(reason, ''), '{CONFLICT_WITH}')
RETURNING id, status, reason
"""  # noqa: S608  # our own words only

BEGIN: Final = """
WITH begun AS (
    UPDATE holdfast.signals SET status = 'processing', updated_at = clock_timestamp()
    WHERE id = ANY(%s) AND status = 'received'
    RETURNING id, trace_id
)
INSERT INTO holdfast.events (kind, subject_kind, subject_id, signal_id, trace_id, detail)
SELECT 'signal.processing', 'signal', id, id, trace_id, '{}' FROM begun
"""


class Inbox:
    """What the door writes.

    Args:
        engine: the pool, for the careful way.
        url: of the same database, for the connections of the short way.
    """

    def __init__(self, engine: AsyncEngine, url: str, application_name: str = "holdfast") -> None:
        async def connect() -> Connection:
            return await plain_session(url, application_name=application_name)

        self._engine = engine
        self._arrivals = GroupCommit[Arrival, Taken | None](connect, _store)
        self._starts = GroupCommit[str, None](connect, _begin)
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def take(self, arrival: Arrival) -> Taken:
        """Store a message as it came, with what it means, and commit.

        The same bytes within 60 s are only counted; the window begins with the first and does not
        move with its repeats. Another row under a sender's id that was used before is over at
        once: a repeat where the bytes are the same, a conflict where they are not.

        Raises:
            UnavailableError: nothing was stored, or while committing the database failed: then
                nobody knows, and sending again finds what was stored.
        """
        taken = await self._arrivals.do(arrival)
        if taken is not None:
            return taken
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._turns.acquire()
        except TimeoutError as error:
            raise UnavailableError("too many signals at once") from error
        try:
            return await retried(lambda: self._carefully(arrival))
        finally:
            self._turns.release()

    async def started(self, signal_id: str) -> None:
        """Write that a signal's workflow runs; one that is over already stays so."""
        await self._starts.do(signal_id)

    async def close(self) -> None:
        """Finish what is being written and let go of the connections."""
        await self._arrivals.close()
        await self._starts.close()

    async def _carefully(self, arrival: Arrival) -> Taken:
        """Take what may have been here before, as one transaction."""
        try:
            async with transaction(self._engine) as connection:
                await _lock(connection, f"{arrival.source} {arrival.body_digest}")
                first = await _first_in_window(connection, arrival)
                if first is not None:
                    return await _counted(connection, first)
                return await _placed(connection, arrival)
        except InvariantError as error:
            # A row of the short way came in between: the next look finds it.
            raise ConflictError(str(error)) from error


async def _store(connection: Connection, arrivals: Sequence[Arrival]) -> list[Taken | None]:
    """Store what is new and count what repeats it; None for what needs a closer look."""
    groups: dict[str, list[Arrival]] = {}
    for one in arrivals:
        groups.setdefault(one.identity(), []).append(one)
    stored = await _insert_new(connection, {name: same[0] for name, same in groups.items()})
    found: dict[int, Taken | None] = {}
    for identity, same in groups.items():
        if identity in stored:
            found[id(same[0])] = _new(same[0], identity)
        repeats = same[1:] if identity in stored else same
        if repeats:
            again = await _again(connection, repeats)
            found |= {id(one): again for one in repeats}
    return [found[id(one)] for one in arrivals]


async def _insert_new(connection: Connection, fresh: dict[str, Arrival]) -> set[str]:
    """Store those whose bytes and id are new; return their ids.

    One that an earlier run of this stored, whose answer was lost, counts as well: it came at that
    very moment. Rows go in by id, so that two processes never wait for each other crosswise.
    """
    rows = [one.row(identity) for identity, one in sorted(fresh.items())]
    events = [event for identity, one in fresh.items() for event in one.events(identity)]
    columns: list[list[Any]] = [[row[name] for row in rows] for name in _COLUMNS]
    told: list[list[Any]] = [
        [event.kind for event in events],
        [event.signal_id for event in events],
        [event.trace_id for event in events],
        [json.dumps(as_json(event.detail)) for event in events],
    ]
    mine = [sorted(fresh), [row["received_at"] for row in rows]]
    answer = await connection.execute(STORE.encode(), [*columns, *told, *mine], prepare=True)
    return {str(row[0]) for row in await answer.fetchall()}


async def _again(connection: Connection, same: Sequence[Arrival]) -> Taken | None:
    """Count arrivals of the same bytes on the signal they repeat."""
    latest = max(same, key=lambda one: one.received_at)
    asked = {
        "times": len(same),
        "source": storable_text(latest.source),
        "digest": latest.body_digest,
        "is_unproven": latest.is_unproven,
        "since": latest.received_at - SAME_WITHIN,
    }
    row = await (await connection.execute(COUNT.encode(), asked, prepare=True)).fetchone()
    if row is None:
        return None
    return Taken(
        verdict=Verdict.FIRST,
        signal_id=row[0],
        status=SignalStatus(row[1]),
        reason=row[2],
        own_id=row[0],
        is_new=False,
    )


async def _begin(connection: Connection, signal_ids: Sequence[str]) -> list[None]:
    await connection.execute(BEGIN, [sorted(set(signal_ids))], prepare=True)
    return [None] * len(signal_ids)


async def _lock(connection: AsyncConnection, name: str) -> None:
    """Wait until nobody else works on what `name` stands for, until the transaction ends."""
    await connection.execute(
        select(func.pg_advisory_xact_lock(func.hashtextextended(storable_text(name), 0)))
    )


async def _first_in_window(connection: AsyncConnection, arrival: Arrival) -> RowMapping | None:
    """Return the signal that these bytes repeat, or None where they begin a new one."""
    query = (
        select(Table)
        .where(col(Table.source) == storable_text(arrival.source))
        .where(col(Table.body_digest) == arrival.body_digest)
        .where(col(Table.received_at) > arrival.received_at - SAME_WITHIN)
        .where(~col(Table.is_unproven))
        .order_by(col(Table.received_at).desc())
        .limit(1)
    )
    return (await connection.execute(query)).mappings().one_or_none()


async def _counted(connection: AsyncConnection, first: RowMapping) -> Taken:
    """Count a repeat on the signal it repeats, and answer as that one was answered."""
    await _count(connection, first["id"])
    for mark, verdict in ((REPEAT_OF, Verdict.REPEAT), (CONFLICT_WITH, Verdict.CONFLICT)):
        prefix, found, rest = (first["reason"] or "").partition(mark)
        if found and not prefix:
            origin = await _by_id(connection, rest.split()[0])
            return _taken(verdict, origin, first["id"])
    return _taken(Verdict.FIRST, first, first["id"])


async def _placed(connection: AsyncConnection, arrival: Arrival) -> Taken:
    """Insert a row of its own, over at once where the sender's id belongs to an earlier one."""
    identity = await _free_identity(connection, arrival)
    first = await _first_with_id(connection, arrival)
    if first is None:
        await _insert(connection, arrival.row(identity), arrival.events(identity))
        return _new(arrival, identity)
    if first["body_digest"] == arrival.body_digest:
        verdict, status = Verdict.REPEAT, SignalStatus.PROCESSED
        reason = f"{REPEAT_OF}{first['id']}"
    else:
        verdict, status = Verdict.CONFLICT, SignalStatus.ERROR
        reason = f"{CONFLICT_WITH}{first['id']} has the same id and another body"
    over = Arrival(
        source=arrival.source,
        body=arrival.body,
        received_at=arrival.received_at,
        status=status,
        reason=reason,
    )
    await _insert(connection, over.row(identity), over.events(identity))
    return _taken(verdict, first, identity)


async def _free_identity(connection: AsyncConnection, arrival: Arrival) -> str:
    """Return the id of the next signal with these bytes."""
    query = select(func.count()).where(
        col(Table.source) == storable_text(arrival.source),
        col(Table.body_digest) == arrival.body_digest,
        ~col(Table.is_unproven),
    )
    occurrence = (await connection.execute(query)).scalar_one()
    taken = select(func.count()).where(col(Table.id) == bindparam("identity"))
    while await connection.scalar(taken, {"identity": arrival.identity(occurrence)}):
        occurrence += 1
    return arrival.identity(occurrence)


async def _first_with_id(connection: AsyncConnection, arrival: Arrival) -> RowMapping | None:
    """Return the understood signal that holds the sender's id; nobody takes it meanwhile."""
    if arrival.external_id is None or arrival.meaning is None:
        return None
    await _lock(connection, f"{arrival.source} id {arrival.external_id}")
    query = select(Table).where(
        col(Table.source) == storable_text(arrival.source),
        col(Table.external_id) == storable_text(arrival.external_id),
        col(Table.action).is_not(None),
    )
    return (await connection.execute(query)).mappings().one_or_none()


async def _insert(connection: AsyncConnection, row: dict[str, Any], events: list[Event]) -> None:
    await connection.execute(insert(Table).values(row | {"repeats": 0}))
    await write(connection, *events)


async def _count(connection: AsyncConnection, signal_id: str) -> None:
    changed = update(Table).where(col(Table.id) == signal_id)
    await connection.execute(
        changed.values(repeats=col(Table.repeats) + 1, updated_at=func.clock_timestamp())
    )


async def _by_id(connection: AsyncConnection, signal_id: str) -> RowMapping:
    query = select(Table).where(col(Table.id) == signal_id)
    return (await connection.execute(query)).mappings().one()


def _new(arrival: Arrival, identity: str) -> Taken:
    return Taken(
        verdict=Verdict.FIRST,
        signal_id=identity,
        status=arrival.status,
        reason=arrival.reason,
        own_id=identity,
        is_new=True,
    )


def _taken(verdict: Verdict, counts: RowMapping, own_id: str) -> Taken:
    return Taken(
        verdict=verdict,
        signal_id=counts["id"],
        status=SignalStatus(counts["status"]),
        reason=counts["reason"],
        own_id=own_id,
        is_new=False,
    )

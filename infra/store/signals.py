"""The inbox: everything that arrives is stored first and understood afterwards."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import RowMapping, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlmodel import col

from domain.errors import InvariantError
from domain.ids import signal_id, trace_id
from domain.signal import Action, SignalStatus
from infra.store.database import rerun, retried, transaction
from infra.store.events import Event, write
from infra.store.rows import columns_of, read, storable_text
from infra.store.tables import WAITING
from infra.store.tables import Signals as Table

SAME_WITHIN: Final = timedelta(seconds=60)  # two identical bodies closer than this are one signal
MOST_BODY_BYTES: Final = 65_536
LARGEST_PRICE: Final = Decimal(10) ** 20  # what the column holds before the point
REPEAT_OF: Final = "repeat of "
CONFLICT_WITH: Final = "conflict: "
UNDONE: Final = (SignalStatus.RECEIVED.value, SignalStatus.PROCESSING.value)


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What became of an arrival.

    Attributes:
        signal_id: of the first arrival, where this one repeats it.
        is_repeat: the same bytes came within the window; nothing was stored but a count.
        is_understood: what it asks for is on the row; if not, its reading was interrupted and
            whoever holds the bytes again may finish it.
    """

    signal_id: str
    status: SignalStatus
    reason: str | None
    is_repeat: bool
    is_understood: bool


@dataclass(frozen=True, kw_only=True)
class Understanding:
    """What a signal turned out to ask for.

    Attributes:
        external_id: the sender's own id; None where it has none.
        workflow_id: the workflow that is to carry it out; None where none is needed.
    """

    external_id: str | None
    action: Action
    account_id: str | None
    workflow_id: str | None
    prix_sl: Decimal | None = None
    prix_tp: Decimal | None = None


class Verdict(StrEnum):
    """What a signal is, once its sender's own id is known."""

    FIRST = "first"
    REPEAT = "repeat"
    CONFLICT = "conflict"


@dataclass(frozen=True, kw_only=True)
class Understood:
    """What became of a signal once it was understood.

    Attributes:
        signal_id, status, reason: of the signal that counts: the first with this external id.
    """

    verdict: Verdict
    signal_id: str
    status: SignalStatus
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class StoredSignal:
    """A row of the inbox, as the sweep needs it.

    Attributes:
        action: None where the arrival was stored and its reading was interrupted.
    """

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
    """The port SignalStore on PostgreSQL, and the inbox behind it."""

    engine: AsyncEngine

    @rerun
    async def receive(
        self, source: str, body: bytes, now: datetime, *, key: str = "", refusal: str | None = None
    ) -> Receipt:
        """Store the bytes as they came, and commit; the same bytes within 60 s are only counted.

        The window begins with the first arrival and does not move with its repeats. Arrivals whose
        sender did not prove itself open no window: they must not silence one who can.

        `key` tells apart signals whose bytes are the same: the sender's own id, and the address,
        where these do not travel in the body. `refusal` stores the arrival as an error at once; a
        body over 64 KiB is cut and needs one.
        """
        source = storable_text(source)
        digest = hashlib.sha256(
            f"{storable_text(key)}\0".encode() + body if key else body
        ).hexdigest()
        async with transaction(self.engine) as connection:
            await _lock(connection, f"{source} {digest}")
            first = await _first_in_window(connection, source, digest, now)
            if first is not None:
                return await _counted(connection, first)
            count = await _occurrences(connection, source, digest)
            row = _arrived(signal_id(source, digest, count), body, refusal)
            row |= {"source": source, "body_digest": digest, "received_at": now}
            await connection.execute(insert(Table).values(row))
            status = SignalStatus(row["status"])
            await _tell(connection, row["id"], status, {"source": source, "bytes": len(body)})
        return Receipt(
            signal_id=row["id"],
            status=status,
            reason=refusal,
            is_repeat=False,
            is_understood=refusal is not None,
        )

    async def understood(self, signal_id: str, meaning: Understanding) -> Understood:
        """Write what a signal asks for, and tell whether it is the first with its external id.

        A repeat is over at once, pointing at the first; so is a conflict, another body under an id
        that is taken. Understanding a signal twice gives the same answer.

        Raises:
            InvariantError: no such signal.
        """
        return await retried(lambda: self._understood(signal_id, meaning))

    async def _understood(self, signal_id: str, meaning: Understanding) -> Understood:
        """Understand, as one transaction."""
        async with transaction(self.engine) as connection:
            mine = await _locked(connection, signal_id)
            if mine["status"] != SignalStatus.RECEIVED.value:
                return await _verdict_of(connection, mine)
            meant = _meant(meaning)
            if all(mine[name] == value for name, value in meant.items()):
                return _answer(Verdict.FIRST, mine)
            first = None
            if meaning.external_id is not None:
                await _lock(connection, f"{mine['source']} id {meaning.external_id}")
                first = await _with_external_id(connection, mine["source"], meaning.external_id)
            if first is None or first["id"] == signal_id:
                await _change(connection, signal_id, meant)
                detail = {"action": meaning.action, "external_id": meaning.external_id}
                await _tell(connection, signal_id, "understood", detail)
                return _answer(Verdict.FIRST, mine)
            return await _second(connection, mine, first)

    async def refused(
        self, signal_id: str, status: SignalStatus, reason: str, *, is_unproven: bool = False
    ) -> None:
        """Write why a signal is not carried out; an outcome once written stays.

        `is_unproven` says that its sender did not prove itself.
        """
        more = {"is_unproven": True} if is_unproven else {}
        await self._settled(signal_id, status, reason, more)

    async def settle(self, signal_id: str, status: SignalStatus, reason: str | None) -> None:
        """Write a signal's outcome; an outcome once written stays, told again or not."""
        await self._settled(signal_id, status, reason, {})

    @rerun
    async def started(self, signal_id: str) -> None:
        """Write that a signal's workflow runs; one that is over already stays so."""
        async with transaction(self.engine) as connection:
            values = {"status": SignalStatus.PROCESSING.value}
            allowed = (SignalStatus.RECEIVED.value,)
            if await _change(connection, signal_id, values, allowed):
                await _tell(connection, signal_id, SignalStatus.PROCESSING, {})

    async def waiting(
        self, now: datetime, older_than_seconds: float, limit: int
    ) -> list[StoredSignal]:
        """Return signals received so long ago and not started yet, oldest first."""
        query = (
            select(Table)
            .where(text(WAITING))
            .where(col(Table.received_at) <= now - timedelta(seconds=older_than_seconds))
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

    @rerun
    async def _settled(
        self, signal_id: str, status: SignalStatus, reason: str | None, more: dict[str, Any]
    ) -> None:
        reason = storable_text(reason) if reason is not None else None
        values = {"status": status.value, "reason": reason, **more}
        async with transaction(self.engine) as connection:
            if await _change(connection, signal_id, values, UNDONE):
                await _tell(connection, signal_id, status, {"reason": reason})


async def _lock(connection: AsyncConnection, name: str) -> None:
    """Wait until nobody else works on what `name` stands for, until the transaction ends."""
    await connection.execute(
        select(func.pg_advisory_xact_lock(func.hashtextextended(storable_text(name), 0)))
    )


async def _first_in_window(
    connection: AsyncConnection, source: str, digest: str, now: datetime
) -> RowMapping | None:
    """Return the signal that these bytes repeat, or None where they begin a new one."""
    query = (
        select(Table)
        .where(col(Table.source) == source, col(Table.body_digest) == digest)
        .where(col(Table.received_at) > now - SAME_WITHIN, ~col(Table.is_unproven))
        .order_by(col(Table.received_at).desc())
        .limit(1)
    )
    return (await connection.execute(query)).mappings().one_or_none()


async def _occurrences(connection: AsyncConnection, source: str, digest: str) -> int:
    """Return how many signals with this body there are already."""
    query = select(func.count()).where(
        col(Table.source) == source, col(Table.body_digest) == digest
    )
    return (await connection.execute(query)).scalar_one()


def _arrived(identity: str, body: bytes, refusal: str | None) -> dict[str, Any]:
    """Return the columns of a new signal that follow from its id and its body."""
    status = SignalStatus.RECEIVED if refusal is None else SignalStatus.ERROR
    return {
        "id": identity,
        "status": status.value,
        "reason": storable_text(refusal) if refusal is not None else None,
        "raw_payload": body[:MOST_BODY_BYTES],
        "repeats": 0,
        "is_unproven": False,
        "trace_id": trace_id(identity),
    }


async def _counted(connection: AsyncConnection, first: RowMapping) -> Receipt:
    """Count a repeat on the signal it repeats."""
    await _change(connection, first["id"], {"repeats": col(Table.repeats) + 1})
    status = SignalStatus(first["status"])
    return Receipt(
        signal_id=first["id"],
        status=status,
        reason=first["reason"],
        is_repeat=True,
        is_understood=first["action"] is not None or status.value not in UNDONE,
    )


async def _locked(connection: AsyncConnection, signal_id: str) -> RowMapping:
    query = select(Table).where(col(Table.id) == signal_id).with_for_update()
    row = (await connection.execute(query)).mappings().one_or_none()
    if row is None:
        raise InvariantError(f"there is no signal {signal_id}")
    return row


async def _with_external_id(
    connection: AsyncConnection, source: str, external_id: str
) -> RowMapping | None:
    named = col(Table.external_id) == storable_text(external_id)
    query = select(Table).where(col(Table.source) == source, named)
    return (await connection.execute(query)).mappings().one_or_none()


async def _second(connection: AsyncConnection, mine: RowMapping, first: RowMapping) -> Understood:
    """End a signal whose external id belongs to an earlier one."""
    if mine["body_digest"] == first["body_digest"]:
        verdict, status = Verdict.REPEAT, SignalStatus.PROCESSED
        reason = f"{REPEAT_OF}{first['id']}"
    else:
        verdict, status = Verdict.CONFLICT, SignalStatus.ERROR
        reason = f"{CONFLICT_WITH}{first['id']} has the same id and another body"
    await _change(connection, mine["id"], {"status": status.value, "reason": reason})
    await _tell(connection, mine["id"], status, {"reason": reason})
    return _answer(verdict, first)


async def _verdict_of(connection: AsyncConnection, mine: RowMapping) -> Understood:
    """Return what was found when this signal was understood before."""
    marks = {REPEAT_OF: Verdict.REPEAT, CONFLICT_WITH: Verdict.CONFLICT}
    for mark, verdict in marks.items():
        prefix, found, rest = (mine["reason"] or "").partition(mark)
        if found and not prefix:
            return _answer(verdict, await _locked(connection, rest.split()[0]))
    return _answer(Verdict.FIRST, mine)


def _answer(verdict: Verdict, row: RowMapping) -> Understood:
    return Understood(
        verdict=verdict,
        signal_id=row["id"],
        status=SignalStatus(row["status"]),
        reason=row["reason"],
    )


def _meant(meaning: Understanding) -> dict[str, Any]:
    """Return the columns that a signal's meaning fills."""
    columns = columns_of(meaning)
    return columns | {"prix_sl": _price(meaning.prix_sl), "prix_tp": _price(meaning.prix_tp)}


def _price(price: Decimal | None) -> Decimal | None:
    """Return what the column can hold; a number beyond all prices is in the payload anyway."""
    if price is None or not price.is_finite() or abs(price) >= LARGEST_PRICE:
        return None
    return price


async def _change(
    connection: AsyncConnection,
    signal_id: str,
    values: dict[str, Any],
    allowed: tuple[str, ...] | None = None,
) -> bool:
    """Write columns of a signal whose status is one of `allowed`; tell whether it was."""
    changed = update(Table).where(col(Table.id) == signal_id)
    if allowed is not None:
        changed = changed.where(col(Table.status).in_(allowed))
    written = changed.values(**values, updated_at=func.clock_timestamp())
    return (await connection.execute(written)).rowcount == 1


async def _tell(
    connection: AsyncConnection, signal_id: str, what: str, detail: dict[str, Any]
) -> None:
    """Write an event of a signal."""
    event = Event(
        kind=f"signal.{what}",
        subject_kind="signal",
        subject_id=signal_id,
        signal_id=signal_id,
        trace_id=trace_id(signal_id),
        detail=detail,
    )
    await write(connection, event)

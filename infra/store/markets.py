"""The registry of what can be traded, read from memory and kept fresh by its version."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlmodel import col

from domain.errors import InvalidInputError, InvariantError
from domain.market import Market, Token, nearest
from infra.clock import monotonic_seconds
from infra.store import tables
from infra.store.database import rerun, transaction
from infra.store.rows import columns_of, read

FRESH_SECONDS: Final = 5.0  # how long this process may not see what another one wrote
REPLACING: Final = 7_105_418_225_665  # any number: one registry is written at a time


@dataclass(frozen=True, kw_only=True)
class _Registry:
    """Every market, by each of its names.

    Attributes:
        version: when a row last changed; None for an empty table.
        tokens: the market and the token of a token id.
    """

    version: datetime | None = None
    conditions: Mapping[str, Market] = field(default_factory=dict[str, Market])
    slugs: Mapping[str, Market] = field(default_factory=dict[str, Market])
    tokens: Mapping[str, tuple[Market, Token]] = field(
        default_factory=dict[str, tuple[Market, Token]]
    )


@dataclass
class Markets:
    """The port MarketStore on PostgreSQL; one for each process."""

    engine: AsyncEngine
    _known: _Registry = field(default_factory=_Registry)
    _checked_at_seconds: float | None = None

    async def find(self, name: str, outcome: str | None) -> tuple[Market, str]:
        """Return the market and token id that `name` (slug, condition or token id) means.

        A token id names its outcome by itself.

        Raises:
            InvalidInputError: unknown; the remedy names the nearest.
        """
        found = _found(await self._fresh(), name, outcome)
        if found is None:
            # What was listed a moment ago is found at once; only misspellings pay for it.
            found = _found(await self._fresh(within_seconds=0), name, outcome)
        if found is None:
            slugs = [slug for slug, market in self._known.slugs.items() if not market.closed]
            remedy = f"there is no market {name!r}"
            if likely := nearest(name, slugs):
                remedy += f"; the nearest are {', '.join(likely)}"
            raise InvalidInputError("market", remedy)
        return found

    async def by_condition(self, condition_id: str) -> Market:
        """Return a market known to be listed.

        Raises:
            InvariantError: it never was.
        """
        for seconds in (FRESH_SECONDS, 0):
            market = (await self._fresh(within_seconds=seconds)).conditions.get(condition_id)
            if market is not None:
                return market
        raise InvariantError(f"market {condition_id} was never listed")

    @rerun
    async def replace(
        self, markets: Iterable[Market], now: datetime, unread: Collection[str] = ()
    ) -> None:
        """Write what the exchange lists now; markets no longer listed are kept as closed.

        Only rows that differ are written. An event once told stays: not every list names it.

        Those whose condition id is in `unread` stay as they were: nothing new is known of them.
        """
        listed = {market.condition_id: market for market in markets}
        async with transaction(self.engine) as connection:
            await connection.execute(select(func.pg_advisory_xact_lock(REPLACING)))
            written_at = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
            known = await _read_all(connection)
            told = (_with_event(one, known.conditions.get(key)) for key, one in listed.items())
            changed = [one for one in told if known.conditions.get(one.condition_id) != one]
            gone = [
                key
                for key, market in known.conditions.items()
                if key not in listed and key not in unread and not market.closed
            ]
            await _write(connection, changed, listed_at=now, updated_at=written_at)
            await _close(connection, gone, written_at)
        self._checked_at_seconds = None

    async def _fresh(self, within_seconds: float = FRESH_SECONDS) -> _Registry:
        """Return the registry as it was in the database at most so long ago."""
        asked_at = monotonic_seconds()
        last = self._checked_at_seconds
        if last is not None and asked_at - last < within_seconds:
            return self._known
        async with transaction(self.engine) as connection:
            newest = select(func.max(col(tables.Markets.updated_at)))
            version = (await connection.execute(newest)).scalar_one()
            if version != self._known.version:
                self._known = await _read_all(connection)
        self._checked_at_seconds = asked_at
        return self._known


def _found(registry: _Registry, name: str, outcome: str | None) -> tuple[Market, str] | None:
    """Return what `name` means, None where nothing has that name."""
    if name in registry.tokens:
        market, token = registry.tokens[name]
        if outcome is not None and market.token(outcome) != token:
            raise InvalidInputError("outcome", f"this token is {token.outcome}; leave it out")
        return market, token.token_id
    market = registry.slugs.get(name) or registry.conditions.get(name)
    if market is None:
        return None
    if outcome is None:
        choices = " or ".join(token.outcome for token in market.tokens)
        raise InvalidInputError("outcome", f"{market.slug} has two: say {choices}")
    return market, market.token(outcome).token_id


def _with_event(told: Market, known: Market | None) -> Market:
    """Return `told` with the event that was known before, where it names none."""
    if told.event_id is not None or known is None:
        return told
    return replace(told, event_id=known.event_id)


async def _read_all(connection: AsyncConnection) -> _Registry:
    """Return the registry as it is committed.

    Markets before tokens: what is written in between then shows as a version not seen yet.
    """
    rows = (await connection.execute(select(tables.Markets))).mappings().all()
    in_place = select(tables.Tokens).order_by(col(tables.Tokens.position))
    token_rows = await connection.execute(in_place)
    tokens: dict[str, list[Token]] = {}
    for row in token_rows.mappings():
        tokens.setdefault(row["condition_id"], []).append(read(Token, row))
    markets = [
        read(Market, {**row, "tokens": tuple(tokens.get(row["condition_id"], ()))}) for row in rows
    ]
    return _Registry(
        version=max((row["updated_at"] for row in rows), default=None),
        conditions={market.condition_id: market for market in markets},
        slugs={market.slug: market for market in markets},
        tokens={token.token_id: (market, token) for market in markets for token in market.tokens},
    )


async def _write(
    connection: AsyncConnection,
    markets: list[Market],
    *,
    listed_at: datetime,
    updated_at: datetime,
) -> None:
    """Insert or update these markets and their tokens."""
    if not markets:
        return
    market_rows: list[dict[str, Any]] = []
    token_rows: list[dict[str, Any]] = []
    for market in markets:
        row = columns_of(market, listed_at=listed_at, updated_at=updated_at)
        del row["tokens"]
        market_rows.append(row)
        token_rows += [
            columns_of(token, condition_id=market.condition_id) for token in market.tokens
        ]
    added = insert(tables.Markets)
    kept = {"condition_id", "listed_at"}
    values = {name: added.excluded[name] for name in market_rows[0] if name not in kept}
    upsert = added.on_conflict_do_update(index_elements=["condition_id"], set_=values)
    await connection.execute(upsert, market_rows)
    added = insert(tables.Tokens)
    values = {name: added.excluded[name] for name in ("condition_id", "outcome", "position")}
    upsert = added.on_conflict_do_update(index_elements=["token_id"], set_=values)
    await connection.execute(upsert, token_rows)


async def _close(connection: AsyncConnection, condition_ids: list[str], at: datetime) -> None:
    """Mark markets that are no longer listed: what is held of them is still held."""
    if condition_ids:
        gone = update(tables.Markets).where(col(tables.Markets.condition_id).in_(condition_ids))
        await connection.execute(gone.values(closed=True, accepting_orders=False, updated_at=at))

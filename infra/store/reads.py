"""Rows for people and programs: pages newest first, one row by its id."""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from typing import cast as typing_cast

from sqlalchemy import (
    Boolean,
    ColumnElement,
    DateTime,
    Integer,
    Numeric,
    Select,
    cast,
    false,
    func,
    literal,
    or_,
    select,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.selectable import FromClause

from domain.errors import InvalidInputError, InvariantError
from infra.store.database import transaction
from infra.store.reconciliation_tables import METADATA
from infra.store.tables import Table

MAX_PAGE: Final = 500
PAGE: Final = 100
NO_VALUE: Final = "a value that no row can have"
MOST_DIGITS: Final = 18  # every number of so many fits eight bytes

Row = dict[str, Any]
Statement = Select[*tuple[Any, ...]]


def table(name: str) -> Any:
    """Return a table of the schema by its name."""
    return Table.metadata.tables[f"holdfast.{name}"]


SIGNALS, ORDERS, FILLS = table("signals"), table("orders"), table("fills")
POSITIONS, EVENTS, ACCOUNTS = table("positions"), table("events"), table("accounts")
RECONCILIATIONS: Any = METADATA.tables["holdfast.reconciliations"]
MARKETS, TOKENS, PROTECTIONS = table("markets"), table("tokens"), table("protections")


@dataclass(frozen=True, kw_only=True)
class Resource:
    """What one kind of row shows, how it is found, and how it is sorted.

    Attributes:
        newest: expressions that sort it, each descending; together they are unique.
        identities: columns that a row may be asked for by.
        filters: what a caller may narrow by, and the column it is compared with.
        since: the moment that `since` is compared with.
        hidden: columns that stay inside.
    """

    source: Any
    newest: tuple[ColumnElement[Any], ...]
    identities: tuple[ColumnElement[Any], ...]
    filters: Mapping[str, ColumnElement[Any]]
    since: ColumnElement[Any]
    hidden: frozenset[str] = frozenset()


def _by(source: Any, *names: str) -> dict[str, ColumnElement[Any]]:
    return {name: source.c[name] for name in names}


# Plain markets come first: those that take orders, then those of the coarser grid.
_PLAIN_FIRST: Final = (
    cast(MARKETS.c.accepting_orders, Integer),
    1 - cast(MARKETS.c.neg_risk, Integer),
    MARKETS.c.tick_size,
    MARKETS.c.listed_at,
    MARKETS.c.slug,
)

RESOURCES: Final[Mapping[str, Resource]] = {
    "signals": Resource(
        source=SIGNALS,
        newest=(SIGNALS.c.received_at, SIGNALS.c.id),
        identities=(SIGNALS.c.id, SIGNALS.c.external_id),
        filters=_by(SIGNALS, "source", "status", "action", "external_id")
        | {"account": SIGNALS.c.account_id, "signal_id": SIGNALS.c.id},
        since=SIGNALS.c.received_at,
    ),
    "orders": Resource(
        source=ORDERS,
        newest=(ORDERS.c.created_at, ORDERS.c.order_hash),
        identities=(ORDERS.c.order_hash, ORDERS.c.intent_id),
        filters=_by(ORDERS, "state", "side", "type", "signal_id", "intent_id")
        | {"account": ORDERS.c.account_id, "token": ORDERS.c.token_id, "source": ORDERS.c.source},
        since=ORDERS.c.created_at,
        hidden=frozenset({"signed_order"}),
    ),
    "fills": Resource(
        source=FILLS,
        newest=(FILLS.c.matched_at, FILLS.c.seq),
        identities=(FILLS.c.trade_id,),
        filters=_by(FILLS, "status", "side", "order_hash", "trade_id")
        | {"account": FILLS.c.account_id, "token": FILLS.c.token_id, "source": FILLS.c.source},
        since=FILLS.c.matched_at,
    ),
    "positions": Resource(
        source=POSITIONS,
        newest=(POSITIONS.c.updated_at, POSITIONS.c.id),
        identities=(POSITIONS.c.id,),
        filters=_by(POSITIONS, "status")
        | {"account": POSITIONS.c.account_id, "token": POSITIONS.c.token_id},
        since=POSITIONS.c.updated_at,
    ),
    "events": Resource(
        source=EVENTS,
        newest=(EVENTS.c.seq,),
        identities=(EVENTS.c.seq,),
        filters=_by(EVENTS, "kind", "signal_id", "order_hash", "position_id", "trace_id")
        | {"account": EVENTS.c.account_id, "subject": EVENTS.c.subject_id},
        since=EVENTS.c.at,
    ),
    "markets": Resource(
        source=MARKETS,
        newest=_PLAIN_FIRST,
        identities=(MARKETS.c.condition_id, MARKETS.c.slug),
        filters=_by(MARKETS, "slug", "condition_id"),
        since=MARKETS.c.updated_at,
    ),
    "protections": Resource(
        source=PROTECTIONS,
        newest=(PROTECTIONS.c.created_at, PROTECTIONS.c.id),
        identities=(PROTECTIONS.c.id,),
        filters=_by(PROTECTIONS, "status", "kind", "position_id"),
        since=PROTECTIONS.c.created_at,
    ),
    "accounts": Resource(
        source=ACCOUNTS,
        newest=(ACCOUNTS.c.created_at, ACCOUNTS.c.id),
        identities=(ACCOUNTS.c.id,),
        filters=_by(ACCOUNTS, "state") | {"account": ACCOUNTS.c.id},
        since=ACCOUNTS.c.created_at,
    ),
    "reconciliations": Resource(
        source=RECONCILIATIONS,
        newest=(RECONCILIATIONS.c.begun_at, RECONCILIATIONS.c.id),
        identities=(RECONCILIATIONS.c.id,),
        filters=_by(RECONCILIATIONS, "result") | {"account": RECONCILIATIONS.c.account_id},
        since=RECONCILIATIONS.c.begun_at,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Which rows a caller wants.

    Attributes:
        filters: name of the filter to its value; `status` and `state` mean the same.
        cursor: where the page before ended.
    """

    filters: Mapping[str, str] = field(default_factory=dict[str, str])
    since: datetime | None = None
    cursor: str | None = None
    limit: int = PAGE


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some rows, newest first.

    Attributes:
        next_cursor: ask with it for older rows; None where there are none.
    """

    items: list[Row]
    next_cursor: str | None


class Reads:
    """What may be asked of the tables, without changing them."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def page(self, kind: str, asked: Asked) -> Page:
        """Return one page of the rows of `kind`.

        Raises:
            InvalidInputError: an unknown filter, or a cursor that is none of ours.
        """
        resource = RESOURCES[kind]
        keys = [key.label(f"_{n}") for n, key in enumerate(resource.newest)]
        statement = shown(resource).add_columns(*keys).where(*_conditions(resource, asked))
        statement = statement.order_by(*(key.desc() for key in resource.newest))
        found = await self._rows(statement.limit(asked.limit + 1))
        page = found[: asked.limit]
        ends = [page[-1][key.name] for key in keys] if len(found) > asked.limit else []
        items = [{name: row[name] for name in row if not name.startswith("_")} for row in page]
        return Page(items=items, next_cursor=cursor_of(ends) if ends else None)

    async def one(self, kind: str, identity: str) -> Row | None:
        """Return the row of `kind` that `identity` names; None where there is none.

        Raises:
            InvalidInputError: no row of any kind can have that name.
        """
        if "\0" in identity:
            raise InvalidInputError("query", NO_VALUE)
        resource = RESOURCES[kind]
        named = or_(*(_is(column, identity) for column in resource.identities))
        statement = shown(resource).where(named)
        newest = statement.order_by(*(key.desc() for key in resource.newest)).limit(1)
        rows = await self._rows(newest)
        return rows[0] if rows else None

    async def where(self, kind: str, condition: ColumnElement[bool]) -> list[Row]:
        """Return the newest rows of `kind` that meet `condition`, one page at most."""
        resource = RESOURCES[kind]
        statement = shown(resource).where(condition)
        order = (key.desc() for key in resource.newest)
        return await self._rows(statement.order_by(*order).limit(MAX_PAGE))

    async def counts(self, kind: str, name: str) -> dict[str, int]:
        """Return how many rows of `kind` there are by the value of column `name`."""
        column = RESOURCES[kind].source.c[name]
        statement = select(column.label("value"), func.count().label("n")).group_by(column)
        return {str(row["value"]): int(row["n"]) for row in await self._rows(statement)}

    async def _rows(self, statement: Statement) -> list[Row]:
        try:
            async with transaction(self._database) as connection:
                result = await connection.execute(statement)
                return [dict(row) for row in result.mappings()]
        except InvariantError as error:
            raise InvalidInputError("query", NO_VALUE) from error


def _is(column: ColumnElement[Any], identity: str) -> ColumnElement[bool]:
    """Return the condition that a column is what a caller wrote, in the column's own type."""
    if not isinstance(column.type, Integer):
        return column == identity
    is_number = len(identity) <= MOST_DIGITS and identity.isascii() and identity.isdecimal()
    return column == int(identity) if is_number else false()


def shown(resource: Resource) -> Statement:
    """Return the statement for rows of `resource`, with market and outcome beside a token."""
    source = resource.source
    columns = [column for column in source.c if column.name not in resource.hidden]
    if source is MARKETS:
        return select(*columns, _tokens().label("tokens")).select_from(source)
    if "token_id" not in source.c:
        return select(*columns).select_from(source)
    named: FromClause = source.outerjoin(TOKENS, TOKENS.c.token_id == source.c.token_id)
    named = named.outerjoin(MARKETS, MARKETS.c.condition_id == source.c.condition_id)
    extra = (MARKETS.c.slug.label("market_slug"), TOKENS.c.outcome)
    return select(*columns, *extra).select_from(named)


def _tokens() -> Any:
    """Return a market's tokens as JSON, in the market's own order of outcomes."""
    pair = func.json_build_object("token_id", TOKENS.c.token_id, "outcome", TOKENS.c.outcome)
    listed = func.json_agg(aggregate_order_by(pair, TOKENS.c.position))
    of_market = TOKENS.c.condition_id == MARKETS.c.condition_id
    statement = select(func.coalesce(listed, func.json_build_array()))
    return statement.where(of_market).scalar_subquery()


def _conditions(resource: Resource, asked: Asked) -> list[ColumnElement[bool]]:
    conditions = [_condition(resource, name, value) for name, value in asked.filters.items()]
    if asked.since is not None:
        conditions.append(resource.since >= asked.since)
    if asked.cursor is not None:
        conditions.append(_older_than(resource.newest, asked.cursor))
    return conditions or [true()]


def _condition(resource: Resource, name: str, value: str) -> ColumnElement[bool]:
    """Return the condition of one filter; several values are separated by commas."""
    if name in {"market", "slug"} and "condition_id" in resource.source.c:
        meant = select(MARKETS.c.condition_id).where(
            or_(MARKETS.c.slug == value, MARKETS.c.condition_id == value)
        )
        return resource.source.c.condition_id.in_(meant)
    if name == "signal_id" and resource.source is FILLS:
        meant = select(ORDERS.c.order_hash).where(ORDERS.c.signal_id == value)
        return FILLS.c.order_hash.in_(meant)
    twin = {"status": "state", "state": "status"}.get(name, name)
    column = resource.filters.get(name, resource.filters.get(twin))
    if column is None:
        known = ", ".join([*resource.filters, "since"])
        raise InvalidInputError(name, f"not a filter here; use {known}")
    return column.in_(value.split(","))


def _older_than(newest: Sequence[ColumnElement[Any]], cursor: str) -> ColumnElement[bool]:
    """Return the condition that sorts after `cursor`."""
    written = _written_in(cursor)
    if len(written) != len(newest):
        raise InvalidInputError("cursor", "send back next_cursor as it came")
    try:
        ends = [
            literal(_typed(key, text), key.type) for key, text in zip(newest, written, strict=True)
        ]
    except (ValueError, InvalidOperation):
        raise InvalidInputError("cursor", "send back next_cursor as it came") from None
    return tuple_(*newest) < tuple_(*ends)


def cursor_of(ends: Sequence[Any]) -> str:
    """Return the place of a row in its order, as an opaque text."""
    words = [value.isoformat() if isinstance(value, datetime) else str(value) for value in ends]
    return base64.urlsafe_b64encode(json.dumps(words).encode()).decode().rstrip("=")


def _written_in(cursor: str) -> list[str]:
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        words: object = json.loads(raw)
    except (ValueError, binascii.Error):
        return []
    if not isinstance(words, list):
        return []
    return [str(word) for word in typing_cast("list[object]", words) if str(word).isprintable()]


def _typed(key: ColumnElement[Any], text: str) -> Any:
    """Return `text` as a value of the column's type."""
    if isinstance(key.type, DateTime):
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if isinstance(key.type, Boolean):
        return text == "True"
    if isinstance(key.type, Integer):
        return int(text)
    return Decimal(text) if isinstance(key.type, Numeric) else text

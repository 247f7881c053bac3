"""What a guardian reads of the books in one statement, and what it writes after a sweep."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import bindparam, func, text, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.types import Text
from sqlmodel import col

from domain.errors import InvariantError
from domain.guardian import Alarm, Seen, Stray
from domain.guardian_rules import Held
from domain.guardian_store import Watched
from domain.halt import Standing
from domain.order import TERMINAL
from domain.risk import AccountState
from infra.store.database import rerun, statement, transaction
from infra.store.events import Event, announce, write
from infra.store.guardian_tables import Guardians as Table
from infra.store.rows import as_json, columns_of
from infra.store.tables import AT_STAKE, OPEN_STATES, UNFINISHED, Positions

_OPEN: Final = ", ".join(f"'{state}'" for state in OPEN_STATES)
_TERMINAL: Final = ", ".join(f"'{state}'" for state in sorted(TERMINAL))
# What an order may still take: all that is unfilled while it may match, and once it is over the
# shares matched whose fills are on their way.
_TAKES: Final = (
    f"greatest(CASE WHEN o.state IN ({_OPEN}) THEN o.size ELSE o.matched_size END"
    " - o.filled_size, 0)"
)

# Each field of `Held`, where it comes from, and its type.
_HELD: Final[Mapping[str, tuple[str, str]]] = {
    "position_id": ("p.id", "text"),
    "token_id": ("p.token_id", "text"),
    "status": ("p.status", "text"),
    "size": ("p.size", "numeric"),
    "unsettled_size": ("coalesce(u.shares, 0) + coalesce(d.shares, 0)", "numeric"),
    "promised_size": (
        f"coalesce(s.promised, 0) - CASE WHEN o.order_hash IS NULL THEN 0 ELSE {_TAKES} END",
        "numeric",
    ),
    "stop_loss": ("p.current_sl", "numeric"),
    "take_profit": ("p.current_tp", "numeric"),
    "unprotected_since": ("p.unprotected_since", "timestamptz"),
    "market": ("coalesce(m.slug, p.condition_id)", "text"),
    "outcome": ("coalesce(t.outcome, p.token_id)", "text"),
    "tick_size": ("coalesce(m.tick_size, 0.01)", "numeric"),
    "min_size": ("coalesce(m.min_size, 0)", "numeric"),
    "accepting_orders": ("coalesce(m.accepting_orders, false)", "boolean"),
    "closed": ("coalesce(m.closed, false)", "boolean"),
    "stop_status": ("sl.status", "text"),
    "stop_price": ("sl.price", "numeric"),
    "stop_size": ("sl.size", "numeric"),
    "profit_id": ("tp.id", "text"),
    "profit_price": ("tp.price", "numeric"),
    "order_hash": ("o.order_hash", "text"),
    "order_state": ("o.state", "text"),
    "order_price": ("o.price", "numeric"),
    "order_left": ("o.size - o.filled_size", "numeric"),
    "order_sent_at": ("o.last_sent_at", "timestamptz"),
    "exit_status": ("ex.status", "text"),
}
_FIELDS: Final = ", ".join(f"({_HELD[name][0]})::{_HELD[name][1]}" for name in Held._fields)
_NOTHING: Final = ", ".join(f"NULL::{_HELD[name][1]}" for name in Held._fields)


def _rows_of(kind: str, name: str) -> str:
    """Return the join of the row of one kind of protection that is not over."""
    return (
        f"LEFT JOIN holdfast.protections {name} ON {name}.position_id = p.id"
        f" AND {name}.kind = '{kind}' AND {name}.{UNFINISHED}"
    )


# The first row is of the account, the others are of what it holds: one statement, so that no fill
# falls between two reads. Fees that may have gone off in shares are looked up only where a
# take-profit is smaller than what is held.
_SEEN: Final = text(
    f"""
    WITH sales AS (
        SELECT o.token_id, sum({_TAKES}) AS promised FROM holdfast.orders o
        WHERE o.account_id = :account AND o.side = 'SELL' AND ({AT_STAKE}) GROUP BY o.token_id
    ), unsettled AS (
        SELECT token_id, sum(size - CASE WHEN fee_asset = 'shares' THEN fee ELSE 0 END) AS shares
        FROM holdfast.fills
        WHERE account_id = :account AND side = 'BUY' AND status IN ('MATCHED', 'RETRYING')
        GROUP BY token_id
    )
    SELECT json_build_object(
        'state', a.state, 'reason', a.state_reason, 'since', a.state_changed_at,
        'alarms', (SELECT alarms FROM holdfast.guardians WHERE account_id = :account),
        'strays', (
            SELECT json_agg(json_build_array(listed.hash, o.state))
            FROM unnest(:listed) AS listed(hash)
            LEFT JOIN holdfast.orders o ON o.order_hash = listed.hash
            WHERE o.order_hash IS NULL OR o.state IN ({_TERMINAL})
        )
    )::text, {_NOTHING} FROM holdfast.accounts a WHERE a.id = :account
    UNION ALL
    SELECT NULL, {_FIELDS} FROM holdfast.positions p
    LEFT JOIN holdfast.markets m ON m.condition_id = p.condition_id
    LEFT JOIN holdfast.tokens t ON t.token_id = p.token_id
    {_rows_of("stop_loss", "sl")}
    {_rows_of("take_profit", "tp")}
    {_rows_of("exit", "ex")}
    LEFT JOIN holdfast.orders o ON o.intent_id = tp.id
    LEFT JOIN sales s ON s.token_id = p.token_id
    LEFT JOIN unsettled u ON u.token_id = p.token_id
    LEFT JOIN LATERAL (
        SELECT sum(f.share_fee) AS shares FROM holdfast.fills f
        WHERE p.size > coalesce(o.size - o.filled_size, 0)
            AND f.account_id = p.account_id AND f.token_id = p.token_id AND f.side = 'BUY'
            AND f.status IN ('MINED', 'CONFIRMED') AND NOT EXISTS (
                SELECT 1 FROM holdfast.charges c WHERE c.condition_id = p.condition_id
            )
    ) d ON true
    WHERE p.account_id = :account AND p.size > 0
    """  # noqa: S608  # only our own constants are put in
).bindparams(bindparam("listed", type_=ARRAY(Text())))


@dataclass(frozen=True)
class Guardians:
    """The port GuardianStore on PostgreSQL."""

    engine: AsyncEngine

    async def seen(self, account_id: str, listed: Collection[str]) -> Seen:
        """Return everything held and what protects it, in one read.

        Raises:
            InvariantError: no such account.
        """
        asked = {"account": account_id, "listed": list(listed)}
        async with statement(self.engine) as connection:
            rows = (await connection.execute(_SEEN, asked)).all()
        first = next((row[0] for row in rows if row[0] is not None), None)
        if first is None:
            raise InvariantError(f"there is no account {account_id}")
        account: dict[str, Any] = json.loads(first)
        return Seen(
            standing=Standing(
                state=AccountState(account["state"]),
                reason=account["reason"],
                since=datetime.fromisoformat(account["since"]),
            ),
            held=[Held._make(row[1:]) for row in rows if row[0] is None],
            strays=[Stray(*one) for one in account["strays"] or ()],
            alarms=tuple(Alarm(**one) for one in account["alarms"] or ()),
        )

    @rerun
    async def watched(self, watched: Watched, now: datetime) -> None:
        """Write what a sweep came to; its alarms are told when they begin and when they end."""
        if not (watched.opened or watched.closed or watched.begun or watched.ended):
            async with statement(self.engine) as connection:
                await _keep(connection, watched)
            return
        async with transaction(self.engine) as connection:
            await _keep(connection, watched)
            await _mark(connection, watched, now)
            await _tell(connection, watched)

    @rerun
    async def restarted(self, account_id: str, words: str, who: str | None) -> None:
        """Write that a guardian had to be started again, and who ended the one before."""
        detail = {"account_id": account_id, "words": words}
        async with transaction(self.engine) as connection:
            await write(connection, _event("guardian.restarted", account_id, detail, who))
            await announce(connection, "guardian.restarted", detail | {"who": who})


async def _keep(connection: AsyncConnection, watched: Watched) -> None:
    """Keep the sweep as its account's newest."""
    sweep = watched.sweep
    alarms = [as_json(alarm) for alarm in sweep.alarms]
    values = columns_of(sweep) | {"alarms": alarms, "updated_at": func.clock_timestamp()}
    newest = insert(Table).values(values)
    renewed = newest.on_conflict_do_update(index_elements=["account_id"], set_=values)
    await connection.execute(renewed)


async def _mark(connection: AsyncConnection, watched: Watched, now: datetime) -> None:
    """Write since when positions are unprotected, and for how long those were that no more are."""
    since, row = col(Positions.unprotected_since), update(Positions)
    if watched.opened:
        mine = row.where(col(Positions.id).in_(list(watched.opened)), since.is_(None))
        await connection.execute(mine.values(unprotected_since=now))
    if watched.closed:
        mine = row.where(col(Positions.id).in_(list(watched.closed)), since.is_not(None))
        seconds = func.coalesce(col(Positions.unprotected_seconds), 0) + func.extract(
            "epoch", now - since
        )
        await connection.execute(mine.values(unprotected_since=None, unprotected_seconds=seconds))


async def _tell(connection: AsyncConnection, watched: Watched) -> None:
    """Write the events of positions and alarms, and the notices of alarms."""
    account_id = watched.sweep.account_id
    told = [
        _position_event(word, account_id, position_id)
        for word, ids in (("unprotected", watched.opened), ("protected", watched.closed))
        for position_id in ids
    ]
    for word, alarms in (("raised", watched.begun), ("ended", watched.ended)):
        for alarm in alarms:
            detail: dict[str, object] = {"alarm": alarm}
            told.append(_event(f"alarm.{word}", account_id, detail))
            await announce(connection, f"alarm.{word}", detail | {"account_id": account_id})
    await write(connection, *told)


def _position_event(word: str, account_id: str, position_id: str) -> Event:
    return Event(
        kind=f"position.{word}",
        subject_kind="position",
        subject_id=position_id,
        account_id=account_id,
        position_id=position_id,
    )


def _event(
    kind: str, account_id: str, detail: Mapping[str, object], who: str | None = None
) -> Event:
    return Event(
        kind=kind,
        subject_kind="account",
        subject_id=account_id,
        account_id=account_id,
        who=who,
        detail=detail,
    )

"""What each day began with, and how an account stands against its limits."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Final

from sqlalchemy import select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlmodel import col

from domain.errors import InvariantError
from domain.headroom import Reading
from domain.risk import Day, day_of
from infra.store import tables
from infra.store.database import rerun, statement, transaction
from infra.store.events import Event, write
from infra.store.rows import columns_of, read
from infra.store.stakes import EARNED, FAILED_IN_ROW, OPEN, PROMISED
from infra.store.tables import AT_STAKE

MOST_FAILURES: Final = 1_000  # further back nobody's limit looks
_DAY: Final = ", ".join(f"today.{field.name} AS day_{field.name}" for field in fields(Day))

# A trade that is not mined yet moves collateral later: the exchange's balance does not show it.
_START: Final = text(
    f"""
    SELECT {EARNED.format(account=":account")} AS pnl_usd,
        coalesce(sum(coalesce(size * current_price, cost_usd)), 0) AS inventory_usd,
        count(*) FILTER (WHERE current_price IS NULL) AS unpriced,
        min(priced_at) AS oldest_priced_at,
        (SELECT coalesce(sum(
            CASE side WHEN 'BUY' THEN -size * price ELSE size * price END
            - CASE WHEN fee_asset = 'collateral' THEN fee ELSE 0 END
        ), 0) FROM holdfast.fills
        WHERE account_id = :account AND status IN ('MATCHED', 'RETRYING')) AS pending_usd
    FROM holdfast.positions WHERE account_id = :account AND size <> 0
    """  # noqa: S608  # only our own constants are put in
)
_READING: Final = text(
    f"""
    WITH promises AS (
        SELECT side, condition_id, price, state IN ({OPEN}) AS is_open, {PROMISED} AS promised
        FROM holdfast.orders WHERE account_id = :account AND ({AT_STAKE})
    ), held AS (
        SELECT condition_id, greatest(cost_usd, 0) AS usd, current_price, priced_at
        FROM holdfast.positions WHERE account_id = :account AND size <> 0
    ), spent AS (
        SELECT condition_id, sum(usd) AS usd FROM (
            SELECT condition_id, price * promised AS usd FROM promises WHERE side = 'BUY'
            UNION ALL SELECT condition_id, usd FROM held
        ) AS each GROUP BY condition_id
    ), named AS (
        SELECT spent.usd, coalesce(slug, spent.condition_id) AS market,
            coalesce(event_id, spent.condition_id) AS event_id
        FROM spent LEFT JOIN holdfast.markets ON markets.condition_id = spent.condition_id
    ), grouped AS (SELECT event_id, sum(usd) AS usd FROM named GROUP BY event_id)
    SELECT {_DAY}, account.id AS account_id, account.state, account.state_reason AS reason,
        {EARNED.format(account=":account")} AS pnl_usd,
        (SELECT count(*) FROM held WHERE current_price IS NULL) AS unpriced,
        (SELECT min(priced_at) FROM held) AS oldest_priced_at,
        {FAILED_IN_ROW.format(account=":account", since="account.state_changed_at", most=":most")}
            AS failures_in_row,
        (SELECT count(*) FROM promises WHERE is_open) AS open_orders,
        (SELECT coalesce(sum(usd), 0) FROM spent) AS account_usd,
        coalesce(widest.usd, 0) AS event_usd, widest.event_id,
        coalesce(fullest.usd, 0) AS market_usd, fullest.market
    FROM holdfast.accounts AS account
    LEFT JOIN (SELECT * FROM named ORDER BY usd DESC, market LIMIT 1) AS fullest ON true
    LEFT JOIN (SELECT * FROM grouped ORDER BY usd DESC, event_id LIMIT 1) AS widest ON true
    LEFT JOIN holdfast.days AS today ON today.account_id = account.id AND today.day = :day
    WHERE account.id = :account
    """  # noqa: S608
)


@dataclass(frozen=True)
class Days:
    """The port DayStore on PostgreSQL."""

    engine: AsyncEngine

    @rerun
    async def begin(
        self, account_id: str, collateral_usd: Decimal, source: str, now: datetime
    ) -> Day:
        """Write what the day of `now` began with, the first time; return what is written."""
        async with transaction(self.engine) as connection:
            found = await connection.execute(_START, {"account": account_id})
            held = found.mappings().one()
            day = Day(
                account_id=account_id,
                day=day_of(now),
                starting_equity_usd=collateral_usd + held["pending_usd"] + held["inventory_usd"],
                collateral_usd=collateral_usd,
                inventory_usd=held["inventory_usd"],
                pnl_usd=held["pnl_usd"],
                forgiven_usd=Decimal(0),
                unpriced=held["unpriced"],
                oldest_priced_at=held["oldest_priced_at"],
                source=source,
                taken_at=now,
            )
            added = insert(tables.Days).values(columns_of(day)).on_conflict_do_nothing()
            is_first = await connection.scalar(added.returning(col(tables.Days.day)))
            if is_first is not None:
                await write(connection, _event(account_id, "day.begun", None, columns_of(day)))
            kept = await _day(connection, account_id, now)
            if kept is None:
                raise InvariantError(f"the day {day.day} of {account_id} cannot be read")
            return kept

    async def reading(self, account_id: str, now: datetime) -> Reading:
        """Return how an account stands against its limits, on the day of `now`.

        Raises:
            InvariantError: no such account.
        """
        about = {"account": account_id, "most": MOST_FAILURES, "day": day_of(now)}
        async with statement(self.engine) as connection:
            row = (await connection.execute(_READING, about)).mappings().one_or_none()
        if row is None:
            raise InvariantError(f"there is no account {account_id}")
        begun = {name.removeprefix("day_"): row[name] for name in row if name.startswith("day_")}
        day = read(Day, begun) if begun["account_id"] is not None else None
        return read(Reading, {**row, "day": day})

    @rerun
    async def forgive(self, account_id: str, lost_usd: Decimal, who: str, now: datetime) -> None:
        """Have what was lost so far on the day of `now` no longer count: an operator's word."""
        row = tables.Days
        mine = (col(row.account_id) == account_id) & (col(row.day) == day_of(now))
        forgiven = update(row).where(mine).values(forgiven_usd=lost_usd)
        detail = {"forgiven_usd": lost_usd}
        async with transaction(self.engine) as connection:
            await connection.execute(forgiven)
            await write(connection, _event(account_id, "day.loss_forgiven", who, detail))


async def _day(connection: AsyncConnection, account_id: str, now: datetime) -> Day | None:
    """Return what the day of `now` began with, if that was taken."""
    row = tables.Days
    mine = (col(row.account_id) == account_id) & (col(row.day) == day_of(now))
    found = (await connection.execute(select(row).where(mine))).mappings().one_or_none()
    return read(Day, found) if found is not None else None


def _event(account_id: str, kind: str, who: str | None, detail: Mapping[str, object]) -> Event:
    """Return an event of an account's day."""
    return Event(
        kind=kind,
        subject_kind="account",
        subject_id=account_id,
        account_id=account_id,
        who=who,
        detail=detail,
    )

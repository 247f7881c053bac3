"""What a comparison with the exchange reads of our books, and what it keeps of its findings."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from pydantic import TypeAdapter
from sqlalchemy import delete, func, select, text, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col

from domain.fill import Fill, FillStatus
from domain.order import Order
from domain.reconciliation import COLLATERAL, Cash, EditedRow, Expected, Gap, Leg, Report
from infra.store import tables
from infra.store.database import rerun, transaction
from infra.store.reconciliation_tables import Baselines, Gaps, Reconciliations
from infra.store.rows import as_json, columns_of, read

# What moves a balance or may move it soon: any of these makes another expectation.
MOVES: Final = "(kind LIKE 'order.%' OR kind LIKE 'fill.%')"
_PROVISIONAL: Final = """
    SELECT token_id,
        sum(CASE side WHEN 'BUY' THEN size ELSE -size END
            - CASE fee_asset WHEN 'shares' THEN fee ELSE 0 END) AS shares,
        sum(CASE side WHEN 'BUY' THEN -size ELSE size END * price
            - CASE fee_asset WHEN 'shares' THEN 0 ELSE fee END) AS usd
    FROM holdfast.fills WHERE account_id = :account AND status IN ('MATCHED', 'RETRYING')
    GROUP BY token_id
"""
_EXPECTED: Final = text(
    f"""
    WITH provisional AS ({_PROVISIONAL}), doubtful AS (
        SELECT token_id, sum(share_fee) AS shares FROM holdfast.fills
        WHERE account_id = :account AND side = 'BUY' AND share_fee > 0
            AND status IN ('MINED', 'CONFIRMED') AND NOT EXISTS (
                SELECT FROM holdfast.charges WHERE charges.condition_id = fills.condition_id)
        GROUP BY token_id
    )
    SELECT held.token_id, held.condition_id, held.size - coalesce(moving.shares, 0) AS settled,
        coalesce(fees.shares, 0) AS doubtful,
        coalesce(held.current_price, held.average_price) AS price,
        coalesce(last.seq, 0) AS mark, last.at AS marked_at
    FROM holdfast.positions AS held
    LEFT JOIN provisional AS moving USING (token_id)
    LEFT JOIN doubtful AS fees USING (token_id)
    LEFT JOIN LATERAL (
        SELECT seq, at FROM holdfast.events WHERE position_id = held.id AND {MOVES}
        ORDER BY seq DESC LIMIT 1
    ) AS last ON true
    WHERE held.account_id = :account AND (
        held.size <> 0 OR moving.shares IS NOT NULL
        OR held.updated_at > now() - interval '7 days'
        OR held.token_id IN (SELECT token_id FROM holdfast.gaps WHERE account_id = :account)
    )
    ORDER BY held.token_id
    """  # noqa: S608  # only our own constants are put in
)
_CASH: Final = text(
    f"""
    WITH provisional AS ({_PROVISIONAL})
    SELECT agreed.balance_usd AS baseline_usd, coalesce(agreed.cash_usd, 0) AS agreed_cash_usd,
        (SELECT coalesce(sum(cash_usd), 0) FROM holdfast.positions WHERE account_id = :account)
            - (SELECT coalesce(sum(usd), 0) FROM provisional) AS cash_usd,
        (SELECT coalesce(sum(fee), 0) FROM holdfast.fills
            WHERE account_id = :account AND side = 'BUY' AND share_fee > 0
                AND status IN ('MINED', 'CONFIRMED') AND NOT EXISTS (
                    SELECT FROM holdfast.charges WHERE charges.condition_id = fills.condition_id)
        ) AS doubtful_usd,
        coalesce(last.seq, 0) AS mark, last.at AS marked_at
    FROM (SELECT) AS one
    LEFT JOIN holdfast.baselines AS agreed ON agreed.account_id = :account
    LEFT JOIN LATERAL (
        SELECT seq, at FROM holdfast.events WHERE account_id = :account AND kind LIKE 'fill.%'
        ORDER BY seq DESC LIMIT 1
    ) AS last ON true
    """  # noqa: S608
)
_EDITED: Final = text(
    """
    WITH counted AS (
        SELECT token_id, max(condition_id) AS condition_id,
            sum(CASE side WHEN 'BUY' THEN size ELSE -size END
                - CASE fee_asset WHEN 'shares' THEN fee ELSE 0 END) AS size,
            sum(CASE side WHEN 'BUY' THEN -size ELSE size END * price
                - CASE fee_asset WHEN 'shares' THEN 0 ELSE fee END) AS cash_usd
        FROM holdfast.fills WHERE account_id = :account AND status <> 'FAILED' GROUP BY token_id
    ), queued AS (
        SELECT position_id AS id, sum(size) AS size FROM holdfast.lots GROUP BY position_id
    ), filled AS (
        SELECT order_hash, sum(size) AS size FROM holdfast.fills
        WHERE account_id = :account GROUP BY order_hash
    )
    SELECT 'position' AS kind, coalesce(held.id, 'none') AS id, :account AS account_id,
        token_id, coalesce(held.condition_id, counted.condition_id) AS condition_id,
        CASE WHEN held.id IS NULL THEN 'deleted' ELSE format('%s shares, %s USD, %s in lots',
            trim_scale(held.size), trim_scale(held.cash_usd),
            trim_scale(coalesce(queued.size, 0))) END AS row,
        format('%s shares, %s USD', trim_scale(coalesce(counted.size, 0)),
            trim_scale(coalesce(counted.cash_usd, 0))) AS entries
    FROM (SELECT * FROM holdfast.positions WHERE account_id = :account) AS held
    FULL JOIN counted USING (token_id) LEFT JOIN queued ON queued.id = held.id
    WHERE held.id IS NULL AND counted.size <> 0 OR held.id IS NOT NULL AND (
        (held.size, held.cash_usd) <> (coalesce(counted.size, 0), coalesce(counted.cash_usd, 0))
        OR held.size <> coalesce(queued.size, 0))
    UNION ALL
    SELECT 'order', order_hash, :account, token_id, condition_id,
        format('%s filled', trim_scale(mine.filled_size)),
        format('%s filled', trim_scale(filled.size))
    FROM holdfast.orders AS mine JOIN filled USING (order_hash)
    WHERE mine.account_id = :account AND mine.filled_size <> filled.size
    """
)
_FINDINGS: Final = TypeAdapter(Report)


@dataclass(frozen=True)
class Books:
    """The port Books on PostgreSQL: everything here leaves orders, fills and positions alone."""

    engine: AsyncEngine

    async def known_fills(self, fills: Iterable[Fill]) -> dict[Leg, FillStatus]:
        """Return which of these fills are recorded, and at which status."""
        legs = sorted({(fill.trade_id, fill.order_hash) for fill in fills})
        row = tables.Fills
        identity = tuple_(col(row.trade_id), col(row.order_hash))
        query = select(col(row.trade_id), col(row.order_hash), col(row.status))
        async with transaction(self.engine) as connection:
            rows = (await connection.execute(query.where(identity.in_(legs)))).all()
        return {(trade, order_hash): FillStatus(status) for trade, order_hash, status in rows}

    async def orders_by_hash(self, hashes: Collection[str]) -> dict[str, Order]:
        """Return which of these orders have a row."""
        query = select(tables.Orders).where(col(tables.Orders.order_hash).in_(hashes))
        async with transaction(self.engine) as connection:
            rows = (await connection.execute(query)).mappings().all()
        return {row["order_hash"]: read(Order, row) for row in rows}

    async def edited_rows(self, account_id: str) -> list[EditedRow]:
        """Return the positions and orders whose rows are not the sum of their fills."""
        return await self._read(EditedRow, _EDITED, account_id)

    async def expected(self, account_id: str) -> list[Expected]:
        """Return what each token's balance should be, of what is held or was of late."""
        return await self._read(Expected, _EXPECTED, account_id)

    async def cash(self, account_id: str) -> Cash:
        """Return what the collateral was last agreed to be, and what has moved since."""
        return (await self._read(Cash, _CASH, account_id))[0]

    async def gaps(self, account_id: str) -> dict[str, Gap]:
        """Return the gaps that wait for their second read, by token."""
        query = select(Gaps).where(col(Gaps.account_id) == account_id)
        async with transaction(self.engine) as connection:
            rows = (await connection.execute(query)).mappings().all()
        return {row["token_id"]: read(Gap, row) for row in rows}

    @rerun
    async def keep_gap(self, gap: Gap) -> None:
        """Have a gap wait for its second read; another one of its token is forgotten."""
        added = insert(Gaps).values(columns_of(gap))
        fresh = {name: added.excluded[name] for name in columns_of(gap)}
        async with transaction(self.engine) as connection:
            await connection.execute(
                added.on_conflict_do_update(index_elements=["account_id", "token_id"], set_=fresh)
            )

    @rerun
    async def forget_gap(self, account_id: str, token_id: str) -> None:
        """Forget the gap of a token whose balance agrees."""
        mine = (col(Gaps.account_id) == account_id) & (col(Gaps.token_id) == token_id)
        async with transaction(self.engine) as connection:
            await connection.execute(delete(Gaps).where(mine))

    @rerun
    async def agree(self, account_id: str, balance_usd: Decimal, cash_usd: Decimal) -> None:
        """Keep that the collateral and the books' cash belong together as they are now."""
        row: dict[str, Any] = {"account_id": account_id, "balance_usd": balance_usd}
        row |= {"cash_usd": cash_usd, "agreed_at": func.clock_timestamp()}
        added = insert(Baselines).values(row)
        changed = added.on_conflict_do_update(index_elements=["account_id"], set_=row)
        async with transaction(self.engine) as connection:
            await connection.execute(changed)
            mine = (col(Gaps.account_id) == account_id) & (col(Gaps.token_id) == COLLATERAL)
            await connection.execute(delete(Gaps).where(mine))

    @rerun
    async def keep(self, report: Report) -> None:
        """Keep a report; told again, it is the same one."""
        row = columns_of(report) | {
            "findings": as_json([columns_of(each) for each in report.findings]),
            "warnings": as_json(list(report.warnings)),
        }
        added = insert(Reconciliations).values(row).on_conflict_do_nothing(index_elements=["id"])
        async with transaction(self.engine) as connection:
            await connection.execute(added)

    async def latest(self, account_id: str, since: datetime) -> Report | None:
        """Return the newest whole comparison begun at `since` or later."""
        row = Reconciliations
        query = (
            select(row)
            .where(col(row.account_id) == account_id, col(row.begun_at) >= since)
            .where(~col(row.is_report_only))
            .order_by(col(row.begun_at).desc())
        )
        async with transaction(self.engine) as connection:
            found = (await connection.execute(query.limit(1))).mappings().one_or_none()
        if found is None:
            return None
        return _FINDINGS.validate_python({each.name: found[each.name] for each in fields(Report)})

    async def _read(self, kind: Any, statement: Any, account_id: str) -> Any:
        async with transaction(self.engine) as connection:
            rows = (await connection.execute(statement, {"account": account_id})).mappings().all()
        return [read(kind, row) for row in rows]

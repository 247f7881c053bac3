"""What a comparison with the exchange changes in our books: each change with its event and notice.

Locks are taken as everywhere: the position before the order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import delete, func, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlmodel import col

from domain.fill import SeenBy
from domain.ids import position_id
from domain.order import Order
from domain.ports import ActiveOrder, Failpoint
from domain.position import rebuilt
from domain.reconciliation import Cash, EditedRow, Gap, adjustment
from infra.store.database import rerun, transaction
from infra.store.events import Event, announce, write
from infra.store.fills import entered, filled_size
from infra.store.holdings import fills_of, locked_holding, store_holding
from infra.store.order_rows import by_hash, insert_order, locked_order, store_order
from infra.store.reconciliation_tables import Baselines, Gaps
from infra.store.reconciliations import MOVES
from infra.store.rows import changes, columns_of

_MARK: Final = text(
    f"""
    SELECT coalesce(max(seq), 0) FROM holdfast.events WHERE position_id = :position AND {MOVES}
    """  # noqa: S608  # only our own constant is put in
)


@dataclass(frozen=True)
class Amends:
    """The port Amends on PostgreSQL; every method is one transaction, told twice does one thing."""

    engine: AsyncEngine
    failpoint: Failpoint

    @rerun
    async def adopt(self, order: Order) -> bool:
        """Write a stranger's order as one of ours; False where it has a row already."""
        async with transaction(self.engine) as connection:
            if await by_hash(connection, order.order_hash) is not None:
                return False
            counted = order.with_fills(await filled_size(connection, order.order_hash))
            await insert_order(connection, counted, None, "order.adopted")
            await announce(connection, "order.adopted", columns_of(counted))
        return True

    @rerun
    async def count_again(self, edited: EditedRow, now: datetime) -> bool:
        """Make a row again what its fills add up to; False where it is so already."""
        async with transaction(self.engine) as connection:
            if edited.kind == "order":
                return await _recount_order(connection, edited)
            return await _recount_position(connection, edited, now)

    @rerun
    async def adjust(self, gap: Gap, condition_id: str, now: datetime) -> bool:
        """Close a proved gap by an entry; False where something has moved since it was seen."""
        fill = adjustment(gap, condition_id, now)
        identity = position_id(gap.account_id, gap.token_id)
        async with transaction(self.engine) as connection:
            before = await locked_holding(connection, fill)
            mark = (await connection.execute(_MARK, {"position": identity})).scalar_one()
            if mark != gap.mark:
                return False
            recorded, _ = await entered(connection, fill, SeenBy.RECONCILE, now, self.failpoint)
            after = await locked_holding(connection, fill)
            await _forget(connection, gap)
            event = Event(
                kind="position.adjusted",
                subject_kind="adjustment",
                subject_id=fill.trade_id,
                account_id=gap.account_id,
                position_id=identity,
                detail={
                    "gap": gap,
                    "held_before": before.position.size,
                    "held_after": after.position.size,
                },
            )
            await write(connection, event)
            await announce(connection, event.kind, {**columns_of(gap), "position_id": identity})
        return recorded.is_new

    @rerun
    async def adjust_collateral(self, gap: Gap, cash: Cash) -> None:
        """Take a proved movement of collateral, which no trade explains, into the baseline."""
        values = {"balance_usd": gap.found, "cash_usd": cash.cash_usd}
        mine = col(Baselines.account_id) == gap.account_id
        moved = update(Baselines).where(mine)
        async with transaction(self.engine) as connection:
            await connection.execute(moved.values(**values, agreed_at=func.clock_timestamp()))
            await _forget(connection, gap)
            event = Event(
                kind="collateral.adjusted",
                subject_kind="account",
                subject_id=gap.account_id,
                account_id=gap.account_id,
                detail={"gap": gap, "amount_usd": gap.difference},
            )
            await write(connection, event)
            await announce(connection, event.kind, columns_of(gap))

    @rerun
    async def tell_cancelled(self, account_id: str, active: ActiveOrder) -> None:
        """Tell that a stranger's order was cancelled by policy."""
        event = Event(
            kind="stranger.cancelled",
            subject_kind="stranger",
            subject_id=active.order_hash,
            account_id=account_id,
            detail={"order": active},
        )
        async with transaction(self.engine) as connection:
            await write(connection, event)
            await announce(connection, event.kind, columns_of(active, placed=None))

    @rerun
    async def snapshot(self, account_id: str, by: str, found: Mapping[str, object]) -> None:
        """Write how an account stands at the end of a shutdown."""
        event = Event(
            kind="account.snapshot",
            subject_kind="account",
            subject_id=account_id,
            account_id=account_id,
            who=by,
            detail=found,
        )
        async with transaction(self.engine) as connection:
            await write(connection, event)


async def _forget(connection: AsyncConnection, gap: Gap) -> None:
    mine = (col(Gaps.account_id) == gap.account_id) & (col(Gaps.token_id) == gap.token_id)
    await connection.execute(delete(Gaps).where(mine))


async def _recount_order(connection: AsyncConnection, edited: EditedRow) -> bool:
    """Count an order's fills again; what was filled is never taken back."""
    before, filled = await locked_order(connection, edited.id)
    after = before.with_fills(filled)
    if after == before:
        return False
    await store_order(connection, before, after, {"edited": edited})
    await announce(connection, "order.counted_again", {"order_hash": edited.id})
    return True


async def _recount_position(connection: AsyncConnection, edited: EditedRow, now: datetime) -> bool:
    """Count a position's fills again, its lots with it."""
    before = await locked_holding(connection, edited)
    history = await fills_of(connection, edited.account_id, edited.token_id)
    after = rebuilt(before, history)
    if after == before:
        return False
    await store_holding(connection, before, after, now)
    moved, earlier = changes(before.position, after.position), columns_of(before.position)
    event = Event(
        kind="position.counted_again",
        subject_kind="position",
        subject_id=after.position.id,
        account_id=edited.account_id,
        position_id=after.position.id,
        detail={
            "edited": edited,
            "before": {name: earlier[name] for name in moved},
            "after": moved,
        },
    )
    await write(connection, event)
    await announce(connection, event.kind, columns_of(after.position))
    return True

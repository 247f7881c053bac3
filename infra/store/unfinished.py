"""What should be at work now, as our own rows tell: whatever Temporal remembers of it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col

from domain.order import Order, OrderState
from domain.signal import SignalStatus
from infra.store import tables
from infra.store.database import transaction
from infra.store.rows import read
from infra.store.signals import StoredSignal
from infra.store.tables import AT_STAKE

HANDS_OFF: Final = timedelta(seconds=3)  # what changed just now is in somebody's hands
WATCHED: Final = timedelta(seconds=110)  # of the two minutes for which a lost hash is watched
OLDEST_SIGNAL: Final = timedelta(days=7)
OLDEST_ABANDONED: Final = timedelta(hours=1)  # since it was made: bounds what the index is asked


@dataclass(frozen=True, kw_only=True)
class Unfinished:
    """Signals and orders that somebody should be working."""

    engine: AsyncEngine

    async def signals(self) -> list[StoredSignal]:
        """Return the signals whose workflow was started and that have no outcome, oldest first."""
        row = tables.Signals
        query = (
            select(row)
            .where(col(row.status) == SignalStatus.PROCESSING.value)
            .where(col(row.received_at) > func.now() - OLDEST_SIGNAL)
            .where(col(row.updated_at) < func.now() - HANDS_OFF)
            .order_by(col(row.received_at), col(row.id))
        )
        async with transaction(self.engine) as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [read(StoredSignal, each) for each in rows]

    async def orders(self) -> list[Order]:
        """Return the orders that are not over, or abandoned and to be watched, oldest first."""
        row = tables.Orders
        is_open = text(AT_STAKE)
        is_watched = (
            (col(row.state) == OrderState.ABANDONED.value)
            & (col(row.created_at) > func.now() - OLDEST_ABANDONED)
            & (col(row.updated_at) > func.now() - WATCHED)
        )
        settled = col(row.updated_at) < func.now() - HANDS_OFF
        async with transaction(self.engine) as connection:
            found = [
                read(Order, each)
                for which in (is_open, is_watched)
                for each in (
                    await connection.execute(
                        select(row).where(which).where(settled).order_by(col(row.created_at))
                    )
                ).mappings()
            ]
        return [one for one in found if not one.is_over or one.state is OrderState.ABANDONED]

"""Recording an account's trades, whoever saw them: the stream, a poll, a catch-up."""

from dataclasses import dataclass
from datetime import timedelta

from domain.fill import Fill, SeenBy
from domain.ports import Clock, Exchange, FillStore, Workflows

OVERLAP = timedelta(seconds=60)  # trades become visible late and out of order


@dataclass(frozen=True, kw_only=True)
class Recorder:
    """Writes trades of one account and, once they are committed, tells whom they concern."""

    account_id: str
    exchange: Exchange
    fills: FillStore
    workflows: Workflows
    clock: Clock

    async def record(self, fill: Fill, seen_by: SeenBy) -> None:
        """Record a fill; told again, it changes nothing."""
        recorded = await self.fills.record(fill, seen_by, self.clock())
        if recorded.workflow_id is not None:
            await self.workflows.order_changed(recorded.workflow_id, fill.order_hash)

    async def catch_up(self) -> None:
        """Record every trade since the cursor, with overlap, then move the cursor."""
        cursor = await self.fills.cursor(self.account_id)
        after = cursor - OVERLAP if cursor is not None else None
        newest = cursor
        for fill in await self.exchange.fills(after=after):
            await self.record(fill, SeenBy.CATCH_UP)
            newest = max(newest or fill.matched_at, fill.matched_at)
        if newest is not None and newest != cursor:
            await self.fills.advance_cursor(self.account_id, newest)

    async def read_unsettled(self) -> None:
        """Read every trade again that is neither confirmed nor failed yet."""
        for trade in await self.fills.unsettled(self.account_id):
            for fill in await self.exchange.fills_of_trade(trade.trade_id):
                await self.record(fill, SeenBy.POLL)

"""Recording an account's trades, whoever saw them: the stream, a poll, a catch-up."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta

from domain.errors import HoldfastError, UnavailableError
from domain.fill import FeeDoubt, Fill, SeenBy
from domain.ports import Clock, Exchange, FillStore, Recorded, Workflows
from domain.protection import Repair

log = logging.getLogger(__name__)

READ_AT_ONCE = 4  # trades; the rest of the line to the exchange is for orders
OVERLAP = timedelta(seconds=60)  # trades become visible late and out of order


async def prove_fee_asset(exchange: Exchange, fills: FillStore, doubt: FeeDoubt) -> None:
    """Ask the exchange for a balance, and write what it proves of the fees behind it.

    Fills that come in meanwhile make the balance say nothing, so the doubt must be the same after.
    """
    balance = await exchange.shares(doubt.token_id)
    asset = doubt.settled_by(balance)
    if asset is None:
        detail = {"token_id": doubt.token_id, "balance": str(balance)}
        log.info("fee_asset.not_proved", extra={**detail, "held": str(doubt.held_shares)})
    elif doubt in await fills.fee_doubts(doubt.account_id, doubt.token_id):
        await fills.prove_fee_asset(doubt, asset, balance)
        about = {"condition_id": doubt.condition_id, "asset": asset.value}
        log.info("fee_asset.proved", extra=about)


async def tell_of(recorded: Recorded, fill: Fill, workflows: Workflows) -> None:
    """Tell whom a recorded fill concerns; who is not reached is found by the guardian."""
    if recorded.workflow_id is not None:
        await workflows.order_changed(recorded.workflow_id, fill.order_hash)
    await tell_position(recorded, fill, workflows)


async def tell_position(recorded: Recorded, fill: Fill, workflows: Workflows) -> None:
    """Have the workflow of a position look whose fill was recorded, where that matters to it."""
    if recorded.position is None:
        return
    hint = Repair(why=(f"trade {fill.trade_id} is {fill.status}",), by="recorder")
    try:
        await workflows.repair(recorded.position, hint)
    except UnavailableError as error:
        log.warning("position.not_told", extra={"trade": fill.trade_id, "why": str(error)})


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
        await tell_of(recorded, fill, self.workflows)

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

    async def prove_fee_assets(self) -> None:
        """Find out, by balances, how fees were taken wherever we do not know it yet."""
        for doubt in await self.fills.fee_doubts(self.account_id):
            await prove_fee_asset(self.exchange, self.fills, doubt)

    async def read_unsettled(self) -> None:
        """Read every trade again that is neither confirmed nor failed yet."""
        turns = asyncio.Semaphore(READ_AT_ONCE)

        async def read(trade_id: str) -> None:
            try:
                async with turns:
                    for fill in await self.exchange.fills_of_trade(trade_id):
                        await self.record(fill, SeenBy.POLL)
            except HoldfastError as error:
                # One that cannot be read must not hide what became of the others.
                log.warning("trade.not_read", extra={"trade_id": trade_id, "why": str(error)})

        trades = await self.fills.unsettled(self.account_id)
        await asyncio.gather(*(read(trade.trade_id) for trade in trades))

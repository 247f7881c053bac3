"""Following one account: its live channel, what the channel missed, and current prices."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from temporalio import activity

from domain.errors import HoldfastError, InvariantError
from domain.fill import Fill, SeenBy
from domain.order import TERMINAL
from domain.ports import (
    Clock,
    Connected,
    Disconnected,
    Exchange,
    FillSeen,
    FillStore,
    MarketSource,
    MarketStore,
    OrderSeen,
    OrderStore,
    StreamItem,
    UserStream,
    Workflows,
)

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 0.2
CATCH_UP_SECONDS = 30  # the channel may be mute while it looks alive: REST must carry alone
UNSETTLED_SECONDS = 30
MARK_SECONDS = 2
OVERLAP = timedelta(seconds=60)  # trades become visible late and out of order
FAULT_PAUSE_SECONDS = 1


@dataclass(frozen=True, kw_only=True)
class Feed:
    """One account's eyes: its live channel, and the exchange to ask."""

    exchange: Exchange
    stream: UserStream


@dataclass(frozen=True)
class StreamActivities:
    """Long-running eyes; two of them at once do no harm, since recording is by identity."""

    feeds: Mapping[str, Feed]
    orders: OrderStore
    fills: FillStore
    markets: MarketStore
    market_source: MarketSource
    workflows: Workflows
    clock: Clock

    @activity.defn
    async def follow_account(self, account_id: str) -> None:
        """Follow an account until cancelled; another worker takes over when this one dies."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(account_id))
            group.create_task(_every(UNSETTLED_SECONDS, lambda: self._settle(account_id)))
            group.create_task(_every(CATCH_UP_SECONDS, lambda: self._catch_up(account_id)))
            group.create_task(_every(MARK_SECONDS, lambda: self._mark(account_id)))
            while True:
                activity.heartbeat()
                await asyncio.sleep(HEARTBEAT_SECONDS)

    @activity.defn
    async def refresh_markets(self) -> int:
        """Write what the exchange lists now; return how many markets that is."""
        markets = await self.market_source.markets()
        await self.markets.replace(markets, self.clock())
        return len(markets)

    async def _follow(self, account_id: str) -> None:
        """Take in everything the live channel says; a fault in one item costs a catch-up."""
        async for item in self.feeds[account_id].stream.follow():
            try:
                await self._take_in(account_id, item)
            except HoldfastError as error:
                log.warning("stream.item_failed", extra={"account": account_id}, exc_info=error)
                await self._again(account_id)

    async def _again(self, account_id: str) -> None:
        """Catch up until it works: an item could not be taken in, and none may be lost."""
        while True:
            await asyncio.sleep(FAULT_PAUSE_SECONDS)
            try:
                await self._catch_up(account_id)
            except HoldfastError as error:
                log.warning("stream.catch_up_failed", exc_info=error)
            else:
                return

    async def _take_in(self, account_id: str, item: StreamItem) -> None:
        """Take in one item of the live channel."""
        if isinstance(item, Connected):
            log.info("stream.connected", extra={"account": account_id})
            await self._catch_up(account_id)
        elif isinstance(item, Disconnected):
            log.warning("stream.disconnected", extra={"account": account_id, "why": item.why})
        elif isinstance(item, FillSeen):
            await self._record(item.fill, SeenBy.STREAM)
        else:
            await self._sight(item)

    async def _record(self, fill: Fill, seen_by: SeenBy) -> None:
        """Record a fill and, once that is committed, tell the workflow of its order."""
        recorded = await self.fills.record(fill, seen_by, self.clock())
        if recorded.is_new and recorded.workflow_id is not None:
            await self.workflows.order_changed(recorded.workflow_id, fill.order_hash)

    async def _sight(self, item: OrderSeen) -> None:
        """Note what the channel says of an order of ours."""
        before = await self.orders.by_hash(item.order_hash)
        if before is None or (before.state in TERMINAL and item.sighting.is_active):
            return  # old news of the channel must not reopen what a look has closed
        try:
            after = await self.orders.sighted(item.order_hash, item.sighting, self.clock())
        except InvariantError as error:
            log.critical("order.invariant_broken", exc_info=error)
            return
        if after != before:
            await self.workflows.order_changed(after.workflow_id, after.order_hash)

    async def _catch_up(self, account_id: str) -> None:
        """Record every trade since the cursor, with overlap, then move the cursor."""
        cursor = await self.fills.cursor(account_id)
        after = cursor - OVERLAP if cursor is not None else None
        newest = cursor
        for fill in await self.feeds[account_id].exchange.fills(after=after):
            await self._record(fill, SeenBy.CATCH_UP)
            newest = max(newest or fill.matched_at, fill.matched_at)
        if newest is not None and newest != cursor:
            await self.fills.advance_cursor(account_id, newest)

    async def _settle(self, account_id: str) -> None:
        """Read every trade again that is neither confirmed nor failed yet."""
        exchange = self.feeds[account_id].exchange
        for trade in await self.fills.unsettled(account_id):
            for fill in await exchange.fills_of_trade(trade.trade_id):
                await self._record(fill, SeenBy.POLL)

    async def _mark(self, account_id: str) -> None:
        """Write current prices of what is held."""
        tokens = await self.fills.open_tokens(account_id)
        if tokens:
            prices = await self.feeds[account_id].exchange.midpoints(tokens)
            await self.fills.mark(account_id, prices, self.clock())


async def _every(seconds: float, act: Callable[[], Awaitable[None]]) -> None:
    """Do `act` again and again; a failure is logged and tried at the next turn."""
    while True:
        try:
            await act()
        except HoldfastError as error:
            log.warning("stream.periodic_failed", exc_info=error)
        await asyncio.sleep(seconds)

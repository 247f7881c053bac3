"""Following one account: its live channel, what the channel missed, and current prices."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from temporalio import activity

from activities.trades import Recorder
from domain.errors import HoldfastError, InvariantError, UnavailableError
from domain.fill import SeenBy
from domain.halt import Reconcile
from domain.order import TERMINAL, Order, OrderState, Sighting
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
PROVE_SECONDS = 15  # a sale asks by itself; this is for what is held and not being sold
REVIVE_SECONDS = 10  # how long an order we thought dead may live unwatched
MARK_SECONDS = 2
FAULT_PAUSE_SECONDS = 1


@dataclass(frozen=True, kw_only=True)
class Feed:
    """One account's eyes: its live channel, and the exchange to ask.

    Attributes:
        beat_seconds: how often the exchange is told that we live; None never tells it.
    """

    exchange: Exchange
    stream: UserStream
    beat_seconds: float | None = None


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
        """Follow an account for good; another worker takes over when this one dies or ends.

        Raises:
            UnavailableError: this worker ends.
        """
        recorder = self._recorder(account_id)
        async with asyncio.TaskGroup() as group:
            eyes = [
                group.create_task(self._follow(account_id)),
                group.create_task(_every(UNSETTLED_SECONDS, recorder.read_unsettled)),
                group.create_task(_every(CATCH_UP_SECONDS, recorder.catch_up)),
                group.create_task(_every(PROVE_SECONDS, recorder.prove_fee_assets)),
                group.create_task(_every(REVIVE_SECONDS, lambda: self.revive(account_id))),
                group.create_task(_every(MARK_SECONDS, lambda: self._mark(account_id))),
            ]
            pulse = self.feeds[account_id].beat_seconds
            if pulse is not None:
                beat = self.feeds[account_id].exchange.beat
                eyes.append(group.create_task(_every(pulse, beat)))
            while not activity.is_worker_shutdown():
                activity.heartbeat()
                await asyncio.sleep(HEARTBEAT_SECONDS)
            for eye in eyes:
                eye.cancel()
        raise UnavailableError("this worker ends; another one follows the account")

    @activity.defn
    async def refresh_markets(self) -> int:
        """Write what the exchange lists now; return how many markets that is."""
        listing = await self.market_source.listing()
        await self.markets.replace(listing.markets, self.clock(), listing.unread)
        return len(listing.markets)

    def _recorder(self, account_id: str) -> Recorder:
        """Return the one way in which this account's trades are recorded."""
        return Recorder(
            account_id=account_id,
            exchange=self.feeds[account_id].exchange,
            fills=self.fills,
            workflows=self.workflows,
            clock=self.clock,
        )

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
                await self._recorder(account_id).catch_up()
            except HoldfastError as error:
                log.warning("stream.catch_up_failed", exc_info=error)
            else:
                return

    async def _take_in(self, account_id: str, item: StreamItem) -> None:
        """Take in one item of the live channel."""
        if isinstance(item, Connected):
            log.info("stream.connected", extra={"account": account_id})
            await self._recorder(account_id).catch_up()
            wish = Reconcile(by="holdfast", reason="the user channel is open again")
            await self.workflows.reconcile(account_id, wish)
        elif isinstance(item, Disconnected):
            log.warning("stream.disconnected", extra={"account": account_id, "why": item.why})
        elif isinstance(item, FillSeen):
            await self._recorder(account_id).record(item.fill, SeenBy.STREAM)
        else:
            await self._sight(item)

    async def _sight(self, item: OrderSeen) -> None:
        """Note what the channel says of an order of ours."""
        before = await self.orders.by_hash(item.order_hash)
        if before is None:
            return
        if before.state in TERMINAL and item.sighting.is_active:
            # Old news, or an order we were wrong about: a look tells.
            await self._work_again(before)
            return
        try:
            after = await self.orders.sighted(item.order_hash, item.sighting, self.clock())
        except InvariantError as error:
            log.critical("order.invariant_broken", exc_info=error)
            return
        if after != before and not _is_read_anyway(before, after):
            await self.workflows.order_changed(after.workflow_id, after.order_hash)

    async def revive(self, account_id: str) -> None:
        """Find what the exchange lists as active and we think dead."""
        listed = await self.feeds[account_id].exchange.active_orders()
        # Our rows are read after the list: an order's row is older than its place on any list.
        known = {order.order_hash for order in await self.orders.open_orders(account_id)}
        for active in listed:
            if active.order_hash in known:
                continue
            order = await self.orders.by_hash(active.order_hash)
            if order is not None and order.state in TERMINAL:
                await self._work_again(order)

    async def _work_again(self, order: Order) -> None:
        """Work an order on that was thought dead and, by a look made now, lives."""
        exchange = self.feeds[order.account_id].exchange
        active = await exchange.active_order(order.order_hash)
        if active is None:
            return
        sighting = Sighting(is_active=True, matched_size=active.matched_size)
        alive = await self.orders.sighted(order.order_hash, sighting, self.clock())
        log.error("order.lives", extra={"order_hash": order.order_hash, "was": order.state.value})
        await self.workflows.resume(alive)

    async def _mark(self, account_id: str) -> None:
        """Write current prices of what is held."""
        tokens = await self.fills.open_tokens(account_id)
        if tokens:
            prices = await self.feeds[account_id].exchange.midpoints(tokens)
            await self.fills.mark(account_id, prices, self.clock())


def _is_read_anyway(before: Order, after: Order) -> bool:
    """Tell whether an order's workflow learns by itself what changed: that it stands.

    While in doubt it is being sent, and is read again with the answer to its send.
    """
    is_same = after.matched_size == before.matched_size
    return before.is_in_doubt and after.state is OrderState.LIVE and is_same


async def _every(seconds: float, act: Callable[[], Awaitable[None]]) -> None:
    """Do `act` again and again; a failure is logged and tried at the next turn."""
    while True:
        try:
            await act()
        except HoldfastError as error:
            log.warning("stream.periodic_failed", exc_info=error)
        await asyncio.sleep(seconds)

"""What protecting and leaving a position does to the outside, apart from its orders."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from temporalio import activity

from activities.orders import Desk
from domain import protection_exit
from domain.errors import HoldfastError, RejectedError
from domain.guarded import Guarded
from domain.market import Book, Market
from domain.ports import Clock, Exchange, Failpoint, MarketStore, ProtectionStore
from domain.protection import Exit, Firing, Protect
from domain.protection_exit import Facts, Sale, Verdict
from domain.signal import OrderRequest, PositionTask

log = logging.getLogger(__name__)

SOURCE_SECONDS = 1.0  # a source that does not answer by then is gone on without


@dataclass(frozen=True, kw_only=True)
class Looked:
    """A position as its rows say, and the market it is in.

    Attributes:
        guarded: None where nothing was ever held.
        is_blind: the book was to be judged by, and did not come.
    """

    guarded: Guarded | None
    market: Market
    is_blind: bool = False


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A change of plan, or a wish to leave: exactly one of the two."""

    task: PositionTask
    protect: Protect | None = None
    exit: Exit | None = None


@dataclass(frozen=True, kw_only=True)
class Target:
    """A take-profit of this size."""

    task: PositionTask
    size: Decimal


@dataclass(frozen=True, kw_only=True)
class Block:
    """An exit that cannot go on, and why."""

    task: PositionTask
    words: str


@dataclass(frozen=True, kw_only=True)
class Ending:
    """A position that is flat, or of which what is left cannot be sold."""

    task: PositionTask
    is_dust: bool = False


@dataclass(frozen=True, kw_only=True)
class NextSale:
    """What an exit does now; the order where the verdict is to sell."""

    sale: Sale
    request: OrderRequest | None = None


@dataclass(frozen=True)
class ProtectionActivities:
    """The activities of a position's workflow; each may run twice and does its work once."""

    desks: Mapping[str, Desk]
    floors: Mapping[str, Decimal]
    protections: ProtectionStore
    markets: MarketStore
    clock: Clock
    failpoint: Failpoint

    @activity.defn
    async def look_at_position(self, task: PositionTask) -> Looked:
        """Read a position and what protects it."""
        return await self._looked(task)

    @activity.defn
    async def judge_stop(self, task: PositionTask) -> Looked:
        """Read the book now, and claim the exit where it is at or below the armed stop."""
        looked = await self._looked(task)
        now = looked.guarded
        if now is None or now.plan.stop_loss is None or now.exit is not None:
            return looked
        book = await self._book(task)
        bid = book.best_bid if book is not None else None
        if not protection_exit.has_crossed(now, bid):
            return replace(looked, is_blind=book is None)
        firing = Firing(
            reason=f"the best bid {bid} is at or below the stop {now.plan.stop_loss}",
            floor=self._floor(task, now, bid),
            is_stop=True,
            best_bid=bid,
            seen_at=self.clock(),
        )
        await self._claim(task, firing)
        return await self._looked(task)

    @activity.defn
    async def grant_plan(self, wanted: Wanted) -> Looked:
        """Change the plan as wished and arm its stop.

        Raises:
            RejectedError: it makes no sense now; the words say why.
        """
        task, wish = wanted.task, wanted.protect or Protect()
        looked = await self._looked(task)
        book = await self._book(task)  # a plan is not held up by a book that does not come
        words = protection_exit.refusal(looked.guarded, wish, looked.market, book)
        if words is not None:
            raise RejectedError(words)
        now = await self.protections.plan(task.account_id, task.token_id, wish, self.clock())
        return Looked(guarded=now, market=looked.market)

    @activity.defn
    async def claim_exit(self, wanted: Wanted) -> Looked:
        """Claim the exit that somebody asked for.

        Raises:
            RejectedError: nothing is held.
        """
        task, wish = wanted.task, wanted.exit or Exit()
        now = (await self._looked(task)).guarded
        book = await self._book(task)
        bid = book.best_bid if book is not None else None
        firing = Firing(
            reason=f"{wish.reason} ({wish.by})",
            floor=self._floor(task, now, bid) if now is not None else None,
            best_bid=bid,
            seen_at=self.clock(),
            by=wish.by,
            signal_id=wish.signal_id,
        )
        await self._claim(task, firing)
        return await self._looked(task)

    @activity.defn
    async def arm_stop(self, task: PositionTask) -> Looked:
        """Have the stop's row say what the plan asks for."""
        await self.protections.arm(task.account_id, task.token_id, self.clock())
        return await self._looked(task)

    @activity.defn
    async def claim_target(self, target: Target) -> OrderRequest | None:
        """Claim the next take-profit; None while the last may live, or none is wished any more."""
        task = target.task
        claim = await self.protections.rest(
            task.account_id, task.token_id, target.size, self.clock()
        )
        if claim is None:
            return None
        book = await self._book(task)
        bid = book.best_bid if book is not None else None
        is_beyond = bid is None or claim.price is None or bid >= claim.price
        return protection_exit.target_request(
            task.account_id, task.token_id, claim, post_only=not is_beyond
        )

    @activity.defn
    async def retire_target(self, task: PositionTask) -> Looked:
        """Write that a take-profit is over."""
        await self.protections.rested(task.account_id, task.token_id)
        return await self._looked(task)

    @activity.defn
    async def next_sale(self, task: PositionTask) -> NextSale:
        """Size and price the next sale of an exit by what every source says now, and claim it."""
        await self.failpoint("exit.after_tp_cancel")
        balance, book = await asyncio.gather(self._balance(task), self._book(task))
        looked = await self._looked(task)  # after the exchange: no fill is missing that it knows
        now = looked.guarded
        await self.failpoint("exit.after_fill_read")
        if now is None or now.exit is None:
            return NextSale(sale=Sale(verdict=Verdict.WAIT, words="the exit is over"))
        facts = Facts(balance=balance, book=book, floor=now.exit.price)
        sale = protection_exit.next_sale(now, looked.market, facts)
        if sale.verdict is not Verdict.SELL:
            return NextSale(sale=sale)
        claim = await self.protections.fire_again(task.account_id, task.token_id, self.clock())
        if claim is None:
            return NextSale(sale=Sale(verdict=Verdict.WAIT, words="the last sale may live"))
        await self.failpoint("exit.before_sell")
        request = protection_exit.sale_request(task.account_id, task.token_id, claim, sale)
        return NextSale(sale=sale, request=request)

    @activity.defn
    async def block_exit(self, block: Block) -> None:
        """Write that an exit cannot go on now, with an alarm."""
        task = block.task
        await self.protections.block(task.account_id, task.token_id, block.words)

    @activity.defn
    async def close_position(self, ending: Ending) -> Looked:
        """End the exit of what is flat or dust, and the plan once every trade is final."""
        await self.failpoint("exit.after_sell")
        task = ending.task
        await self.protections.close(task.account_id, task.token_id, is_dust=ending.is_dust)
        return await self._looked(task)

    async def _looked(self, task: PositionTask) -> Looked:
        market, _ = await self.markets.find(task.token_id, None)
        guarded = await self.protections.guarded(task.account_id, task.token_id)
        return Looked(guarded=guarded, market=market)

    async def _claim(self, task: PositionTask, firing: Firing) -> None:
        """Claim an exit and say so; a wish that was granted before is not granted again."""
        claim = await self.protections.fire(task.account_id, task.token_id, firing, self.clock())
        if claim is None:
            log.warning("exit.repeated", extra={"signal_id": firing.signal_id})
            return
        log.warning("exit.claimed", extra={"exit": claim.id, "reason": firing.reason})
        await self.failpoint("exit.claimed")

    def _floor(self, task: PositionTask, now: Guarded, bid: Decimal | None) -> Decimal | None:
        """Return how far down the account lets an exit sell."""
        return protection_exit.floor_of(now.plan, bid, self.floors[task.account_id])

    def _exits(self, task: PositionTask) -> Exchange:
        """Return the exchange as what leaves a position speaks to it."""
        return self.desks[task.account_id].exits

    async def _balance(self, task: PositionTask) -> Decimal | None:
        """Return the exchange's own count of the shares; None where it does not say in time."""
        try:
            async with asyncio.timeout(SOURCE_SECONDS):
                return await self._exits(task).shares(task.token_id)
        except (HoldfastError, TimeoutError) as error:
            log.warning("exit.no_balance", extra={"token_id": task.token_id, "why": str(error)})
            return None

    async def _book(self, task: PositionTask) -> Book | None:
        """Return the book as it is now; None where the exchange does not say in time."""
        try:
            async with asyncio.timeout(SOURCE_SECONDS):
                return await self._exits(task).book(task.token_id)
        except (HoldfastError, TimeoutError) as error:
            log.warning("exit.no_book", extra={"token_id": task.token_id, "why": str(error)})
            return None

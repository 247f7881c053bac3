"""What stopping an account, and letting it trade again, does to the outside."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from temporalio import activity

from activities.limits import begin_day, trip_kill
from activities.orders import Desk
from domain.errors import HoldfastError, UnavailableError
from domain.halt import (
    RESUMABLE,
    Clearance,
    Kill,
    Resume,
    Standing,
    exit_request,
    why_not_resumed,
)
from domain.headroom import Reading, tripped, why_it_would_trip
from domain.order import LATE_ARRIVAL, Order, Side
from domain.ports import (
    AccountStore,
    Clock,
    DayStore,
    Failpoint,
    FillStore,
    OrderStore,
    Workflows,
)
from domain.risk import AccountState
from domain.signal import CancelRequest, PositionTask

log = logging.getLogger(__name__)

TOLD_AT_ONCE = 20
BEGIN_SECONDS = 2.0  # a kill by hand waits no longer for an exchange that does not answer


@dataclass(frozen=True, kw_only=True)
class Halt:
    """A kill of one account, or the shutdown that does as a kill does."""

    account_id: str
    kill: Kill
    cause: str = "kill"


@dataclass(frozen=True, kw_only=True)
class Halted:
    """What a kill came to, for the record."""

    account_id: str
    by: str
    words: str


@dataclass(frozen=True, kw_only=True)
class Wake:
    """A wish that one account trade again."""

    account_id: str
    resume: Resume


@dataclass(frozen=True, kw_only=True)
class ExitRound:
    """One round of selling all that is held.

    Attributes:
        gated_at: when the kill closed the gate; names the kill.
        number: rounds before this one; a partly filled sale leaves work for the next.
    """

    account_id: str
    gated_at: datetime
    number: int


@dataclass(frozen=True)
class GuardActivities:
    """The activities of a guardian; each may run twice and does its work once."""

    desks: Mapping[str, Desk]
    cooldowns: Mapping[str, timedelta]
    accounts: AccountStore
    orders: OrderStore
    fills: FillStore
    days: DayStore
    workflows: Workflows
    clock: Clock
    failpoint: Failpoint

    @activity.defn
    async def check_limits(self, account_id: str) -> Kill | None:
        """Return the kill that a limit asks for; the day's first look takes what it began with.

        A halt that a limit began and nobody was told of asks for its kill again. What fails here
        fails alone: a kill by hand needs no figure of these.
        """
        limits = self.desks[account_id].limits
        try:
            found = tripped(await self._reading(account_id), limits)
        except HoldfastError:
            log.exception("limits.not_checked", extra={"account_id": account_id})
            return None
        return None if found is None else trip_kill(found.words, limits)

    async def _reading(self, account_id: str) -> Reading:
        """Return how the account stands; the first time of a day, its beginning is taken.

        Not while the account reconciles: trades it does not know yet would be today's loss.
        """
        now = self.clock()
        reading = await self.days.reading(account_id, now)
        if reading.day is None and reading.state is not AccountState.RECONCILING:
            exchange = self.desks[account_id].exchange
            try:
                async with asyncio.timeout(BEGIN_SECONDS):
                    await begin_day(self.days, exchange, account_id, "guardian", now)
            except (HoldfastError, TimeoutError) as error:
                # Entries are denied until somebody can take it; nothing else waits for it.
                words = {"account_id": account_id, "why": str(error)}
                log.warning("day.not_begun", extra=words)
            else:
                return await self.days.reading(account_id, now)
        return reading

    @activity.defn
    async def standing(self, account_id: str) -> Standing:
        """Read where the account stands."""
        return await self.accounts.standing(account_id)

    @activity.defn
    async def close_gate(self, halt: Halt) -> Standing:
        """Let no entry and no resting order be sent from this commit on."""
        kill = halt.kill
        before = frozenset(AccountState) - {AccountState.HALTED, AccountState.HALTING}
        words = f"{kill.reason} ({kill.by})"
        await self.accounts.set_state(
            halt.account_id, AccountState.HALTING, reason=words, who=kill.by, only_from=before
        )
        log.critical("account.killed", extra={"account_id": halt.account_id, "reason": words})
        await self.failpoint("kill.gate")
        return await self.accounts.standing(halt.account_id)

    @activity.defn
    async def tell_orders(self, halt: Halt) -> int:
        """Have the workflow of every order that a kill ends stop working it; return how many."""
        ours = await self._ending(halt.account_id)
        turns = asyncio.Semaphore(TOLD_AT_ONCE)

        async def tell(order: Order) -> None:
            request = CancelRequest(
                reason=f"{halt.cause}: {halt.kill.reason}", order_hash=order.order_hash
            )
            try:
                async with turns:
                    await self.workflows.cancel_order(order.workflow_id, request)
            except UnavailableError as error:
                # The gate is closed and the exchange is emptied without it.
                log.warning("order.not_told", extra={"order": order.order_hash, "why": str(error)})

        await asyncio.gather(*(tell(order) for order in ours))
        return len(ours)

    @activity.defn
    async def clear_exchange(self, account_id: str) -> Clearance:
        """Cancel everything that rests, and list what is left."""
        exchange = self.desks[account_id].exchange
        await exchange.cancel_all()
        await self.failpoint("kill.cancel")
        live = await exchange.active_orders()
        doubtful = [order for order in await self._ending(account_id) if order.is_in_doubt]
        sends = [order.last_sent_at for order in doubtful if order.last_sent_at is not None]
        return Clearance(
            live=tuple(order.order_hash for order in live),
            in_doubt=len(sends),
            in_doubt_until=max(sends) + LATE_ARRIVAL if sends else None,
        )

    async def _ending(self, account_id: str) -> list[Order]:
        """Return the open orders that a kill ends: all but sales on their way to the market."""
        ours = await self.orders.open_orders(account_id)
        return [order for order in ours if order.side is Side.BUY or order.may_rest]

    @activity.defn
    async def confirm_halt(self, halted: Halted) -> Standing:
        """Write that the account stands still, and what it took."""
        await self.accounts.set_state(
            halted.account_id,
            AccountState.HALTED,
            reason=halted.words,
            who=halted.by,
            only_from=(AccountState.HALTING,),
        )
        log.critical(
            "account.halted", extra={"account_id": halted.account_id, "words": halted.words}
        )
        await self.failpoint("kill.confirm")
        return await self.accounts.standing(halted.account_id)

    @activity.defn
    async def exit_positions(self, turn: ExitRound) -> int:
        """Hand a sale of all that is held to each position without one; return how many are left.

        A position whose last sale still works is left to it.
        """
        account_id = turn.account_id
        selling = {
            order.token_id
            for order in await self.orders.open_orders(account_id)
            if order.side is Side.SELL
        }
        held = await self.fills.open_tokens(account_id)
        for token_id in held:
            if token_id not in selling:
                task = PositionTask(account_id=account_id, token_id=token_id)
                request = exit_request(account_id, token_id, turn.gated_at, turn.number)
                await self.workflows.sell(task, request)
        return len(held)

    @activity.defn
    async def reopen(self, wake: Wake) -> str | None:
        """Let the account trade again; return why not where a rule forbids it."""
        account_id, wish = wake.account_id, wake.resume
        standing = await self.accounts.standing(account_id)
        now = self.clock()
        reading = await self.days.reading(account_id, now)
        still = why_it_would_trip(reading, self.desks[account_id].limits)
        refusal = why_not_resumed(wish, standing, now, self.cooldowns[account_id], still)
        if refusal is not None:
            told = {"account_id": account_id, "by": wish.by, "why": refusal}
            log.warning("account.not_resumed", extra=told)
            return refusal
        if still is not None and reading.today is not None:
            await self.days.forgive(account_id, -reading.today.pnl_usd, wish.by, now)
        await self.accounts.set_state(
            account_id,
            AccountState.RUNNING,
            reason=f"resumed by {wish.by}" + (", forced" if wish.force else ""),
            who=wish.by,
            only_from=RESUMABLE,
        )
        return None

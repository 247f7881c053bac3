"""What shutting an account down does to the outside."""

import logging
from dataclasses import dataclass
from datetime import datetime

from temporalio import activity

from activities.beats import heartbeats
from activities.guard import GuardActivities
from domain.books import AmendStore, BookStore
from domain.halt import SHUTDOWN, Clearance, Reconcile, Shutdown, Standing
from domain.order import Order
from domain.ports import AccountStore, Failpoint, OrderStore, Workflows
from domain.reconciliation import Report
from domain.risk import AccountState

log = logging.getLogger(__name__)

BEAT_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Closing:
    """A shutdown of one account."""

    account_id: str
    wish: Shutdown


@dataclass(frozen=True, kw_only=True)
class Looked:
    """Which comparison a shutdown waits for: the first begun since."""

    account_id: str
    since: datetime


@dataclass(frozen=True, kw_only=True)
class Closed:
    """What a shutdown came to.

    Attributes:
        left: hashes of orders that could not be confirmed as cancelled.
    """

    account_id: str
    by: str
    words: str
    left: tuple[str, ...]


@dataclass(frozen=True)
class ShutdownActivities:
    """The steps of a shutdown; each may run twice and does its work once."""

    accounts: AccountStore
    orders: OrderStore
    books: BookStore
    amends: AmendStore
    workflows: Workflows
    guard: GuardActivities
    failpoint: Failpoint

    @activity.defn
    async def begin_shutdown(self, closing: Closing) -> Standing:
        """Let no entry and no resting order be sent from this commit on; a halt stays a halt."""
        wish = closing.wish
        await self.accounts.set_state(
            closing.account_id,
            AccountState.HALTING,
            reason=f"{SHUTDOWN}: {wish.reason} ({wish.by})",
            who=wish.by,
            only_from=(AccountState.RUNNING, AccountState.RECONCILING),
        )
        await self.failpoint("stop.gate")
        return await self.accounts.standing(closing.account_id)

    @activity.defn
    async def empty_exchange(self, account_id: str) -> Clearance:
        """Cancel everything that rests, and list what is left."""
        async with heartbeats(BEAT_SECONDS):
            clearance = await self.guard.clear_exchange(account_id)
            await self.failpoint("stop.after_cancel_all")
            return clearance

    @activity.defn
    async def ask_reconciliation(self, closing: Closing) -> None:
        """Have the account compared with the exchange."""
        wish = Reconcile(by=closing.wish.by, reason=SHUTDOWN)
        await self.workflows.reconcile(closing.account_id, wish)

    @activity.defn
    async def find_report(self, looked: Looked) -> Report | None:
        """Return the report that a shutdown waits for; None while there is none."""
        return await self.books.latest(looked.account_id, looked.since)

    @activity.defn
    async def end_shutdown(self, closed: Closed) -> Standing:
        """Keep a snapshot of what is left, and write that the account is stopped."""
        held = await self.books.expected(closed.account_id)
        still_open: list[Order] = await self.orders.open_orders(closed.account_id)
        cash = await self.books.cash(closed.account_id)
        snapshot = {
            "words": closed.words,
            "not_confirmed": list(closed.left),
            "agreed_collateral_usd": cash.baseline_usd,
            "positions": {each.token_id: each.settled for each in held if each.settled},
            "open_orders": {one.order_hash: one.state.value for one in still_open},
        }
        await self.amends.snapshot(closed.account_id, closed.by, snapshot)
        await self.accounts.set_state(
            closed.account_id,
            AccountState.STOPPED,
            reason=f"{SHUTDOWN}: {closed.words}",
            who=closed.by,
            only_from=(AccountState.HALTING,),
        )
        level = logging.CRITICAL if closed.left else logging.WARNING
        about = {"account_id": closed.account_id, "words": closed.words}
        log.log(level, "account.stopped", extra=about)
        await self.failpoint("stop.confirmed")
        return await self.accounts.standing(closed.account_id)

"""Comparing an account with the exchange: each section reads both sides, then mends what differs.

A list that cannot be read to its end fails its section, and nothing is changed. One order or one
balance that cannot be read is a warning, and the others go on. Everything here may run again: it
finds what the first run left, which then is no difference any more.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final, TypeVar

from temporalio import activity

from activities.balances import Balances
from activities.beats import heartbeats
from activities.orders import Desk
from activities.trades import OVERLAP, READ_AT_ONCE, Recorder
from domain.books import AmendStore, BookStore
from domain.errors import HoldfastError
from domain.fill import Fill, FillStatus, SeenBy
from domain.halt import Reconcile, Standing
from domain.order import TERMINAL, Order, Sighting
from domain.ports import (
    AccountStore,
    ActiveOrder,
    Clock,
    Exchange,
    Failpoint,
    FillStore,
    OrderStore,
    Workflows,
)
from domain.reconciliation import (
    Finding,
    Kind,
    Outcome,
    Report,
    Result,
    Section,
    UnknownOrders,
    adopted,
    compare_orders,
    compare_trades,
)
from domain.risk import AccountState

log = logging.getLogger(__name__)

T = TypeVar("T")

BEAT_SECONDS: Final = 1.0
LOUD: Final = frozenset({Result.INCOMPLETE, Result.FAILED})


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One comparison of one account."""

    account_id: str
    wish: Reconcile
    begun_at: datetime


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A comparison that has ended.

    Attributes:
        is_heavy: a difference waits for its proof that is too large to trade beside.
    """

    turn: Turn
    report: Report
    is_heavy: bool


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What an account's operator wants done about differences."""

    unknown_orders: UnknownOrders
    halt_above_usd: Decimal


@dataclass(frozen=True)
class ReconcileActivities:
    """The sections of a comparison, and what follows from it.

    Args:
        look: the look at one order by its hash, as its workflow does it.
    """

    desks: Mapping[str, Desk]
    policies: Mapping[str, Policy]
    orders: OrderStore
    fills: FillStore
    books: BookStore
    amends: AmendStore
    accounts: AccountStore
    workflows: Workflows
    look: Callable[[Order], Awaitable[Order]]
    clock: Clock
    failpoint: Failpoint

    @activity.defn
    async def ask_for_comparison(self, turn: Turn) -> None:
        """Have `reconcile-{account}` compare, begun if it is not at work."""
        await self.workflows.reconcile(turn.account_id, turn.wish)

    @activity.defn
    async def reconcile_trades(self, turn: Turn) -> Section:
        """Record every trade since the cursor, with overlap, that we lack."""
        async with heartbeats(BEAT_SECONDS):
            await self.failpoint("recon.before_diff")
            cursor = await self.fills.cursor(turn.account_id)
            after = cursor - OVERLAP if cursor is not None else None
            told = await self._exchange(turn).fills(after=after)
            findings = await self.record_lacked(turn, told)
            if told and not turn.wish.is_report_only:
                newest = max(fill.matched_at for fill in told)
                await self.fills.advance_cursor(turn.account_id, newest)
            return Section(findings=tuple(findings))

    async def record_lacked(self, turn: Turn, told: list[Fill]) -> list[Finding]:
        """Record what of these fills is news, and return those that were lacking."""
        known = await self.books.known_fills(told)
        outcome = Outcome.REPORTED if turn.wish.is_report_only else Outcome.RECORDED
        findings: list[Finding] = []
        recorder = self._recorder(turn.account_id)
        for fill in compare_trades(told, known):
            if not turn.wish.is_report_only:
                await recorder.record(fill, SeenBy.RECONCILE)
                await self.failpoint("recon.mid_apply")
            status = known.get((fill.trade_id, fill.order_hash))
            if status is None:
                findings.append(_of_trade(Kind.TRADE_LACKED, fill, "nothing", outcome))
            elif fill.status is FillStatus.FAILED:
                findings.append(_of_trade(Kind.TRADE_FAILED, fill, status.value, outcome))
        return findings

    @activity.defn
    async def reconcile_orders(self, turn: Turn) -> Section:
        """Compare open orders, and mend what differs."""
        async with heartbeats(BEAT_SECONDS):
            ours = await self.orders.open_orders(turn.account_id)
            listed = await self._exchange(turn).active_orders()
            hashes = {each.order_hash for each in (*ours, *listed)}
            known = await self.books.orders_by_hash(hashes)
            found = compare_orders(ours, listed, known, self.clock())
            parts = [
                await _each(found.missing, lambda one: self._find(turn, one), "order"),
                await _each(found.living, lambda one: self._work_again(turn, one), "order"),
                await _each(found.unknown, lambda one: self._take_over(turn, one), "order"),
            ]
            return _joined(parts)

    async def _find(self, turn: Turn, order: Order) -> Finding | None:
        """Look an order up by its hash that is not on the list, and tell its workflow."""
        words, outcome = "not looked up", Outcome.REPORTED
        if not turn.wish.is_report_only:
            seen = await self.look(order)
            await self.failpoint("recon.mid_apply")
            await self.workflows.order_changed(order.workflow_id, order.order_hash)
            again = "" if seen.state in TERMINAL else ": its workflow looks again"
            words, outcome = f"it is {seen.state} now{again}", Outcome.LOOKED_UP
        return _of_order(Kind.ORDER_MISSING, order, "not listed", outcome, words)

    async def _work_again(self, turn: Turn, order: Order) -> Finding | None:
        """Have an order worked again that we thought over; None where it is gone by now."""
        active = await self._exchange(turn).active_order(order.order_hash)
        if active is None:
            return None
        if turn.wish.is_report_only:
            return _of_order(Kind.ORDER_LIVES, order, "listed", Outcome.REPORTED)
        sighting = Sighting(is_active=True, matched_size=active.matched_size)
        alive = await self.orders.sighted(order.order_hash, sighting, self.clock())
        await self.failpoint("recon.mid_apply")
        log.error("order.lives", extra={"order_hash": order.order_hash, "was": order.state.value})
        await self.workflows.resume(alive)
        return _of_order(Kind.ORDER_LIVES, order, "listed", Outcome.WORKED_AGAIN)

    async def _take_over(self, turn: Turn, active: ActiveOrder) -> Finding | None:
        """Adopt or cancel an order that we did not place."""
        outcome, words = Outcome.REPORTED, ""
        if not turn.wish.is_report_only:
            if self.policies[turn.account_id].unknown_orders is UnknownOrders.CANCEL:
                outcome, words = await self._cancel(turn, active)
            else:
                outcome, words = await self._adopt(turn, active)
            await self.failpoint("recon.mid_apply")
            about = {"order_hash": active.order_hash, "outcome": outcome.value, "words": words}
            log.error("order.unknown", extra=about)
        side = active.placed.side if active.placed is not None else "order of"
        at = f" at {active.placed.price:f}" if active.placed is not None else ""
        return Finding(
            kind=Kind.ORDER_UNKNOWN,
            subject=active.order_hash,
            token_id=active.token_id,
            ours="nothing",
            theirs=f"{side} {active.size:f}{at}",
            outcome=outcome,
            words=words,
        )

    async def _adopt(self, turn: Turn, active: ActiveOrder) -> tuple[Outcome, str]:
        """Make a stranger's order one of ours, followed by a workflow like any other."""
        order = adopted(active, turn.account_id)
        if order is None:
            return Outcome.LEFT, "the exchange does not say what it is: see its own page"
        await self.amends.adopt(order)
        await self.workflows.resume(order)
        return Outcome.ADOPTED, "placed outside: followed from now on, as source manual"

    async def _cancel(self, turn: Turn, active: ActiveOrder) -> tuple[Outcome, str]:
        """Cancel a stranger's order; the next comparison sees whether it is gone."""
        answer = await self._exchange(turn).cancel(active.order_hash)
        if not answer.is_cancelled:
            return Outcome.LEFT, f"not cancelled: {answer.words}"
        await self.amends.tell_cancelled(turn.account_id, active)
        return Outcome.CANCELLED, "placed outside, cancelled by policy"

    @activity.defn
    async def reconcile_rows(self, turn: Turn) -> Section:
        """Compare our rows with their own entries; a row that was edited is counted again."""
        edited = await self.books.edited_rows(turn.account_id)
        findings: list[Finding] = []
        for row in edited:
            outcome = Outcome.REPORTED
            if not turn.wish.is_report_only:
                is_mended = await self.amends.count_again(row, self.clock())
                outcome = Outcome.COUNTED_AGAIN if is_mended else Outcome.LEFT
                await self.failpoint("recon.mid_apply")
                log.critical("row.edited", extra={"row": row.row, "entries": row.entries})
            findings.append(
                Finding(
                    kind=Kind.ROW_EDITED,
                    subject=row.id if row.id != "none" else row.token_id,
                    token_id=row.token_id,
                    ours=row.row,
                    theirs=row.entries,
                    outcome=outcome,
                    words=f"the {row.kind} is not the sum of its fills",
                )
            )
        return Section(findings=tuple(findings))

    @activity.defn
    async def reconcile_balances(self, turn: Turn) -> Section:
        """Compare shares and collateral with what our settled entries add up to."""
        async with heartbeats(BEAT_SECONDS):
            balances = Balances(
                account_id=turn.account_id,
                exchange=self._exchange(turn),
                books=self.books,
                amends=self.amends,
                recorder=self._recorder(turn.account_id),
                clock=self.clock,
                halt_above_usd=self.policies[turn.account_id].halt_above_usd,
                is_report_only=turn.wish.is_report_only,
            )
            return await balances.compared(lambda told: self.record_lacked(turn, told))

    @activity.defn
    async def conclude_reconciliation(self, ended: Ended) -> Standing:
        """Keep the report, and open the gate or halt as it demands; return how the account stands.

        A comparison that failed leaves the gate as it is: entries wait, exits go on.
        """
        report, turn = ended.report, ended.turn
        await self.books.keep(report)
        level = logging.WARNING if report.result in LOUD else logging.INFO
        about = {"account_id": turn.account_id, "reason": turn.wish.reason}
        found = {"result": report.result.value, "findings": len(report.findings)}
        log.log(level, "account.reconciled", extra=about | found)
        if not turn.wish.is_report_only and report.result is not Result.FAILED:
            await self._move(ended)
        return await self.accounts.standing(turn.account_id)

    async def _move(self, ended: Ended) -> None:
        """Halt entries where a proved difference is too large, else let them in."""
        account_id = ended.turn.account_id
        heavy = [each for each in ended.report.findings if each.halts]
        if heavy:
            words = f"reconciliation: {heavy[0].kind}, {heavy[0].theirs} instead of {heavy[0].ours}"
            log.critical("account.halted", extra={"account_id": account_id, "words": words})
            await self.accounts.set_state(
                account_id,
                AccountState.HALTED,
                reason=words,
                only_from=(AccountState.RUNNING, AccountState.RECONCILING),
            )
        elif not ended.is_heavy:
            opened = {AccountState.RECONCILING}
            if ended.turn.wish.opens:
                opened.add(AccountState.STOPPED)
            words = f"reconciled with the exchange: {ended.report.result}"
            await self.accounts.set_state(
                account_id, AccountState.RUNNING, reason=words, only_from=opened
            )

    def _exchange(self, turn: Turn) -> Exchange:
        return self.desks[turn.account_id].exchange

    def _recorder(self, account_id: str) -> Recorder:
        """Return the one way in which this account's trades are recorded."""
        return Recorder(
            account_id=account_id,
            exchange=self.desks[account_id].exchange,
            fills=self.fills,
            workflows=self.workflows,
            clock=self.clock,
        )


async def _each(
    some: Iterable[T], act: Callable[[T], Awaitable[Finding | None]], what: str
) -> Section:
    """Do `act` for each, a few at a time; one that fails is a warning."""
    turns = asyncio.Semaphore(READ_AT_ONCE)

    async def one(subject: T) -> Finding | str | None:
        try:
            async with turns:
                return await act(subject)
        except HoldfastError as error:
            log.warning("reconciliation.part_failed", extra={"what": what}, exc_info=error)
            return f"{what}: {error}"

    done = await asyncio.gather(*(one(subject) for subject in some))
    return Section(
        findings=tuple(each for each in done if isinstance(each, Finding)),
        warnings=tuple(each for each in done if isinstance(each, str)),
    )


def _joined(parts: Iterable[Section]) -> Section:
    """Return several sections as one."""
    known = list(parts)
    return Section(
        findings=tuple(each for part in known for each in part.findings),
        warnings=tuple(each for part in known for each in part.warnings),
    )


def _of_trade(kind: Kind, fill: Fill, ours: str, outcome: Outcome) -> Finding:
    """Return the finding about a trade of ours."""
    return Finding(
        kind=kind,
        subject=fill.trade_id,
        token_id=fill.token_id,
        ours=ours,
        theirs=f"{fill.side} {fill.size:f} at {fill.price:f}, {fill.status}",
        outcome=outcome,
    )


def _of_order(kind: Kind, order: Order, theirs: str, outcome: Outcome, words: str = "") -> Finding:
    """Return the finding about an order of ours."""
    return Finding(
        kind=kind,
        subject=order.order_hash,
        token_id=order.token_id,
        ours=order.state.value,
        theirs=theirs,
        outcome=outcome,
        words=words,
    )

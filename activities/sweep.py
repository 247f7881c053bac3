"""One look at everything an account holds, and what it makes the guardian do."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from temporalio import activity

from activities.orders import Desk
from domain.errors import HoldfastError, UnavailableError
from domain.guardian import GUARDIAN, Alarm, Concern, Look, Seen, Sweep, Verdict, verdict
from domain.guardian_page import rows
from domain.guardian_rules import Listing, is_judged
from domain.guardian_store import GuardianStore, Watched
from domain.halt import Kill, Standing
from domain.ports import AccountStore, Clock, Workflows
from domain.protection import Repair
from domain.signal import PositionTask
from domain.stop import StopRule

log = logging.getLogger(__name__)

TOLD_AT_ONCE: Final = 20
MOST_TOLD: Final = 10  # repairs and alarms that travel to the guardian's page
LATE_SECONDS: Final = 5.0  # a tick that late is told


@dataclass(frozen=True, kw_only=True)
class SweepTask:
    """One tick of an account's guardian.

    Attributes:
        late_seconds: how long after its time the tick began.
        was_whole: the sweep before could read everything.
        beyond: what the last sweep left: prices beyond their stops, and since when.
    """

    account_id: str
    late_seconds: float = 0.0
    was_whole: bool = True
    beyond: Mapping[str, datetime] = field(default_factory=dict[str, datetime])


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What came of a sweep, as far as the guardian has to know and to show it.

    Attributes:
        standing: where the account stands; None where that could not be read.
        trip: the kill that a limit asks for.
        repairs: the first few, in words; `repair_count` counts all.
        page: rows of the table of positions.
    """

    sweep: Sweep
    standing: Standing | None
    trip: Kill | None = None
    repairs: tuple[str, ...] = ()
    repair_count: int = 0
    page: tuple[str, ...] = ()
    beyond: Mapping[str, datetime] = field(default_factory=dict[str, datetime])


@dataclass(frozen=True)
class SweepActivities:
    """The guardian's eyes; a sweep that runs twice says the same twice, and hints are harmless."""

    desks: Mapping[str, Desk]
    stops: Mapping[str, StopRule]
    accounts: AccountStore
    guardians: GuardianStore
    workflows: Workflows
    check_limits: Callable[[str], Awaitable[Kill | None]]
    clock: Clock

    @activity.defn
    async def sweep(self, task: SweepTask) -> Swept:
        """Look at all that is held, and tell the positions that need something.

        What cannot be read in full is an alarm; nothing is repaired on half a look.
        """
        return replace(await self._swept(task), trip=await self._tripped(task.account_id))

    async def _tripped(self, account_id: str) -> Kill | None:
        """Return the kill that a limit asks for; whole look or not, limits are held to."""
        try:
            return await self.check_limits(account_id)
        except HoldfastError as error:
            log.warning("limits.not_checked", extra={"account": account_id, "why": str(error)})
            return None

    async def _swept(self, task: SweepTask) -> Swept:
        begun = self.clock()
        try:
            look, seen = await self._look(task)
        except HoldfastError as error:
            return await self._incomplete(task, begun, error)
        found = verdict(look)
        alarms = [*_late(task), *found.alarms, *await self._tell(task.account_id, found)]
        sweep = self._sweep(task, begun, alarms, found=found, positions=len(look.held))
        await self._keep(sweep, seen, alarms, found, look.now)
        told = [_words(concern) for concern in found.concerns]
        return Swept(
            sweep=sweep,
            standing=seen.standing,
            repairs=tuple(told[:MOST_TOLD]),
            repair_count=len(told),
            page=rows(look, found),
            beyond=found.beyond,
        )

    async def _look(self, task: SweepTask) -> tuple[Look, Seen]:
        """Read the exchange's list, then our books, then the books of armed stops.

        In this order: an order's row is older than its place on any list.
        """
        exchange = self.desks[task.account_id].exits
        asked_at = self.clock()
        hashes = frozenset(order.order_hash for order in await exchange.active_orders())
        seen = await self.guardians.seen(task.account_id, hashes)
        tokens = [held.token_id for held in seen.held if is_judged(held)]
        look = Look(
            account_id=task.account_id,
            state=seen.standing.state,
            held=seen.held,
            strays=seen.strays,
            listing=Listing(hashes=hashes, at=asked_at),
            quotes=await exchange.quotes(tokens) if tokens else {},
            rule=self.stops[task.account_id],
            now=self.clock(),
            beyond=task.beyond,
        )
        return look, seen

    async def _tell(self, account_id: str, found: Verdict) -> list[Alarm]:
        """Tell each position what concerns it, crossings first; return who was not reached."""
        turns = asyncio.Semaphore(TOLD_AT_ONCE)
        missed: list[str] = []

        async def tell(concern: Concern, hint: Coroutine[Any, Any, None]) -> None:
            try:
                async with turns:
                    await hint
            except UnavailableError as error:
                missed.append(f"{concern.held.market} {concern.held.outcome}: {error}")

        hints = self._hints(account_id, found)
        await asyncio.gather(*(tell(concern, hint) for concern, hint in hints))
        words = f"{len(missed)} positions were not told; the next tick tells them"
        alarm = Alarm(name="position_not_told", about=account_id, words=f"{words}: {missed[:1]}")
        return [alarm] if missed else []

    def _hints(
        self, account_id: str, found: Verdict
    ) -> list[tuple[Concern, Coroutine[Any, Any, None]]]:
        """Return what is to be told to whom, what leaves a position before what protects it."""
        crossings: list[tuple[Concern, Coroutine[Any, Any, None]]] = []
        repairs: list[tuple[Concern, Coroutine[Any, Any, None]]] = []
        for concern in found.concerns:
            task = PositionTask(account_id=account_id, token_id=concern.held.token_id)
            if concern.crossing is not None:
                told = self.workflows.price_crossed(task, concern.crossing)
                crossings.append((concern, told))
            if concern.is_repaired:
                hint = Repair(why=concern.why, by=GUARDIAN)
                repairs.append((concern, self.workflows.repair(task, hint)))
        return [*crossings, *repairs]

    def _sweep(
        self,
        task: SweepTask,
        begun: datetime,
        alarms: list[Alarm],
        *,
        found: Verdict | None = None,
        positions: int = 0,
    ) -> Sweep:
        """Return a sweep as it is kept and shown."""
        now = self.clock()
        return Sweep(
            account_id=task.account_id,
            swept_at=now,
            seconds=Decimal(f"{(now - begun).total_seconds():.3f}"),
            is_whole=found is not None,
            positions=positions,
            unprotected=len(found.unprotected) if found is not None else 0,
            alarms=tuple(alarms[:MOST_TOLD]),
            alarm_count=len(alarms),
        )

    async def _keep(
        self, sweep: Sweep, seen: Seen, alarms: list[Alarm], found: Verdict, now: datetime
    ) -> None:
        """Write what a sweep came to; unwritten, the next sweep writes it."""
        before = {(alarm.name, alarm.about): alarm for alarm in seen.alarms}
        after = {(alarm.name, alarm.about): alarm for alarm in sweep.alarms}
        lacking = {held.position_id for held in seen.held if held.unprotected_since is not None}
        watched = Watched(
            sweep=sweep,
            opened={one: at for one, at in found.unprotected.items() if one not in lacking},
            closed=lacking - found.unprotected.keys(),
            begun=[alarm for one, alarm in after.items() if one not in before],
            ended=[alarm for one, alarm in before.items() if one not in after],
        )
        for alarm in watched.begun:
            log.error("guardian.alarm", extra=_about(alarm))
        if len(alarms) > len(sweep.alarms):
            log.error("guardian.alarms", extra={"count": len(alarms)})
        await self._write(watched, now)

    async def _write(self, watched: Watched, now: datetime) -> None:
        try:
            await self.guardians.watched(watched, now)
        except HoldfastError as error:
            log.warning("guardian.not_written", extra={"why": str(error)})

    async def _incomplete(self, task: SweepTask, begun: datetime, error: HoldfastError) -> Swept:
        """Say that nothing was looked at, and still where the account stands if that is known."""
        words = f"nothing was repaired: {error}"
        alarm = Alarm(name="sweep_incomplete", about=task.account_id, words=words)
        if task.was_whole:
            log.error("guardian.alarm", extra=_about(alarm))
        sweep = self._sweep(task, begun, [*_late(task), alarm])
        try:
            standing = await self.accounts.standing(task.account_id)
        except HoldfastError as unread:
            log.warning("guardian.account_unread", extra={"why": str(unread)})
            return Swept(sweep=sweep, standing=None, beyond=task.beyond)
        begins = sweep.alarms if task.was_whole else ()
        watched = Watched(sweep=sweep, opened={}, closed=(), begun=begins, ended=())
        await self._write(watched, begun)
        return Swept(sweep=sweep, standing=standing, beyond=task.beyond)


def _late(task: SweepTask) -> list[Alarm]:
    """Return the alarm of a tick that came long after its time."""
    if task.late_seconds < LATE_SECONDS:
        return []
    words = f"{task.late_seconds:.0f} s after its time: workers or Temporal were away or busy"
    return [Alarm(name="tick_late", about=task.account_id, words=words)]


def _words(concern: Concern) -> str:
    """Return in one line what was found of a position."""
    crossing = concern.crossing
    beyond = [] if crossing is None else [f"the price {crossing.price:f} is beyond its stop"]
    return f"{concern.held.market} {concern.held.outcome}: {'; '.join([*beyond, *concern.why])}"


def _about(alarm: Alarm) -> dict[str, str]:
    return {"alarm": alarm.name, "about": alarm.about, "words": alarm.words}

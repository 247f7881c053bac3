"""The one that watches over an account: the workflow `guardian-{account}`.

Every ten seconds it looks at all that is held; beside that it does what it is asked. Asked to
stop, it closes the gate before anything else, empties the exchange, and says so only after two
empty readings. What it decided is in PostgreSQL: a new guardian finds a kill that another left
undone.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from temporalio import workflow

from domain.halt import Clearance, Kill, Resume, Standing
from domain.risk import AccountState
from workflows import options
from workflows.guardian_page import page
from workflows.guardian_ticks import MOST_TICKS, Memory, Ticks
from workflows.order_steps import STEP_FAILED

with workflow.unsafe.imports_passed_through():
    from activities.guard import ExitRound, GuardActivities, Halt, Halted, Wake

EMPTY_READINGS: Final = 2
PAUSE_SECONDS: Final = 1.0  # between two readings; an order in flight lands in between
WATCH_SECONDS: Final = 2.0  # how soon an order that turns up late is cancelled
MOST_EXIT_ROUNDS: Final = 10


@dataclass(frozen=True, kw_only=True)
class GuardianTask:
    """Which account, and what is still to be done for it: the input.

    Attributes:
        watch: the last kill, while orders of before it may turn up or positions are sold.
        words: what the last command came to.
        memory: what the ticks carry on with.
        ticks_per_run: after so many it continues as new.
    """

    account_id: str
    watch: "Watch | None" = None
    words: str | None = None
    memory: Memory = field(default_factory=Memory)
    ticks_per_run: int = MOST_TICKS


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What remains to be seen to after a kill.

    Attributes:
        gated_at: when it closed the gate.
        until: when the last order in doubt can no longer arrive.
        exit_rounds: rounds of sales so far.
    """

    kill: Kill
    gated_at: datetime
    until: datetime
    exit_rounds: int = 0


@dataclass(frozen=True, kw_only=True)
class GuardianStatus:
    """What the query `status` answers.

    Attributes:
        words: what the last kill or resume came to.
        watched_until: orders sent before the kill are cancelled until then if they turn up.
        swept_at: when the last look at all that is held was over; `is_whole` says whether
            everything could be read.
        positions, unprotected: how many are held, and how many of them lack something.
    """

    account_id: str
    state: AccountState | None
    reason: str | None
    since: datetime | None
    words: str | None
    watched_until: datetime | None
    swept_at: datetime | None = None
    is_whole: bool | None = None
    positions: int = 0
    unprotected: int = 0


@workflow.defn(name="GuardAccount")
class GuardAccount:
    """Watches over one account for good."""

    @workflow.init
    def __init__(self, task: GuardianTask) -> None:
        self._account_id = task.account_id
        self._watch = task.watch
        self._wishes: deque[Kill | Resume] = deque()
        self._is_at_work = False
        self._standing: Standing | None = None
        self._words = task.words
        self._ticks_per_run = task.ticks_per_run
        self._ticks = Ticks(task.account_id, task.memory, self._after_tick)

    @workflow.run
    async def run(self, task: GuardianTask) -> None:
        """Take wishes one by one, and watch what a kill left, while the ticks go on."""
        ticking = asyncio.create_task(self._ticks.go_on())
        while not (ticking.done() or self._ends_its_run()):
            await self._next_thing(ticking)
            if self._wishes:
                self._is_at_work = True
                await self._take(self._wishes.popleft())
                self._is_at_work = False
            elif self._watch is not None and not ticking.done():
                await self._look_again(self._watch)
        if ticking.done():
            ticking.result()  # it never ends but by a fault: that is this workflow's as well
        memory = self._ticks.memory
        workflow.continue_as_new(replace(task, watch=self._watch, words=self._words, memory=memory))

    @workflow.signal(description="Stop the account: no entries, nothing rests. Asked twice: once.")
    def kill(self, wish: Kill | None = None) -> None:
        """Take note of a kill, before whatever sweep is under way; one without words counts."""
        self._wishes.append(wish or Kill())
        self._ticks.break_off()

    @workflow.signal(description="Let a stopped account trade again.")
    def resume(self, wish: Resume | None = None) -> None:
        """Take note of a resume."""
        self._wishes.append(wish or Resume())

    @workflow.query(description="Where the account stands, and what the last kill came to.")
    def status(self) -> GuardianStatus:
        """Return how the account stands."""
        standing, last = self._standing, self._ticks.memory.last
        sweep = last.sweep if last is not None else None
        return GuardianStatus(
            account_id=self._account_id,
            state=standing.state if standing else None,
            reason=standing.reason if standing else None,
            since=standing.since if standing else None,
            words=self._words,
            watched_until=self._watch.until if self._watch else None,
            swept_at=sweep.swept_at if sweep else None,
            is_whole=sweep.is_whole if sweep else None,
            positions=sweep.positions if sweep else 0,
            unprotected=sweep.unprotected if sweep else 0,
        )

    def _after_tick(self) -> None:
        """Take in what a tick saw, and finish a kill that was begun without us."""
        last = self._ticks.memory.last
        standing = last.standing if last is not None else None
        if standing is None:
            self._show()
            return
        self._stands(standing)
        is_idle = not self._wishes and not self._is_at_work
        trip = last.trip if last is not None else None
        if trip is not None and is_idle:
            self._wishes.append(trip)
            return
        is_begun = standing.state is AccountState.HALTING and not standing.is_shutting_down
        if is_begun and is_idle:
            self._wishes.append(Kill(by="guardian", reason=standing.reason or "begun elsewhere"))

    def _ends_its_run(self) -> bool:
        """Tell whether this is the moment to continue as new: nothing waits, nothing is at work."""
        is_long = (
            workflow.info().is_continue_as_new_suggested()
            or self._ticks.count >= self._ticks_per_run
        )
        return is_long and not self._wishes and not self._ticks.is_sweeping

    async def _next_thing(self, ticking: asyncio.Task[None]) -> None:
        """Wait for a wish or for the moment to continue as new; while watching, not for long."""

        def has_come() -> bool:
            return bool(self._wishes) or ticking.done() or self._ends_its_run()

        try:
            seconds = WATCH_SECONDS if self._watch is not None else None
            await workflow.wait_condition(has_come, timeout=seconds)
        except TimeoutError:
            return

    async def _take(self, wish: Kill | Resume) -> None:
        """Do what was asked; a kill that a fault interrupts is begun again, for good."""
        try:
            if isinstance(wish, Kill):
                await self._kill(wish)
            else:
                await self._resume(wish)
        except STEP_FAILED as error:
            workflow.logger.error("guardian.step_failed", exc_info=error)
            self._words = f"failed: {error.cause or error}"
            self._show()
            if isinstance(wish, Kill):
                self._wishes.appendleft(wish)
            await workflow.sleep(PAUSE_SECONDS)

    async def _kill(self, kill: Kill) -> None:
        """Close the gate, empty the exchange, confirm, and begin to watch."""
        begun = workflow.now()
        halt = Halt(account_id=self._account_id, kill=kill)
        self._stands(
            await workflow.execute_local_activity_method(
                GuardActivities.close_gate, halt, **options.LOCAL, summary="close the gate"
            )
        )
        await self._clear()
        ended = await workflow.execute_activity_method(
            GuardActivities.tell_orders, halt, **options.ACT, summary="end the work on each order"
        )
        clearance = await self._emptied()
        words = f"{kill.reason} ({kill.by}): {ended} orders ended, nothing rests, seen twice"
        if clearance.in_doubt_until is not None:
            until = f"{clearance.in_doubt_until:%H:%M:%S} UTC"
            words += f"; {clearance.in_doubt} in doubt are watched until {until}"
        await self._confirm(kill, words)
        until = clearance.in_doubt_until or workflow.now()
        self._watch = Watch(kill=kill, gated_at=begun, until=until)
        self._show()

    async def _confirm(self, kill: Kill, words: str) -> None:
        """Write down that the account stands still."""
        halted = Halted(account_id=self._account_id, by=kill.by, words=words)
        self._words = words
        self._stands(
            await workflow.execute_local_activity_method(
                GuardActivities.confirm_halt, halted, **options.LOCAL, summary="write it down"
            )
        )

    async def _emptied(self) -> Clearance:
        """Cancel and list until two readings in a row are empty; return the last."""
        empty = 0
        while True:
            clearance = await self._clear()
            empty = empty + 1 if clearance.is_empty else 0
            if empty >= EMPTY_READINGS:
                return clearance
            await workflow.sleep(PAUSE_SECONDS)

    async def _clear(self) -> Clearance:
        """Cancel everything once, and list what is left."""
        return await workflow.execute_activity_method(
            GuardActivities.clear_exchange,
            self._account_id,
            **options.ACT,
            summary="cancel everything and list what is left",
        )

    async def _look_again(self, watch: Watch) -> None:
        """Cancel what turned up after the kill, and sell what is still held if that was asked."""
        try:
            held = await self._exit(watch)
            if workflow.now() < watch.until:
                await self._clear()
        except STEP_FAILED as error:
            workflow.logger.error("guardian.watch_failed", exc_info=error)
            return
        is_over = workflow.now() >= watch.until and held == 0
        self._watch = None if is_over else replace(watch, exit_rounds=watch.exit_rounds + 1)
        self._show()

    async def _exit(self, watch: Watch) -> int:
        """Sell what is still held, if that was asked; return how many positions wait for it."""
        if not watch.kill.close_positions:
            return 0
        turn = ExitRound(
            account_id=self._account_id, gated_at=watch.gated_at, number=watch.exit_rounds
        )
        held = await workflow.execute_activity_method(
            GuardActivities.exit_positions, turn, **options.ACT, summary="sell what is held"
        )
        if held and watch.exit_rounds >= MOST_EXIT_ROUNDS:
            self._words = f"{held} positions could not be sold: see `holdfast positions`"
            workflow.logger.critical("guardian.not_flat", extra={"held": held})
            return 0
        return held

    async def _resume(self, wish: Resume) -> None:
        """Let the account trade again, or note why not."""
        wake = Wake(account_id=self._account_id, resume=wish)
        refusal = await workflow.execute_local_activity_method(
            GuardActivities.reopen, wake, **options.LOCAL, summary=f"resume, asked by {wish.by}"
        )
        if refusal is None:
            self._watch = None
            self._ticks.hurry()  # what the kill took away returns at once
        self._words = f"resume refused: {refusal}" if refusal else f"resumed by {wish.by}"
        self._stands(await self._read())

    async def _read(self) -> Standing:
        """Return where the account stands."""
        return await workflow.execute_local_activity_method(
            GuardActivities.standing, self._account_id, **options.LOCAL, summary="read its state"
        )

    def _stands(self, standing: Standing) -> None:
        """Keep where the account stands, and show it."""
        self._standing = standing
        self._show()

    def _show(self) -> None:
        """Show operators where the account stands, and what protects what it holds."""
        standing, watch = self._standing, self._watch
        commands = {
            "state": standing.state.value if standing else None,
            "since": f"{standing.since:%Y-%m-%d %H:%M:%S} UTC" if standing else None,
            "reason": standing.reason if standing else None,
            "last command": self._words,
            "late orders are cancelled until": f"{watch.until:%H:%M:%S} UTC" if watch else None,
        }
        workflow.set_current_details(page(commands, self._ticks.memory))

"""The ticks of a guardian: every ten seconds by the clock, late ones once and not six times."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

from workflows import options

with workflow.unsafe.imports_passed_through():
    from activities.sweep import SweepActivities, SweepTask, Swept

TICK_SECONDS: Final = 10
MOST_TICKS: Final = 360  # an hour of them: about 2,200 events of the 4,096 a run should have
MOST_REPAIRS: Final = 10


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What ticks carry on with in a new run.

    Attributes:
        last: what the last sweep said.
        repairs: the newest repairs, each with its time, newest first.
        fault: why the last tick came to nothing; None where it did not.
    """

    last: Swept | None = None
    repairs: tuple[str, ...] = ()
    fault: str | None = None


class Ticks:
    """Looks at everything the account holds, again and again.

    Args:
        account_id: whose.
        memory: what the run before left.
        after: what to do after each tick.

    Attributes:
        memory: what is known by now.
        count: ticks of this run.
    """

    def __init__(self, account_id: str, memory: Memory, after: Callable[[], None]) -> None:
        self.memory = memory
        self._account_id = account_id
        self._after = after
        self._due: datetime | None = None
        self.count = 0
        self._is_hurried = False
        self._sweeping: asyncio.Task[Swept] | None = None

    @property
    def is_sweeping(self) -> bool:
        """A sweep is under way."""
        return self._sweeping is not None

    def break_off(self) -> None:
        """End the sweep that is under way, if there is one: something goes before it."""
        if self._sweeping is not None:
            self._sweeping.cancel()

    def hurry(self) -> None:
        """Have the next sweep at once."""
        self._is_hurried = True

    async def go_on(self) -> None:
        """Tick for good; the first time at once, as nobody knows how long nobody looked."""
        while True:
            await self._until_due()
            await self._tick()

    async def _until_due(self) -> None:
        """Wait for the next full ten seconds of the clock; those that have passed are skipped."""
        now = workflow.now()
        if self._due is None and self.memory.last is None:
            self._due = now
            return
        self._due = next_tick(now)
        try:
            await workflow.wait_condition(lambda: self._is_hurried, timeout=self._due - now)
        except TimeoutError:
            return
        self._due = workflow.now()

    async def _tick(self) -> None:
        """Sweep once; one that fails or is broken off is made good by the next."""
        self._is_hurried = False
        self.count += 1
        self._sweeping = sweeping = asyncio.create_task(self._sweep())
        await workflow.wait([sweeping])
        self._sweeping = None
        try:
            self._learn(sweeping.result())
        except asyncio.CancelledError:
            return
        except ActivityError as error:
            if is_cancelled_exception(error):
                return
            workflow.logger.error("guardian.sweep_failed", exc_info=error)
            self.memory = replace(self.memory, fault=str(error.cause or error))
        self._after()

    async def _sweep(self) -> Swept:
        last, due = self.memory.last, self._due
        task = SweepTask(
            account_id=self._account_id,
            late_seconds=(workflow.now() - due).total_seconds() if due is not None else 0.0,
            was_whole=last is None or last.sweep.is_whole,
            beyond=last.beyond if last is not None else {},
        )
        return await workflow.execute_local_activity_method(
            SweepActivities.sweep, task, **options.SWEEP, summary="look at all that is held"
        )

    def _learn(self, swept: Swept) -> None:
        """Keep what a sweep said."""
        at = f"{swept.sweep.swept_at:%H:%M:%S}"
        repairs = (*(f"{at} {words}" for words in swept.repairs), *self.memory.repairs)
        self.memory = Memory(last=swept, repairs=repairs[:MOST_REPAIRS])


def next_tick(now: datetime) -> datetime:
    """Return the next full ten seconds after `now`."""
    past = timedelta(seconds=now.second % TICK_SECONDS, microseconds=now.microsecond)
    return now - past + timedelta(seconds=TICK_SECONDS)

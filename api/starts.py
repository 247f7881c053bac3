"""Workflows still to be begun: a few at a time, in the order of their signals, off the door's way.

Nothing here needs to survive: what is forgotten still waits in the inbox, where the sweep finds it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Set
from typing import Final

from api.pace import Pace
from domain.errors import UnavailableError

log = logging.getLogger(__name__)

AT_ONCE: Final = 4  # more would only wait inside the Temporal server
LONGEST_LINE: Final = 1_000  # the rest is left to the sweep
OUTAGE_AFTER: Final = 3  # failures in a row: the server is away, not the signal

Start = Callable[[], Awaitable[object]]


class Starts:
    """The line of signals whose workflows are about to be begun."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._line: dict[str, Start] = {}
        self._begun: set[str] = set()
        self._workers: set[asyncio.Task[None]] = set()
        self._failures = 0

    @property
    def held(self) -> Set[str]:
        """The signals that are in good hands here."""
        return self._line.keys() | self._begun

    def put(self, signal_id: str, start: Start) -> None:
        """Have `start` run soon; where the line is full, the sweep will see to it."""
        if len(self._line) >= LONGEST_LINE or signal_id in self._begun:
            return
        self._line[signal_id] = start
        if len(self._workers) < AT_ONCE:
            worker = asyncio.create_task(self._work(), name="starts")
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)

    async def finished(self, within_seconds: float | None = None) -> None:
        """Wait until nobody is in line."""
        if self._workers:
            await asyncio.wait(self._workers, timeout=within_seconds)

    async def close(self, within_seconds: float) -> None:
        """Forget what has not begun and wait for what has."""
        self._line.clear()
        await self.finished(within_seconds)
        for worker in self._workers:
            worker.cancel()

    async def _work(self) -> None:
        """Begin one after the other until nobody waits."""
        while self._line:
            await self._pace.turn()
            if not self._line:
                return
            signal_id = next(iter(self._line))
            start = self._line.pop(signal_id)
            self._begun.add(signal_id)
            try:
                await self._begin(signal_id, start)
            finally:
                self._begun.discard(signal_id)

    async def _begin(self, signal_id: str, start: Start) -> None:
        (result,) = await asyncio.gather(start(), return_exceptions=True)
        if not isinstance(result, BaseException):
            self._failures = 0
            return
        if isinstance(result, UnavailableError):
            self._failures += 1
            log.warning("signal.waits", extra={"signal_id": signal_id, "why": str(result)})
        else:
            log.error("signal.not_started", extra={"signal_id": signal_id}, exc_info=result)
        if self._failures >= OUTAGE_AFTER:
            self._line.clear()

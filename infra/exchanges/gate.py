"""The one way out to an exchange: breaker, limits, and the record of what each call cost."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Final, Protocol

from domain.breaker import CallGroup
from domain.errors import HoldfastError, UnavailableError
from domain.latency import CallCounts
from domain.ports import Clock
from infra.clock import utc_now
from infra.exchanges.circuits import BreakerRows, Circuits
from infra.exchanges.limits import Bucket, Turns
from infra.exchanges.meter import CURRENT, Call, CallKey, Meter, Passage

log = logging.getLogger(__name__)

REFRESH_SECONDS: Final = 1.0
WRITE_EVERY: Final = 10  # refreshes
FORGET_EVERY: Final = 3_600  # refreshes
SENDERS_SEEN_WITHIN: Final = timedelta(minutes=2)
NO_ACCESS: Final = frozenset({401, 403})
SERVER_FAULT: Final = 500

Barred = Callable[[str, str], Awaitable[None]]


class CallRows(Protocol):
    """Where counts of calls are kept."""

    async def write(self, process: str, counts: Mapping[CallKey, CallCounts]) -> None:
        """Write what a process has counted; twice is once."""
        ...

    async def forget(self, now: datetime) -> None:
        """Delete what is too old to be asked for."""
        ...

    async def processes(self, since: datetime, endpoints: list[str]) -> int:
        """Return how many processes made such calls since then."""
        ...


class Limits(Protocol):
    """The limits of one exchange, in its own words."""

    def buckets(self, call: Call) -> list[Bucket]:
        """Return every limit that a call counts against."""
        ...

    def heard(self, passage: Passage) -> None:
        """Follow what an answer says of the limits."""
        ...

    def shared_by(self, processes: int) -> None:
        """Keep to this process's part of what several of them may do together."""
        ...


class Gate:
    """Lets the calls of one process out to an exchange.

    Args:
        limits: of the exchange.
        breakers: None for a process that shares them with nobody.
        on_barred: told the account and the words when the exchange refuses its credentials.
    """

    def __init__(
        self,
        limits: Limits,
        breakers: BreakerRows | None = None,
        on_barred: Barred | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self.circuits = Circuits(clock, breakers)
        self.limits = limits
        self.meter = Meter(clock)
        self._turns = Turns()
        self._on_barred = on_barred
        self._clock = clock

    @asynccontextmanager
    async def passing(self, call: Call, until: float) -> AsyncGenerator[Passage]:
        """Let one call out; the block makes it and says what came of it.

        Args:
            call: what is to be called.
            until: the moment of the event loop's clock until which it may wait for its turn.

        Raises:
            CircuitOpenError, AccessError: held back; nothing was sent.
            BusyError: it would wait too long; nothing was sent.
        """
        await self.circuits.admit(call.scope, call.group, is_urgent=call.is_urgent)
        if call.is_signed:
            await self.circuits.admit(call.scope, CallGroup.ACCESS, is_urgent=call.is_urgent)
        buckets = self.limits.buckets(call)
        async with self._turns.turn(buckets, is_urgent=call.is_urgent, until=until):
            passage = Passage(call=call)
            token = CURRENT.set(passage)
            try:
                yield passage
            finally:
                CURRENT.reset(token)
                self.meter.record(passage)
                self.limits.heard(passage)
                await self._judge(passage)

    async def keep_current(self, process: str, rows: CallRows) -> None:
        """Read what other processes change, and write what this one counts, for good.

        Args:
            process: whose counts they are; no two processes share one.
            rows: where counts are kept.
        """
        turn = 0
        while True:
            turn += 1
            try:
                await self.circuits.refresh()
                if turn % WRITE_EVERY == 0:
                    await self.write(process, rows)
                if turn % FORGET_EVERY == 0:
                    await rows.forget(self._clock())
            except UnavailableError as error:
                log.warning("gate.not_current", extra={"why": str(error)})
            except HoldfastError:
                log.exception("gate.not_current")
            await asyncio.sleep(REFRESH_SECONDS)

    async def write(self, process: str, rows: CallRows) -> None:
        """Write what was counted, and share the limits with whoever else sends orders."""
        counted = self.meter.counted()
        await rows.write(process, counted)
        self.meter.written(counted)
        since = self._clock() - SENDERS_SEEN_WITHIN
        self.limits.shared_by(await rows.processes(since, ["POST /order"]))

    async def _judge(self, passage: Passage) -> None:
        """Tell the breakers what a call came to."""
        call, status = passage.call, passage.status
        if passage.failing is None:
            return
        if status in NO_ACCESS and call.is_signed:
            await self.circuits.note_failure(call.scope, CallGroup.ACCESS, passage.words)
            if self._on_barred is not None:
                await self._on_barred(call.scope, passage.words)
        elif call.is_signed and 0 < status < SERVER_FAULT:
            await self.circuits.note_success(call.scope, CallGroup.ACCESS)
        if passage.failing:
            await self.circuits.note_failure(call.scope, call.group, passage.words)
        else:
            await self.circuits.note_success(call.scope, call.group)

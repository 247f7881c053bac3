"""The breakers of one process: as last known, changed by what calls come to, shared by rows.

A call that finds its breaker closed and answers costs no query: only changes are written, and
what other processes change is read once a second.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from datetime import datetime
from secrets import SystemRandom
from typing import Final, Protocol

from domain.breaker import Breaker, BreakerState, CallGroup
from domain.errors import AccessError, BusyError, CircuitOpenError, UnavailableError
from domain.ports import Clock

log = logging.getLogger(__name__)

STORE_SECONDS: Final = 1.0  # a database that needs longer does not decide what may be sent
LEAST_WAIT_SECONDS: Final = 0.1
PROBE_SECONDS: Final = 1.0  # whoever waits for another's probe asks again after this long
JITTER: Final = 0.2  # those who wait for the same moment do not all come at it

Key = tuple[str, CallGroup]


class BreakerRows(Protocol):
    """Where breakers outlive the process, and what keeps several processes of one mind."""

    async def known(self, scopes: Collection[str] | None = None) -> list[Breaker]:
        """Return the breakers of these scopes, or all."""
        ...

    async def failed(self, scope: str, group: CallGroup, words: str, now: datetime) -> Breaker:
        """Count a failure."""
        ...

    async def succeeded(self, scope: str, group: CallGroup) -> Breaker:
        """Note that a call was answered."""
        ...

    async def claim_probe(
        self, scope: str, group: CallGroup, now: datetime, *, is_urgent: bool
    ) -> tuple[bool, Breaker]:
        """Take the leave for the one call that is let through, if it is time and nobody has."""
        ...


class Circuits:
    """Lets calls pass or not.

    Args:
        rows: None for a process that shares its breakers with nobody.
    """

    def __init__(self, clock: Clock, rows: BreakerRows | None = None) -> None:
        self._clock = clock
        self._rows = rows
        self._known: dict[Key, Breaker] = {}
        self._random = SystemRandom()

    async def refresh(self) -> None:
        """Take over what other processes have changed.

        Raises:
            UnavailableError: the database does not answer; what is known stays.
        """
        if self._rows is None:
            return
        for row in await self._rows.known():
            self._learn(row)

    async def admit(self, scope: str, group: CallGroup, *, is_urgent: bool) -> None:
        """Let a call pass.

        Raises:
            CircuitOpenError: the breaker of its group is open.
            AccessError: the exchange refuses the account's credentials.
        """
        known = self._known.get((scope, group))
        if known is None or known.is_closed:
            return
        now = self._clock()
        wait = known.probe_in(now, is_urgent=is_urgent).total_seconds()
        if wait <= 0:
            is_mine, known = await self._claimed(known, now, is_urgent=is_urgent)
            if is_mine or known.is_closed:
                log.info("circuit.probing", extra={"scope": scope, "group": group.value})
                return
            wait = known.probe_in(now, is_urgent=is_urgent).total_seconds()
        raise self._denial(known, wait)

    async def note_failure(self, scope: str, group: CallGroup, words: str) -> None:
        """Count a failure of the exchange or of the way to it."""
        now = self._clock()
        before = self._of(scope, group)
        after = await self._stored(
            before.failed(words, now), lambda rows: rows.failed(scope, group, words, now)
        )
        if after.opened_at == now and not after.is_closed:
            told = {"scope": scope, "group": group.value, "words": after.words}
            log.error("circuit.opened", extra=told | {"failures": after.failures})

    async def note_success(self, scope: str, group: CallGroup) -> None:
        """Note that the exchange answered, be it by a refusal."""
        before = self._known.get((scope, group))
        if before is None or before.is_spotless:
            return
        after = await self._stored(before.succeeded(), lambda rows: rows.succeeded(scope, group))
        if after.is_closed and not before.is_closed:
            log.info("circuit.closed", extra={"scope": scope, "group": group.value})

    def _denial(self, known: Breaker, wait: float) -> BusyError | AccessError:
        """Return the error that says that nothing was sent, why, and when to come again."""
        if known.state is BreakerState.PROBING:
            wait = min(wait, PROBE_SECONDS)
        wait = max(wait, LEAST_WAIT_SECONDS) * (1 + JITTER * self._random.random())
        if known.call_group is CallGroup.ACCESS:
            refused = f"the exchange refuses the keys of {known.scope} ({known.words})"
            return AccessError(f"{refused}; tried again in {wait:.0f} s", wait)
        failing = f"{known.scope} {known.call_group} keep failing ({known.words})"
        return CircuitOpenError(f"not sent: {failing}; tried again in {wait:.0f} s", wait)

    async def _claimed(
        self, known: Breaker, now: datetime, *, is_urgent: bool
    ) -> tuple[bool, Breaker]:
        """Take the probe if no other process has."""
        scope, group = known.scope, known.call_group
        if self._rows is not None:
            try:
                async with asyncio.timeout(STORE_SECONDS):
                    is_mine, row = await self._rows.claim_probe(
                        scope, group, now, is_urgent=is_urgent
                    )
            except (UnavailableError, TimeoutError) as error:
                log.warning("circuit.not_shared", extra={"why": str(error)})
            else:
                self._learn(row)
                return is_mine, self._of(scope, group)
        return True, self._keep(replace(known.probing(now), version=known.version))

    async def _stored(
        self, locally: Breaker, write: Callable[[BreakerRows], Awaitable[Breaker]]
    ) -> Breaker:
        """Write a change and return the breaker as all know it; `locally` if nobody can."""
        before = self._of(locally.scope, locally.call_group)
        # Known here at once: other calls of this process must not wait for the database.
        self._keep(replace(locally, version=before.version))
        if self._rows is None:
            return self._of(locally.scope, locally.call_group)
        try:
            async with asyncio.timeout(STORE_SECONDS):
                row = await write(self._rows)
        except (UnavailableError, TimeoutError) as error:
            log.warning("circuit.not_shared", extra={"why": str(error)})
        else:
            self._learn(row)
        return self._of(locally.scope, locally.call_group)

    def _of(self, scope: str, group: CallGroup) -> Breaker:
        return self._known.get((scope, group)) or Breaker(scope=scope, call_group=group)

    def _keep(self, breaker: Breaker) -> Breaker:
        self._known[breaker.scope, breaker.call_group] = breaker
        return breaker

    def _learn(self, row: Breaker) -> None:
        """Take over a row unless something newer is known already."""
        known = self._known.get((row.scope, row.call_group))
        if known is None or row.version > known.version:
            self._keep(row)

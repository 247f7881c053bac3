"""How many calls are made: token buckets with a reserve for what must not wait, and a cap."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from domain.errors import BusyError

RESERVE: Final = 0.2  # of every limit, kept for cancels and exits
MOST_AT_ONCE: Final = 64  # calls in flight; with the reserve still below the pool's connections
URGENT_AT_ONCE: Final = 16


@dataclass(frozen=True, kw_only=True)
class Rate:
    """A limit: `per_second` on the long run, `burst` at once."""

    per_second: float
    burst: float

    @classmethod
    def per_ten_seconds(cls, calls: float) -> "Rate":
        """Return a rate that never makes more than `calls` within any ten seconds."""
        return cls(per_second=0.9 * calls / 10, burst=calls / 10)

    def part(self, share: float) -> "Rate":
        """Return this part of the rate; one call at once is always possible."""
        return Rate(per_second=self.per_second * share, burst=max(self.burst * share, 1.0))


class Lane:
    """A token bucket whose tokens may be promised ahead: who comes later waits longer."""

    def __init__(self, rate: Rate, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._clock = clock
        self._level = rate.burst
        self._filled_at = clock()

    def resize(self, rate: Rate) -> None:
        """Take a new rate; what was in use stays in use."""
        self._fill()
        self._level += rate.burst - self._rate.burst
        self._rate = rate

    def wait(self) -> float:
        """Return the seconds until one more call may be made."""
        self._fill()
        return max(0.0, (1 - self._level) / self._rate.per_second)

    def take(self) -> None:
        """Promise one call."""
        self._level -= 1

    def lower(self, tokens: float) -> None:
        """Hold no more than this: somebody else uses the same limit."""
        self._fill()
        self._level = min(self._level, tokens)

    def _fill(self) -> None:
        now = self._clock()
        gained = (now - self._filled_at) * self._rate.per_second
        self._level = min(self._rate.burst, self._level + gained)
        self._filled_at = now


class Bucket:
    """One limit of the exchange: a lane for all calls, and the reserve for urgent ones.

    Entries never touch the reserve, so an exit finds tokens even while entries queue.
    """

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._share = rate, 1.0
        self._clock = clock
        self._common = Lane(rate.part(1 - RESERVE), clock)
        self._reserve = Lane(rate.part(RESERVE), clock)
        self._paused_until = clock()

    def resize(self, *, rate: Rate | None = None, share: float | None = None) -> None:
        """Take another rate, or another part of it for this process."""
        self._rate = rate or self._rate
        self._share = share or self._share
        self._common.resize(self._rate.part(self._share * (1 - RESERVE)))
        self._reserve.resize(self._rate.part(self._share * RESERVE))

    def wait(self, *, is_urgent: bool) -> float:
        """Return the seconds until such a call may be made."""
        return max(self._lane(is_urgent=is_urgent).wait(), self._paused_until - self._clock())

    def take(self, *, is_urgent: bool) -> None:
        """Promise such a call."""
        self._lane(is_urgent=is_urgent).take()

    def pause(self, seconds: float) -> None:
        """Make no call for this long: the exchange said so."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    def follow(self, remaining: float) -> None:
        """Follow the exchange's own count of what is left; the reserve is the last to go."""
        self._common.lower(remaining - self._rate.burst * RESERVE)
        self._reserve.lower(remaining)

    def _lane(self, *, is_urgent: bool) -> Lane:
        if is_urgent and self._reserve.wait() < self._common.wait():
            return self._reserve
        return self._common


class Turns:
    """Who may call when."""

    def __init__(self) -> None:
        self._common = asyncio.Semaphore(MOST_AT_ONCE)
        self._urgent = asyncio.Semaphore(URGENT_AT_ONCE)

    @asynccontextmanager
    async def turn(
        self, buckets: list[Bucket], *, is_urgent: bool, until: float
    ) -> AsyncGenerator[None]:
        """Wait for every bucket and for a free place, at most until this moment of the loop.

        Raises:
            BusyError: it would take longer; nothing was sent, and no token was taken.
        """
        wait = max((bucket.wait(is_urgent=is_urgent) for bucket in buckets), default=0.0)
        now = asyncio.get_running_loop().time()
        if now + wait > until:
            raise BusyError("not sent: at our own limit of calls to the exchange", wait)
        for bucket in buckets:
            bucket.take(is_urgent=is_urgent)
        if wait > 0:
            await asyncio.sleep(wait)
        places = self._urgent if is_urgent and self._common.locked() else self._common
        try:
            async with asyncio.timeout_at(until):
                await places.acquire()
        except TimeoutError:
            raise BusyError("not sent: too many calls to the exchange are under way") from None
        try:
            yield
        finally:
            places.release()

"""A line of bounded length before the database: what was begun is not starved by what comes."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from domain.errors import UnavailableError
from infra.store.database import POOL_SIZE

AT_ONCE: Final = POOL_SIZE - 2  # two connections are left for readers and the sweep
LONGEST_LINE: Final = 1_000  # each holds 64 KiB at most
WAIT_SECONDS: Final = 3.0  # an alert sender gives up soon after


class Turns:
    """Lets a few in at once; the rest wait in line, first come, first served."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    @asynccontextmanager
    async def one(self) -> AsyncGenerator[None]:
        """Wait for a turn and keep it until the block ends.

        Raises:
            UnavailableError: the line is too long, or did not move in time.
        """
        if self._waiting >= LONGEST_LINE:
            raise UnavailableError("too many signals at once")
        self._waiting += 1
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._free.acquire()
        except TimeoutError as error:
            raise UnavailableError("too many signals at once") from error
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()

"""Many small writes of one kind as few commits: who comes while one is under way shares the next.

At rest a write is alone and waits for nobody. Under a burst the number of commits, and of round
trips, stays what the disk can do, however many callers there are.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import psycopg
from psycopg.rows import TupleRow

from domain.errors import InvariantError, UnavailableError
from infra.store.database import CONFLICTS, ConflictError, refused, retried

log = logging.getLogger(__name__)

I = TypeVar("I")  # noqa: E741  # an item
O = TypeVar("O")  # noqa: E741  # an outcome

Connection = psycopg.AsyncConnection[TupleRow]

LONGEST_LINE: Final = 1_000  # each holds 64 KiB at most
WAIT_SECONDS: Final = 3.0  # for a place in a batch; an alert sender gives up soon after
BATCH: Final = 64  # rows of one statement: far beyond this nothing is gained
CLOSE_SECONDS: Final = 5.0  # for what is being written when the process is told to stop

AWAY: Final = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError, OSError)


@dataclass(eq=False)
class _Place(Generic[I, O]):
    """One caller's place in the line; once taken, its write may have happened."""

    item: I
    outcome: asyncio.Future[O]
    is_taken: bool = False


class GroupCommit(Generic[I, O]):
    """One line before one connection, opened when first needed and again after it broke.

    Args:
        connect: opens the connection, in autocommit.
        write: writes items by one statement and returns the outcome of each, in their order;
            run twice with the same items, it must do no harm.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        write: Callable[[Connection, Sequence[I]], Awaitable[Sequence[O]]],
    ) -> None:
        self._connect = connect
        self._write = write
        self._line: deque[_Place[I, O]] = deque()
        self._writer: asyncio.Task[None] | None = None
        self._connection: Connection | None = None

    async def do(self, item: I) -> O:
        """Write `item` and return its outcome, once it is committed.

        Raises:
            UnavailableError: the line is too long or did not move: nothing was written. Or the
                database failed, and if that was while committing, nobody knows.
            InvariantError: a row that the tables refuse.
        """
        if len(self._line) >= LONGEST_LINE:
            raise UnavailableError("too many signals at once")
        place = _Place[I, O](item, asyncio.get_running_loop().create_future())
        self._line.append(place)
        if self._writer is None:
            self._writer = asyncio.create_task(self._work(), name="group commit")
        await asyncio.wait({place.outcome}, timeout=WAIT_SECONDS)
        if not place.outcome.done() and not place.is_taken:
            self._line.remove(place)
            raise UnavailableError("too many signals at once")
        return await place.outcome

    async def close(self) -> None:
        """Finish what is in line and close the connection."""
        if self._writer is not None:
            await asyncio.wait({self._writer}, timeout=CLOSE_SECONDS)
        await self._drop()

    async def _work(self) -> None:
        """Write batch after batch until nobody waits."""
        try:
            while self._line:
                batch = [self._line.popleft() for _ in range(min(len(self._line), BATCH))]
                for place in batch:
                    place.is_taken = True
                await self._settle(batch)
        finally:
            self._writer = None

    async def _settle(self, batch: Sequence[_Place[I, O]]) -> None:
        """Write one batch and tell every caller; a row that is refused harms itself alone."""
        items = [place.item for place in batch]
        (outcomes,) = await asyncio.gather(self._written(items), return_exceptions=True)
        if isinstance(outcomes, InvariantError) and len(batch) > 1:
            for place in batch:
                await self._settle([place])
        elif isinstance(outcomes, BaseException):
            _fail(batch, outcomes)
        else:
            for place, outcome in zip(batch, outcomes, strict=True):
                if not place.outcome.done():
                    place.outcome.set_result(outcome)

    async def _written(self, items: Sequence[I]) -> Sequence[O]:
        """Write; once more where the connection had been opened before and turned out broken."""
        was_open = self._connection is not None
        try:
            return await retried(lambda: self._once(items))
        except ConflictError:
            raise
        except UnavailableError:
            if not was_open:
                raise
        return await retried(lambda: self._once(items))

    async def _once(self, items: Sequence[I]) -> Sequence[O]:
        try:
            if self._connection is None:
                self._connection = await self._connect()
            return await self._write(self._connection, items)
        except AWAY as error:
            state = getattr(error, "sqlstate", None) or ""
            words = f"database: {type(error).__name__} {state}".rstrip()
            if state in CONFLICTS:
                raise ConflictError(words) from error
            await self._drop()
            raise UnavailableError(words) from error
        except psycopg.Error as error:
            raise refused(error) from None

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error, OSError):
                await connection.close()


def _fail(batch: Sequence[_Place[I, O]], error: BaseException) -> None:
    for place in batch:
        if not place.outcome.done():
            place.outcome.set_exception(error)

"""Which trading workers live, told by the database itself: a lock that dies with its process."""

import asyncio
import contextlib
import logging
from typing import Final

from psycopg import AsyncConnection, Error
from psycopg.rows import TupleRow

from infra.store.database import plain_session

log = logging.getLogger(__name__)

KEY: Final = 0x486F6C64  # of an advisory lock; any number that nobody else takes
GLANCE_SECONDS: Final = 5.0


class Presence:
    """This worker's own lock, shared with every other trading worker that lives.

    Held by a session of its own: the server drops it the moment the process is gone.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: AsyncConnection[TupleRow] | None = None

    async def enter(self) -> bool:
        """Take the lock; tell whether nobody else holds it.

        Raises:
            psycopg.Error: the database does not answer.
        """
        session = await plain_session(self._url, application_name="holdfast-presence")
        cursor = await session.execute("SELECT pg_try_advisory_lock(%s)", [KEY])
        row = await cursor.fetchone()
        is_alone = row is not None and bool(row[0])
        await session.execute("SELECT pg_advisory_lock_shared(%s)", [KEY])
        if is_alone:
            await session.execute("SELECT pg_advisory_unlock(%s)", [KEY])
        self._session = session
        return is_alone

    async def keep(self) -> None:
        """Hold the lock for good: a session that was lost is opened again."""
        while True:
            await asyncio.sleep(GLANCE_SECONDS)
            try:
                if self._session is None:
                    await self.enter()
                else:
                    await self._session.execute("SELECT 1")
            except (Error, OSError) as error:
                log.warning("presence.lost", extra={"why": str(error)})
                await self.leave()

    async def leave(self) -> None:
        """Let go of the lock."""
        if self._session is not None:
            with contextlib.suppress(Error, OSError):
                await self._session.close()
        self._session = None

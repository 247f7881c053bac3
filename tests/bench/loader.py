"""The load: HTTP/1.1 over kept connections, at a fixed rate whatever the answers do.

Each answer's time counts from the moment at which its request was due, not from when it was sent:
a server that stalls is charged for everybody it made wait (no coordinated omission).
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from json import dumps, loads
from typing import Any, Final
from urllib.parse import urlsplit

from infra.clock import monotonic_seconds

CONNECTIONS: Final = 64
ANSWER_SECONDS: Final = 30.0

Body = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Answered:
    """One request and what came of it.

    Attributes:
        due_at: when it was to be sent.
        began_at: when its first byte was written.
        ended_at: when its answer was read.
        status: of the answer; 0 where none came.
    """

    number: int
    due_at: float
    began_at: float
    ended_at: float
    status: int
    document: Body

    @property
    def milliseconds(self) -> float:
        """How long the sender waited, counted from when it meant to send."""
        return (self.ended_at - self.due_at) * 1000


class Loader:
    """Sends requests to one address over a pool of kept connections."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._path = parts.path
        self._free: asyncio.LifoQueue[_Line] = asyncio.LifoQueue()

    async def open(self, connections: int = CONNECTIONS) -> None:
        """Open the connections, so that no request pays for it."""
        for _ in range(connections):
            self._free.put_nowait(await self._line())

    async def at_rate(
        self, per_second: float, seconds: float, body: Callable[[int], Body]
    ) -> list[Answered]:
        """Send at a fixed rate for so long and return every answer."""
        count = int(per_second * seconds)
        begin = monotonic_seconds() + 0.05
        sends = list[asyncio.Task[Answered]]()
        for number in range(count):
            due_at = begin + number / per_second
            await asyncio.sleep(max(due_at - monotonic_seconds(), 0))
            sends.append(asyncio.create_task(self.send(number, due_at, body(number))))
        return list(await asyncio.gather(*sends))

    async def send(self, number: int, due_at: float, body: Body) -> Answered:
        """Send one request and return its answer."""
        raw = dumps(body).encode()
        line = await self._free.get()
        began_at = monotonic_seconds()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                status, document = await line.ask(self._path, raw)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            line, status, document = await self._line(), 0, {}
        self._free.put_nowait(line)
        return Answered(
            number=number,
            due_at=due_at,
            began_at=began_at,
            ended_at=monotonic_seconds(),
            status=status,
            document=document,
        )

    def close(self) -> None:
        """Close the connections."""
        while not self._free.empty():
            self._free.get_nowait().close()

    async def _line(self) -> "_Line":
        reader, writer = await asyncio.open_connection(self._host, self._port)
        return _Line(reader, writer, f"{self._host}:{self._port}")


class _Line:
    """One kept connection."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str
    ) -> None:
        self._reader, self._writer, self._host = reader, writer, host

    async def ask(self, path: str, body: bytes) -> tuple[int, Body]:
        """Return status and document of one answer."""
        head = f"POST {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: application/json\r\n"
        self._writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = answer.partition("content-length:")[2].partition("\r\n")[0]
        document = loads(await self._reader.readexactly(int(length)))
        return int(answer.split(" ", 2)[1]), document

    def close(self) -> None:
        """Close it."""
        self._writer.close()

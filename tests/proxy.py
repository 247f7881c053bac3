"""A TCP link that a test can cut, slow down or make forget, while both ends keep running.

It stands between two processes (PostgreSQL, Temporal, the exchange and whoever calls them):

    async with linked("127.0.0.1", port) as link:
        client.connect("127.0.0.1", link.port)
        await link.cut(Mode.BLACKHOLE)
        ...
        await link.heal()
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

CHUNK: Final = 65_536
RESET_AT_CLOSE: Final = struct.pack("ii", 1, 0)  # linger of 0 s: a close sends RST, not FIN


class Mode(StrEnum):
    """What happens to the bytes, and to those who connect, from now on."""

    PASS = "pass"
    REFUSE = "refuse"  # nobody listens, and every connection is cut: the server died
    RESET = "reset"  # connections are taken and cut at once
    BLACKHOLE = "blackhole"  # everything is taken and nothing delivered, either way
    HALF_OPEN = "half-open"  # the server lost what is open now, the clients were not told
    LATENCY = "latency"  # everything arrives, late
    DROP_ANSWERS = "drop answers"  # requests arrive, answers do not


class Way(StrEnum):
    """Which way bytes travel."""

    REQUESTS = "requests"
    ANSWERS = "answers"


BOTH: Final = frozenset(Way)
LOST: Final = {Mode.BLACKHOLE: BOTH, Mode.DROP_ANSWERS: frozenset({Way.ANSWERS})}


@dataclass(eq=False)
class Pair:
    """One client's connection, and ours to the server on its behalf.

    Attributes:
        lost: ways on which bytes were swallowed; none that follow may be delivered.
        loses_answer: the server's next answer is swallowed and the client cut off.
    """

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    lost: set[Way] = field(default_factory=set[Way])
    loses_answer: bool = False

    def close(self) -> None:
        """Cut both ends off."""
        for writer in (self.client, self.server):
            reset(writer)


class Link:
    """The way from a port of ours to one server.

    Attributes:
        port: where clients connect; the same through every cut.
        lost_answers: how many answers `lose_answer_to` has swallowed.
    """

    def __init__(self, host: str, target_port: int) -> None:
        self.port = 0
        self.lost_answers = 0
        self._mode = Mode.PASS
        self._target = (host, target_port)
        self._delay_seconds = 0.0
        self._needle = b""
        self._times = 0
        self._listener: asyncio.Server | None = None
        self._pairs: set[Pair] = set()
        self._serving: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen, on the same port as before if there was one."""
        if self._listener is None:
            self._listener = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
            self.port = self._listener.sockets[0].getsockname()[1]

    async def cut(self, mode: Mode, *, delay_seconds: float = 0.0) -> None:
        """Treat what comes from now on as `mode` says; `delay_seconds` is for LATENCY."""
        self._mode, self._delay_seconds = mode, delay_seconds
        if mode is Mode.REFUSE:
            self._stop_listening()
        else:
            await self.open()
        if mode in {Mode.REFUSE, Mode.RESET}:
            self.drop()
        if mode is Mode.HALF_OPEN:
            for pair in self._pairs:
                pair.lost |= BOTH
                reset(pair.server)

    async def heal(self) -> None:
        """Let everything pass again; a connection that has lost bytes is cut."""
        self._times = 0
        await self.cut(Mode.PASS)
        for pair in [pair for pair in self._pairs if pair.lost]:
            pair.close()

    def drop(self) -> None:
        """Cut every connection that is open now."""
        for pair in list(self._pairs):
            pair.close()

    def lose_answer_to(self, needle: bytes, *, times: int = 1) -> None:
        """Deliver the next requests that hold `needle`, swallow their answers, cut the client off.

        What was asked for has happened by then: the answer was there to be swallowed.
        """
        self._needle, self._times = needle, times

    async def close(self) -> None:
        """Cut everything and listen no more."""
        self._stop_listening()
        self.drop()
        for serving in self._serving:
            serving.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Begin to serve one client."""
        if self._mode is Mode.RESET:
            reset(writer)
            return
        serving = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Connect to the server and carry bytes both ways until either end is gone."""
        try:
            from_server, server = await asyncio.open_connection(*self._target)
        except OSError:
            reset(writer)
            return
        pair = Pair(writer, server)
        self._pairs.add(pair)
        requests = asyncio.create_task(self._carry(pair, reader, server, Way.REQUESTS))
        answers = asyncio.create_task(self._carry(pair, from_server, writer, Way.ANSWERS))
        try:
            await asyncio.wait({requests, answers}, return_when=asyncio.FIRST_COMPLETED)
            if pair.lost >= BOTH:
                await requests  # the client is not told that the server is gone
        finally:
            requests.cancel()
            answers.cancel()
            await asyncio.gather(requests, answers, return_exceptions=True)
            self._pairs.discard(pair)
            pair.close()

    async def _carry(
        self, pair: Pair, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way
    ) -> None:
        """Carry bytes one way as long as there are any."""
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                if self._mode is Mode.LATENCY:
                    await asyncio.sleep(self._delay_seconds)
                if way is Way.ANSWERS and pair.loses_answer:
                    self.lost_answers += 1
                    return
                if way is Way.REQUESTS and self._times and self._needle in data:
                    self._times -= 1
                    pair.loses_answer = True
                if way in pair.lost or way in LOST.get(self._mode, ()):
                    pair.lost.add(way)
                    continue
                writer.write(data)
                await writer.drain()


def reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection so that its peer learns at once that it was cut."""
    if writer.transport.is_closing():
        return
    sock: socket.socket = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
    writer.transport.abort()


@asynccontextmanager
async def linked(host: str, port: int) -> AsyncGenerator[Link]:
    """Open a link to a server, and close it with everything on it."""
    link = Link(host, port)
    await link.open()
    try:
        yield link
    finally:
        await link.close()

"""The link that the outages are played on does what its modes say, or they would prove nothing."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

import pytest

from infra.clock import monotonic_seconds
from tests.proxy import Link, Mode, linked

SOON = 0.3  # what has not arrived by then was swallowed: the way is a few microseconds long


class Echo:
    """A server that answers each line with the same line, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.was_asked = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                self.asked.append(line)
                self.was_asked.set()
                writer.write(line)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


class Line:
    """A client's connection through the link."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def say(self, line: bytes) -> None:
        self.writer.write(line)

    async def ask(self, line: bytes) -> bytes:
        self.say(line)
        return await asyncio.wait_for(self.reader.readline(), 10)

    async def is_silent(self) -> bool:
        try:
            await asyncio.wait_for(self.reader.readline(), SOON)
        except TimeoutError:
            return True
        return False

    async def is_cut(self) -> bool:
        try:
            return await asyncio.wait_for(self.reader.readline(), 10) == b""
        except ConnectionResetError:
            return True


@pytest.fixture
async def echo() -> Echo:
    return Echo()


@pytest.fixture
async def link(echo: Echo) -> AsyncGenerator[Link]:
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    async with linked("127.0.0.1", server.sockets[0].getsockname()[1]) as opened:
        yield opened
    server.close()


Dial = Callable[[], Awaitable[Line]]


@pytest.fixture
async def dial(link: Link) -> AsyncGenerator[Dial]:
    lines: list[Line] = []

    async def dialled() -> Line:
        lines.append(Line(*await asyncio.open_connection("127.0.0.1", link.port)))
        return lines[-1]

    yield dialled
    for line in lines:
        line.writer.transport.abort()


async def test_a_link_passes_everything_until_it_is_cut(dial: Dial) -> None:
    line = await dial()
    assert await line.ask(b"one\n") == b"one\n"
    assert await line.ask(b"two\n") == b"two\n"


async def test_a_refusing_link_cuts_what_is_open_and_heals_on_the_same_port(
    link: Link, dial: Dial
) -> None:
    line, port = await dial(), link.port
    await line.ask(b"one\n")
    await link.cut(Mode.REFUSE)

    assert await line.is_cut()
    with pytest.raises(ConnectionRefusedError):
        await dial()

    await link.heal()
    assert link.port == port
    assert await (await dial()).ask(b"two\n") == b"two\n"


async def test_a_resetting_link_takes_connections_and_cuts_them(link: Link, dial: Dial) -> None:
    await link.cut(Mode.RESET)
    assert await (await dial()).is_cut()


async def test_a_black_hole_delivers_nothing_and_tells_nobody(
    link: Link, echo: Echo, dial: Dial
) -> None:
    line = await dial()
    await line.ask(b"one\n")
    await link.cut(Mode.BLACKHOLE)
    line.say(b"two\n")
    assert await line.is_silent()
    assert echo.asked == [b"one\n"]

    await link.heal()
    assert await line.is_cut()  # its bytes are gone: it can never carry on


async def test_a_half_open_link_loses_old_connections_silently_and_takes_new_ones(
    link: Link, echo: Echo, dial: Dial
) -> None:
    line = await dial()
    await line.ask(b"one\n")
    await link.cut(Mode.HALF_OPEN)
    line.say(b"two\n")
    assert await line.is_silent()
    assert await (await dial()).ask(b"three\n") == b"three\n"
    assert echo.asked == [b"one\n", b"three\n"]


async def test_latency_delays_and_loses_nothing(link: Link, dial: Dial) -> None:
    line = await dial()
    await link.cut(Mode.LATENCY, delay_seconds=0.1)
    began = monotonic_seconds()
    assert await line.ask(b"one\n") == b"one\n"
    assert monotonic_seconds() - began >= 0.2  # there and back


async def test_dropped_answers_leave_the_requests_to_arrive(
    link: Link, echo: Echo, dial: Dial
) -> None:
    line = await dial()
    await link.cut(Mode.DROP_ANSWERS)
    line.say(b"one\n")
    await asyncio.wait_for(echo.was_asked.wait(), 10)
    assert await line.is_silent()


async def test_one_lost_answer_is_lost_after_the_request_was_carried_out(
    link: Link, echo: Echo, dial: Dial
) -> None:
    first, second = await dial(), await dial()
    link.lose_answer_to(b"commit")
    assert await first.ask(b"one\n") == b"one\n"
    first.say(b"commit\n")

    assert await first.is_cut()
    assert echo.asked == [b"one\n", b"commit\n"]
    assert link.lost_answers == 1
    assert await second.ask(b"commit\n") == b"commit\n"

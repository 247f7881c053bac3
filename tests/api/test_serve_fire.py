"""The API as a process, under what one sender or a crowd of strangers can do to it."""

import asyncio
import json
import resource
import socket
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

from tests.api.process import WAIT_SECONDS, config, serving

__all__ = ["config"]
pytestmark = pytest.mark.services

WEBHOOK = "/api/v1/webhooks/tradingview"
PING = {"secret": "hush", "action": "PING"}
SHORT_LIMIT = 1_024  # open files, as most systems give a process that does not ask for more
IDLE = 3_000
BURST = 1_000
BLOB = b"[" * 65_536
TEN_MEGABYTES = 10_000_000


@contextmanager
def few_files() -> Generator[None]:
    """Let children begin with the usual limit of open files, and this process have many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (SHORT_LIMIT, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2 * IDLE)), hard))


@contextmanager
def crowd(url: str) -> Generator[list[socket.socket]]:
    """Thousands that connect; every second one begins a request and does not end it."""
    place = ("127.0.0.1", int(url.rpartition(":")[2]))
    opened: list[socket.socket] = []
    try:
        for number in range(IDLE):
            opened.append(socket.create_connection(place, WAIT_SECONDS))
            if number % 2:
                opened[-1].sendall(f"POST {WEBHOOK} HTTP/1.1\r\nHost: x\r\nX-".encode())
        yield opened
    finally:
        for one in opened:
            one.close()


def test_a6_thousands_of_silent_and_slow_connections_hold_up_nobody_and_are_closed(
    config: Path,
) -> None:
    with few_files():
        api = serving(config)
        _, url = api.__enter__()
    try:
        with crowd(url) as connections:
            answer = httpx.post(f"{url}{WEBHOOK}", json=PING, timeout=WAIT_SECONDS)
            assert answer.status_code == 202
            for connection in connections:
                connection.settimeout(WAIT_SECONDS)
                assert connection.recv(1) == b""
    finally:
        api.__exit__(None, None, None)


async def burst(url: str, bodies: list[bytes], connections: int = 64) -> list[httpx.Response]:
    """Send all bodies as fast as so many connections carry them, each one after the other."""
    limits = httpx.Limits(max_connections=connections)
    waiting = iter(enumerate(bodies))
    answers: dict[int, httpx.Response] = {}
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=120) as http:

        async def send() -> None:
            for number, body in waiting:
                answers[number] = await http.post(WEBHOOK, content=body)

        await asyncio.gather(*(send() for _ in range(min(connections, len(bodies)))))
    return [answers[number] for number in range(len(bodies))]


def alerts(count: int) -> list[bytes]:
    return [json.dumps(PING | {"id": number}).encode() for number in range(count)]


async def stored(database_url: str) -> set[bytes]:
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        rows = await connection.execute("SELECT raw_payload FROM holdfast.signals")
        return {row[0] async for row in rows}


@asynccontextmanager
async def served(config: Path) -> AsyncGenerator[str]:
    """The API, started while this process's own event loop goes on."""
    api = serving(config)
    _, url = await asyncio.to_thread(api.__enter__)
    try:
        yield url
    finally:
        await asyncio.to_thread(api.__exit__, None, None, None)


async def test_a7_of_a_thousand_at_once_each_is_stored_or_told_to_come_again(
    config: Path, database_url: str
) -> None:
    bodies = alerts(BURST)
    async with served(config) as url:
        answers = await burst(url, bodies)
        codes = [answer.status_code for answer in answers]
        assert set(codes) <= {202, 503}, "one policy for proven senders: stored, or come again"
        taken = {one for one, code in zip(bodies, codes, strict=True) if code == 202}
        assert await stored(database_url) == taken
        assert all("Retry-After" in answer.headers for answer in answers if answer.is_error)
        for body in set(bodies) - taken:
            assert (await burst(url, [body]))[0].status_code == 202
    assert len(await stored(database_url)) == BURST


def peak_since(process: psutil.Process, what: Callable[[], None]) -> int:
    """Return by how many bytes a process grew at most while `what` ran."""
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # the high-water mark begins anew
    before = process.memory_info().rss
    what()
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    [peak] = [line.split()[1] for line in lines if line.startswith("VmHWM")]
    return int(peak) * 1_024 - before


def flood(url: str) -> None:
    """Send fifty megabytes."""

    def endless() -> Generator[bytes]:
        for _ in range(800):
            yield BLOB

    try:
        answer = httpx.post(f"{url}{WEBHOOK}", content=endless(), timeout=WAIT_SECONDS)
    except (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
        return  # it was cut off while still sending
    assert answer.status_code == 413


def dig(url: str) -> None:
    """Send JSON sixty thousand deep."""
    deep = b'{"a":' + b"[" * 60_000
    answer = httpx.post(f"{url}{WEBHOOK}", content=deep, timeout=WAIT_SECONDS)
    assert answer.status_code in {401, 422, 429}


def test_b6_bodies_of_fifty_megabytes_and_bottomless_json_cost_no_memory(config: Path) -> None:
    with serving(config) as (started, url), ThreadPoolExecutor(8) as senders:

        def fire() -> None:
            for sent in [senders.submit(one, url) for one in (flood, dig) * 4]:
                sent.result()

        fire()  # what is loaded for the first of a kind is no growth
        assert peak_since(psutil.Process(started.pid), fire) < TEN_MEGABYTES
        assert httpx.post(f"{url}{WEBHOOK}", json=PING, timeout=WAIT_SECONDS).status_code == 202

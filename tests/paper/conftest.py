"""Exchanges for tests: one in this process under a driven clock, one as a real server."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.paper.catalogue import Market
from infra.paper.door import Door
from infra.paper.exchange import Exchange
from infra.paper.news import News
from infra.paper.stream_faults import StreamFaults
from tests.paper.traders import Reply, Trader, ask

ROOT = Path(__file__).parents[2]


@dataclass
class Clock:
    """A clock that stands still until it is told."""

    at: datetime = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def forward(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class Venue:
    """An exchange in this process, without makers, and everything it told its streams."""

    folder: Path
    clock: Clock = field(default_factory=Clock)
    told: list[News] = field(default_factory=list[News])
    left: list[Exchange] = field(default_factory=list[Exchange])

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.exchange = Exchange(self.folder, clock=self.clock, has_makers=False)
        faults = StreamFaults(self.exchange.ledger, self.exchange.now)
        self.door = Door(self.exchange, faults, self.told.append)

    def restart(self) -> None:
        """Leave the first exchange as a crash would, and open another on its ledger."""
        self.left.append(self.exchange)
        self.start()

    def close(self) -> None:
        """Close the ledgers of every exchange there was."""
        for exchange in [*self.left, self.exchange]:
            exchange.ledger.close()

    def forward(self, seconds: float) -> None:
        """Let time pass, and the exchange do what is due."""
        self.clock.forward(seconds)
        self.exchange.advance()
        self.told.append(self.exchange.engine.take_news())
        self.door.advance()

    def admin(self, method: str, path: str, body: object = None) -> Reply:
        return ask(self.door, method, "/_paper" + path, body)

    def ledger(self, kind: str, query: str = "") -> list[Any]:
        return self.admin("GET", f"/ledger/{kind}{query}").body

    def market(self, place: int = 0) -> Market:
        return list(self.exchange.engine.markets.values())[place]

    def yes(self, place: int = 0) -> str:
        return self.market(place).token_ids[0]

    def no(self, place: int = 0) -> str:
        return self.market(place).token_ids[1]

    def user_frames(self) -> list[Any]:
        return [told.frame for news in self.told for told in news.user]


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[Venue]:
    opened = Venue(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def alice(venue: Venue) -> Trader:
    return Trader(venue.door, "0x" + "11" * 32)


@pytest.fixture
def bob(venue: Venue) -> Trader:
    return Trader(venue.door, "0x" + "22" * 32)


@dataclass
class Server:
    """The exchange as a process of its own."""

    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        place = ["--port", str(self.port), "--data-dir", str(self.folder)]
        command = [sys.executable, "-m", "infra.paper.server", *place]
        self.process = subprocess.Popen(command, cwd=ROOT)  # noqa: S603 - our own server
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(self.url + "/clob/ok", trust_env=False).json() == "OK":
                    return
            time.sleep(0.05)
        raise AssertionError("the paper exchange did not start")

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)

    def get(self, target: str) -> Any:
        reply = httpx.get(self.url + target, trust_env=False)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def admin(self, method: str, path: str, body: object = None) -> Any:
        reply = httpx.request(method, f"{self.url}/_paper{path}", json=body, trust_env=False)
        assert reply.status_code == 200, reply.text
        return reply.json()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    running = Server(tmp_path_factory.mktemp("exchange"), free_port())
    running.start()
    yield running
    running.stop()

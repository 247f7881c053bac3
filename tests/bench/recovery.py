"""Recovery: how long work stands still when the trading worker that holds it is killed -9."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import psutil

from infra.clock import monotonic_seconds, utc_now
from tests.bench.exchange import slug
from tests.bench.loader import Loader
from tests.bench.stage import SECRET, Post, Stage, StageError, running

TRADING: Final = "worker-trading"
POLLING: Final = '"worker.polling"'
TUNED: Final = ("-m", "workers.cli", "worker", "trading")
DEFAULT: Final = ("-m", "tests.bench.default_worker")
PATIENCE_SECONDS: Final = 60.0
SPARE_SECONDS: Final = 8.0  # the supervisor loads the next spare meanwhile
GLANCE_SECONDS: Final = 0.01
HELD: Final = "200"
RESOLVED: Final = (
    "SELECT 1 FROM holdfast.orders WHERE order_hash = %s AND state NOT IN ('SENT', 'UNKNOWN')"
)
PROCESSED: Final = "SELECT 1 FROM holdfast.signals WHERE id = %s AND status = 'processed'"


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """Seconds from the kill.

    Attributes:
        next_post: to the next POST of a workflow that the dead worker had in its cache.
        in_flight: until a POST whose answer died with its worker is resolved by a look-up.
    """

    next_post: float
    in_flight: float


@dataclass(frozen=True, kw_only=True)
class Restart:
    """Seconds from the kill of the only worker.

    Attributes:
        polls: until its successor takes work.
        next_post: to the next POST of a workflow that the dead worker had in its cache.
    """

    polls: float
    next_post: float


class Desk:
    """Sends one alert after the other and waits for what comes of it."""

    def __init__(self, stage: Stage, loader: Loader) -> None:
        self._stage, self._loader = stage, loader

    async def send(self, action: str, market: int, number: int, **wish: str) -> str:
        """Send an alert and return its signal's id."""
        moment = f"{monotonic_seconds():.6f}"
        body: dict[str, Any] = {
            "secret": SECRET,
            "action": action,
            "market": slug(market),
            "outcome": "Yes",
            "id": f"recovery-{market}-{number}-{moment}",
            **wish,
        }
        answered = await self._loader.send(0, monotonic_seconds(), body)
        if "signal_id" not in answered.document:
            raise StageError(f"an alert was not taken: {answered.status} {answered.document}")
        return str(answered.document["signal_id"])

    async def post(self) -> Post:
        """Return the next POST."""
        for _ in _patiently():
            posts = await self._stage.posts()
            if posts:
                return posts[0]
            await asyncio.sleep(GLANCE_SECONDS)
        raise StageError("no POST came")

    async def until(self, query: str, value: str) -> float:
        """Wait until a query finds something; return when."""
        for _ in _patiently():
            if await self._stage.rows(query, value):
                return monotonic_seconds()
            await asyncio.sleep(GLANCE_SECONDS)
        raise StageError(f"never true: {query}")

    async def hold_shares(self, market: int) -> None:
        """Buy what the sales of one trial sell."""
        signal_id = await self.send("BuyMarket", market, 0, size=HELD, price="0.50")
        await self.until(PROCESSED, signal_id)

    async def rest_sale(self, market: int) -> None:
        """Have a sale rest: its position's workflow is then cached by whoever worked it."""
        await self._stage.posts()
        signal_id = await self.send("SellLimit", market, 1, size="20", price="0.90")
        await self.post()
        await self.until(PROCESSED, signal_id)

    async def next_post_after(self, market: int, pid: int) -> tuple[float, float]:
        """Kill a worker, ask for one more sale at once; return both moments."""
        os.kill(pid, signal.SIGKILL)
        killed_at = monotonic_seconds()
        await self.send("SellLimit", market, 2, size="20", price="0.91")
        return killed_at, (await self.post()).came_at


async def pairs(stage: Stage, root: Path, command: tuple[str, ...], market: int) -> Recovery:
    """Kill one of two workers, idle and with a POST in flight."""
    async with desk_of(stage) as desk:
        await desk.hold_shares(market)
        async with without_own_worker(stage):
            return await _pair(stage, desk, (root, command), market)


async def _pair(
    stage: Stage, desk: Desk, program: tuple[Path, tuple[str, ...]], market: int
) -> Recovery:
    """Run one trial of both kinds."""
    async with AsyncExitStack() as stack:

        async def worker(name: str) -> int:
            return await stack.enter_async_context(_worker(stage, program, name))

        first = await worker(f"{market}-first")
        await desk.rest_sale(market)
        others = [await worker(f"{market}-second")]
        killed_at, came_at = await desk.next_post_after(market, first)
        next_post = came_at - killed_at
        others.append(await worker(f"{market}-third"))
        await stage.hold(on=True)
        await desk.send("BuyLimit", market, 3, size="20", price="0.10")
        post = await desk.post()
        os.kill(_sender(post, others), signal.SIGKILL)
        killed_at = monotonic_seconds()
        resolved_at = await desk.until(RESOLVED, post.order_hash)
        await stage.hold(on=False)
        return Recovery(next_post=next_post, in_flight=resolved_at - killed_at)


async def restart(stage: Stage, market: int) -> Restart:
    """Kill the only worker, which `holdfast up` starts again."""
    async with desk_of(stage) as desk:
        await desk.hold_shares(market)
        await desk.rest_sale(market)
        await asyncio.sleep(SPARE_SECONDS)
        only = stage.endpoints.processes[TRADING]
        clock = utc_now().timestamp() - monotonic_seconds()
        killed_at, came_at = await desk.next_post_after(market, only)
        polls_at = _polls_since(stage) - clock
        return Restart(polls=polls_at - killed_at, next_post=came_at - killed_at)


@asynccontextmanager
async def desk_of(stage: Stage) -> AsyncGenerator[Desk]:
    """Open a desk at a running stack."""
    loader = Loader(stage.webhook)
    await loader.open(2)
    try:
        yield Desk(stage, loader)
    finally:
        loader.close()


@asynccontextmanager
async def without_own_worker(stage: Stage) -> AsyncGenerator[None]:
    """Stop the stack's own trading worker, and its supervisor's wish to restart it."""
    stage.up.send_signal(signal.SIGSTOP)
    pid = stage.endpoints.processes[TRADING]
    os.kill(pid, signal.SIGTERM)
    for _ in _patiently():
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            break
        await asyncio.sleep(GLANCE_SECONDS)
    try:
        yield
    finally:
        stage.up.send_signal(signal.SIGCONT)
        for _ in _patiently():
            with suppress(OSError, ValueError):
                if stage.endpoints.processes[TRADING] != pid:
                    break
            await asyncio.sleep(0.1)


@asynccontextmanager
async def _worker(
    stage: Stage, program: tuple[Path, tuple[str, ...]], name: str
) -> AsyncGenerator[int]:
    """Run one more trading worker; yield its pid once it takes work."""
    root, command = program
    log = root / f"worker-{name}"
    async with running(log, command, stage.environment) as process:
        for _ in _patiently():
            if POLLING in log.with_suffix(".log").read_text(errors="replace"):
                break
            await asyncio.sleep(0.05)
        yield process.pid


def _sender(post: Post, pids: list[int]) -> int:
    """Return which process a POST came from."""
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            connections = psutil.Process(pid).net_connections("tcp")
            if any(one.laddr and one.laddr.port == post.port for one in connections):
                return pid
    raise StageError(f"nobody of {pids} sent from port {post.port}")


def _polls_since(stage: Stage) -> float:
    """Return when a trading worker last began to take work, in unix seconds."""
    log = stage.folder / "logs" / f"{TRADING}.log"
    lines = [line for line in log.read_text().splitlines() if POLLING in line]
    return datetime.fromisoformat(json.loads(lines[-1])["at"]).timestamp()


def _patiently() -> Any:
    """Yield again and again, until patience ends."""
    end = monotonic_seconds() + PATIENCE_SECONDS
    while monotonic_seconds() < end:
        yield

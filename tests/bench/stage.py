"""What is measured: `holdfast up` on a throw-away folder, the fast exchange, and the floors."""

import asyncio
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import psutil
import psycopg

from infra.clock import monotonic_seconds
from infra.embedded.endpoints import Endpoints, read_endpoints
from infra.embedded.temporal import binary
from infra.embedded.toml import toml_text
from tests.bench.exchange import HOST
from tests.bench.tables import CREATE
from tests.exchanges.scripted import DEPOSIT_WALLET, KEYS, PRIVATE_KEY

ROOT: Final = Path(__file__).parents[2]
READY_SECONDS: Final = 120.0
STOP_SECONDS: Final = 30.0
SECRET: Final = "the-bench-alone-knows-it"
STORAGE_KEY: Final = "YmVuY2hiZW5jaGJlbmNoYmVuY2hiZW5jaGJlbmNoISE="
ENOUGH: Final = "1000000000"

Row = dict[str, Any]


class StageError(Exception):
    """Something that is to be measured does not run."""


@dataclass(frozen=True, kw_only=True)
class Post:
    """One order as it came in at the exchange.

    Attributes:
        port: of whoever sent it.
    """

    order_hash: str
    came_at: float
    port: int


@dataclass
class Stage:
    """Everything that runs.

    Attributes:
        folder: of the stack.
        pids: of every process whose time is counted, by name.
    """

    folder: Path
    up: asyncio.subprocess.Process
    exchange: str
    database: psycopg.AsyncConnection[Any]
    stub: str
    floor: str
    pids: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def endpoints(self) -> Endpoints:
        """Where everything is now."""
        return read_endpoints(self.folder)

    @property
    def webhook(self) -> str:
        """Where the product takes alerts."""
        return self.endpoints.webhooks["tradingview"].url

    @property
    def environment(self) -> dict[str, str]:
        """What a trading worker of this stack is started with."""
        return {
            "HOLDFAST_CONFIG": str(self.folder / "config.toml"),
            "HOLDFAST_SECRETS": str(self.folder.with_name("secrets.toml")),
        }

    async def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return what a query finds."""
        return await (await self.database.execute(query.encode(), values)).fetchall()

    async def posts(self) -> list[Post]:
        """Return every POST since the last call."""
        async with httpx.AsyncClient(trust_env=False) as http:
            rows = (await http.get(f"{self.exchange}/bench/posts")).json()
        return [Post(order_hash=row[0], came_at=row[1], port=row[2]) for row in rows]

    async def hold(self, *, on: bool) -> None:
        """Withhold the answers to orders, or let them go."""
        async with httpx.AsyncClient(trust_env=False) as http:
            await http.get(f"{self.exchange}/bench/hold", params={"on": str(int(on))})

    def cpu_seconds(self) -> dict[str, float]:
        """Return the processor time spent so far, by process, that of its children included."""
        named = self.pids | self.endpoints.processes | {"loader": os.getpid()}
        spent = dict[str, float]()
        for name, pid in named.items():
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                family = [process] if name == "loader" else [process, *process.children()]
                times = [one.cpu_times() for one in family]
                spent[name] = sum(one.user + one.system for one in times)
        return spent


@asynccontextmanager
async def staged(root: Path) -> AsyncGenerator[Stage]:
    """Run everything under `root`, an empty folder, until the block ends."""
    ports = free_ports(4)
    exchange = f"http://{HOST}:{ports[0]}"
    async with AsyncExitStack() as stack:

        async def beside(module: str, *arguments: str, **more: str) -> int:
            command = ("-m", f"tests.bench.{module}", *arguments)
            return (await stack.enter_async_context(running(root / module, command, more))).pid

        pids = {"exchange": await beside("exchange", str(ports[0]), str(ports[1]))}
        up = await stack.enter_async_context(_up(root, exchange, ports[1]))
        url = read_endpoints(root / "data").database.url
        database = await psycopg.AsyncConnection[Any].connect(url, autocommit=True)
        stack.push_async_callback(database.close)
        await database.execute(CREATE)
        known = {"BENCH_DATABASE": url, "BENCH_SECRET": SECRET}
        pids["stub"] = await beside("stub", str(ports[2]), **known)
        pids["floor"] = await beside("floor", str(ports[3]), f"{exchange}/clob", **known)
        for port in ports:
            await listening(port)
        yield Stage(
            folder=root / "data",
            up=up,
            exchange=exchange,
            database=database,
            stub=f"http://{HOST}:{ports[2]}/webhook",
            floor=f"http://{HOST}:{ports[3]}/",
            pids=pids,
        )


@asynccontextmanager
async def _up(
    root: Path, exchange: str, stream_port: int
) -> AsyncGenerator[asyncio.subprocess.Process]:
    """Run `holdfast up --no-exchange`, pointed at the fast exchange."""
    config, secrets = root / "config.toml", root / "secrets.toml"
    config.write_text(toml_text(_config(exchange, stream_port)))
    own = {"private_key": PRIVATE_KEY}
    secrets.write_text(toml_text({"storage_key": STORAGE_KEY, "accounts": {"main": own}}))
    data = root / "data"
    command = ("-m", "workers.cli", "up", "--no-exchange", "--data-dir", str(data), "--fresh")
    known = {
        "HOLDFAST_CONFIG": str(config),
        "HOLDFAST_SECRETS": str(secrets),
        "XDG_STATE_HOME": str(root),  # a throw-away stack is not the one the command is to find
    }
    async with running(root / "up", command, known) as up:
        began = monotonic_seconds()
        while not (data / "endpoints.json").exists():
            if up.returncode is not None or monotonic_seconds() - began > READY_SECONDS:
                raise StageError(f"holdfast up does not come up: {_words(root / 'up.log')}")
            await asyncio.sleep(0.1)
        yield up


def _config(exchange: str, stream_port: int) -> dict[str, Any]:
    """Return what the product is told of the exchange, the account and the alerts."""
    streams = f"ws://{HOST}:{stream_port}/ws"
    limits = {
        "max_order_notional_usd": ENOUGH,
        "max_market_exposure_usd": ENOUGH,
        "max_event_exposure_usd": ENOUGH,
        "max_account_exposure_usd": ENOUGH,
        "max_open_orders": 1_000_000,
        "max_daily_loss_fraction": 1,
        "max_consecutive_failures": 1_000,
        "confirmed": True,  # no real money behind this exchange either
    }
    keys = {"api_key": KEYS.key, "secret": KEYS.secret, "passphrase": KEYS.passphrase}
    account = {"wallet": DEPOSIT_WALLET, "signature_type": 3, "signer": KEYS.address, **keys}
    return {
        "exchange": {
            "clob_url": f"{exchange}/clob",
            "gamma_url": f"{exchange}/gamma",
            "data_url": f"{exchange}/data-api",
            "market_ws_url": f"{streams}/market",
            "user_ws_url": f"{streams}/user",
        },
        "accounts": {"main": account | {"limits": limits}},
        "webhooks": {"tradingview": {"secret": SECRET, "account": "main", "max_age_seconds": 600}},
    }


@asynccontextmanager
async def running(
    log: Path, command: tuple[str, ...], known: Mapping[str, str]
) -> AsyncGenerator[asyncio.subprocess.Process]:
    """Run one of our Python commands until the block ends."""
    program = command if command[0] != "-m" else (sys.executable, *command)
    with log.with_suffix(".log").open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *program,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=ROOT,
            env=plain_environment() | dict(known),
            start_new_session=True,  # Ctrl-C ends the benchmark, and that ends the rest in order
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            process.kill()


@asynccontextmanager
async def dev_server(root: Path, *flags: str) -> AsyncGenerator[str]:
    """Run a Temporal development server with its default flags; yield its address."""
    port, ui = free_ports(2)
    listen = ("--ip", HOST, "--port", str(port), "--ui-port", str(ui), "--log-level", "error")
    command = (binary(), "server", "start-dev", *listen, *flags)
    async with running(root / "dev-server", command, {}):
        await listening(port)
        yield f"{HOST}:{port}"


def plain_environment() -> dict[str, str]:
    """Return our environment without what would steer a process elsewhere."""
    strays = ("TEMPORAL_", "HOLDFAST_", "PG")
    return {name: value for name, value in os.environ.items() if not name.startswith(strays)}


def free_ports(count: int) -> list[int]:
    """Return ports that are free now."""
    with socketed(count) as ports:
        return ports


@contextmanager
def socketed(count: int) -> Any:
    """Hold so many ports at once, so that they differ."""
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind((HOST, 0))
        yield [int(one.getsockname()[1]) for one in held]
    finally:
        for one in held:
            one.close()


async def listening(port: int) -> None:
    """Wait until somebody listens on `port`."""
    began = monotonic_seconds()
    while monotonic_seconds() - began < READY_SECONDS:
        with suppress(OSError):
            _, writer = await asyncio.open_connection(HOST, port)
            writer.close()
            return
        await asyncio.sleep(0.05)
    raise StageError(f"nobody listens on port {port}")


def _words(log: Path) -> str:
    return log.read_text(errors="replace")[-2_000:]


@contextmanager
def folder() -> Any:
    """Make a throw-away folder where PostgreSQL's unprivileged user can come, too."""
    made = Path(tempfile.mkdtemp(prefix="holdfast-bench-")).resolve()
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)

"""The whole API in this process, on a real database and a real Temporal server."""

import asyncio
import contextlib
import hashlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row
from pydantic import SecretStr
from temporalio import workflow
from temporalio.worker import Worker

from api.app import create
from api.parts import Parts
from domain.signal import CancelRequest, OrderRequest, SignalTask
from infra.embedded.temporal import add_search_attributes
from infra.settings import (
    AccountSettings,
    ApiKeySettings,
    ApiSettings,
    Settings,
    TemporalSettings,
    WebhookSettings,
)
from infra.temporal import connect
from tests.store.conftest import *  # noqa: F403  # the database and its stores
from workflows.options import TRADING

SECRET = 'hush"quoted"'  # JSON and addresses write its quotes otherwise
KEYS = {"reader": ("read",), "operator": ("read", "operate"), "sender": ("signal",)}
OWNER = "0x" + "1" * 40
WAIT_SECONDS = 30


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextlib.contextmanager
def temporal_on(port: int) -> Generator[TemporalSettings]:
    """Run a Temporal server in memory on `port`, ready and knowing our search attributes."""
    binary = str(Path(sys.executable).parent / "temporal")
    command = [binary, "server", "start-dev", "--headless", "--ip", "127.0.0.1"]
    server = subprocess.Popen(  # noqa: S603  # our own words only
        [*command, "--port", str(port), "--log-level", "never"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    settings = TemporalSettings(address=f"127.0.0.1:{port}", ui_url="http://ui.test")
    try:
        asyncio.run(_prepare(settings, server))
        yield settings
    finally:
        server.terminate()
        server.wait(timeout=WAIT_SECONDS)


async def _prepare(settings: TemporalSettings, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            client = await connect(settings)
            await add_search_attributes(client)
            await client.count_workflows("Account = 'main'")
        except Exception:  # noqa: BLE001  # until it is up, it fails in many ways
            assert server.poll() is None
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        else:
            return


@pytest.fixture(scope="session")
def temporal() -> Generator[TemporalSettings]:
    """Return where a real Temporal server listens."""
    with temporal_on(free_port()) as settings:
        yield settings


@workflow.defn(name="WorkOrder", sandboxed=False)
class RecordedOrder:
    """Takes an order like the real one and waits for its cancel."""

    def __init__(self) -> None:
        self.cancelled: CancelRequest | None = None

    @workflow.run
    async def run(self, request: OrderRequest) -> CancelRequest | None:
        await workflow.wait_condition(lambda: self.cancelled is not None)
        return self.cancelled

    @workflow.update
    async def cancel(self, request: CancelRequest) -> None:
        self.cancelled = request


@workflow.defn(name="ExecuteSignal", sandboxed=False)
class RecordedSignal:
    """Takes a signal like the real one and gives it back."""

    @workflow.run
    async def run(self, task: SignalTask) -> SignalTask:
        return task


@dataclass
class Stack:
    """The API as its callers see it, and its database as nobody else does."""

    http: httpx.AsyncClient
    parts: Parts
    database_url: str
    answers: list[httpx.Response] = field(default_factory=list[httpx.Response])
    salt: str = field(default_factory=lambda: token_hex(8))

    def body(self, fields: dict[str, Any], **more: Any) -> bytes:
        """Return a webhook that no other test has sent: the Temporal server serves them all."""
        return json.dumps({**fields, "comment": self.salt, **more}).encode()

    async def post(
        self, body: dict[str, Any] | str | bytes, path: str = "tradingview", **more: Any
    ) -> httpx.Response:
        """Post a webhook; a dict goes as JSON with the secret in it."""
        if isinstance(body, dict):
            body = self.body(body, secret=SECRET)
        answer = await self.http.post(f"/api/v1/webhooks/{path}", content=body, **more)
        self.answers.append(answer)
        return answer

    async def get(self, path: str, key: str = "reader", **query: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}"}
        return await self.http.get(f"/api/v1{path}", params=query, headers=headers)

    def rows(self, query: str) -> list[dict[str, Any]]:
        with psycopg.connect(self.database_url) as connection:
            return connection.cursor(row_factory=dict_row).execute(query.encode()).fetchall()

    def run(self, statement: str, *values: object) -> None:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            connection.execute(statement.encode(), values)

    def signals(self) -> list[dict[str, Any]]:
        return self.rows("SELECT * FROM holdfast.signals ORDER BY received_at, id")

    async def settled_as(self, status: str, signal_id: str) -> None:
        """Wait until a signal has this status; how soon it is started depends on the machine."""

        async def is_so() -> bool:
            found = self.rows(f"SELECT status FROM holdfast.signals WHERE id = '{signal_id}'")  # noqa: S608
            return found[0]["status"] == status

        await until(is_so)

    async def begun(self, answer: httpx.Response, code: int = 202) -> str:
        """Wait until the workflow of an accepted signal runs, and return the signal's id."""
        told = answer.json()
        assert answer.status_code == code
        assert told["status"] in {"received", "processing"}
        await self.settled_as("processing", told["signal_id"])
        return str(told["signal_id"])

    async def workflows(self, query: str) -> int:
        return (await self.parts.temporal.count_workflows(query)).count


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait, within bounds, until something has happened."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not await condition():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.05)


def settings_for(database_url: str, temporal: TemporalSettings) -> Settings:
    """Return a configuration with two sources, one account, and a key for each scope."""
    digests = {name: hashlib.sha256(name.encode()).hexdigest() for name in KEYS}
    keys = tuple(
        ApiKeySettings(name=name, sha256=digests[name], scopes=scopes)  # pyright: ignore[reportArgumentType]
        for name, scopes in KEYS.items()
    )
    source = WebhookSettings(
        secret=SecretStr(SECRET), account="main", aliases={"BTCUSD": "bitcoin-200k:Yes"}
    )
    return Settings(
        database_url=SecretStr(database_url),
        temporal=temporal,
        api=ApiSettings(keys=keys),
        accounts={"main": AccountSettings(wallet=OWNER)},
        webhooks={"tradingview": source, "strategy": source},
    )


@asynccontextmanager
async def running(settings: Settings) -> AsyncGenerator[Stack]:
    """Run the application as its server would."""
    app = create(settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
            url = settings.database_url.get_secret_value()
            yield Stack(http=client, parts=app.state.parts, database_url=url)


@pytest.fixture
async def stack(database_url: str, temporal: TemporalSettings) -> AsyncGenerator[Stack]:
    """Return the running API."""
    async with running(settings_for(database_url, temporal)) as made:
        yield made


@pytest.fixture
async def worker(temporal: TemporalSettings) -> AsyncGenerator[None]:
    """Run a worker that records what it is given."""
    client = await connect(temporal)
    async with Worker(client, task_queue=TRADING, workflows=[RecordedOrder, RecordedSignal]):
        yield

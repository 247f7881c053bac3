"""The demo's stage: a throw-away stack of its own, and every question the demo asks of it."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from domain.errors import HoldfastError
from infra.clock import monotonic_seconds
from infra.embedded.endpoints import Endpoints, read_endpoints

READY_SECONDS: Final = 120.0  # a loaded machine may need a minute for what takes ten seconds
STOP_SECONDS: Final = 30.0
LOOK_SECONDS: Final = 0.05
PATIENCE_SECONDS: Final = 120.0
MUTE_SECONDS: Final = "60"  # at most: whoever mutes the live channel lets it speak again
TRADING: Final = "worker-trading"
FAILPOINT: Final = "exit.after_tp_cancel=kill9"  # once: the worker dies in the middle of an exit
POLLING: Final = '"worker.polling"'  # what its log says once it takes work

Row = dict[str, Any]


class StageError(HoldfastError):
    """The story cannot go on; the message says where it stopped."""


@dataclass
class Stage:
    """A running stack, asked over HTTP only, as anybody could.

    Attributes:
        folder: its data folder.
        up: the process `holdfast up`.
    """

    folder: Path
    up: asyncio.subprocess.Process
    http: httpx.AsyncClient

    @property
    def endpoints(self) -> Endpoints:
        """Where everything is now; rewritten after each restart of a child."""
        return read_endpoints(self.folder)

    @property
    def wallet(self) -> str:
        """The wallet that trades."""
        return self.endpoints.accounts[0].wallet

    async def ledger(self, kind: str, **filters: str) -> list[Row]:
        """Return what the exchange itself says: orders, trades, balances or requests."""
        admin = self.endpoints.exchange.admin_url
        answer = await self.http.get(f"{admin}/ledger/{kind}", params=filters)
        answer.raise_for_status()
        return answer.json()

    async def admin(self, path: str, body: Row) -> Any:
        """Turn one of the paper exchange's own knobs."""
        answer = await self.http.post(f"{self.endpoints.exchange.admin_url}{path}", json=body)
        answer.raise_for_status()
        return answer.json()

    async def rows(self, kind: str, **filters: str) -> list[Row]:
        """Return what the engine's API says, newest first."""
        api = self.endpoints.api
        answer = await self.http.get(
            f"{api.url}/api/v1/{kind}",
            params={"limit": "200", **filters},
            headers={"Authorization": f"Bearer {api.key}"},
        )
        answer.raise_for_status()
        return answer.json()["items"]

    @property
    def marks(self) -> Path:
        """Where a failpoint that fired leaves its name."""
        return _marks(self.folder)

    async def ask(self, path: str, body: Row) -> Row:
        """Ask the API to act, as an operator would."""
        api = self.endpoints.api
        answer = await self.http.post(
            f"{api.url}/api/v1{path}", json=body, headers={"Authorization": f"Bearer {api.key}"}
        )
        answer.raise_for_status()
        return answer.json()

    async def alert(self, body: Row) -> tuple[int, Row, float]:
        """Send an alert as TradingView would; return status, answer and milliseconds."""
        webhook = self.endpoints.webhooks["tradingview"]
        began = monotonic_seconds()
        answer = await self.http.post(webhook.url, json={"secret": webhook.secret, **body})
        return answer.status_code, answer.json(), (monotonic_seconds() - began) * 1000

    async def until(self, what: str, is_so: Callable[[], Awaitable[bool]]) -> None:
        """Wait for something; say what did not come."""
        end = monotonic_seconds() + PATIENCE_SECONDS
        while monotonic_seconds() < end:
            try:
                if await is_so():
                    return
            except (httpx.HTTPError, OSError):
                pass  # whoever was asked is starting again
            await asyncio.sleep(LOOK_SECONDS)
        raise StageError(f"waited {PATIENCE_SECONDS:.0f} s in vain for: {what}")

    def kill_trading_worker(self) -> int:
        """Kill -9 the process that works the orders; return its pid."""
        pid = self.endpoints.processes[TRADING]
        os.kill(pid, signal.SIGKILL)
        return pid

    def trading_worker_polls_since(self) -> float:
        """Return when a trading worker last began to take work, in unix seconds."""
        log = self.folder / "logs" / f"{TRADING}.log"
        lines = [line for line in log.read_text().splitlines() if POLLING in line]
        return datetime.fromisoformat(json.loads(lines[-1])["at"]).timestamp()

    async def mute(self) -> None:
        """Have the exchange say nothing on the live channel that tells an account its news."""
        await self.admin("/ws-faults", {"channel": "user", "do": "mute", "seconds": MUTE_SECONDS})

    async def unmute(self) -> None:
        """Let the live channel speak again; what it would have said meanwhile is lost."""
        admin = self.endpoints.exchange.admin_url
        (await self.http.delete(f"{admin}/ws-faults")).raise_for_status()

    async def forget_faults(self) -> None:
        """Let the exchange behave again."""
        await self.http.delete(f"{self.endpoints.exchange.admin_url}/faults")

    async def kill_everything(self) -> None:
        """Kill -9 the supervisor and every process it keeps."""
        pids = self.endpoints.processes.values()
        self.up.kill()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        await self.up.wait()

    async def raise_again(self) -> None:
        """Start `holdfast up` again on the same folder and wait until it serves."""
        (self.folder / "endpoints.json").unlink(missing_ok=True)
        self.up = await _started(self.folder, "ab")
        await _serving(self, lambda _: None)

    async def close(self) -> None:
        """Stop every process; what is stored stays."""
        await self.http.aclose()
        if self.up.returncode is None:
            self.up.send_signal(signal.SIGINT)
            try:
                await asyncio.wait_for(self.up.wait(), STOP_SECONDS)
            except TimeoutError:
                self.up.kill()


async def raised(folder: Path, tell: Callable[[str], None]) -> Stage:
    """Start `holdfast up` on `folder`, emptied, and wait until it serves.

    Raises:
        StageError: it ended, or did not serve in time; the message names its log.
    """
    up = await _started(folder, "wb", "--fresh")
    stage = Stage(folder, up, httpx.AsyncClient(timeout=10.0, trust_env=False))
    await _serving(stage, tell)
    return stage


def _marks(folder: Path) -> Path:
    made = folder.parent / "failpoints"
    made.mkdir(exist_ok=True)
    return made


async def _started(folder: Path, mode: str, *options: str) -> asyncio.subprocess.Process:
    """Start `holdfast up`; what it prints goes beside the folder."""
    with folder.with_suffix(".log").open(mode) as output:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "workers.cli", "up", "--data-dir", str(folder), *options),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=Path(__file__).parent.parent,
            # A throw-away stack is not the one that the command is to find afterwards.
            env={"HOLDFAST_FAILPOINT": FAILPOINT, "HOLDFAST_FAILPOINT_DIR": str(_marks(folder))}
            | os.environ
            | {"XDG_STATE_HOME": str(folder.parent)},
            start_new_session=True,  # Ctrl-C ends the demo, and the demo ends the stack
        )


async def _serving(stage: Stage, tell: Callable[[str], None]) -> None:
    """Wait until a stack serves, telling each line it prints."""
    log = stage.folder.with_suffix(".log")
    began, told = monotonic_seconds(), 0
    while not (stage.folder / "endpoints.json").exists():
        lines = log.read_text(errors="replace").splitlines()
        for line in lines[told:]:
            tell(line)
        told = len(lines)
        if stage.up.returncode is not None or monotonic_seconds() - began > READY_SECONDS:
            await stage.close()
            raise StageError(f"the stack did not come up: {lines[-1:]}; see {log}")
        await asyncio.sleep(LOOK_SECONDS)


def addresses(endpoints: Endpoints) -> dict[str, str]:
    """Return where a visitor may look around."""
    database = urlsplit(endpoints.database.url)
    return {
        "Temporal UI": endpoints.temporal.ui_url or "",
        "API documentation": f"{endpoints.api.url}/docs",
        "exchange's ledger": f"{endpoints.exchange.admin_url}/ledger/orders?origin=api",
        "PostgreSQL": f"{database.hostname}:{database.port}{database.path}",
    }

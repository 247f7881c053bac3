"""A stack whose workers the tests start themselves, each by links that can be cut, and freeze."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

from infra.embedded.endpoints import write_endpoints
from infra.embedded.folder import Folder
from infra.embedded.keys import kept_keys
from infra.embedded.ports import reserved
from infra.embedded.supervisor import Child, Supervisor, clean_environment
from tests.e2e.collector import collecting
from tests.e2e.conftest import World
from tests.proxy import Link, linked
from workers.demo_stage import Stage
from workers.stack import Stack, together

ROOT = Path(__file__).parents[2]
POLLING = '"worker.polling"'


@dataclass
class Role:
    """A worker that a test started.

    Attributes:
        failpoints: a file that arms this worker's failpoints alone.
    """

    name: str
    kind: str
    process: asyncio.subprocess.Process
    log: Path
    failpoints: Path

    @property
    def runs(self) -> bool:
        """Tell whether its process lives."""
        return self.process.returncode is None

    def says(self, words: str) -> bool:
        """Tell whether its log holds `words`."""
        return words in self.log.read_text(errors="replace")

    def freeze(self) -> None:
        """Stop it where it stands."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    async def end(self) -> int:
        """Ask it to end, as a supervisor does, and return its exit code."""
        if self.process.returncode is None:
            self.process.terminate()
        return await asyncio.wait_for(self.process.wait(), 60)

    async def kill(self) -> None:
        """Kill it."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


class Servers(Stack):
    """The stack without its workers; its Temporal server can be made to forget."""

    async def open(self, supervisor: Supervisor) -> None:
        """Start every server and the API, and write the files that workers read."""
        account, *_ = await together(
            self._exchange_up(supervisor),
            self._database_up(supervisor),
            supervisor.start(self.forgetful()),
        )
        config = self._write_config(account)
        await supervisor.start(self._role("api"))
        write_endpoints(self.folder.endpoints, self._endpoints(config, account, supervisor.pids))

    @property
    def forgets(self) -> Path:
        """While this file exists, each start of the Temporal server is with an empty store."""
        return self.folder.run / "forget"

    def forgetful(self) -> Child:
        """Return the Temporal server as a child that may lose its store at a restart."""
        stored = self.temporal.folder

        async def lose() -> None:
            if self.forgets.exists():
                for file in stored.glob("temporal.db*"):
                    file.unlink()

        return replace(self.temporal.child(), before_start=lose)

    def signing(self) -> dict[str, str]:
        """Return what leads to the signing keys."""
        return self._signing_variables()


@dataclass
class Bench(World):
    """The running servers, the links to them, and what tests do to both."""

    servers: Servers = field(kw_only=True)
    supervisor: Supervisor = field(kw_only=True)
    temporal: Link = field(kw_only=True)
    roles: list[Role] = field(default_factory=list[Role], kw_only=True)

    async def start(self, name: str, kind: str = "trading") -> Role:
        """Start a worker, and wait until it takes work; it reaches Temporal by the link."""
        folder = self.servers.folder
        config, log = folder.root / f"{name}.toml", folder.logs / f"{name}.log"
        ports = self.servers.ports
        text = folder.config.read_text()
        config.write_text(text.replace(f':{ports.temporal}"', f':{self.temporal.port}"'))
        failpoints = folder.root / f"{name}.failpoints"
        failpoints.write_text("")
        environment = clean_environment() | self.collector.environment
        environment |= {
            "HOLDFAST_CONFIG": str(config),
            "HOLDFAST_FAILPOINT": f"@{failpoints}",
            "HOLDFAST_FAILPOINT_DIR": str(self.marks),
        }
        secrets = self.servers.signing() if kind == "trading" else {}
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "workers.cli", "worker", kind),
                env=environment | secrets,
                cwd=ROOT,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        role = Role(name, kind, process, log, failpoints)
        self.roles.append(role)

        async def polls() -> bool:
            assert process.returncode is None, log.read_text()
            return role.says(POLLING)

        await self.stage.until(f"worker {name}", polls)
        return role

    async def posts(self, order_hash: str) -> list[dict[str, Any]]:
        """Return every sending of one order that reached the exchange."""
        rows = await self.stage.ledger("requests")
        return [
            row
            for row in rows
            if row["path"].endswith("/order") and row.get("order_hash") == order_hash
        ]

    async def looks(self, order_hash: str) -> list[dict[str, Any]]:
        """Return every look at one order that reached the exchange."""
        rows = await self.stage.ledger("requests")
        return [row for row in rows if row["path"].endswith(f"/data/order/{order_hash}")]

    async def state(self, signal_id: str) -> str | None:
        """Return the state of a signal's only order, None while there is none."""
        orders = await self.stage.rows("orders", signal_id=signal_id)
        return str(orders[0]["state"]) if orders else None

    def server_pid(self) -> int:
        """Return the Temporal server's process."""
        return self.supervisor.pids["temporal"]

    async def restart_temporal(self, *, is_empty: bool) -> None:
        """Kill the Temporal server; its supervisor starts it again, with or without its store."""
        pid = self.server_pid()
        if is_empty:
            self.servers.forgets.touch()
        os.kill(pid, signal.SIGKILL)

        async def is_back() -> bool:
            return self.supervisor.pids.get("temporal", pid) != pid

        await self.stage.until("the Temporal server", is_back)
        self.servers.forgets.unlink(missing_ok=True)


def made_folder() -> tuple[Folder, Path]:
    """Return a throw-away folder, and the one in it where failpoints leave their names."""
    root = Path(tempfile.mkdtemp(prefix="holdfast-outages-")).resolve() / "stack"
    root.mkdir()
    folder = Folder(root)
    folder.create()
    marks = root / "marks"
    marks.mkdir()
    return folder, marks


@asynccontextmanager
async def bench() -> AsyncGenerator[Bench]:
    """Raise the servers in a throw-away folder."""
    folder, marks = made_folder()
    async with AsyncExitStack() as cleanup:
        ports = cleanup.enter_context(reserved(folder.run / "ports.json", None))
        servers = Servers(folder=folder, ports=ports, keys=kept_keys(folder.keys))
        supervisor = await cleanup.enter_async_context(Supervisor(folder, lambda _: None))
        await servers.open(supervisor)
        link = await cleanup.enter_async_context(linked("127.0.0.1", ports.temporal))
        collector = cleanup.enter_context(collecting())
        http = await cleanup.enter_async_context(httpx.AsyncClient(timeout=10, trust_env=False))
        nobody = await asyncio.create_subprocess_exec("/bin/true")
        stage = Stage(folder.root, nobody, http)
        made = Bench(
            stage,
            folder.root / "none",
            marks,
            collector,
            servers=servers,
            supervisor=supervisor,
            temporal=link,
        )
        try:
            yield made
        finally:
            for role in made.roles:
                await role.kill()

"""`holdfast up`: everything on one machine in the foreground, until it is told to stop."""

import asyncio
import logging
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from rich.console import Console
from rich.table import Table

from domain.errors import HoldfastError
from infra.clock import monotonic_seconds
from infra.embedded.endpoints import Endpoints, remember_folder, write_endpoints
from infra.embedded.folder import Folder, claimed, refuse_strange
from infra.embedded.keys import kept_keys
from infra.embedded.ports import Ports, reserved
from infra.embedded.processes import end_in_order, end_strays, read_record
from infra.embedded.supervisor import Supervisor, processes_record
from workers.stack import COMMAND, Stack

log = logging.getLogger(__name__)

DEFAULT_DATA_DIR: Final = Path("~/.holdfast")
STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
PORTS_FILE: Final = "ports.json"


@dataclass(frozen=True, kw_only=True)
class UpOptions:
    """What the caller of `up` chose.

    Attributes:
        fresh: begin with an empty folder.
        port_base: first of the thirty ports; None is the one of last time.
        exchange: with the paper exchange; else the caller's HOLDFAST_CONFIG names one.
        on_ready: told once everything serves.
        command: how a role is started, before its arguments; it waits for the word to begin.
    """

    data_dir: Path = DEFAULT_DATA_DIR
    fresh: bool = False
    port_base: int | None = None
    exchange: bool = True
    on_ready: Callable[[Endpoints], None] | None = None
    command: tuple[str, ...] = COMMAND


class Live:
    """The stack's `endpoints.json`, there while everything serves, true after each restart."""

    def __init__(self, folder: Folder) -> None:
        self._path = folder.endpoints
        self._endpoints: Endpoints | None = None
        self.withdraw()

    def publish(self, endpoints: Endpoints) -> None:
        """Write the document."""
        self._endpoints = endpoints
        write_endpoints(self._path, endpoints)

    def note(self, pids: Mapping[str, int]) -> None:
        """Write the document again with the pids that are new."""
        if self._endpoints is not None:
            processes = self._endpoints.processes | dict(pids)
            self.publish(self._endpoints.model_copy(update={"processes": processes}))

    def withdraw(self) -> None:
        """Remove the document: nothing serves."""
        self._endpoints = None
        self._path.unlink(missing_ok=True)


async def run_up(options: UpOptions) -> int:
    """Run the stack until a signal ends it; return the exit code.

    Orders and state are left as they are: the next `up` on the folder continues.
    """
    console = Console()
    root = options.data_dir.expanduser().resolve()
    try:
        if options.fresh:
            refuse_strange(root)
        with claimed(root) as folder:
            await end_in_order(read_record(processes_record(folder)))
            await end_strays(folder.root)
            if options.fresh:
                folder.wipe()
            folder.create()
            with reserved(folder.run / PORTS_FILE, options.port_base) as ports:
                await _serve(options, folder, ports, console)
    except (HoldfastError, OSError) as error:
        told = Console(stderr=True)
        told.print(f"holdfast up: {error}", style="red", markup=False, soft_wrap=True)
        return 1
    return 0


async def _serve(options: UpOptions, folder: Folder, ports: Ports, console: Console) -> None:
    """Bring the stack up, say where it is, and stop it when a signal comes, however early."""
    stack = Stack(
        folder=folder,
        ports=ports,
        keys=kept_keys(folder.keys),
        has_paper=options.exchange,
        command=options.command,
    )
    live = Live(folder)
    stopped = _stop_signal()
    async with Supervisor(folder, live.note) as supervisor:
        began = monotonic_seconds()
        starting = asyncio.create_task(stack.come_up(supervisor))
        try:
            await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                live.publish(starting.result())
                live.note(supervisor.pids)
                _tell(console, starting.result(), folder, monotonic_seconds() - began)
                if options.on_ready is not None:
                    options.on_ready(starting.result())
                await stopped
            console.print("stopping; orders and state stay as they are")
        finally:
            live.withdraw()
            starting.cancel()
            await asyncio.wait({starting})


def _stop_signal() -> asyncio.Future[None]:
    """Return what is done once a signal asks this process to stop."""
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[None] = loop.create_future()

    def stop() -> None:
        if not stopped.done():
            stopped.set_result(None)

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # it is under nohup
        loop.add_signal_handler(signal.SIGHUP, stop)
    return stopped


def _tell(console: Console, endpoints: Endpoints, folder: Folder, seconds: float) -> None:
    """Print where everything is, and nothing that is secret."""
    remember_folder(folder.root)
    table = Table(title=f"holdfast is up after {seconds:.1f} s", title_justify="left")
    table.add_column("what")
    table.add_column("where", overflow="fold")
    database = urlsplit(endpoints.database.url)
    rows = {
        "API": endpoints.api.url,
        "API documentation": f"{endpoints.api.url}/docs",
        **{f"webhook {name}": one.url for name, one in endpoints.webhooks.items()},
        "Temporal": endpoints.temporal.address,
        "Temporal UI": endpoints.temporal.ui_url or "",
        "PostgreSQL": f"{database.hostname}:{database.port}{database.path}",
        "exchange": endpoints.exchange.clob_url,
        "keys and addresses": str(folder.endpoints),
        "logs": str(folder.logs),
    }
    for what, where in rows.items():
        table.add_row(what, where)
    console.print(table)
    console.print("Ctrl-C stops everything; orders and state stay as they are")

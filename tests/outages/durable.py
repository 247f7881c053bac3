"""A PostgreSQL of the tests' own, as `holdfast up` runs it, that can be stopped and choked."""

import asyncio
import resource
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from infra.embedded.postgres import Postgres, binaries, unprivileged_user
from tests.api.conftest import free_port

READY_SECONDS = 60
PASSWORD = "nobody"  # of a server that lives as long as one test run
UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


@dataclass
class Server:
    """The server, and what can happen to it."""

    postgres: Postgres
    log: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address without a database, as its superuser."""
        return f"postgresql://postgres:{PASSWORD}@127.0.0.1:{self.postgres.port}"

    def start(self) -> None:
        """Start it, after whatever happened to it before, and wait until it answers."""
        child = self.postgres.child()
        asyncio.run(_awaited(child.before_start()))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603  # our own words only
                child.argv, env=dict(child.env), stdout=log, stderr=log, user=child.user
            )
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                psycopg.connect(f"{self.url}/postgres", connect_timeout=2).close()
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.05)
            else:
                return

    def stop_immediately(self) -> None:
        """Do what `pg_ctl stop -m immediate` does: end at once, write nothing more."""
        assert self.process is not None
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(READY_SECONDS)

    @contextmanager
    def full_disk(self, largest_file: int) -> Generator[None]:
        """Let no file of the server grow beyond `largest_file` bytes."""
        _limit(self, (largest_file, resource.RLIM_INFINITY))
        try:
            yield
        finally:
            _limit(self, UNLIMITED)


async def _awaited(awaitable: Awaitable[None]) -> None:
    await awaitable


def _limit(server: Server, limits: tuple[int, int]) -> None:
    """Limit the files of the postmaster and of every process it has and will have."""
    assert server.process is not None
    postmaster = psutil.Process(server.process.pid)
    theirs = [process.pid for process in [postmaster, *postmaster.children()]]

    def limit() -> None:
        for pid in theirs:
            with suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)

    # Even the superuser may need to be their own user to set their limits.
    subprocess.run(["/bin/true"], user=unprivileged_user(), preexec_fn=limit, check=True)


@contextmanager
def durable_server(folder: Path) -> Generator[Server]:
    """Run a server in `folder`."""
    folder.chmod(0o755)
    server = Server(
        Postgres(cluster=folder / "cluster", port=free_port(), password=PASSWORD), folder / "log"
    )
    asyncio.run(server.postgres.prepare())
    # Files of its log smaller than the largest of `full_disk`, which is to hit the tables.
    argv = [binaries() / "pg_resetwal", "--wal-segsize=1", "-D", server.postgres.cluster]
    subprocess.run(argv, user=unprivileged_user(), check=True, stdout=subprocess.DEVNULL)  # noqa: S603
    server.start()
    try:
        yield server
    finally:
        server.stop_immediately()


async def within(seconds: float, happens: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something has happened."""
    deadline = time.monotonic() + seconds
    while not await happens():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.05)

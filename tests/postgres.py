"""One real PostgreSQL for the whole session, and a migrated database without rows for each test."""

import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import psycopg
import pytest

from infra.embedded.postgres import binaries, unprivileged_user
from infra.store.migrate import migrate
from infra.store.tables import Table

BINARIES = binaries()
START_SECONDS = 30
ROOM_BYTES = 2_000_000_000
names = itertools.count()


def _run(command: list[str], folder: Path, output: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start `command` in `folder`, as somebody else where we are root: PostgreSQL refuses root."""
    user = unprivileged_user()
    if user is not None:
        os.chown(folder, user, -1)
    return subprocess.Popen(  # noqa: S603  # our own words only
        command, cwd=folder, stdout=output, stderr=output, user=user
    )


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _quickest_disk() -> Path | None:
    """Return where a flush costs nothing, if there is room: commits wait for one, as always."""
    memory = Path("/dev/shm")  # noqa: S108
    is_roomy = memory.is_dir() and shutil.disk_usage(memory).free > ROOM_BYTES
    return memory if is_roomy else None


def _wait_until_up(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Return the address of a running server, without a database name."""
    folder = Path(tempfile.mkdtemp(prefix="holdfast-tests-", dir=_quickest_disk()))
    data, port = str(folder / "data"), _free_port()
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": str(folder),
        "max_connections": "120",
        "deadlock_timeout": "100ms",
    }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    with (folder / "log").open("wb") as log:
        initdb = [str(BINARIES / "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-N"]
        assert _run([*initdb, "-E", "UTF8"], folder, log).wait() == 0, (folder / "log").read_text()
        server = _run([str(BINARIES / "postgres"), "-D", data, *options], folder, log)
    try:
        url = f"postgresql://postgres@127.0.0.1:{port}"
        _wait_until_up(f"{url}/postgres", server)
        yield url
    finally:
        server.send_signal(signal.SIGQUIT)  # nothing here is worth a checkpoint
        server.wait(timeout=START_SECONDS)
        shutil.rmtree(folder)


def _create_database(postgres: str, name: str) -> str:
    with psycopg.connect(f"{postgres}/postgres", autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
    return f"{postgres}/{name}"


@pytest.fixture
def empty_database_url(postgres: str) -> str:
    """Return the address of a database in which nothing was ever created."""
    return _create_database(postgres, f"empty_{next(names)}")


@pytest.fixture(scope="session")
def migrated_url(postgres: str) -> str:
    """Return the address of a migrated database, the same for all tests."""
    url = _create_database(postgres, "migrated")
    migrate(url)
    return url


@pytest.fixture
def database_url(migrated_url: str) -> str:
    """Return the address of a migrated database without rows.

    Emptying one takes a hundredth of the files that copying a template would.
    """
    tables = ", ".join(str(table) for table in Table.metadata.sorted_tables)
    with psycopg.connect(migrated_url, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        admin.execute("SET session_replication_role = replica")  # the audit trail's own guard
        admin.execute(f"TRUNCATE {tables} RESTART IDENTITY".encode())
    return migrated_url

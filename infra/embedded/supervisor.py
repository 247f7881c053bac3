"""Keeps child processes alive: starts them, waits until they serve, restarts what dies."""

import asyncio
import logging
import os
import pwd
import signal
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psutil

from domain.errors import HoldfastError
from infra.clock import monotonic_seconds
from infra.embedded.folder import Folder
from infra.embedded.processes import Process, end_in_order, mark, write_record

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 2.0
STEADY_SECONDS: Final = 5.0  # who lived so long is restarted as if for the first time
READY_SECONDS: Final = 60.0
READY_GLANCE_SECONDS: Final = 0.05
DEATHS_AT_START: Final = 3  # more is no accident: give up with the child's last words
SPARE_AFTER_SECONDS: Final = 3.0
# What may hinder a start for a while: no process or memory to be had, a full disk, a process that
# ended while it was looked at.
TROUBLE: Final = (OSError, psutil.Error, HoldfastError)
LAST_WORDS_BYTES: Final = 2_000
LONGEST_LOG_BYTES: Final = 20_000_000


class ChildError(HoldfastError):
    """A child did not come up; the message ends with the last lines of its log."""


async def _nothing() -> None:
    """Do nothing before a start."""


async def _at_once() -> bool:
    """Call a child ready as soon as it runs."""
    return True


@dataclass(frozen=True, kw_only=True)
class Child:
    """What to run and how to tell that it serves.

    Attributes:
        env: the whole environment, nothing is inherited.
        rank: lower ranks are stopped first.
        user: uid to run as; None is ours.
        waits: it loads, then waits for a line on its standard input before it begins. So it
            can be loaded early, and a second one is kept loaded to begin when the first dies.
        before_start: run before each start, so also before each restart.
        is_ready: asked again and again until it says yes.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    rank: int = 0
    stop_signal: signal.Signals = signal.SIGTERM
    user: int | None = None
    waits: bool = False
    before_start: Callable[[], Awaitable[None]] = _nothing
    is_ready: Callable[[], Awaitable[bool]] = _at_once


@dataclass(frozen=True, kw_only=True)
class Running:
    """A child as it runs now."""

    process: Process
    handle: asyncio.subprocess.Process


class Supervisor:
    """Runs the children of one folder; leaving the `async with` block stops them in order.

    Args:
        folder: where their logs and the record of what runs go.
        on_change: told the pid of every running child after each start of one.
    """

    def __init__(self, folder: Folder, on_change: Callable[[Mapping[str, int]], None]) -> None:
        self._folder = folder
        self._on_change = on_change
        self._running: dict[str, Running] = {}
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._deaths: dict[str, int] = {}
        self._spares: dict[str, Running] = {}
        self._loaders: dict[str, asyncio.Task[None]] = {}
        self._watchers: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        """Nothing runs yet."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop every child, whatever ended the block."""
        await self.stop()

    @property
    def pids(self) -> dict[str, int]:
        """The pid of every running child, by name."""
        return {name: running.process.pid for name, running in self._running.items()}

    async def start(self, child: Child) -> None:
        """Run `child`, wait until it serves, and restart it whenever it dies from then on.

        Raises:
            ChildError: it kept dying, or was not ready in time.
        """
        self._deaths[child.name] = 0
        self._keepers[child.name] = asyncio.create_task(self._keep(child))
        deadline = monotonic_seconds() + READY_SECONDS
        while not (child.name in self._running and await child.is_ready()):
            self._check_keeper(child)
            if self._deaths[child.name] >= DEATHS_AT_START:
                raise ChildError(f"{child.name} ends at once: {self._last_words(child)}")
            if monotonic_seconds() > deadline:
                raise ChildError(f"{child.name} is not ready: {self._last_words(child)}")
            await asyncio.sleep(READY_GLANCE_SECONDS)
        log.info("child.ready", extra={"child": child.name, "pid": self.pids.get(child.name)})
        self._load_spare(child)

    async def load(self, child: Child) -> None:
        """Start the process of a child that waits, ahead of its start or as a spare."""
        spare = self._spares.get(child.name)
        if spare is None or spare.handle.returncode is not None:
            self._spares[child.name] = await self._launch(child)
            self._write_record()

    async def run_once(self, child: Child) -> None:
        """Run `child` to its end.

        Raises:
            ChildError: it failed.
        """
        running = await self._spawn(child)
        code = await running.handle.wait()
        self._forget(child)
        if code != 0:
            raise ChildError(f"{child.name} failed with {code}: {self._last_words(child)}")

    async def stop(self) -> None:
        """Stop every child, lower ranks first; wait for each, kill who takes too long."""
        tasks = [*self._keepers.values(), *self._loaders.values(), *self._watchers.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        left = [*self._spares.values(), *self._running.values()]
        await end_in_order([one.process for one in left])
        await asyncio.gather(*(one.handle.wait() for one in left))
        self._running.clear()
        self._spares.clear()
        self._write_record()

    async def _keep(self, child: Child) -> None:
        """Run `child` again and again, with a growing pause while it dies young."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            began = monotonic_seconds()
            running = await self._spawned(child)
            self._tell_change()
            if self._loaders.get(child.name):
                self._load_spare(child)
            if self._deaths[child.name]:
                self._watchers[child.name] = asyncio.create_task(self._ready_again(child))
            code = await running.handle.wait()
            self._forget(child)
            if child.name in self._watchers:
                self._watchers[child.name].cancel()
            self._deaths[child.name] += 1
            log.warning("child.died", extra={"child": child.name, "code": code})
            if monotonic_seconds() - began > STEADY_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _spawned(self, child: Child) -> Running:
        """Start `child`; once it has run, a hindered start is tried again and again."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                return await self._spawn(child)
            except TROUBLE as error:
                if not self._deaths[child.name]:
                    raise  # `start` tells it
                log.error("child.not_started", extra={"child": child.name}, exc_info=error)  # noqa: TRY400
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _ready_again(self, child: Child) -> None:
        """Wait until a restarted child serves: some are prepared by being asked."""
        is_ready = False
        while not is_ready:
            await asyncio.sleep(READY_GLANCE_SECONDS)
            try:
                is_ready = await child.is_ready()
            except TROUBLE as error:
                log.warning("child.not_asked", extra={"child": child.name, "why": str(error)})
        log.info("child.ready_again", extra={"child": child.name})

    async def _spawn(self, child: Child) -> Running:
        """Start `child`, or let its spare begin, and put it on record."""
        await child.before_start()
        spare = self._spares.pop(child.name, None)
        is_loaded = spare is not None and spare.handle.returncode is None
        running = spare if spare is not None and is_loaded else await self._launch(child)
        if running.handle.stdin is not None:
            running.handle.stdin.write(b"begin\n")
            running.handle.stdin.close()
        self._running[child.name] = running
        self._write_record()
        told = {"child": child.name, "pid": running.process.pid, "was_loaded": is_loaded}
        log.info("child.started", extra=told)
        return running

    async def _launch(self, child: Child) -> Running:
        """Start the process of `child`."""
        with _log_of(self._folder, child).open("ab") as output:
            handle = await asyncio.create_subprocess_exec(
                *child.argv,
                env={**child.env, **mark(self._folder.root)},
                cwd=self._folder.root,
                stdin=asyncio.subprocess.PIPE if child.waits else asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # a terminal's Ctrl-C reaches us alone: we know the order
                user=child.user,
                group=None if child.user is None else pwd.getpwuid(child.user).pw_gid,
                extra_groups=None if child.user is None else [],
            )
        return Running(process=_on_record(child, handle.pid), handle=handle)

    def _load_spare(self, child: Child) -> None:
        """Have a spare of `child` loaded once the machine has had time for `child` itself."""
        if child.waits:
            self._loaders[child.name] = asyncio.create_task(self._load_later(child))

    async def _load_later(self, child: Child) -> None:
        """Wait, then load a spare, if there is none."""
        await asyncio.sleep(SPARE_AFTER_SECONDS)
        await self.load(child)

    def _forget(self, child: Child) -> None:
        """Take an ended child off the record."""
        self._running.pop(child.name, None)
        self._write_record()

    def _write_record(self) -> None:
        """Write down what runs; a full disk keeps nothing from being kept alive."""
        running = [*self._running.values(), *self._spares.values()]
        with _noting_trouble("supervisor.record_not_written"):
            write_record(processes_record(self._folder), (one.process for one in running))

    def _tell_change(self) -> None:
        """Tell the pid of every running child."""
        with _noting_trouble("supervisor.change_not_told"):
            self._on_change(self.pids)

    def _check_keeper(self, child: Child) -> None:
        """Raise what ended the keeper of `child`, if it ended: it cannot start at all."""
        keeper = self._keepers[child.name]
        if keeper.done():
            keeper.result()

    def _last_words(self, child: Child) -> str:
        """Return the end of a child's log."""
        path = _log_of(self._folder, child)
        words = path.read_bytes()[-LAST_WORDS_BYTES:].decode(errors="replace").strip()
        return f"see {path}\n{words}"


@contextmanager
def _noting_trouble(event: str) -> Generator[None]:
    """Go on where the disk refuses a note, and say so."""
    try:
        yield
    except OSError as error:
        log.error(event, exc_info=error)  # noqa: TRY400


def processes_record(folder: Folder) -> Path:
    """Return the file that names what runs in `folder`."""
    return folder.run / "processes.json"


def _log_of(folder: Folder, child: Child) -> Path:
    """Return the log of `child`; a very long one is put aside first."""
    path = folder.logs / f"{child.name}.log"
    if path.exists() and path.stat().st_size > LONGEST_LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return path


def _on_record(child: Child, pid: int) -> Process:
    """Return the record of a child just started; one already dead has no start time left."""
    try:
        created = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        created = 0.0
    return Process(
        name=child.name,
        pid=pid,
        created=created,
        argv=child.argv,
        stop_signal=child.stop_signal,
        rank=child.rank,
    )


def clean_environment() -> dict[str, str]:
    """Return our environment without what would steer a child elsewhere.

    A stray TEMPORAL_ADDRESS or TEMPORAL_API_KEY sends clients to another cluster, PG… another
    database; HOLDFAST_… would overrule the files the children are given. Failpoints pass.
    """
    kept = {"HOLDFAST_FAILPOINT", "HOLDFAST_FAILPOINT_DIR"}
    strays = ("TEMPORAL_", "HOLDFAST_", "PG")
    return {
        name: value
        for name, value in os.environ.items()
        if name in kept or not name.startswith(strays)
    }

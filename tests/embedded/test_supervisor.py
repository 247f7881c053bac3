"""Children are kept alive, stopped in order, and never left behind."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from infra.clock import monotonic_seconds
from infra.embedded.folder import Folder
from infra.embedded.processes import (
    Process,
    end_in_order,
    end_strays,
    is_living,
    mark,
    read_record,
    write_record,
)
from infra.embedded.supervisor import (
    Child,
    ChildError,
    Supervisor,
    clean_environment,
    processes_record,
)

pytestmark = pytest.mark.services

SLEEPER = "import time; time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); {}"
TELLER = """
import os, signal, sys, time
def stop(number, frame):
    time.sleep(0.2)
    with open(sys.argv[1], "a") as said:
        said.write(sys.argv[2] + " ")
    os._exit(0)
signal.signal(signal.SIGTERM, stop)
open(sys.argv[1] + "." + sys.argv[2], "w").close()
time.sleep(600)
"""
WAITER = """
import sys, time
print("loaded", flush=True)
word = sys.stdin.readline()
print("began" if word else "dismissed", flush=True)
if word:
    time.sleep(600)
"""
KEEPER = """
import asyncio, pathlib, sys
from infra.embedded.folder import Folder
from infra.embedded.supervisor import Child, Supervisor
async def keep():
    folder = Folder(pathlib.Path(sys.argv[1]))
    async with Supervisor(folder, lambda pids: None) as supervisor:
        for name in ("one", "two"):
            argv = (sys.executable, "-c", "import time; time.sleep(600)", name)
            await supervisor.start(Child(name=name, argv=argv, env={}))
        print("ready", flush=True)
        await asyncio.sleep(600)
asyncio.run(keep())
"""


class Pids:
    """What a supervisor told of its children."""

    def __init__(self) -> None:
        self.told: list[dict[str, int]] = []

    def __call__(self, pids: Mapping[str, int]) -> None:
        self.told.append(dict(pids))


def python(name: str, program: str, *arguments: str, rank: int = 0) -> Child:
    argv = (sys.executable, "-c", program, *arguments)
    return Child(name=name, argv=argv, env=clean_environment(), rank=rank)


async def until(condition: Callable[[], bool]) -> None:
    deadline = monotonic_seconds() + 20
    while not condition():
        assert monotonic_seconds() < deadline, "it never happened"
        await asyncio.sleep(0.01)


@contextmanager
def running(*argv: str, **variables: str) -> Generator[subprocess.Popen[bytes]]:
    environment = {**os.environ, **variables}
    with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE) as made:  # noqa: S603
        try:
            yield made
        finally:
            made.kill()


def first_line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    return process.stdout.readline()


async def never() -> bool:
    return False


@pytest.fixture
def stranger() -> Generator[subprocess.Popen[bytes]]:
    with running(sys.executable, "-c", SLEEPER) as made:
        yield made


def on_record(pid: int, argv: tuple[str, ...], created: float, stop: int = 15) -> Process:
    return Process(name="x", pid=pid, created=created, argv=argv, stop_signal=stop, rank=0)


async def test_a_killed_child_is_started_again_and_its_new_pid_is_told(folder: Folder) -> None:
    pids = Pids()
    async with Supervisor(folder, pids) as supervisor:
        await supervisor.start(python("one", SLEEPER))
        first = supervisor.pids["one"]
        os.kill(first, signal.SIGKILL)
        await until(lambda: len(pids.told) == 2)

        second = supervisor.pids["one"]
        assert pids.told == [{"one": first}, {"one": second}]
        assert [one.pid for one in read_record(processes_record(folder))] == [second]
        assert psutil.pid_exists(second)

    assert not psutil.pid_exists(second)


async def test_a_start_that_is_hindered_after_a_kill_is_tried_again(folder: Folder) -> None:
    hindrances = [BlockingIOError("no process to be had"), psutil.AccessDenied(1)]
    starts: list[int] = []

    async def prepare() -> None:
        starts.append(1)
        if len(starts) > 1 and hindrances:
            raise hindrances.pop()

    child = replace(python("one", SLEEPER), before_start=prepare)
    async with Supervisor(folder, Pids()) as supervisor:
        await supervisor.start(child)
        before = supervisor.pids["one"]
        os.kill(before, signal.SIGKILL)
        await until(lambda: supervisor.pids.get("one", before) != before)

        assert psutil.pid_exists(supervisor.pids["one"])
    assert hindrances == []


async def test_e8_a_disk_that_takes_no_note_does_not_keep_a_child_from_being_restarted(
    folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(pids: Mapping[str, int]) -> None:
        assert pids
        raise OSError(28, "No space left on device")

    async with Supervisor(folder, refuse) as supervisor:
        await supervisor.start(python("one", SLEEPER))
        processes_record(folder).unlink()
        processes_record(folder).mkdir()  # no record can be written any more
        before = supervisor.pids["one"]
        os.kill(before, signal.SIGKILL)
        await until(lambda: supervisor.pids.get("one", before) != before)

        assert psutil.pid_exists(supervisor.pids["one"])
        ours = [one for one in psutil.Process().children() if SLEEPER in one.cmdline()]
        assert len(ours) == 1, "one child, and no more"
    assert {"supervisor.change_not_told", "supervisor.record_not_written"} <= set(caplog.messages)


async def test_a_loaded_spare_begins_where_its_child_was_killed(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.embedded.supervisor.SPARE_AFTER_SECONDS", 0)
    pids, child = Pids(), replace(python("worker", WAITER), waits=True)
    said = folder.logs / "worker.log"

    def words() -> list[str]:
        return sorted(said.read_text().split())

    async with Supervisor(folder, pids) as supervisor:
        await supervisor.load(child)
        loaded = read_record(processes_record(folder))[0].pid
        await supervisor.start(child)
        assert supervisor.pids == {"worker": loaded}
        # The next spare loads beside the child that begins: either may speak first.
        await until(lambda: said.exists() and words() == ["began", "loaded", "loaded"])
        await until(lambda: len(read_record(processes_record(folder))) == 2)
        spare = read_record(processes_record(folder))[1].pid

        os.kill(loaded, signal.SIGKILL)

        await until(lambda: pids.told[-1] == {"worker": spare})
        await until(lambda: words() == ["began"] * 2 + ["loaded"] * 3)
        left = [one.pid for one in read_record(processes_record(folder))]
    assert not [pid for pid in left if psutil.pid_exists(pid)]


async def test_a_spare_that_died_is_no_obstacle(folder: Folder) -> None:
    child = replace(python("worker", WAITER), waits=True)
    async with Supervisor(folder, Pids()) as supervisor:
        await supervisor.load(child)
        dead = read_record(processes_record(folder))[0].pid
        os.kill(dead, signal.SIGKILL)
        await until(lambda: not psutil.pid_exists(dead))

        await supervisor.start(child)

        assert psutil.pid_exists(supervisor.pids["worker"])


async def test_a_child_that_cannot_start_is_given_up_with_its_last_words(folder: Folder) -> None:
    async with Supervisor(folder, Pids()) as supervisor:
        child = replace(python("one", "raise SystemExit('no such market')"), is_ready=never)
        with pytest.raises(ChildError, match="no such market"):
            await supervisor.start(child)


async def test_a_program_that_does_not_exist_is_told_at_once(folder: Folder) -> None:
    async with Supervisor(folder, Pids()) as supervisor:
        with pytest.raises(FileNotFoundError):
            await supervisor.start(Child(name="one", argv=("/nowhere/program",), env={}))


async def test_a_failed_command_is_an_error_with_its_last_words(folder: Folder) -> None:
    async with Supervisor(folder, Pids()) as supervisor:
        await supervisor.run_once(python("migrate", "print('done')"))
        with pytest.raises(ChildError, match="no such table"):
            await supervisor.run_once(python("migrate", "raise SystemExit('no such table')"))


async def test_children_are_stopped_rank_by_rank(folder: Folder) -> None:
    said = folder.root / "said"
    async with Supervisor(folder, Pids()) as supervisor:
        for rank, name in ((3, "database"), (0, "worker"), (1, "exchange")):
            await supervisor.start(python(name, TELLER, str(said), name, rank=rank))
            await until(Path(f"{said}.{name}").exists)

    assert said.read_text().split() == ["worker", "exchange", "database"]
    assert read_record(processes_record(folder)) == []


async def test_what_does_not_stop_in_time_is_killed() -> None:
    argv = (sys.executable, "-c", STUBBORN.format(SLEEPER))
    with running(*argv) as stubborn:
        assert first_line(stubborn) == b"\n"
        created = psutil.Process(stubborn.pid).create_time()

        await end_in_order([on_record(stubborn.pid, argv, created)], patience=0.2)

        assert stubborn.wait() == -signal.SIGKILL


async def test_the_orphans_of_a_killed_supervisor_are_ended_by_the_next_start(
    folder: Folder,
) -> None:
    with running(sys.executable, "-c", KEEPER, str(folder.root)) as keeper:
        assert first_line(keeper) == b"ready\n"
        orphans = read_record(processes_record(folder))
    assert [is_living(one) for one in orphans] == [True, True]

    await end_in_order(read_record(processes_record(folder)))

    assert [is_living(one) for one in orphans] == [False, False]


async def test_a_stranger_that_was_given_the_pid_of_a_child_is_left_alone(
    folder: Folder, stranger: subprocess.Popen[bytes]
) -> None:
    argv = (sys.executable, "-c", SLEEPER)
    created = psutil.Process(stranger.pid).create_time()
    record = processes_record(folder)
    earlier = on_record(stranger.pid, argv, created - 100)
    other = on_record(stranger.pid, (*argv, "other"), created)
    write_record(record, [earlier, other])

    await end_in_order(read_record(record))

    assert stranger.poll() is None


async def test_a_child_that_came_on_no_record_is_ended_all_the_same(
    folder: Folder, stranger: subprocess.Popen[bytes]
) -> None:
    speaks = f"print('here', flush=True); {SLEEPER}"
    with running(sys.executable, "-c", speaks, **mark(folder.root)) as stray:
        assert first_line(stray) == b"here\n"  # its environment can be read from now on

        await end_strays(folder.root)

        assert not psutil.pid_exists(stray.pid)
    assert stranger.poll() is None


def test_a_damaged_record_names_nobody(folder: Folder) -> None:
    processes_record(folder).write_text('[{"pid": 1}]')

    assert read_record(processes_record(folder)) == []


def test_a_childs_environment_cannot_lead_it_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TEMPORAL_ADDRESS", "TEMPORAL_API_KEY", "PGHOST", "HOLDFAST_DATABASE_URL"):
        monkeypatch.setenv(name, "elsewhere")
    monkeypatch.setenv("HOLDFAST_FAILPOINT", "after_post")

    environment = clean_environment()

    assert "elsewhere" not in environment.values()
    assert environment["HOLDFAST_FAILPOINT"] == "after_post"
    assert environment["PATH"] == os.environ["PATH"]

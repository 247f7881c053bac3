"""The processes of a stack, on record, so that the next start can end what a crash left."""

import asyncio
import json
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

import psutil

from infra.clock import monotonic_seconds
from infra.embedded.folder import write_private
from infra.settings import MARK_VARIABLE

log = logging.getLogger(__name__)

PATIENCE_SECONDS: Final = 10.0  # what a child is given to stop by itself before it is killed
GLANCE_SECONDS: Final = 0.02
SAME_START_SECONDS: Final = 2.0  # a corrected clock moves what the kernel calls a start time


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process as it was started.

    Attributes:
        created: start time in unix seconds; with `argv` it tells a process from a later one
            that was given the same pid.
        stop_signal: what makes it stop in good order.
        rank: lower ranks are stopped first.
    """

    name: str
    pid: int
    created: float
    argv: tuple[str, ...]
    stop_signal: int
    rank: int


def write_record(path: Path, processes: Iterable[Process]) -> None:
    """Replace the record."""
    write_private(path, json.dumps([asdict(one) for one in processes], indent=1))


def read_record(path: Path) -> list[Process]:
    """Return what the record names, nothing if there is none or it is damaged."""
    try:
        rows = json.loads(path.read_text())
        return [Process(**row | {"argv": tuple(row["argv"])}) for row in rows]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def is_living(process: Process) -> bool:
    """Tell whether this very process still runs."""
    try:
        found = psutil.Process(process.pid)
        if found.status() == psutil.STATUS_ZOMBIE:
            return False
        same_start = abs(found.create_time() - process.created) < SAME_START_SECONDS
        return same_start and tuple(found.cmdline()) == process.argv
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


async def end_in_order(processes: Sequence[Process], patience: float = PATIENCE_SECONDS) -> None:
    """Stop what still runs, rank by rank; kill what has not stopped within `patience` seconds."""
    living = sorted((one for one in processes if is_living(one)), key=lambda one: one.rank)
    for _, rank in groupby(living, key=lambda one: one.rank):
        await asyncio.gather(*(_end(one, patience) for one in rank))


async def end_strays(folder: Path) -> None:
    """Kill what runs for `folder` and is on no record: a crash came between start and note."""
    strays = [one for one in psutil.process_iter() if _is_marked(one, folder)]
    for stray in strays:
        log.warning("process.stray_killed", extra={"pid": stray.pid})
        with suppress(psutil.NoSuchProcess):
            stray.kill()
    await asyncio.to_thread(psutil.wait_procs, strays, PATIENCE_SECONDS)


def mark(folder: Path) -> dict[str, str]:
    """Return the environment variable by which a process is known as one of `folder`."""
    return {MARK_VARIABLE: str(folder)}


def _is_marked(process: psutil.Process, folder: Path) -> bool:
    """Tell whether a process was started for `folder`."""
    try:
        return process.environ().get(MARK_VARIABLE) == str(folder)
    except (psutil.Error, OSError):
        return False


async def _end(process: Process, patience: float) -> None:
    """Ask a process to stop and wait until it has; then insist."""
    _signal(process, process.stop_signal)
    if not await _is_gone(process, patience):
        log.warning("process.killed", extra={"child": process.name, "pid": process.pid})
        _signal(process, 9)
        await _is_gone(process, patience)


async def _is_gone(process: Process, patience: float) -> bool:
    """Wait up to `patience` seconds for the end of a process; tell whether it came."""
    deadline = monotonic_seconds() + patience
    while is_living(process):
        if monotonic_seconds() > deadline:
            return False
        await asyncio.sleep(GLANCE_SECONDS)
    return True


def _signal(process: Process, number: int) -> None:
    """Send a signal to this very process, if it still runs."""
    with suppress(psutil.NoSuchProcess):
        if is_living(process):
            psutil.Process(process.pid).send_signal(number)

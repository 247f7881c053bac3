"""`holdfast doctor`: what a careful operator would look at, in order, with the remedy for each."""

import os
import shutil
import stat
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from infra.telemetry import printable
from workers.cli_client import FAILED, CommandError, UnreachableError
from workers.cli_finding import Finding, green, red, yellow
from workers.cli_health import (
    account_states,
    api_readiness,
    exchange_clock,
    guardians,
    held_back,
    old_doubts,
    registry,
    waiting_signals,
)
from workers.cli_output import write_document
from workers.cli_pollers import task_queues
from workers.cli_stack import FILE, Stack, found_stack
from workers.cli_tables import STATE_STYLES, console

OWNER_ONLY: Final = 0o600
GIGABYTE: Final = 1_000_000_000
LEAST_FREE: Final = 1 * GIGABYTE
ENOUGH_FREE: Final = 5 * GIGABYTE
MARKS: Final = {"green": "ok", "yellow": "look", "red": "fault"}
WIDEST_MARK: Final = max(map(len, MARKS.values()))

Check = Callable[[Stack], Iterator[Finding]]


def doctor(args: Namespace) -> int:
    """Show every finding; 1 if any is red."""
    findings = list(_findings())
    counts = Counter(finding.level for finding in findings)
    if args.json:
        numbered = [{"number": n, **asdict(one)} for n, one in enumerate(findings, 1)]
        totals = {level: counts[level] for level in MARKS}
        write_document({"findings": numbered, **totals})
    else:
        _show(findings, counts, console())
    return FAILED if counts["red"] else 0


def _findings() -> Iterator[Finding]:
    """Yield what is found, the cause before what follows from it."""
    try:
        stack = found_stack()
    except CommandError as error:
        yield red("stack", str(error), "start it with `holdfast up`")
        yield from _machine(Path.home())
        return
    yield green("stack", f"its folder is {stack.folder}")
    with stack:
        for check in CHECKS:
            try:
                yield from check(stack)
            except UnreachableError:
                yield yellow(_name(check), "not looked at: the API does not answer", "mend the API")
            except CommandError as error:
                yield yellow(_name(check), f"not looked at: {error}", "mend the API")
    yield from _machine(stack.folder)


def _name(check: Check) -> str:
    return check.__name__.strip("_").replace("_", " ")


def _file_mode(stack: Stack) -> Iterator[Finding]:
    """Nobody but its owner may read a file that holds keys."""
    path = stack.folder / FILE
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode == OWNER_ONLY:
        yield green("endpoints file", "mode 0600")
    else:
        yield red("endpoints file", f"mode {mode:04o}: others may read keys", f"chmod 600 {path}")


def _processes(stack: Stack) -> Iterator[Finding]:
    """A process that `up` names is there, or just being restarted."""
    told: dict[str, int] = stack.told["processes"]
    gone = [f"{name} ({pid})" for name, pid in told.items() if not _runs(pid)]
    if gone:
        logs = stack.folder / "logs"
        remedy = f"`up` restarts what dies: if it stays away, start `holdfast up` or read {logs}"
        yield red("processes", f"gone: {', '.join(gone)}", remedy)
    else:
        yield green("processes", f"{len(told)} run: {', '.join(told)}")


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it runs, and is somebody else's
        return True
    return True


def _machine(folder: Path) -> Iterator[Finding]:
    """Yield what is to say of this machine, whatever runs."""
    if find_spec("coincurve") is None:
        remedy = "install what requirements.lock pins (`make install`)"
        yield yellow("signing", "coincurve is missing: a signature takes 3 ms, not 0.4", remedy)
    else:
        yield green("signing", "coincurve is there")
    free = shutil.disk_usage(folder if folder.exists() else Path.home()).free
    words = f"{free / GIGABYTE:.1f} GB free at {folder}"
    if free < LEAST_FREE:
        yield red("disk", words, "make room: PostgreSQL stops when the disk is full")
    elif free < ENOUGH_FREE:
        yield yellow("disk", words, "make room soon")
    else:
        yield green("disk", words)


def _show(findings: list[Finding], counts: Counter[str], screen: Console) -> None:
    """Print the findings, each with its remedy below it."""
    table = Table(box=None, padding=(0, 1, 0, 0), show_header=False)
    table.add_column(justify="right")
    table.add_column(min_width=WIDEST_MARK)
    table.add_column(ratio=1)
    for number, finding in enumerate(findings, 1):
        line = Text(f"{finding.check}: ", style="bold").append(
            printable(finding.detail), "not bold"
        )
        if finding.remedy:
            line.append(f"\n→ {printable(finding.remedy)}", style="cyan")
        mark = Text(MARKS[finding.level], style=STATE_STYLES[finding.level])
        table.add_row(f"{number}.", mark, line)
    screen.print(table)
    totals = ", ".join(f"{counts[level]} {level}" for level in MARKS if counts[level])
    screen.print(Text(totals, style="bold"))


CHECKS: Final[tuple[Check, ...]] = (
    _file_mode,
    _processes,
    api_readiness,
    task_queues,
    exchange_clock,
    registry,
    account_states,
    guardians,
    held_back,
    waiting_signals,
    old_doubts,
)

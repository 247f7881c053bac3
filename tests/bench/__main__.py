"""`python -m tests.bench`: measure, print a table, write JSON."""

import argparse
import asyncio
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Final

import httpx
import psycopg
from rich.console import Console
from temporalio.exceptions import TemporalError

from infra.clock import monotonic_seconds, utc_now
from tests.bench.report import Report, load, machine, show
from tests.bench.rounds import MEASUREMENTS, QUICK, Lengths, Run, rows, warm
from tests.bench.stage import ROOT, StageError, folder, staged

RESULTS: Final = ROOT / "build" / "bench"
# How long one measurement of one round may take, in seconds; several times what it needs.
LIMITS: Final = {
    "signing": 30,
    "answer": 90,
    "burst": 60,
    "trade": 90,
    "sustained": 150,
    "recovery": 240,
}
WHOLE_SECONDS: Final = 540.0  # what would begin later is left out, and said to be
FAULTS: Final = (StageError, OSError, RuntimeError, TemporalError, psycopg.Error, httpx.HTTPError)
told = Console(stderr=True, highlight=False)


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    made = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    made.add_argument("--quick", action="store_true", help="one short round: a look, no result")
    made.add_argument("--rounds", type=int, help="how often everything is measured (3)")
    made.add_argument("--only", choices=MEASUREMENTS, action="append", help="measure this alone")
    made.add_argument("--json", type=Path, help="where to write the result")
    return made


async def measured(lengths: Lengths, names: list[str]) -> Report:
    """Run the measurements, round by round, and return what they found."""
    report = Report(machine=machine())
    with folder() as root:
        told.print("starting the stack and what is measured beside it")
        async with staged(root) as stage:
            run = Run(stage=stage, root=root, lengths=lengths, report=report)
            began = monotonic_seconds()
            await warm(run)
            for run.number in range(lengths.rounds):
                for name in names:
                    is_late = monotonic_seconds() - began > WHOLE_SECONDS
                    if is_late:
                        report.failures.append(f"{name}, round {run.number + 1}: left out, late")
                        continue
                    await _one(run, name)
        report.machine["load_after"] = load()
        report.rows = rows(run)
    return report


async def _one(run: Run, name: str) -> None:
    """Make one measurement of one round; one that fails leaves the others be."""
    began = monotonic_seconds()
    try:
        async with asyncio.timeout(LIMITS[name]):
            await MEASUREMENTS[name](run)
    except FAULTS as error:
        why = str(error) or type(error).__name__
        run.report.failures.append(f"{name}, round {run.number + 1}: {why}")
        told.print_exception() if told.is_terminal else traceback.print_exc()
    seconds = monotonic_seconds() - began
    told.print(f"round {run.number + 1}: {name} took {seconds:.0f} s, load {load()}")


def main() -> int:
    """Measure; 1 says that something could not be measured, whatever the figures are."""
    asked = parser().parse_args()
    lengths = QUICK if asked.quick else Lengths()
    if asked.rounds is not None:
        lengths = replace(lengths, rounds=asked.rounds)
    report = asyncio.run(measured(lengths, asked.only or list(MEASUREMENTS)))
    path = asked.json or RESULTS / f"{utc_now():%Y%m%d-%H%M%S}.json"
    report.write(path)
    show(report, path)
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())

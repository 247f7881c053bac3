"""One finding of the doctor: how bad it is, what was seen, and what to do."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["green", "yellow", "red"]


@dataclass(frozen=True)
class Finding:
    """What one look came to.

    Attributes:
        remedy: what to do; None where nothing is to be done.
    """

    level: Level
    check: str
    detail: str
    remedy: str | None = None


def green(check: str, detail: str) -> Finding:
    """Return a finding that is as it should be."""
    return Finding("green", check, detail)


def yellow(check: str, detail: str, remedy: str) -> Finding:
    """Return a finding that is worth a look."""
    return Finding("yellow", check, detail, remedy)


def red(check: str, detail: str, remedy: str) -> Finding:
    """Return a finding that keeps the engine from its work."""
    return Finding("red", check, detail, remedy)

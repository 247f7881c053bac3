"""How long calls took: counts in buckets of fixed edges, which can be added up and read later."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

GROWTH: Final = 1.25  # each edge is a quarter above the one below: that is the error of a reading
FIRST_MS: Final = 0.1
EDGES_MS: Final = tuple(round(FIRST_MS * GROWTH**step, 3) for step in range(52))  # up to 8.7 s
BUCKETS: Final = len(EDGES_MS) + 1  # the last one is for whatever took longer
PERCENTILES: Final = (50, 95, 99)


def no_counts() -> list[int]:
    """Return the counts of nothing."""
    return [0] * BUCKETS


def bucket_of(milliseconds: float) -> int:
    """Return the bucket in which a duration is counted."""
    return bisect_left(EDGES_MS, milliseconds)


def added(counts: Iterable[Sequence[int]]) -> list[int]:
    """Return the sum of several counts."""
    return [sum(each) for each in zip(no_counts(), *counts, strict=True)]


def percentile(counts: Sequence[int], percent: int) -> float | None:
    """Return the upper edge of the bucket in which the percentile lies; None of nothing.

    What took longer than the last edge is told as that edge.
    """
    total = sum(counts)
    if total == 0:
        return None
    rank, seen = -(-total * percent // 100), 0
    for edge, count in zip(EDGES_MS, counts, strict=False):
        seen += count
        if seen >= rank:
            return edge
    return EDGES_MS[-1]


@dataclass(kw_only=True)
class CallCounts:
    """What one process saw of one endpoint and status within one minute.

    Attributes:
        connects_ms: of calls that opened a connection; first_bytes_ms: of those answered at all.
        retries: calls that were made again by ourselves.
    """

    calls: int = 0
    connects_ms: list[int] = field(default_factory=no_counts)
    first_bytes_ms: list[int] = field(default_factory=no_counts)
    totals_ms: list[int] = field(default_factory=no_counts)
    bytes_out: int = 0
    bytes_in: int = 0
    retries: int = 0

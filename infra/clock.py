"""The only place that reads the time."""

import time
from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the moment now, in UTC."""
    return datetime.now(UTC)


def monotonic_seconds() -> float:
    """Return seconds of a clock that never steps back, for measuring durations."""
    return time.monotonic()

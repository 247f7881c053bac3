"""How much may be stored for senders who prove nothing."""

from dataclasses import dataclass
from typing import Final

STRANGERS_AT_ONCE: Final = 1_000  # unproven arrivals stored in a burst; 64 KiB each at most,
STRANGERS_A_SECOND: Final = 10  # and so many more each second; beyond that none is stored


@dataclass
class Strangers:
    """How many unproven arrivals may still be stored: so many at once, so many a second.

    Moments are seconds of a clock that never steps back.
    """

    left: float = STRANGERS_AT_ONCE
    counted_at: float = 0.0

    def are_spent(self, at: float) -> bool:
        """Tell whether none may be stored at `at`."""
        return self._left(at) < 1

    def count(self, at: float) -> None:
        """Note that one was stored at `at`."""
        self.left, self.counted_at = self._left(at) - 1, at

    def _left(self, at: float) -> float:
        grown = max(at - self.counted_at, 0) * STRANGERS_A_SECOND
        return min(self.left + grown, STRANGERS_AT_ONCE)

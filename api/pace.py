"""How fast workflows are begun: at once at rest, slowly while the door is crowded.

Whoever stands at the door is answered first; what was stored can wait a little, and does not get
lost. A crowd is told by how often somebody comes, not by how long answers take: that would slow
the work down whenever the machine is busy with the work itself.
"""

import asyncio
import math
from collections.abc import Callable
from typing import Final

from infra.clock import monotonic_seconds

CROWD_A_SECOND: Final = 150.0  # arrivals; ten times what one account's senders ever do
OVER_SECONDS: Final = 0.25  # how far back the rate looks
CROWDED_GAP_SECONDS: Final = 0.1  # between two starts while there is a crowd
LOOK_SECONDS: Final = 0.02


class Pace:
    """Counts arrivals, and lets starts pass.

    Args:
        clock: seconds that never step back.
    """

    def __init__(self, clock: Callable[[], float] = monotonic_seconds) -> None:
        self._clock = clock
        self._rate = 0.0
        self._counted_at = clock()
        self._next_at = 0.0

    def arrived(self) -> None:
        """Count somebody at the door."""
        self._rate = self.rate + 1 / OVER_SECONDS
        self._counted_at = self._clock()

    @property
    def rate(self) -> float:
        """How many come in a second, lately."""
        since = self._clock() - self._counted_at
        return self._rate * math.exp(-since / OVER_SECONDS)

    async def turn(self) -> None:
        """Wait until the next start may go."""
        while self.rate > CROWD_A_SECOND:
            now = self._clock()
            if now >= self._next_at:
                self._next_at = now + CROWDED_GAP_SECONDS
                return
            await asyncio.sleep(LOOK_SECONDS)

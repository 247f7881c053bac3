"""How much may be stored for senders who prove nothing."""

import logging
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, auto
from typing import Final

log = logging.getLogger(__name__)

STRANGERS_AT_ONCE: Final = 1_000  # unproven arrivals stored in a burst; 64 KiB each at most,
STRANGERS_A_SECOND: Final = 1  # and so many more each second; beyond that none is stored
ONE_AT_ONCE: Final = 100  # of these from one address,
ONE_A_SECOND: Final = 1  # and so many more each second
MOST_ADDRESSES: Final = 10_000  # remembered; the one not seen for longest goes first
REPORT_SECONDS: Final = 60.0

KEPT_ROWS: Final = 10_000  # what strangers sent is kept up to this,
KEPT_BYTES: Final = 128 * 1_048_576  # or this, whichever is less,
KEPT_FOR: Final = timedelta(days=30)  # and so long


class Room(Enum):
    """Whether a stranger's message is stored."""

    STORED = auto()
    FULL = auto()  # strangers together sent too many
    ONE_TOO_MANY = auto()  # this one did


@dataclass
class Budget:
    """How many may still come: so many at once, so many more each second."""

    at_once: int
    a_second: float
    left: float
    counted_at: float = 0.0

    def take(self, at: float) -> bool:
        """Take one at `at`, in seconds of a clock that never steps back; tell whether it fits."""
        grown = max(at - self.counted_at, 0) * self.a_second
        self.left, self.counted_at = min(self.left + grown, self.at_once), at
        if self.left < 1:
            return False
        self.left -= 1
        return True


@dataclass
class Strangers:
    """What senders who prove nothing may still have stored.

    Attributes:
        stored, turned_away: how many were, since the process began.
    """

    together: Budget = field(
        default_factory=lambda: Budget(STRANGERS_AT_ONCE, STRANGERS_A_SECOND, STRANGERS_AT_ONCE)
    )
    stored: int = 0
    turned_away: int = 0
    _each: OrderedDict[str, Budget] = field(default_factory=OrderedDict[str, Budget])
    _told: int = 0
    _told_at: float = float("-inf")

    def room_for(self, sender: str, at: float) -> Room:
        """Count one message from `sender` and tell whether it is to be stored."""
        one = self._each.setdefault(sender, Budget(ONE_AT_ONCE, ONE_A_SECOND, ONE_AT_ONCE, at))
        self._each.move_to_end(sender)
        if len(self._each) > MOST_ADDRESSES:
            self._each.popitem(last=False)
        room = Room.STORED
        if not one.take(at):
            room = Room.ONE_TOO_MANY
        elif not self.together.take(at):
            room = Room.FULL
        if room is Room.STORED:
            self.stored += 1
        else:
            self.turned_away += 1
        return room

    @property
    def senders(self) -> int:
        """How many addresses are remembered."""
        return len(self._each)

    def report(self, at: float) -> None:
        """Say at most once a minute how many were turned away and not stored."""
        if self.turned_away > self._told and at - self._told_at >= REPORT_SECONDS:
            log.warning(
                "strangers.turned_away",
                extra={"not_stored": self.turned_away - self._told, "senders": self.senders},
            )
            self._told, self._told_at = self.turned_away, at

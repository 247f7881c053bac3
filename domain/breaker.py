"""When calls to an exchange that keeps failing are held back, and when one is let through.

A breaker is closed (calls pass), open (they do not) or probing (one was let through, and its
outcome decides). It counts failures of the exchange and of the way to it; a refusal is an answer.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

FAILURES: Final = 5  # in a row, until the breaker opens
PROBE_EVERY: Final = timedelta(seconds=60)
URGENT_PROBE_EVERY: Final = timedelta(seconds=1)  # for what protects: exits, and reads for them
MOST_WORDS: Final = 300  # of the last failure, as kept


class CallGroup(StrEnum):
    """Calls that fail together: of one account, or of the lists that all accounts share.

    ACCESS counts refused credentials, of whatever call: the first one opens it.
    """

    ENTRIES = "entries"
    EXITS = "exits"
    CANCELS = "cancels"
    READS = "reads"
    ACCESS = "access"


class BreakerState(StrEnum):
    """Whether calls pass."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


@dataclass(frozen=True, kw_only=True)
class Breaker:
    """One group of calls to the exchange.

    Attributes:
        scope: the account's id, or what else the calls are made for.
        failures: in a row, up to now.
        times_opened: since the row was made.
        probed_at: when it opened or last let a call through.
        words: the last failure's.
        version: rises with every change; the higher of two is the newer.
    """

    scope: str
    call_group: CallGroup
    state: BreakerState = BreakerState.CLOSED
    failures: int = 0
    times_opened: int = 0
    opened_at: datetime | None = None
    probed_at: datetime | None = None
    words: str | None = None
    version: int = 0

    @property
    def is_closed(self) -> bool:
        """Calls pass."""
        return self.state is BreakerState.CLOSED

    @property
    def is_spotless(self) -> bool:
        """A success would change nothing."""
        return self.is_closed and self.failures == 0

    def probe_in(self, now: datetime, *, is_urgent: bool) -> timedelta:
        """Return how long until a call may be let through; zero or less means now."""
        if self.probed_at is None:
            return timedelta(0)
        is_quick = is_urgent or self.call_group is CallGroup.EXITS
        every = PROBE_EVERY
        if is_quick and self.call_group is not CallGroup.ACCESS:
            every = URGENT_PROBE_EVERY
        return self.probed_at + every - now

    def failed(self, words: str, now: datetime) -> "Breaker":
        """Return the breaker after one more failure."""
        known = replace(
            self, failures=self.failures + 1, words=words[:MOST_WORDS], version=self.version + 1
        )
        if not self.is_closed:
            return replace(known, state=BreakerState.OPEN)
        most = 1 if self.call_group is CallGroup.ACCESS else FAILURES
        if known.failures < most:
            return known
        return replace(
            known,
            state=BreakerState.OPEN,
            times_opened=self.times_opened + 1,
            opened_at=now,
            probed_at=now,
        )

    def succeeded(self) -> "Breaker":
        """Return the breaker after a call that was answered."""
        if self.is_spotless:
            return self
        return replace(
            self, state=BreakerState.CLOSED, failures=0, probed_at=None, version=self.version + 1
        )

    def probing(self, now: datetime) -> "Breaker":
        """Return the breaker with one call let through."""
        return replace(self, state=BreakerState.PROBING, probed_at=now, version=self.version + 1)

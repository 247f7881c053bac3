"""What a guardian needs of our books, in the manner of domain/ports.py."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.guardian import Alarm, Seen, Sweep


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What a sweep changes in our books.

    Attributes:
        opened: positions that are unprotected as of now, and since when.
        closed: positions that are protected again.
        begun, ended: alarms that the sweep before did not have, and that this one has no more.
    """

    sweep: Sweep
    opened: Mapping[str, datetime]
    closed: Collection[str]
    begun: Collection[Alarm]
    ended: Collection[Alarm]


class GuardianStore(Protocol):
    """What a guardian reads of our books, and what it writes."""

    async def seen(self, account_id: str, listed: Collection[str]) -> Seen:
        """Return everything held and what protects it, in one read.

        `listed` are the hashes on the exchange's list; those that are not as they should be in
        our books come back as strays.
        """
        ...

    async def watched(self, watched: Watched, now: datetime) -> None:
        """Write what a sweep came to; its alarms are told when they begin and when they end."""
        ...

    async def restarted(self, account_id: str, words: str, who: str | None) -> None:
        """Write that a guardian had to be started again, and who ended the one before."""
        ...

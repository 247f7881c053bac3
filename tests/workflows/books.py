"""What a guardian reads and writes, in memory."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime

from domain.guardian import Seen
from domain.guardian_rules import Held
from domain.guardian_store import Watched
from tests.workflows.memory import Ledger


@dataclass
class Books:
    """The port GuardianStore beside a ledger.

    Attributes:
        guarded: what is held, by token.
        sweeps: what each sweep came to.
        at_seen: what happens before each read.
    """

    ledger: Ledger
    guarded: dict[str, Held] = field(default_factory=dict[str, Held])
    sweeps: list[Watched] = field(default_factory=list[Watched])
    reads: int = 0
    at_seen: Callable[[], Awaitable[object]] | None = None

    async def seen(self, account_id: str, listed: Collection[str]) -> Seen:
        self.reads += 1
        if self.at_seen is not None:
            await self.at_seen()
        return Seen(
            standing=self.ledger.standing_now,
            held=list(self.guarded.values()),
            strays=(),
            alarms=self.sweeps[-1].sweep.alarms if self.sweeps else (),
        )

    async def watched(self, watched: Watched, now: datetime) -> None:
        self.sweeps.append(watched)
        for token_id, held in self.guarded.items():
            if held.position_id in watched.opened:
                self.guarded[token_id] = held._replace(unprotected_since=now)
            if held.position_id in watched.closed:
                self.guarded[token_id] = held._replace(unprotected_since=None)

    async def restarted(self, account_id: str, words: str, who: str | None) -> None:
        del account_id, words, who

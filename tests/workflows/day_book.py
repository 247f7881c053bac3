"""Days of an account in memory: what they began with, and how it stands against its limits."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal

from domain.errors import InvariantError
from domain.halt import Standing
from domain.headroom import Reading
from domain.risk import AccountState, Day, day_of

RUNNING = Standing(state=AccountState.RUNNING, reason=None, since=datetime(2026, 1, 1, tzinfo=UTC))
CALM_DAY = Day(
    account_id="main",
    day=date(2026, 1, 1),
    starting_equity_usd=Decimal(10_000),
    collateral_usd=Decimal(10_000),
    inventory_usd=Decimal(0),
    pnl_usd=Decimal(0),
    forgiven_usd=Decimal(0),
    unpriced=0,
    oldest_priced_at=None,
    source="guardian",
    taken_at=datetime(2026, 1, 1, tzinfo=UTC),
)
CALM_READING = Reading(
    account_id="main",
    state=AccountState.RUNNING,
    reason=None,
    day=None,
    pnl_usd=Decimal(0),
    unpriced=0,
    oldest_priced_at=None,
    failures_in_row=0,
    open_orders=0,
    account_usd=Decimal(0),
    event_usd=Decimal(0),
    event_id=None,
    market_usd=Decimal(0),
    market=None,
)


@dataclass
class DayBook:
    """The port DayStore, for one account.

    Attributes:
        pnl_usd: what the account has earned in all its time, as a test says.
    """

    standing_now: Standing = RUNNING
    day: Day | None = None
    is_unreadable: bool = False
    pnl_usd: Decimal = Decimal(0)

    async def begin(
        self, account_id: str, collateral_usd: Decimal, source: str, now: datetime
    ) -> Day:
        self.day = replace(CALM_DAY, account_id=account_id, day=day_of(now), taken_at=now)
        return self.day

    async def reading(self, account_id: str, now: datetime) -> Reading:
        if self.is_unreadable:
            raise InvariantError("no figure can be read")
        standing = self.standing_now
        return replace(
            CALM_READING,
            account_id=account_id,
            state=standing.state,
            reason=standing.reason,
            day=self.day if self.day is not None and self.day.day == day_of(now) else None,
            pnl_usd=self.pnl_usd,
        )

    async def forgive(self, account_id: str, lost_usd: Decimal, who: str, now: datetime) -> None:
        assert self.day is not None
        self.day = replace(self.day, forgiven_usd=lost_usd)

"""When a price is beyond a stop: which price is looked at, and how much proof it takes."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum


class Trigger(StrEnum):
    """Which price of a book is held against a stop."""

    BEST_BID = "best_bid"  # what a sale would fetch
    MID = "mid"  # one side alone cannot move it far
    LAST = "last"  # what somebody really paid


@dataclass(frozen=True, kw_only=True)
class StopRule:
    """What triggers the stops of an account.

    Attributes:
        beyond_ticks: how many ticks below the stop the price must be; 0 is at the stop.
        beyond: for how long it must stay there, as two readings in a row tell; zero lets a
            single reading do.
    """

    trigger: Trigger = Trigger.BEST_BID
    beyond_ticks: int = 0
    beyond: timedelta = timedelta(0)


@dataclass(frozen=True, kw_only=True)
class Quote:
    """The top of a token's book; None where nobody bids, offers, or has traded."""

    token_id: str
    best_bid: Decimal | None
    best_ask: Decimal | None
    last_price: Decimal | None = None

    def price(self, trigger: Trigger) -> Decimal | None:
        """Return the price that a stop is held against; None where the book does not tell."""
        if trigger is Trigger.BEST_BID:
            return self.best_bid
        if trigger is Trigger.LAST:
            return self.last_price
        if self.best_bid is None or self.best_ask is None:
            return None
        return (self.best_bid + self.best_ask) / 2


def is_beyond(price: Decimal, stop: Decimal, tick_size: Decimal, rule: StopRule) -> bool:
    """Tell whether one reading is as far below a stop as the rule demands."""
    return price <= stop - rule.beyond_ticks * tick_size


def is_proved(since: datetime | None, now: datetime, rule: StopRule) -> bool:
    """Tell whether a reading that is beyond is proof enough.

    Args:
        since: the first of the readings before it that were beyond without a break; None where
            it is the first itself.
        now: when this one was taken.
        rule: of the account.
    """
    if not rule.beyond:
        return True
    return since is not None and now - since >= rule.beyond

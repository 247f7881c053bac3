"""How an account stands against each of its limits: what the guardian judges and operators see."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from domain.risk import (
    CENT,
    DAILY_LOSS,
    FAILURES,
    AccountState,
    Day,
    Limits,
    Today,
    trip,
    words_of_trip,
)
from domain.sizing import Denied

# Where a loss is judged: later it would only say again what stopped the account, and before the
# trades of its absence are known a loss may be another day's.
JUDGED = frozenset({AccountState.RUNNING})


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What all limits of an account are judged by, read at one moment.

    Attributes:
        reason: of its state.
        day: None where nobody has taken what the day began with.
        pnl_usd: earned in all its time by the last known prices, fees off.
        unpriced, oldest_priced_at: tokens held without a price, and the age of the oldest used.
        market_usd, event_usd: of the market, and of the event, where most is at stake.
        market, event_id: which those are.
    """

    account_id: str
    state: AccountState
    reason: str | None
    day: Day | None
    pnl_usd: Decimal
    unpriced: int
    oldest_priced_at: datetime | None
    failures_in_row: int
    open_orders: int
    account_usd: Decimal
    event_usd: Decimal
    event_id: str | None
    market_usd: Decimal
    market: str | None

    @property
    def today(self) -> Today | None:
        """How the day goes; None where nobody has taken what it began with."""
        if self.day is None:
            return None
        return Today(
            starting_equity_usd=self.day.starting_equity_usd,
            pnl_usd=self.pnl_usd - self.day.pnl_usd,
            forgiven_usd=self.day.forgiven_usd,
        )


@dataclass(frozen=True, kw_only=True)
class Headroom:
    """One limit, what of it is used, and what is left.

    Attributes:
        of: the market or event that uses most of it; of the daily loss, share and base.
    """

    limit: Decimal
    used: Decimal
    left: Decimal
    of: str | None = None


def tripped(reading: Reading, limits: Limits) -> Denied | None:
    """Return the limit that is to stop the account now, or that stopped it and is not done."""
    if reading.state is AccountState.HALTING:
        words = words_of_trip(reading.reason)
        return None if words is None else Denied(rule="account_state", words=words, trips=True)
    found = trip(reading.today, reading.failures_in_row, limits)
    return found if found is not None and found.trips and reading.state in JUDGED else None


def why_it_would_trip(reading: Reading, limits: Limits) -> str | None:
    """Return the loss that would stop the account again as soon as it runs."""
    found = trip(reading.today, 0, limits)
    return found.words if found is not None and found.trips else None


def headroom(reading: Reading, limits: Limits) -> dict[str, Headroom]:
    """Return what is left to each limit there is, by its name; of a day not begun, nothing."""
    measured: list[tuple[str, Decimal | int | None, Decimal | int, str | None]] = [
        ("max_order_notional_usd", limits.max_order_notional_usd, 0, None),
        (
            "max_market_exposure_usd",
            limits.max_market_exposure_usd,
            reading.market_usd,
            reading.market,
        ),
        (
            "max_event_exposure_usd",
            limits.max_event_exposure_usd,
            reading.event_usd,
            reading.event_id,
        ),
        ("max_account_exposure_usd", limits.max_account_exposure_usd, reading.account_usd, None),
        ("max_open_orders", limits.max_open_orders, reading.open_orders, None),
        (FAILURES, limits.max_consecutive_failures, reading.failures_in_row, None),
    ]
    today = reading.today
    if today is not None and limits.max_daily_loss_fraction is not None:
        most_usd = limits.max_daily_loss_fraction * today.starting_equity_usd
        base = f"{limits.max_daily_loss_fraction} of {today.starting_equity_usd.quantize(CENT)}"
        measured.append((DAILY_LOSS, most_usd, today.lost_usd, base))
    return {
        name: Headroom(
            limit=Decimal(limit),
            used=Decimal(used),
            left=max(Decimal(limit) - used, Decimal(0)),
            of=of,
        )
        for name, limit, used, of in measured
        if limit is not None
    }

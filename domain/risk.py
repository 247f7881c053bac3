"""The limits an entry must pass, against committed state that includes what is in doubt.

Two of them stop the account as well, for no single entry is to blame: what was lost since 00:00
UTC, and orders that fail one after the other. No limit stands in the way of leaving.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final

from domain.order import RESTING, Side
from domain.sizing import Denied, Terms

RECONCILING: Final = "account_reconciling"  # entries wait for it rather than fail
DAY_UNKNOWN: Final = "day_unknown"  # the day's starting equity has to be taken first
DAILY_LOSS: Final = "max_daily_loss_fraction"
FAILURES: Final = "max_consecutive_failures"
TRIPPED_BY: Final = "limits"  # who asks for the kill after a trip
NO_DAY: Final = Denied(rule=DAY_UNKNOWN, words="what today began with is not known yet")
CENT: Final = Decimal("0.01")


class AccountState(StrEnum):
    """Whether an account may enter."""

    RUNNING = "running"
    RECONCILING = "reconciling"
    HALTING = "halting"
    HALTED = "halted"
    STOPPED = "stopped"


HALTS: Final = frozenset({AccountState.HALTING, AccountState.HALTED, AccountState.STOPPED})


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What an account may risk; amounts in collateral. None is no such limit.

    The configuration knows no None: only tests and tools that look at one limit leave others out.

    Attributes:
        max_market_exposure_usd, max_event_exposure_usd, max_account_exposure_usd: what is held, at
            cost, and open buys, at their limits: of a market, of all markets of its event, of all.
        max_daily_loss_fraction: share of what the day (UTC) began with.
        max_consecutive_failures: orders in a row that were rejected or abandoned.
        close_positions_on_trip: whether a trip sells what is held.
    """

    max_order_notional_usd: Decimal
    max_market_exposure_usd: Decimal
    max_open_orders: int
    max_event_exposure_usd: Decimal | None = None
    max_account_exposure_usd: Decimal | None = None
    max_daily_loss_fraction: Decimal | None = None
    max_consecutive_failures: int | None = None
    close_positions_on_trip: bool = False


@dataclass(frozen=True, kw_only=True)
class Day:
    """What an account began a day (UTC) with.

    Attributes:
        starting_equity_usd: collateral and what was held at its last known prices.
        pnl_usd: what the account had earned in all its time by then, fees off.
        forgiven_usd: loss of this day that an operator's forced resume no longer counts.
        unpriced: tokens held of which no price was known; they count as what they cost.
        oldest_priced_at: the oldest price among those used; None where none was needed.
        source: who took it.
    """

    account_id: str
    day: date
    starting_equity_usd: Decimal
    collateral_usd: Decimal
    inventory_usd: Decimal
    pnl_usd: Decimal
    forgiven_usd: Decimal
    unpriced: int
    oldest_priced_at: datetime | None
    source: str
    taken_at: datetime


@dataclass(frozen=True, kw_only=True)
class Today:
    """How the day goes: realised and unrealised since it began, fees off.

    Attributes:
        pnl_usd: earned (+) or lost (-) since. Deposits and withdrawals are neither.
    """

    starting_equity_usd: Decimal
    pnl_usd: Decimal
    forgiven_usd: Decimal = Decimal(0)

    @property
    def lost_usd(self) -> Decimal:
        """What counts as lost; 0 on a good day."""
        return max(-self.pnl_usd - self.forgiven_usd, Decimal(0))


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """What an account has at stake now, orders in flight and unknown counted in full.

    Attributes:
        open_orders: orders that may still match.
        market_usd: cost of what is held in the market plus its open buys at their limits.
        event_usd: the same of all markets of its event.
        account_usd: the same of all markets.
        free_shares: shares of the token not yet promised to a sale, at most what is settled.
        today: None where nobody has taken what the day began with.
        failures_in_row: orders that failed since the last one that did not.
    """

    state: AccountState
    open_orders: int
    market_usd: Decimal
    event_usd: Decimal
    account_usd: Decimal
    free_shares: Decimal
    today: Today | None = None
    failures_in_row: int = 0


def day_of(moment: datetime) -> date:
    """Return the day a moment belongs to; days begin at 00:00 UTC all year round."""
    return moment.astimezone(UTC).date()


def denied(asked: Terms, exposure: Exposure, limits: Limits) -> Denied | None:
    """Return the first rule that refuses `asked`, with its limit, its value and what was asked."""
    if asked.side is Side.SELL:
        return _denied_sale(asked, exposure)
    if exposure.state is not AccountState.RUNNING:
        is_passing = exposure.state is AccountState.RECONCILING
        rule = RECONCILING if is_passing else "account_state"
        return Denied(rule=rule, words=f"the account is {exposure.state}: no entries")
    tripped = trip(exposure.today, exposure.failures_in_row, limits)
    if tripped is not None:
        return tripped
    asked_usd = asked.notional_usd
    for rule, limit, would_be in (
        ("max_order_notional_usd", limits.max_order_notional_usd, asked_usd),
        (
            "max_market_exposure_usd",
            limits.max_market_exposure_usd,
            exposure.market_usd + asked_usd,
        ),
        ("max_event_exposure_usd", limits.max_event_exposure_usd, exposure.event_usd + asked_usd),
        (
            "max_account_exposure_usd",
            limits.max_account_exposure_usd,
            exposure.account_usd + asked_usd,
        ),
        ("max_open_orders", limits.max_open_orders, exposure.open_orders + 1),
    ):
        if limit is not None and would_be > limit:
            return Denied(rule=rule, words=f"{rule} is {limit}; this would make it {would_be}")
    return None


def trip(today: Today | None, failures_in_row: int, limits: Limits) -> Denied | None:
    """Return what stops the whole account, with the limit, its base and its value.

    Raised by nothing that was asked: the words tell what happened.
    """
    fraction, most_failures = limits.max_daily_loss_fraction, limits.max_consecutive_failures
    if fraction is not None:
        if today is None:
            return NO_DAY
        most_usd = fraction * today.starting_equity_usd
        if today.lost_usd > 0 and today.lost_usd >= most_usd:
            words = (
                f"daily loss ${today.lost_usd.quantize(CENT)} since 00:00 UTC; {DAILY_LOSS} is"
                f" {fraction} of the ${today.starting_equity_usd.quantize(CENT)} the day began"
                f" with, ${most_usd.quantize(CENT)}"
            )
            return Denied(rule=DAILY_LOSS, words=words, trips=True)
    if most_failures is not None and failures_in_row >= most_failures:
        words = f"{failures_in_row} orders in a row failed; {FAILURES} is {most_failures}"
        return Denied(rule=FAILURES, words=words, trips=True)
    return None


def reason_of_trip(words: str) -> str:
    """Return the reason of a halt that a limit asked for."""
    return f"{words} ({TRIPPED_BY})"


def words_of_trip(reason: str | None) -> str | None:
    """Return why a limit asked for the halt of this reason; None where somebody else did."""
    ending = f" ({TRIPPED_BY})"
    return reason.removesuffix(ending) if reason and reason.endswith(ending) else None


def _denied_sale(asked: Terms, exposure: Exposure) -> Denied | None:
    """Return a denial where the sale is of shares not held or already promised."""
    if exposure.state in HALTS and asked.time_in_force in RESTING:
        words = f"the account is {exposure.state}: it may leave at the market, nothing may rest"
        return Denied(rule="account_state", words=words)
    if asked.size <= exposure.free_shares:
        return None
    words = f"{asked.size} shares asked, {exposure.free_shares} free to sell"
    return Denied(rule="nothing_to_sell", words=words)

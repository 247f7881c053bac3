"""The limits an entry must pass, against committed state that includes what is in doubt."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

from domain.order import RESTING, Side
from domain.sizing import Denied, Terms

RECONCILING: Final = "account_reconciling"  # entries wait for it rather than fail


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
    """What an account may risk; amounts in collateral."""

    max_order_notional_usd: Decimal
    max_market_exposure_usd: Decimal
    max_open_orders: int


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """What an account has at stake now, orders in flight and unknown counted in full.

    Attributes:
        open_orders: orders that may still match.
        market_usd: cost of what is held in the market plus its open buys at their limits.
        free_shares: shares of the token not yet promised to a sale, at most what is settled.
    """

    state: AccountState
    open_orders: int
    market_usd: Decimal
    free_shares: Decimal


def denied(asked: Terms, exposure: Exposure, limits: Limits) -> Denied | None:
    """Return the first rule that refuses `asked`, with its limit, its value and what was asked."""
    if asked.side is Side.SELL:
        return _denied_sale(asked, exposure)
    if exposure.state is not AccountState.RUNNING:
        is_passing = exposure.state is AccountState.RECONCILING
        rule = RECONCILING if is_passing else "account_state"
        return Denied(rule=rule, words=f"the account is {exposure.state}: no entries")
    if asked.notional_usd > limits.max_order_notional_usd:
        return _over("max_order_notional_usd", limits.max_order_notional_usd, asked.notional_usd)
    would_be = exposure.market_usd + asked.notional_usd
    if would_be > limits.max_market_exposure_usd:
        return _over("max_market_exposure_usd", limits.max_market_exposure_usd, would_be)
    if exposure.open_orders >= limits.max_open_orders:
        allowed, count = Decimal(limits.max_open_orders), Decimal(exposure.open_orders + 1)
        return _over("max_open_orders", allowed, count)
    return None


def _denied_sale(asked: Terms, exposure: Exposure) -> Denied | None:
    """Return a denial where the sale is of shares not held or already promised."""
    if exposure.state in HALTS and asked.time_in_force in RESTING:
        words = f"the account is {exposure.state}: it may leave at the market, nothing may rest"
        return Denied(rule="account_state", words=words)
    if asked.size <= exposure.free_shares:
        return None
    words = f"{asked.size} shares asked, {exposure.free_shares} free to sell"
    return Denied(rule="nothing_to_sell", words=words)


def _over(rule: str, limit: Decimal, asked: Decimal) -> Denied:
    """Return the denial of something that would exceed `limit`."""
    return Denied(rule=rule, words=f"{rule} is {limit}; this would make it {asked}")

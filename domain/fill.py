"""Shares that changed hands, and how sure that is."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum
from typing import Final

from domain.market import Market
from domain.order import OrderSource, Side


class FillStatus(StrEnum):
    """How far the exchange has taken a trade; only CONFIRMED and FAILED are final."""

    MATCHED = "MATCHED"
    MINED = "MINED"
    RETRYING = "RETRYING"
    CONFIRMED = "CONFIRMED"
    FAILED = "FAILED"


class FeeAsset(StrEnum):
    """What a fee is taken in."""

    COLLATERAL = "collateral"
    SHARES = "shares"


class SeenBy(StrEnum):
    """Which of our eyes saw it first."""

    STREAM = "stream"
    POLL = "poll"
    CATCH_UP = "catch_up"
    RECONCILE = "reconcile"


# A trade's status comes many times and in any order: only a step up this table is news.
RANK: Final[Mapping[FillStatus, int]] = {
    FillStatus.MATCHED: 0,
    FillStatus.RETRYING: 1,
    FillStatus.MINED: 2,
    FillStatus.CONFIRMED: 3,
    FillStatus.FAILED: 4,
}
FINAL: Final = frozenset({FillStatus.CONFIRMED, FillStatus.FAILED})
PROVISIONAL: Final = frozenset({FillStatus.MATCHED, FillStatus.RETRYING})  # not yet spendable
FEE_STEP: Final = Decimal("0.00001")  # the exchange rounds fees to five places
SLACK_PARTS: Final = 20  # a balance proves a fee's asset within this part of the fee,
MOST_SLACK: Final = Decimal("0.001")  # and never further from the point than these shares


@dataclass(frozen=True, kw_only=True)
class Fill:
    """One leg of a trade that is ours; (trade_id, order_hash) is its identity.

    Attributes:
        fee: in `fee_asset`.
        share_fee: what the fee comes to where a buyer pays it in shares; 0 where he never does.
        matched_at: when the exchange matched it.
    """

    trade_id: str
    order_hash: str
    account_id: str
    token_id: str
    condition_id: str
    side: Side
    price: Decimal
    size: Decimal
    fee: Decimal
    fee_asset: FeeAsset
    status: FillStatus
    source: OrderSource
    matched_at: datetime
    share_fee: Decimal = Decimal(0)

    @property
    def notional_usd(self) -> Decimal:
        """Collateral that moved against the shares, fee apart."""
        return self.price * self.size

    @property
    def cash_usd(self) -> Decimal:
        """Collateral that came (+) or went (-), fee included."""
        fee = self.fee if self.fee_asset is FeeAsset.COLLATERAL else Decimal(0)
        return (self.notional_usd if self.side is Side.SELL else -self.notional_usd) - fee

    @property
    def shares(self) -> Decimal:
        """Shares that came (+) or went (-), fee included."""
        fee = self.fee if self.fee_asset is FeeAsset.SHARES else Decimal(0)
        return (self.size if self.side is Side.BUY else -self.size) - fee

    def with_fee_in_shares(self) -> "Fill":
        """Return the fill as it is where the exchange takes a buyer's fee in shares."""
        if not self.share_fee:
            return self
        return replace(self, fee=self.share_fee, fee_asset=FeeAsset.SHARES)


def is_news(known: FillStatus, told: FillStatus) -> bool:
    """Tell whether `told` is later than `known`; nothing follows a final status."""
    return known not in FINAL and RANK[told] > RANK[known]


def taker_fee(market: Market, price: Decimal, size: Decimal) -> Decimal:
    """Return the taker's fee in collateral for one match.

    Source: polymarket.md 3.3; makers pay nothing.
    """
    curve = (price * (1 - price)) ** market.fee_exponent
    return (size * market.fee_rate * curve).quantize(FEE_STEP, rounding=ROUND_HALF_EVEN)


def taker_share_fee(market: Market, price: Decimal, size: Decimal) -> Decimal:
    """Return what a buyer's fee comes to in shares, where the exchange takes it so.

    Not the rounded fee over the price: 5 shares at 0.29 lost exactly 0.1065 of themselves
    (py-clob-client 311), while 0.03088 / 0.29 is 0.10648.
    """
    curve = (price * (1 - price)) ** market.fee_exponent
    exact = size * market.fee_rate * curve / price
    return exact.quantize(FEE_STEP, rounding=ROUND_HALF_EVEN)


@dataclass(frozen=True, kw_only=True)
class FeeDoubt:
    """A token whose buyers' fee went off in collateral or in shares, we do not know which.

    Attributes:
        held_shares: what its settled fills add up to if the fees were taken in collateral.
        fee_shares: how many shares fewer they add up to if they were taken in shares.
    """

    account_id: str
    token_id: str
    condition_id: str
    held_shares: Decimal
    fee_shares: Decimal

    def settled_by(self, balance: Decimal) -> FeeAsset | None:
        """Return which of the two the exchange's own balance proves; None where it is neither.

        A balance that lags, or that somebody moved shares into, lies elsewhere than on the one
        point or the other. Each fee may be rounded otherwise than we do by half a step.
        """
        slack = min(self.fee_shares / SLACK_PARTS, MOST_SLACK)
        if abs(balance - self.held_shares) <= slack:
            return FeeAsset.COLLATERAL
        if abs(balance - (self.held_shares - self.fee_shares)) <= slack:
            return FeeAsset.SHARES
        return None

"""Shares that changed hands, and how sure that is."""

from collections.abc import Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True, kw_only=True)
class Fill:
    """One leg of a trade that is ours; (trade_id, order_hash) is its identity.

    Attributes:
        fee: in `fee_asset`.
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


def is_news(known: FillStatus, told: FillStatus) -> bool:
    """Tell whether `told` is later than `known`; nothing follows a final status."""
    return known not in FINAL and RANK[told] > RANK[known]


def taker_fee(market: Market, price: Decimal, size: Decimal) -> Decimal:
    """Return the taker's fee in collateral for one match.

    Source: polymarket.md 3.3; makers pay nothing.
    """
    curve = (price * (1 - price)) ** market.fee_exponent
    return (size * market.fee_rate * curve).quantize(FEE_STEP, rounding=ROUND_HALF_EVEN)

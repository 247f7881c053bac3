"""A trade's status comes many times and in any order."""

from decimal import Decimal
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.fill import (
    FINAL,
    RANK,
    FeeAsset,
    FeeDoubt,
    FillStatus,
    is_news,
    taker_fee,
    taker_share_fee,
)
from domain.order import Side
from tests.domain.making import a_fill, a_market

F = FillStatus


def test_every_status_has_a_rank_of_its_own() -> None:
    assert set(RANK) == set(F)
    assert len(set(RANK.values())) == len(F)


@given(st.permutations([F.MATCHED, F.RETRYING, F.MINED, F.CONFIRMED]))
def test_statuses_in_any_order_end_at_the_latest(order: list[FillStatus]) -> None:
    known = order[0]
    for told in [*order, *order]:
        known = told if is_news(known, told) else known
    assert known is F.CONFIRMED


@pytest.mark.parametrize(("known", "told"), list(permutations(F, 2)))
def test_nothing_follows_a_final_status(known: FillStatus, told: FillStatus) -> None:
    assert is_news(known, told) == (known not in FINAL and RANK[told] > RANK[known])
    assert not is_news(known, known)


@pytest.mark.parametrize("status", sorted(set(F) - FINAL))
def test_a_trade_may_fail_from_every_status_but_confirmed(status: FillStatus) -> None:
    assert is_news(status, F.FAILED)


def test_cash_and_shares_move_the_right_way() -> None:
    fee = Decimal("0.1")
    bought, sold = a_fill(fee=fee), a_fill(Side.SELL, fee=fee)
    assert (bought.cash_usd, bought.shares) == (Decimal("-1.7"), Decimal(4))
    assert (sold.cash_usd, sold.shares) == (Decimal("1.5"), Decimal(-4))
    in_shares = a_fill(fee=fee, fee_asset=FeeAsset.SHARES)
    assert (in_shares.cash_usd, in_shares.shares) == (Decimal("-1.6"), Decimal("3.9"))


def test_the_takers_fee_follows_the_curve_and_rounds_to_five_places() -> None:
    market = a_market(fee_rate=Decimal("0.07"), fee_exponent=1)
    assert taker_fee(market, Decimal("0.5"), Decimal(100)) == Decimal("1.75000")
    assert taker_fee(market, Decimal("0.33"), Decimal("1.11")) == Decimal("0.01718")
    assert taker_fee(a_market(fee_rate=Decimal(0)), Decimal("0.5"), Decimal(100)) == 0


def test_g1_a_fee_in_shares_is_what_others_lost_to_it_to_the_micro_share() -> None:
    market = a_market(fee_rate=Decimal("0.03"), fee_exponent=1)
    assert 5 - taker_share_fee(market, Decimal("0.29"), Decimal(5)) == Decimal("4.8935")
    assert taker_share_fee(a_market(fee_rate=Decimal(0)), Decimal("0.5"), Decimal(100)) == 0


def test_a_fill_charged_in_shares_keeps_its_cash_and_has_fewer_shares() -> None:
    bought = a_fill(size="5", price="0.29", fee=Decimal("0.03089"), share_fee=Decimal("0.1065"))
    charged = bought.with_fee_in_shares()
    assert (charged.cash_usd, charged.shares) == (Decimal("-1.45"), Decimal("4.8935"))
    assert charged.with_fee_in_shares() == charged
    made = a_fill(fee=Decimal(0))
    assert made.with_fee_in_shares() == made


def a_doubt(held: Decimal, fee: Decimal) -> FeeDoubt:
    return FeeDoubt(
        account_id="main", token_id="1", condition_id="0xc0", held_shares=held, fee_shares=fee
    )


amounts = st.integers(1, 10_000_000_000).map(lambda n: Decimal(n).scaleb(-6))


@given(held=amounts, fee=amounts, moved=st.integers(-10_000_000, 10_000_000))
def test_a_balance_proves_one_asset_or_none_and_never_the_other(
    held: Decimal, fee: Decimal, moved: int
) -> None:
    doubt = a_doubt(held, fee)
    assert doubt.settled_by(held) is FeeAsset.COLLATERAL
    assert doubt.settled_by(held - fee) is FeeAsset.SHARES
    away = Decimal(moved).scaleb(-6)
    proved = doubt.settled_by(held + away)
    if abs(away) > fee / 2 and abs(away + fee) > fee / 2:
        assert proved is None
    assert proved is not FeeAsset.SHARES or abs(away + fee) <= min(fee / 20, Decimal("0.001"))


def test_a_balance_that_lags_behind_its_fills_proves_nothing() -> None:
    doubt = a_doubt(Decimal(100), Decimal("2.5"))
    assert doubt.settled_by(Decimal(0)) is None
    assert doubt.settled_by(Decimal("99")) is None

"""What is held, what it cost and what it earned: exact whatever comes and goes."""

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.fill import FeeAsset, Fill, FillStatus
from domain.order import Side
from domain.position import Holding, PositionStatus, empty, rebuilt
from tests.domain.making import a_fill

MICRO = Decimal(1).scaleb(-6)
START = empty("main", "111", "0xc0")


@st.composite
def fills(draw: st.DrawFn) -> Fill:
    side = draw(st.sampled_from(list(Side)))
    size = draw(st.integers(1, 5_000_000_000)) * MICRO
    price = Decimal(draw(st.integers(1, 9_999))).scaleb(-4)
    fee = draw(st.integers(0, 200_000)) * Decimal("0.00001")
    in_shares = side is Side.BUY and fee < size and draw(st.booleans())
    return replace(
        a_fill(side),
        trade_id=draw(st.sampled_from("abcdefgh")),
        size=size,
        price=price,
        fee=fee,
        fee_asset=FeeAsset.SHARES if in_shares else FeeAsset.COLLATERAL,
        status=draw(st.sampled_from([FillStatus.MATCHED, FillStatus.FAILED])),
    )


def _held(sequence: Iterable[Fill]) -> Holding:
    holding = START
    for fill in sequence:
        holding = holding.after(fill)
    return holding


@given(st.lists(fills(), max_size=30))
def test_no_cent_and_no_share_is_lost_or_made(sequence: list[Fill]) -> None:
    holding = START
    for fill in sequence:
        holding = holding.after(fill)
        held = holding.position
        assert held.cash_usd + held.cost_usd + held.fees_usd - held.realised_pnl_average == 0
        assert sum((lot.size for lot in holding.lots), Decimal(0)) == held.size
    assert holding.position.size == sum((fill.shares for fill in sequence), Decimal(0))
    assert holding.position.cash_usd == sum((fill.cash_usd for fill in sequence), Decimal(0))


@given(st.lists(fills(), max_size=30))
def test_lots_all_lie_on_one_side_oldest_first(sequence: list[Fill]) -> None:
    holding = _held(sequence)
    numbers = [lot.number for lot in holding.lots]
    assert numbers == sorted(set(numbers))
    assert len({lot.size > 0 for lot in holding.lots}) <= 1
    assert all(lot.size for lot in holding.lots)


@given(st.lists(fills(), max_size=20))
def test_both_ways_of_counting_earn_the_same_once_all_is_sold(sequence: list[Fill]) -> None:
    sequence = [replace(fill, fee=Decimal(0)) for fill in sequence]
    size = _held(sequence).position.size
    if size:
        closing = Side.SELL if size > 0 else Side.BUY
        sequence.append(a_fill(closing, size=str(abs(size)), price="0.5"))
    flat = _held(sequence).position
    assert flat.size == 0
    assert flat.cost_usd == 0
    assert flat.status is PositionStatus.FLAT
    # FIFO rounds each lot's price to 18 places; so many shares can carry it no further than this.
    assert abs(flat.realised_pnl_average - flat.realised_pnl_fifo) < Decimal("0.000000001")
    assert flat.realised_pnl_average == flat.cash_usd


@given(st.lists(fills(), max_size=30))
def test_rebuilding_leaves_out_what_failed_and_nothing_else(sequence: list[Fill]) -> None:
    alive = [fill for fill in sequence if fill.status is not FillStatus.FAILED]
    assert rebuilt(_held(sequence), sequence) == _held(alive)


@given(st.lists(fills(), max_size=30))
def test_every_number_fits_its_column(sequence: list[Fill]) -> None:
    holding = _held(sequence)
    held = holding.position
    numbers = [held.size, held.cost_usd, held.average_price, held.cash_usd, held.fees_usd]
    numbers += [held.realised_pnl_average, held.realised_pnl_fifo]
    numbers += [number for lot in holding.lots for number in (lot.size, lot.price)]
    for number in numbers:
        exponent = number.as_tuple().exponent
        assert isinstance(exponent, int)
        assert exponent >= -18
        assert abs(number) < Decimal(10) ** 20


def test_buying_at_two_prices_averages_them() -> None:
    held = _held([a_fill(size="10", price="0.4"), a_fill(size="30", price="0.6")]).position
    assert (held.size, held.cost_usd, held.average_price) == (
        Decimal(40),
        Decimal(22),
        Decimal("0.55"),
    )


def test_a_partial_sale_leaves_the_average_price_unchanged() -> None:
    held = _held([a_fill(size="10", price="0.4"), a_fill(Side.SELL, size="4", price="0.9")])
    assert held.position.average_price == Decimal("0.4")
    assert held.position.realised_pnl_average == Decimal(2)
    assert held.position.status is PositionStatus.OPEN


def test_fifo_sells_the_oldest_shares_first() -> None:
    bought = [a_fill(size="10", price="0.4"), a_fill(size="10", price="0.6")]
    held = _held([*bought, a_fill(Side.SELL, size="15", price="0.8")])
    assert held.position.realised_pnl_fifo == Decimal("5.0")  # 10 x 0.4 + 5 x 0.2
    assert held.position.realised_pnl_average == Decimal("4.5")  # 15 x 0.3
    (left,) = held.lots
    assert (left.number, left.size, left.price) == (1, Decimal(5), Decimal("0.6"))


def test_selling_more_than_is_held_leaves_a_short_at_the_sales_price() -> None:
    held = _held([a_fill(size="10", price="0.4"), a_fill(Side.SELL, size="15", price="0.6")])
    assert (held.position.size, held.position.average_price) == (Decimal(-5), Decimal("0.6"))
    assert held.position.realised_pnl_average == Decimal(2)
    (short,) = held.lots
    assert (short.size, short.price) == (Decimal(-5), Decimal("0.6"))


def test_a_fee_in_shares_makes_the_rest_dearer_and_one_in_collateral_does_not() -> None:
    taxed = a_fill(size="10", price="0.4", fee=Decimal("0.2"))
    in_shares = _held([replace(taxed, fee_asset=FeeAsset.SHARES)]).position
    in_cash = _held([taxed]).position
    assert (in_shares.size, in_shares.cost_usd, in_shares.fees_usd) == (
        Decimal("9.8"),
        Decimal(4),
        Decimal(0),
    )
    assert in_shares.average_price > in_cash.average_price == Decimal("0.4")
    assert (in_cash.cash_usd, in_cash.fees_usd) == (Decimal("-4.2"), Decimal("0.2"))


@pytest.mark.parametrize(("price", "gain"), [("0.4", "0"), ("0.55", "1.5"), ("0.1", "-3")])
def test_unrealised_pnl_is_what_selling_now_would_earn(price: str, gain: str) -> None:
    held = _held([a_fill(size="10", price="0.4")]).position
    assert held.unrealised_pnl(Decimal(price)) == Decimal(gain)


def test_g5_an_exit_in_three_parts_earns_to_the_cent_by_average_and_by_fifo() -> None:
    bought = [a_fill(size="60", price="0.40"), a_fill(size="40", price="0.50", trade_id="t2")]
    sold = [
        a_fill(Side.SELL, "30", "0.60", trade_id="t3", fee=Decimal("0.36")),
        a_fill(Side.SELL, "30", "0.70", trade_id="t4", fee=Decimal("0.32")),
        a_fill(Side.SELL, "40", "0.30", trade_id="t5", fee=Decimal("0.42")),
    ]
    expected = [("4.80", "6.00"), ("12.60", "15.00"), ("7.00", "7.00")]  # before fees
    held, fees = _held(bought).position, Decimal(0)

    for count, (average, fifo) in enumerate(expected, start=1):
        held = _held([*bought, *sold[:count]]).position
        fees = sum((fill.fee for fill in sold[:count]), Decimal(0))
        told = (held.realised_pnl_average, held.realised_pnl_fifo)
        assert told == (Decimal(average), Decimal(fifo))
        assert held.size == [70, 40, 0][count - 1]
        assert held.fees_usd == fees
    assert held.status is PositionStatus.FLAT
    assert held.cash_usd == Decimal("7.00") - fees

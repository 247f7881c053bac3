"""Every price and size we sign is one the exchange takes and the sender can afford."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from domain.fill import taker_fee
from domain.market import Book, Level, Market
from domain.order import OrderSource, OrderType, Side, TimeInForce
from domain.signal import OrderRequest, SizeKind, Sizing
from domain.sizing import Denied, Funds, Terms, bounded_price, terms, worst_price
from tests.domain.making import a_market

TICKS = [Decimal(tick) for tick in ("0.1", "0.01", "0.005", "0.0025", "0.001", "0.0001")]
CENT = Decimal("0.01")

ticks = st.sampled_from(TICKS)
sides = st.sampled_from(list(Side))
values = st.integers(1, 10**9).map(lambda n: Decimal(n).scaleb(-4))
unrestings = st.sampled_from([TimeInForce.FAK, TimeInForce.FOK])


def _request(side: Side, sizing: Sizing, **fields: object) -> OrderRequest:
    request = OrderRequest(
        intent_id="i",
        account_id="main",
        signal_id=None,
        trace_id="t",
        workflow_id="w",
        source=OrderSource.WEBHOOK,
        market="rain",
        outcome="Yes",
        side=side,
        type=OrderType.MARKET,
        time_in_force=TimeInForce.FAK,
        sizing=sizing,
    )
    return replace(request, **fields)


def _book(bid: str = "0.40", ask: str = "0.42") -> Book:
    levels = [(Level(price=Decimal(price), size=Decimal(100)),) for price in (bid, ask)]
    return Book(token_id="111", bids=levels[0], asks=levels[1])


def _sizing(kind: SizeKind, value: str | Decimal) -> Sizing:
    return Sizing(kind=kind, value=Decimal(value))


RICH = Funds(free_usd=Decimal(1000), free_shares=Decimal(1000))
NOTIONAL_25 = _sizing(SizeKind.NOTIONAL, "25")


@st.composite
def asked(draw: st.DrawFn) -> tuple[OrderRequest, Market, Book, Funds]:
    tick = draw(ticks)
    steps = int(1 / tick)
    best = draw(st.integers(1, steps - 1)) * tick
    book = Book(
        token_id="111",
        bids=(Level(price=best, size=Decimal(10)),),
        asks=(Level(price=best, size=Decimal(10)),),
    )
    kind = draw(st.sampled_from(list(SizeKind)))
    value = draw(values)
    if kind is SizeKind.PERCENT:
        value = min(value, Decimal(100))
    is_limit = draw(st.booleans())
    request = _request(
        draw(sides),
        Sizing(kind=kind, value=value),
        type=OrderType.LIMIT if is_limit else OrderType.MARKET,
        time_in_force=TimeInForce.GTC if is_limit else draw(unrestings),
        price=draw(st.integers(1, steps - 1)) * tick if is_limit or draw(st.booleans()) else None,
        waits_for_settlement=False,
    )
    funds = Funds(free_usd=draw(values), free_shares=draw(values), unsettled_shares=draw(values))
    return request, a_market(tick_size=tick), book, funds


@given(asked())
def test_what_is_signed_is_within_the_exchanges_accuracy(
    case: tuple[OrderRequest, Market, Book, Funds],
) -> None:
    request, market, book, funds = case
    found = terms(request, market, book, funds)
    assume(isinstance(found, Terms))
    assert isinstance(found, Terms)
    assert found.price % market.tick_size == 0
    assert market.tick_size <= found.price <= 1 - market.tick_size
    assert found.size > 0
    assert found.size % CENT == 0
    if request.type is OrderType.MARKET:
        accuracy = CENT if request.side is Side.BUY else Decimal("0.0001")
        assert found.notional_usd % accuracy == 0


@given(asked())
def test_no_more_is_spent_or_sold_than_was_asked_and_is_there(
    case: tuple[OrderRequest, Market, Book, Funds],
) -> None:
    request, market, book, funds = case
    found = terms(request, market, book, funds)
    assume(isinstance(found, Terms))
    assert isinstance(found, Terms)
    value = request.sizing.value
    if request.sizing.kind is SizeKind.SIZE:
        assert found.size <= value
    if request.sizing.kind is SizeKind.NOTIONAL and request.side is Side.BUY:
        assert found.notional_usd <= value
    if request.sizing.kind is SizeKind.PERCENT and request.side is Side.BUY:
        assert found.notional_usd <= funds.free_usd * value / 100
    if request.side is Side.SELL:
        assert found.size <= funds.free_shares


@given(sides, st.integers(1, 9_999).map(lambda n: Decimal(n).scaleb(-4)), ticks)
def test_a_senders_own_worst_price_is_never_exceeded(
    side: Side, price: Decimal, tick: Decimal
) -> None:
    bound = bounded_price(side, price, tick)
    if isinstance(bound, Denied):
        assert price < tick or price > 1 - tick
    else:
        assert bound <= price if side is Side.BUY else bound >= price
        assert abs(bound - price) < tick or not tick <= price <= 1 - tick


@given(sides, st.integers(1, 9_999).map(lambda n: Decimal(n).scaleb(-4)), ticks)
def test_a_worst_price_crosses_what_it_was_made_from(
    side: Side, price: Decimal, tick: Decimal
) -> None:
    worst = worst_price(side, price, tick)
    inside = min(max(price, tick), 1 - tick)
    assert worst >= inside if side is Side.BUY else worst <= inside
    assert abs(worst - inside) < max(tick, CENT)


def test_a_market_buy_walks_a_little_beyond_the_best_offer() -> None:
    found = terms(_request(Side.BUY, NOTIONAL_25), a_market(), _book(), RICH)
    assert found == Terms(
        side=Side.BUY,
        time_in_force=TimeInForce.FAK,
        price=Decimal("0.45"),  # 0.42 and 5 %, up to the next cent
        size=Decimal("55.40"),  # the most for $25 in steps of 0.20 whose cost is whole cents
    )


@pytest.mark.parametrize(
    ("request_", "market", "rule"),
    [
        (_request(Side.BUY, NOTIONAL_25), a_market(closed=True), "market_closed"),
        (_request(Side.BUY, NOTIONAL_25), a_market(accepting_orders=False), "market_closed"),
        (_request(Side.BUY, NOTIONAL_25, type=OrderType.LIMIT), a_market(), "price_missing"),
        (
            _request(Side.BUY, NOTIONAL_25, type=OrderType.LIMIT, price=Decimal("0.425")),
            a_market(),
            "price_off_tick",
        ),
        (_request(Side.BUY, NOTIONAL_25, price=Decimal("0.005")), a_market(), "price_off_tick"),
        (_request(Side.SELL, NOTIONAL_25, price=Decimal("0.995")), a_market(), "price_off_tick"),
        (_request(Side.BUY, _sizing(SizeKind.NOTIONAL, "0.9")), a_market(), "below_min_notional"),
        (_request(Side.BUY, _sizing(SizeKind.SIZE, "0.001")), a_market(), "size_zero"),
        (
            _request(
                Side.SELL,
                _sizing(SizeKind.SIZE, "4"),
                type=OrderType.LIMIT,
                price=Decimal("0.5"),
                time_in_force=TimeInForce.GTC,
            ),
            a_market(),
            "below_min_size",
        ),
    ],
)
def test_a_wish_that_cannot_be_signed_is_denied_by_name(
    request_: OrderRequest, market: Market, rule: str
) -> None:
    found = terms(request_, market, _book(), RICH)
    assert isinstance(found, Denied)
    assert found.rule == rule


def test_without_offers_and_without_a_price_nothing_is_bought() -> None:
    nobody = Book(token_id="111", bids=(), asks=())
    found = terms(_request(Side.BUY, NOTIONAL_25), a_market(), nobody, RICH)
    assert isinstance(found, Denied)
    assert found.rule == "no_liquidity"


def test_a_sale_waits_for_shares_that_are_not_settled_yet_if_it_may() -> None:
    funds = Funds(free_usd=Decimal(0), free_shares=Decimal(4), unsettled_shares=Decimal(6))
    everything = _request(Side.SELL, _sizing(SizeKind.PERCENT, "100"))
    found = terms(everything, a_market(), _book(), funds)
    assert isinstance(found, Denied)
    assert found.rule == "shares_unsettled"
    at_once = terms(replace(everything, waits_for_settlement=False), a_market(), _book(), funds)
    assert isinstance(at_once, Terms)
    assert at_once.size == Decimal(4)


def test_nothing_held_is_nothing_to_sell() -> None:
    none = Funds(free_usd=Decimal(100), free_shares=Decimal(0))
    everything = _request(Side.SELL, _sizing(SizeKind.PERCENT, "100"))
    found = terms(everything, a_market(), _book(), none)
    assert isinstance(found, Denied)
    assert found.rule == "nothing_to_sell"


@given(
    rate=st.sampled_from([Decimal("0"), Decimal("0.03"), Decimal("0.07")]),
    free=st.integers(200, 10**7).map(lambda cents: Decimal(cents) / 100),
    cents=st.integers(2, 98),
)
def test_all_of_the_collateral_pays_for_the_shares_and_their_fee(
    rate: Decimal, free: Decimal, cents: int
) -> None:
    market = a_market(fee_rate=rate, fee_exponent=1)
    request = _request(
        Side.BUY,
        _sizing(SizeKind.PERCENT, "100"),
        type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        price=Decimal(cents) / 100,
    )

    signed = terms(request, market, _book(), Funds(free_usd=free, free_shares=Decimal(0)))

    assume(isinstance(signed, Terms))
    assert isinstance(signed, Terms)
    assert signed.notional_usd + taker_fee(market, signed.price, signed.size) <= free


def _limit(side: Side, kind: SizeKind, value: str, price: str) -> OrderRequest:
    fields = {"type": OrderType.LIMIT, "time_in_force": TimeInForce.GTC, "price": Decimal(price)}
    return _request(side, _sizing(kind, value), **fields)


@pytest.mark.parametrize(
    ("request_", "rule"),
    [
        # An order that may rest needs five shares, and a dollar where it buys.
        (_limit(Side.BUY, SizeKind.SIZE, "4.99", "0.50"), "below_min_size"),
        (_limit(Side.BUY, SizeKind.SIZE, "5", "0.50"), None),
        (_limit(Side.BUY, SizeKind.SIZE, "5", "0.19"), "below_min_notional"),
        (_limit(Side.BUY, SizeKind.SIZE, "6", "0.19"), None),
        (_limit(Side.BUY, SizeKind.NOTIONAL, "2.49", "0.50"), "below_min_size"),
        (_limit(Side.SELL, SizeKind.SIZE, "4.99", "0.50"), "below_min_size"),
        (_limit(Side.SELL, SizeKind.SIZE, "5", "0.02"), None),
        # One that may not rest needs a dollar where it buys, and any share at all where it sells.
        (_request(Side.BUY, _sizing(SizeKind.NOTIONAL, "0.99"), price=Decimal("0.50")), "notional"),
        (_request(Side.BUY, _sizing(SizeKind.NOTIONAL, "1"), price=Decimal("0.50")), None),
        (_request(Side.BUY, _sizing(SizeKind.SIZE, "2"), price=Decimal("0.50")), None),
        (_request(Side.BUY, _sizing(SizeKind.SIZE, "1.98"), price=Decimal("0.50")), "notional"),
        (_request(Side.SELL, _sizing(SizeKind.SIZE, "0.01"), price=Decimal("0.02")), None),
    ],
)
def test_h1_five_shares_for_what_may_rest_and_a_dollar_for_what_buys_are_kept_apart(
    request_: OrderRequest, rule: str | None
) -> None:
    found = terms(request_, a_market(), _book(), RICH)
    if rule is None:
        assert isinstance(found, Terms)
    else:
        assert isinstance(found, Denied)
        assert rule in found.rule


@given(st.integers(1, 5_000_000).map(lambda n: Decimal(n).scaleb(-6)))
def test_h4_selling_all_leaves_less_than_the_finest_size_and_never_asks_for_more(
    held: Decimal,
) -> None:
    everything = _request(Side.SELL, _sizing(SizeKind.PERCENT, "100"))
    funds = Funds(free_usd=Decimal(0), free_shares=held)
    found = terms(everything, a_market(), _book(), funds)
    if isinstance(found, Denied):
        assert found.rule == "size_zero"
        assert held < CENT
    else:
        assert 0 <= held - found.size < CENT


def test_h2_a_size_below_the_minimum_is_denied_and_never_raised_to_it() -> None:
    found = terms(_limit(Side.BUY, SizeKind.NOTIONAL, "2", "0.50"), a_market(), _book(), RICH)
    assert isinstance(found, Denied)
    assert "4" in found.words
    assert "5" in found.words

"""Our legs of a trade: the right side, the right token, and cash that adds up to the cent."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from domain.errors import InvalidInputError
from domain.fill import FeeAsset, FillStatus, taker_fee
from domain.order import OrderSource, Side
from infra.exchanges.polymarket.client import PolymarketAccount
from infra.exchanges.polymarket.parsing import fills_of, order_seen, own_fills
from tests.exchanges.scripted import (
    CONDITION,
    MARKET,
    ME,
    NO,
    YES,
    ScriptedServer,
    known_market,
    says,
)

MINE = "0x" + "a1" * 32
THEIRS = "0x" + "b2" * 32


def a_maker(**changes: object) -> dict[str, Any]:
    leg: dict[str, Any] = {
        "order_id": THEIRS,
        "owner": "somebody",
        "maker_address": "0x" + "cd" * 20,
        "matched_amount": "10",
        "price": "0.40",
        "fee_rate_bps": "",
        "asset_id": YES,
        "side": "SELL",
    }
    return leg | changes


def a_trade(*makers: dict[str, Any], **changes: object) -> dict[str, Any]:
    trade: dict[str, Any] = {
        "id": "t-1",
        "taker_order_id": MINE,
        "market": CONDITION,
        "asset_id": YES,
        "owner": ME.api_key,
        "maker_address": ME.wallet,
        "trader_side": "TAKER",
        "side": "BUY",
        "size": "10",
        "price": "0.40",
        "status": "MATCHED",
        "match_time": "1725868859",
        "maker_orders": list(makers),
    }
    return trade | changes


def of_others(**changes: object) -> dict[str, object]:
    """What the top level says where somebody else took."""
    others: dict[str, object] = {
        "owner": "somebody",
        "maker_address": "0x" + "ef" * 20,
        "taker_order_id": THEIRS,
        "trader_side": "MAKER",
    }
    return others | changes


def test_what_we_took_is_one_fill_with_a_fee() -> None:
    (fill,) = own_fills(a_trade(a_maker()), ME, MARKET)
    assert (fill.trade_id, fill.order_hash, fill.account_id) == ("t-1", MINE, "main")
    assert (fill.token_id, fill.condition_id, fill.side) == (YES, CONDITION, Side.BUY)
    assert (fill.price, fill.size) == (Decimal("0.40"), Decimal(10))
    assert fill.fee == taker_fee(MARKET, Decimal("0.40"), Decimal(10)) == Decimal("0.12")
    assert (fill.fee_asset, fill.source) == (FeeAsset.COLLATERAL, OrderSource.MANUAL)
    assert fill.matched_at == datetime(2024, 9, 9, 8, 0, 59, tzinfo=UTC)


def test_the_cash_of_a_take_is_what_its_makers_got() -> None:
    makers = [
        a_maker(matched_amount="2", price="0.40"),
        a_maker(matched_amount="3", price="0.55", asset_id=NO, side="BUY"),  # leaves 0.45 to pay
        a_maker(matched_amount="2", price="0.47"),
    ]
    trade = a_trade(*makers, size="7", price="0.44")  # the wire's own price is only near it
    (fill,) = own_fills(trade, ME, MARKET)
    cash = Decimal("2") * Decimal("0.40") + 3 * Decimal("0.45") + 2 * Decimal("0.47")
    assert fill.notional_usd.quantize(Decimal("1e-15")) == cash == Decimal("3.09")
    assert -int(fill.price.as_tuple().exponent) <= 18  # what the database keeps
    prices = [Decimal("0.40"), Decimal("0.45"), Decimal("0.47")]
    sizes = [Decimal(2), Decimal(3), Decimal(2)]
    fees = [taker_fee(MARKET, price, size) for price, size in zip(prices, sizes, strict=True)]
    assert fill.fee == sum(fees)


def test_the_cash_is_exact_where_the_average_price_is() -> None:
    makers = [a_maker(matched_amount="4", price="0.40"), a_maker(matched_amount="4", price="0.41")]
    (fill,) = own_fills(a_trade(*makers, size="8", price="0.4"), ME, MARKET)
    assert fill.notional_usd == Decimal("3.24")


def test_makers_that_do_not_add_up_leave_the_trades_own_price() -> None:
    (fill,) = own_fills(a_trade(a_maker(matched_amount="4", price="0.1")), ME, MARKET)
    assert (fill.price, fill.size) == (Decimal("0.40"), Decimal(10))


@pytest.mark.parametrize(
    ("leg", "side", "token_id"),
    [
        ({"side": "SELL"}, Side.SELL, YES),
        ({"side": None}, Side.SELL, YES),
        ({"asset_id": NO, "side": "BUY"}, Side.BUY, NO),
        ({"asset_id": NO, "side": ""}, Side.BUY, NO),
        ({"side": "buy"}, Side.BUY, YES),
    ],
)
def test_s6_our_resting_order_keeps_its_own_side_token_and_price(
    leg: dict[str, object], side: Side, token_id: str
) -> None:
    ours = a_maker(order_id=MINE, owner=ME.api_key, matched_amount="3", price="0.6", **leg)
    trade = a_trade(a_maker(matched_amount="7"), ours, **of_others())
    (fill,) = own_fills(trade, ME, None)
    assert (fill.side, fill.token_id) == (side, token_id)
    assert (fill.price, fill.size, fill.fee) == (Decimal("0.6"), Decimal(3), Decimal(0))
    assert fill.order_hash == MINE


def test_s6_several_resting_orders_of_ours_are_a_fill_each() -> None:
    legs = [
        a_maker(order_id=f"0x{n:064x}", maker_address=ME.wallet.upper().replace("X", "x"))
        for n in range(3)
    ]
    fills = own_fills(a_trade(a_maker(), *legs, **of_others()), ME, None)
    assert {(fill.trade_id, fill.order_hash) for fill in fills} == {
        ("t-1", f"0x{n:064x}") for n in range(3)
    }


def test_s6_trading_with_ourselves_is_both_legs() -> None:
    ours = a_maker(order_id=THEIRS, owner=ME.api_key)
    fills = own_fills(a_trade(ours), ME, MARKET)
    assert [(fill.order_hash, fill.side) for fill in fills] == [
        (MINE, Side.BUY),
        (THEIRS, Side.SELL),
    ]


def test_a_takers_leg_is_not_ours_where_we_only_made() -> None:
    assert own_fills(a_trade(a_maker(), **of_others()), ME, None) == []


def test_a_trade_told_to_its_maker_is_no_take_of_ours_whoever_it_names() -> None:
    ours = a_maker(order_id=MINE, owner=ME.api_key)
    told = own_fills(a_trade(ours, trader_side="MAKER", taker_order_id=THEIRS), ME, MARKET)
    assert [(fill.order_hash, fill.side) for fill in told] == [(MINE, Side.SELL)]


async def test_g4_every_fill_of_one_transaction_is_kept(
    server: ScriptedServer, account: PolymarketAccount
) -> None:
    same = {"transaction_hash": "0x" + "77" * 32}
    trades = [a_trade(a_maker(), id=f"t-{n}", bucket_index=n, **same) for n in range(3)]
    server.script("GET /data/trades", says({"data": trades, "next_cursor": "LTE="}))
    found = await account.fills()
    assert [fill.trade_id for fill in found] == ["t-0", "t-1", "t-2"]
    assert sum(fill.size for fill in found) == 30


async def test_a_market_is_looked_up_for_what_we_took_only() -> None:
    asked: list[str] = []

    async def lookup(condition_id: str) -> Any:
        asked.append(condition_id)
        return await known_market(condition_id)

    ours = a_maker(order_id=MINE, owner=ME.api_key)
    assert len(await fills_of(a_trade(ours, **of_others()), ME, lookup)) == 1
    assert asked == []
    assert len(await fills_of(a_trade(), ME, lookup)) == 1
    assert asked == [CONDITION]


@pytest.mark.parametrize("prefix", ["", "TRADE_STATUS_"])
@pytest.mark.parametrize("status", list(FillStatus))
def test_every_status_is_known_with_and_without_its_prefix(prefix: str, status: FillStatus) -> None:
    (fill,) = own_fills(a_trade(status=prefix + status), ME, MARKET)
    assert fill.status is status


def test_matched_and_not_yet_broadcast_is_matched() -> None:
    (fill,) = own_fills(a_trade(status="TRADE_STATUS_MATCHED_NOT_BROADCASTED"), ME, MARKET)
    assert fill.status is FillStatus.MATCHED


@pytest.mark.parametrize(
    "told",
    [
        pytest.param("1725868859", id="seconds"),
        pytest.param(1725868859, id="seconds as a number"),
        pytest.param("1725868859000", id="milliseconds"),
        pytest.param("1725868859000000000", id="nanoseconds"),
        pytest.param("2024-09-09T08:00:59Z", id="ISO"),
        pytest.param("2024-09-09 08:00:59", id="ISO without a zone"),
    ],
)
def test_a_time_is_understood_in_every_form(told: object) -> None:
    (fill,) = own_fills(a_trade(match_time=told), ME, MARKET)
    assert fill.matched_at == datetime(2024, 9, 9, 8, 0, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"status": "PONDERED"}, "status"),
        ({"size": "0"}, "size"),
        ({"size": "-1"}, "size"),
        ({"size": "NaN"}, "size"),
        ({"size": "1e400"}, "size"),
        ({"size": True}, "size"),
        ({"price": "40"}, "price"),
        ({"side": "HOLD"}, "side"),
        ({"match_time": "yesterday"}, "match_time"),
        ({"match_time": ""}, "match_time"),
        ({"id": None}, "id"),
        ({"taker_order_id": ""}, "taker_order_id"),
        ({"maker_orders": "none"}, "maker_orders"),
        ({"maker_orders": [None]}, "maker_orders"),
    ],
)
def test_what_a_fill_cannot_do_without_is_named_where_it_is_missing(
    changes: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidInputError, match=field):
        own_fills(a_trade(**changes), ME, MARKET)


def an_event(**changes: object) -> dict[str, object]:
    event: dict[str, object] = {
        "id": MINE.upper().replace("X", "x"),
        "type": "UPDATE",
        "status": "LIVE",
        "original_size": "100",
        "size_matched": "25",
    }
    return event | changes


@pytest.mark.parametrize(
    ("changes", "is_active", "is_cancelled", "matched"),
    [
        ({"type": "PLACEMENT", "size_matched": "0"}, True, False, "0"),
        ({}, True, False, "25"),
        ({"status": "ORDER_STATUS_LIVE"}, True, False, "25"),
        ({"status": "DELAYED"}, True, False, "25"),
        ({"status": "MATCHED", "size_matched": "100"}, False, False, "100"),
        ({"status": "UNMATCHED"}, False, False, "25"),
        ({"type": "CANCELLATION", "status": "CANCELED"}, False, True, "25"),
        ({"type": "CANCELLATION", "status": "LIVE", "size_matched": "100"}, False, True, "100"),
        ({"status": "CANCELED_order couldn't be", "size_matched": ""}, False, True, None),
        ({"type": "CANCELLATION", "status": "INVALID"}, False, True, "25"),
        ({"type": "CANCELLATION", "status": "PONDERING"}, False, True, "25"),
    ],
)  # fmt: skip
def test_an_order_event_says_what_became_of_the_order(
    changes: dict[str, object], is_active: object, is_cancelled: object, matched: str | None
) -> None:
    seen = order_seen(an_event(**changes))
    assert seen.order_hash == MINE
    assert (seen.sighting.is_active, seen.sighting.is_cancelled) == (is_active, is_cancelled)
    assert seen.sighting.matched_size == (None if matched is None else Decimal(matched))


@pytest.mark.parametrize("kind", ["FAK", "FOK"])
def test_e8_a_purchase_by_dollars_may_match_more_shares_than_it_was_signed_for(kind: str) -> None:
    told = an_event(size_matched="100.75", status="MATCHED", order_type=kind)
    assert order_seen(told).sighting.matched_size == Decimal("100.75")


@pytest.mark.parametrize(
    "changes", [{"status": "PONDERING"}, {"size_matched": "100.02"}, {"size_matched": "-1"}]
)
def test_an_order_event_that_makes_no_sense_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidInputError):
        order_seen(an_event(**changes))

"""Limits on real PostgreSQL: concurrent wishes pass none of them, and a restart clears nothing."""

import asyncio
import contextlib
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import text

from domain.errors import UnavailableError
from domain.fill import FeeAsset, FillStatus, SeenBy
from domain.headroom import tripped
from domain.order import Order, OrderEvent, Side
from domain.risk import DAILY_LOSS, DAY_UNKNOWN, FAILURES, TRIPPED_BY, AccountState, Limits
from domain.sizing import Denied
from infra.clock import utc_now
from infra.store.accounts import Accounts
from infra.store.database import open_database
from infra.store.days import Days
from infra.store.fills import Fills
from infra.store.markets import Markets
from infra.store.orders import Orders
from infra.store.sealing import Cipher
from tests.store.making import (
    ACCOUNT,
    KEY,
    NO,
    NOW,
    WIDE,
    YES,
    a_fill,
    a_market,
    an_order,
    kinds,
    later,
    one,
    rows,
)

pytestmark = pytest.mark.services

LOSS = replace(WIDE, max_daily_loss_fraction=Decimal("0.1"))
TOMORROW = NOW + timedelta(hours=12)  # noon plus twelve hours: the first moment of the next day


@pytest.fixture
async def days(orders: Orders) -> Days:
    return Days(orders.engine)


async def bought(fills: Fills, size: int = 100, price: str = "0.50", token: str = YES) -> None:
    """Have the account hold shares that cost $50."""
    order = an_order(f"bought-{token}", token_id=token, price=Decimal(price), size=Decimal(size))
    fill = a_fill(f"t-{token}", order, size=Decimal(size), status=FillStatus.CONFIRMED)
    await fills.record(fill, SeenBy.POLL, NOW)


async def at_once(orders: Orders, drafts: list[Order], limits: Limits) -> list[Order | Denied]:
    """Have all drafts judged at the same moment; one that got no connection asks again."""

    async def judged(draft: Order) -> Order | Denied:
        while True:
            with contextlib.suppress(UnavailableError):
                return await orders.admit(draft, b"", limits)

    return await asyncio.gather(*map(judged, drafts))


async def test_i16_fifty_at_once_never_pass_the_exposure_cap_of_an_event(orders: Orders) -> None:
    legs = [a_market("rain", event_id="7"), a_market("snow", event_id="7"), a_market("hail")]
    await Markets(orders.engine).replace(legs, NOW)
    limits = replace(WIDE, max_event_exposure_usd=Decimal(40))  # ten orders of $4
    conditions = [leg.condition_id for leg in legs]
    drafts = [an_order(str(n), condition_id=conditions[n % 2]) for n in range(50)]
    outcomes = await at_once(orders, drafts, limits)
    assert sum(isinstance(outcome, Order) for outcome in outcomes) == 10
    denials = {outcome.words for outcome in outcomes if isinstance(outcome, Denied)}
    assert denials == {"max_event_exposure_usd is 40; this would make it 44.00"}
    apart = an_order("apart", condition_id=conditions[2])
    assert isinstance(await orders.admit(apart, b"", limits), Order)


async def test_i16_fifty_at_once_never_pass_the_exposure_cap_of_the_account(
    orders: Orders,
) -> None:
    limits = replace(WIDE, max_account_exposure_usd=Decimal(40))
    drafts = [an_order(str(n), condition_id=f"0xc{n}") for n in range(50)]
    outcomes = await at_once(orders, drafts, limits)
    assert sum(isinstance(outcome, Order) for outcome in outcomes) == 10
    denials = {outcome.rule for outcome in outcomes if isinstance(outcome, Denied)}
    assert denials == {"max_account_exposure_usd"}


async def test_i16_fifty_at_once_after_a_daily_loss_are_all_denied_and_trip_once(
    orders: Orders, fills: Fills, days: Days
) -> None:
    await bought(fills)
    await days.begin(ACCOUNT, Decimal(950), "guardian", NOW)
    await fills.mark(ACCOUNT, {YES: Decimal("0.40")}, later(1))
    assert isinstance(await orders.admit(an_order("last"), b"", LOSS), Order)
    equity = "UPDATE days SET starting_equity_usd = 100"  # ten dollars lost are its tenth
    async with orders.engine.begin() as connection:
        await connection.execute(text(equity))
    drafts = [an_order(str(n)) for n in range(50)]
    outcomes = await at_once(orders, drafts, LOSS)
    assert sum(isinstance(outcome, Order) for outcome in outcomes) == 0
    assert sum(isinstance(one, Denied) and one.trips for one in outcomes) == 1
    assert (await kinds(orders.engine)).count("account.halting") == 1
    standing = await Accounts(orders.engine).standing(ACCOUNT)
    assert standing.state is AccountState.HALTING
    assert (standing.reason or "").startswith("daily loss $10.00 since 00:00 UTC")


async def test_i16_fifty_at_once_after_failures_in_a_row_are_all_denied(orders: Orders) -> None:
    limits = replace(WIDE, max_consecutive_failures=3)
    await failed(orders, OrderEvent.REJECT, OrderEvent.REJECT, OrderEvent.ABANDON)
    drafts = [an_order(str(n)) for n in range(50)]
    outcomes = await at_once(orders, drafts, limits)
    assert {type(outcome) for outcome in outcomes} == {Denied}
    (tripping,) = [each for each in outcomes if isinstance(each, Denied) and each.trips]
    assert tripping.rule == FAILURES
    assert tripping.words == "3 orders in a row failed; max_consecutive_failures is 3"


async def failed(orders: Orders, *ends: OrderEvent) -> None:
    """Have orders made one after the other end in these ways."""
    began = utc_now()
    for n, end in enumerate(ends):
        draft = an_order(f"end-{n}-{end}", created_at=began + timedelta(milliseconds=n))
        assert isinstance(await orders.admit(draft, b"", WIDE), Order)
        await orders.begin_send(draft.order_hash, began)
        if end is OrderEvent.ABANDON:
            await orders.learn(draft.order_hash, OrderEvent.LOSE, None, began)
        await orders.learn(draft.order_hash, end, None, began)


async def test_an_order_that_was_taken_ends_a_row_of_failures(orders: Orders, days: Days) -> None:
    limits = replace(WIDE, max_consecutive_failures=3)
    await failed(orders, OrderEvent.REJECT, OrderEvent.REJECT, OrderEvent.ACCEPT, OrderEvent.REJECT)
    assert isinstance(await orders.admit(an_order("next"), b"", limits), Order)
    assert (await days.reading(ACCOUNT, NOW)).failures_in_row == 1


async def test_failures_before_the_account_was_resumed_have_had_their_say(
    orders: Orders, accounts: Accounts
) -> None:
    limits = replace(WIDE, max_consecutive_failures=3)
    await failed(orders, *[OrderEvent.REJECT] * 3)
    assert isinstance(await orders.admit(an_order("trips"), b"", limits), Denied)
    await accounts.set_state(ACCOUNT, AccountState.RUNNING, reason="resumed", who="ann")
    assert isinstance(await orders.admit(an_order("next"), b"", limits), Order)


@pytest.mark.parametrize("news", [[], [OrderEvent.LOSE], [OrderEvent.DELAY]])
async def test_a2_what_is_in_flight_or_unknown_counts_in_full_against_each_exposure_cap(
    orders: Orders, news: list[OrderEvent]
) -> None:
    await orders.admit(an_order("1"), b"", WIDE)
    await orders.begin_send("0x1", NOW)
    for event in news:
        await orders.learn("0x1", event, None, NOW)
    for name in ("market", "event", "account"):
        limits = replace(WIDE, **{f"max_{name}_exposure_usd": Decimal("7.99")})
        outcome = await orders.admit(an_order("2"), b"", limits)
        assert isinstance(outcome, Denied)
        assert outcome.words == f"max_{name}_exposure_usd is 7.99; this would make it 8.00"


async def test_max_daily_loss_admits_nothing_before_somebody_took_what_the_day_began_with(
    orders: Orders, days: Days
) -> None:
    outcome = await orders.admit(an_order("1"), b"", LOSS)
    assert isinstance(outcome, Denied)
    assert outcome.rule == DAY_UNKNOWN
    assert "order.denied" not in await kinds(orders.engine)
    await days.begin(ACCOUNT, Decimal(1000), "entry", NOW)
    assert isinstance(await orders.admit(an_order("1"), b"", LOSS), Order)
    tomorrow = an_order("2", created_at=TOMORROW)
    assert isinstance(await orders.admit(tomorrow, b"", LOSS), Denied)


async def test_the_day_begins_with_collateral_and_what_is_held_at_its_last_known_price(
    fills: Fills, days: Days
) -> None:
    await bought(fills)
    await bought(fills, token=NO)
    await fills.mark(ACCOUNT, {YES: Decimal("0.60")}, later(1))
    unmined = an_order("unmined")
    await fills.record(
        a_fill("t9", unmined, fee=Decimal("0.10")), SeenBy.STREAM, later(2)
    )  # 4 shares at 0.40: $1.70 that the exchange still counts as ours
    day = await days.begin(ACCOUNT, Decimal(900), "guardian", later(3))
    # 104 at 0.60 of the one, the other at the $50 it cost: nobody has priced it.
    assert day.inventory_usd == Decimal("62.4") + 50
    assert day.starting_equity_usd == 900 - Decimal("1.7") + day.inventory_usd
    assert (day.unpriced, day.oldest_priced_at, day.source) == (1, later(1), "guardian")
    assert (await kinds(days.engine))[-1] == "day.begun"


async def test_of_two_who_begin_a_day_the_first_one_counts(days: Days) -> None:
    took = await asyncio.gather(
        *(days.begin(ACCOUNT, Decimal(1000 + n), "entry", NOW) for n in range(10))
    )
    assert len({day.starting_equity_usd for day in took}) == 1
    assert (await kinds(days.engine)).count("day.begun") == 1


async def test_a_restart_clears_neither_the_days_start_nor_what_was_lost_since(
    fills: Fills, days: Days, database_url: str
) -> None:
    await bought(fills)
    await fills.mark(ACCOUNT, {YES: Decimal("0.50")}, NOW)
    await days.begin(ACCOUNT, Decimal(50), "guardian", NOW)
    await fills.mark(ACCOUNT, {YES: Decimal("0.40")}, later(1))
    again = open_database(database_url)
    try:
        outcome = await Orders(again, Cipher(KEY)).admit(an_order("1"), b"", LOSS)
        assert isinstance(outcome, Denied)
        assert outcome.rule == DAILY_LOSS
        # Closed at the price it was bought for, the day is even: the account stays halted.
        await fills.mark(ACCOUNT, {YES: Decimal("0.50")}, later(2))
        outcome = await Orders(again, Cipher(KEY)).admit(an_order("2"), b"", LOSS)
        assert isinstance(outcome, Denied)
        assert outcome.rule == "account_state"
    finally:
        await again.dispose()


async def test_max_daily_loss_counts_what_is_realised_what_is_not_and_fees(
    fills: Fills, days: Days
) -> None:
    await bought(fills)
    await days.begin(ACCOUNT, Decimal(1000), "guardian", NOW)
    sale = an_order("sale", side=Side.SELL, price=Decimal("0.45"), size=Decimal(40))
    sold = a_fill("t1", sale, size=Decimal(40), fee=Decimal("0.30"), status=FillStatus.MINED)
    await fills.record(sold, SeenBy.STREAM, later(1))  # 40 x -0.05 and the fee
    await fills.mark(ACCOUNT, {YES: Decimal("0.40")}, later(2))  # 60 x -0.10
    reading = await days.reading(ACCOUNT, later(3))
    assert reading.today is not None
    assert reading.today.pnl_usd == Decimal("-2") - Decimal("0.30") - 6
    # A trade that fails never was: its shares are held again, and its fee was not paid.
    await fills.record(replace(sold, status=FillStatus.FAILED), SeenBy.POLL, later(4))
    reading = await days.reading(ACCOUNT, later(5))
    assert reading.today is not None
    assert reading.today.pnl_usd == -10


async def test_max_daily_loss_counts_what_was_lost_on_a_position_that_is_closed(
    fills: Fills, days: Days
) -> None:
    await bought(fills)
    await days.begin(ACCOUNT, Decimal(1000), "guardian", NOW)
    sale = an_order("sale", side=Side.SELL, price=Decimal("0.45"), size=Decimal(100))
    await fills.record(a_fill("t1", sale, size=Decimal(100)), SeenBy.STREAM, later(1))
    reading = await days.reading(ACCOUNT, later(2))
    assert reading.today is not None
    assert reading.today.pnl_usd == -5


async def test_a_fee_taken_in_shares_is_a_loss_and_the_day_after_begins_anew(
    fills: Fills, days: Days
) -> None:
    await days.begin(ACCOUNT, Decimal(1000), "guardian", NOW)
    order = an_order("b", price=Decimal("0.50"), size=Decimal(100))
    fill = a_fill("t1", order, size=Decimal(100), status=FillStatus.CONFIRMED)
    await fills.record(
        replace(fill, fee=Decimal(2), fee_asset=FeeAsset.SHARES), SeenBy.POLL, later(1)
    )
    await fills.mark(ACCOUNT, {YES: Decimal("0.50")}, later(2))
    reading = await days.reading(ACCOUNT, later(3))
    assert reading.today is not None
    assert reading.today.pnl_usd == -1
    assert (await days.reading(ACCOUNT, TOMORROW)).today is None
    await days.begin(ACCOUNT, Decimal(950), "guardian", TOMORROW)
    reading = await days.reading(ACCOUNT, TOMORROW)
    assert reading.today is not None
    assert reading.today.pnl_usd == 0


async def test_l2_a_withdrawal_is_no_loss_and_a_deposit_hides_none(
    fills: Fills, days: Days
) -> None:
    await bought(fills)
    await days.begin(ACCOUNT, Decimal(1000), "guardian", NOW)
    # The exchange's collateral may be anything by now: what counts is our own ledger.
    await days.begin(ACCOUNT, Decimal(10), "guardian", later(1))
    reading = await days.reading(ACCOUNT, later(2))
    assert reading.today is not None
    assert (reading.today.pnl_usd, reading.today.lost_usd) == (0, 0)
    assert tripped(reading, LOSS) is None


async def test_a_forgiven_loss_is_kept_with_the_name_of_who_forgave_it(
    fills: Fills, days: Days
) -> None:
    await bought(fills)
    await days.begin(ACCOUNT, Decimal(10), "guardian", NOW)
    await fills.mark(ACCOUNT, {YES: Decimal("0.40")}, later(1))
    assert tripped(await days.reading(ACCOUNT, later(2)), LOSS) is not None
    await days.forgive(ACCOUNT, Decimal(10), "ann", later(2))
    assert tripped(await days.reading(ACCOUNT, later(3)), LOSS) is None
    told = await rows(days.engine, "SELECT kind, who FROM events ORDER BY seq DESC LIMIT 1")
    assert told == [{"kind": "day.loss_forgiven", "who": "ann"}]


async def test_a_trip_that_nobody_was_told_of_asks_for_its_kill_again(
    fills: Fills, orders: Orders, days: Days
) -> None:
    await bought(fills)
    await days.begin(ACCOUNT, Decimal(10), "guardian", NOW)
    await fills.mark(ACCOUNT, {YES: Decimal("0.40")}, later(1))
    outcome = await orders.admit(an_order("1"), b"", LOSS)
    assert isinstance(outcome, Denied)
    found = tripped(await days.reading(ACCOUNT, later(2)), LOSS)
    assert found is not None
    assert found.words == outcome.words
    who = "SELECT who FROM events WHERE kind = 'account.halting'"
    assert await one(days.engine, who) == TRIPPED_BY


async def test_a_reading_names_where_most_is_at_stake(
    fills: Fills, orders: Orders, days: Days
) -> None:
    legs = [a_market("rain", event_id="7"), a_market("snow", event_id="7"), a_market("hail")]
    await Markets(orders.engine).replace(legs, NOW)
    await bought(fills)  # $50 of rain
    for n, leg in enumerate(legs[1:]):  # $40 of snow, $60 of hail
        size = Decimal(100 + 50 * n)
        await orders.admit(an_order(f"{n}", condition_id=leg.condition_id, size=size), b"", WIDE)
    reading = await days.reading(ACCOUNT, NOW)
    assert (reading.market, reading.market_usd) == ("hail", 60)
    assert (reading.event_id, reading.event_usd) == ("7", 90)
    assert (reading.account_usd, reading.open_orders, reading.unpriced) == (150, 2, 1)

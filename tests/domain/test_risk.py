"""Each limit holds at its edge, and no limit stands in the way of leaving."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.order import Side, TimeInForce
from domain.risk import (
    DAILY_LOSS,
    FAILURES,
    HALTS,
    RECONCILING,
    AccountState,
    Exposure,
    Limits,
    Today,
    day_of,
    denied,
    trip,
)
from domain.sizing import Denied, Terms

LIMITS = Limits(
    max_order_notional_usd=Decimal(100),
    max_market_exposure_usd=Decimal(500),
    max_open_orders=10,
    max_event_exposure_usd=Decimal(600),
    max_account_exposure_usd=Decimal(700),
    max_daily_loss_fraction=Decimal("0.1"),
    max_consecutive_failures=5,
)
EVEN = Today(starting_equity_usd=Decimal(1000), pnl_usd=Decimal(0))
CALM = Exposure(
    state=AccountState.RUNNING,
    open_orders=0,
    market_usd=Decimal(0),
    event_usd=Decimal(0),
    account_usd=Decimal(0),
    free_shares=Decimal(0),
    today=EVEN,
)


def _terms(size: str, side: Side = Side.BUY) -> Terms:
    return Terms(side=side, time_in_force=TimeInForce.FAK, price=Decimal("0.5"), size=Decimal(size))


def _rule(outcome: Denied | None) -> str | None:
    return outcome.rule if outcome is not None else None


@pytest.mark.parametrize(
    ("size", "exposure", "rule"),
    [
        ("200", CALM, None),
        ("200.01", CALM, "max_order_notional_usd"),
        ("100", replace(CALM, market_usd=Decimal(450)), None),
        ("100.01", replace(CALM, market_usd=Decimal(450)), "max_market_exposure_usd"),
        ("100", replace(CALM, event_usd=Decimal(550)), None),
        ("100.01", replace(CALM, event_usd=Decimal(550)), "max_event_exposure_usd"),
        ("100", replace(CALM, account_usd=Decimal(650)), None),
        ("100.01", replace(CALM, account_usd=Decimal(650)), "max_account_exposure_usd"),
        ("100", replace(CALM, open_orders=9), None),
        ("100", replace(CALM, open_orders=10), "max_open_orders"),
    ],
)
def test_an_entry_may_reach_a_limit_and_not_pass_it(
    size: str, exposure: Exposure, rule: str | None
) -> None:
    assert _rule(denied(_terms(size), exposure, LIMITS)) == rule


@pytest.mark.parametrize("state", [state for state in AccountState if state != "running"])
def test_only_a_running_account_may_enter_and_every_account_may_leave(state: AccountState) -> None:
    exposure = replace(CALM, state=state, free_shares=Decimal(10), open_orders=99)
    is_waiting = state is AccountState.RECONCILING  # a denial that time alone may lift
    rule = RECONCILING if is_waiting else "account_state"
    assert _rule(denied(_terms("10"), exposure, LIMITS)) == rule
    assert denied(_terms("10", Side.SELL), exposure, LIMITS) is None


@pytest.mark.parametrize("state", sorted(HALTS))
def test_a_halted_account_may_leave_at_the_market_and_rests_nothing(state: AccountState) -> None:
    exposure = replace(CALM, state=state, free_shares=Decimal(10))
    sale = _terms("10", Side.SELL)
    assert denied(sale, exposure, LIMITS) is None
    resting = replace(sale, time_in_force=TimeInForce.GTC)
    assert _rule(denied(resting, exposure, LIMITS)) == "account_state"
    calm = replace(exposure, state=AccountState.RUNNING)
    assert denied(resting, calm, LIMITS) is None


def test_no_more_is_sold_than_is_free() -> None:
    exposure = replace(CALM, free_shares=Decimal(10))
    assert denied(_terms("10", Side.SELL), exposure, LIMITS) is None
    assert _rule(denied(_terms("10.01", Side.SELL), exposure, LIMITS)) == "nothing_to_sell"


def test_a_denial_names_its_limit_and_what_was_asked() -> None:
    outcome = denied(_terms("300"), CALM, LIMITS)
    assert outcome is not None
    assert outcome.words == "max_order_notional_usd is 100; this would make it 150.0"


@pytest.mark.parametrize(
    ("pnl", "is_stopped"), [("100", False), ("-99.99", False), ("-100", True), ("-500", True)]
)
def test_max_daily_loss_stops_the_account_once_its_share_of_the_days_start_is_lost(
    pnl: str, *, is_stopped: bool
) -> None:
    outcome = denied(_terms("10"), replace(CALM, today=_day(pnl)), LIMITS)
    assert _rule(outcome) == (DAILY_LOSS if is_stopped else None)
    assert outcome is None or outcome.trips


def test_l2_a_daily_loss_names_its_base_its_window_its_limit_and_its_value() -> None:
    outcome = trip(_day("-123.456"), 0, LIMITS)
    assert outcome is not None
    assert outcome.words == (
        "daily loss $123.46 since 00:00 UTC; max_daily_loss_fraction is 0.1 of the $1000.00 the"
        " day began with, $100.00"
    )


def test_l2_a_day_nobody_has_begun_admits_nothing_and_stops_nobody() -> None:
    outcome = denied(_terms("10"), replace(CALM, today=None), LIMITS)
    assert outcome is not None
    assert (outcome.rule, outcome.trips) == ("day_unknown", False)


def test_l2_an_account_without_trades_never_loses_even_where_it_began_with_nothing() -> None:
    assert trip(Today(starting_equity_usd=Decimal(0), pnl_usd=Decimal(0)), 0, LIMITS) is None


def test_a_loss_that_an_operator_forgave_counts_no_more_and_a_further_one_does() -> None:
    assert trip(replace(_day("-150"), forgiven_usd=Decimal(150)), 0, LIMITS) is None
    further = trip(replace(_day("-250"), forgiven_usd=Decimal(150)), 0, LIMITS)
    assert _rule(further) == DAILY_LOSS


@pytest.mark.parametrize(("failures", "rule"), [(4, None), (5, FAILURES), (6, FAILURES)])
def test_orders_that_fail_in_a_row_stop_the_account(failures: int, rule: str | None) -> None:
    assert _rule(trip(EVEN, failures, LIMITS)) == rule


def test_a_day_begins_at_midnight_utc_wherever_the_clock_stands() -> None:
    summer = timezone(timedelta(hours=2))
    assert day_of(datetime(2026, 7, 1, 1, 59, tzinfo=summer)) == date(2026, 6, 30)
    assert day_of(datetime(2026, 7, 1, 2, 0, tzinfo=summer)) == date(2026, 7, 1)
    assert day_of(datetime(2026, 10, 25, 23, 59, 59, tzinfo=UTC)) == date(2026, 10, 25)


def test_c9_no_limit_on_entries_stands_in_the_way_of_a_sale() -> None:
    tight = Limits(
        max_order_notional_usd=Decimal("0.01"),
        max_market_exposure_usd=Decimal("0.01"),
        max_open_orders=1,
        max_event_exposure_usd=Decimal("0.01"),
        max_account_exposure_usd=Decimal("0.01"),
        max_daily_loss_fraction=Decimal("0.0001"),
        max_consecutive_failures=1,
    )
    worst = replace(
        CALM,
        open_orders=500,
        market_usd=Decimal(9000),
        event_usd=Decimal(9000),
        account_usd=Decimal(9000),
        free_shares=Decimal(5000),
        today=None,
        failures_in_row=99,
    )
    for today in (None, _day("-999")):
        assert denied(_terms("5000", Side.SELL), replace(worst, today=today), tight) is None


AMOUNTS = st.decimals(min_value="0.01", max_value=2000, places=2)


@given(
    st.lists(st.tuples(AMOUNTS, st.sampled_from("abc"), st.booleans()), max_size=60),
    st.sampled_from([None, "-99.99", "-100"]),
)
def test_i16_whatever_is_asked_in_whatever_order_nothing_admitted_passes_a_limit(
    asked: list[tuple[Decimal, str, bool]], pnl: str | None
) -> None:
    """Markets a and b are of one event. Each wish sees what was admitted before it."""
    spent: list[tuple[Decimal, str]] = []
    for size, market, is_sale in asked:
        exposure = replace(
            CALM,
            open_orders=len(spent),
            market_usd=_sum(spent, market),
            event_usd=_sum(spent, "ab" if market in "ab" else market),
            account_usd=_sum(spent, "abc"),
            free_shares=Decimal(5000),
            today=None if pnl is None else _day(pnl),
        )
        terms = _terms(str(size), Side.SELL if is_sale else Side.BUY)
        outcome = denied(terms, exposure, LIMITS)
        if is_sale:
            assert outcome is None
        elif outcome is None:
            assert pnl == "-99.99"
            assert terms.notional_usd <= 100
            spent.append((terms.notional_usd, market))
        else:
            assert str(outcome.rule) in outcome.words or outcome.rule == "day_unknown"
    assert len(spent) <= 10
    assert all(_sum(spent, market) <= 500 for market in "abc")
    assert _sum(spent, "ab") <= 600
    assert _sum(spent, "abc") <= 700


def _sum(spent: list[tuple[Decimal, str]], markets: str) -> Decimal:
    return sum((usd for usd, market in spent if market in markets), Decimal(0))


def _day(pnl: str) -> Today:
    return replace(EVEN, pnl_usd=Decimal(pnl))

"""Each limit holds at its edge, and no limit stands in the way of leaving."""

from dataclasses import replace
from decimal import Decimal

import pytest

from domain.order import Side, TimeInForce
from domain.risk import HALTS, RECONCILING, AccountState, Exposure, Limits, denied
from domain.sizing import Denied, Terms

LIMITS = Limits(
    max_order_notional_usd=Decimal(100), max_market_exposure_usd=Decimal(500), max_open_orders=10
)
CALM = Exposure(
    state=AccountState.RUNNING,
    open_orders=0,
    market_usd=Decimal(0),
    free_shares=Decimal(0),
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

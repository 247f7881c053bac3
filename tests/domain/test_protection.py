"""Plans and the wishes that change them."""

from decimal import Decimal

import pytest

from domain.protection import Plan, Protect, changed

HALF, HIGH, LOW = Decimal("0.5"), Decimal("0.7"), Decimal("0.4")


@pytest.mark.parametrize(
    ("wish", "then"),
    [
        (Protect(), Plan(stop_loss=HALF, take_profit=HIGH)),
        (Protect(stop_loss=LOW), Plan(stop_loss=LOW, take_profit=HIGH)),
        (Protect(take_profit=Decimal(0)), Plan(stop_loss=HALF)),
        (
            Protect(stop_loss=Decimal(0), take_profit=Decimal("0.8")),
            Plan(take_profit=Decimal("0.8")),
        ),
    ],
)
def test_a_wish_changes_what_it_names_takes_away_by_zero_and_leaves_the_rest(
    wish: Protect, then: Plan
) -> None:
    assert changed(Plan(stop_loss=HALF, take_profit=HIGH), wish) == then


def test_a_plan_without_prices_is_empty_and_any_price_makes_it_one() -> None:
    assert Plan().is_empty
    assert not Plan(stop_loss=HALF).is_empty
    assert not Plan(take_profit=HIGH).is_empty

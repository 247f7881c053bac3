"""An order's life: what may follow what, and what is never taken back."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from domain.errors import InvariantError
from domain.order import (
    ABSENT_LONG_AFTER,
    ABSENT_TWICE_AFTER,
    COMPLETE_WITHIN,
    NEXT,
    OLD_NEWS,
    OPEN,
    SENDABLE,
    TERMINAL,
    Order,
    OrderEvent,
    OrderState,
    Sighting,
    TimeInForce,
    seen,
)
from tests.domain.making import NOW, an_order, later

S = OrderState
E = OrderEvent
ABSENT = Sighting(is_active=False)


def test_both_tables_speak_of_every_state() -> None:
    assert set(NEXT) == set(S)
    assert set(OLD_NEWS) == set(S)


def test_no_event_is_both_news_and_old_news() -> None:
    assert [state for state in S if set(NEXT[state]) & OLD_NEWS[state]] == []


def test_every_state_is_open_or_over_and_sendable_ones_are_open() -> None:
    assert set(S) == OPEN | TERMINAL
    assert not OPEN & TERMINAL
    assert SENDABLE <= OPEN


def test_every_state_can_be_reached_and_every_open_one_left() -> None:
    reached = {S.NEW, S.PARTIAL, S.FILLED}  # the last two by fills
    for _ in S:
        reached |= {state for known in reached for state in NEXT[known].values()}
    assert reached == set(S)
    assert all(NEXT[state] for state in OPEN)


def test_news_that_may_come_late_is_never_impossible_once_it_is_over() -> None:
    answers = {E.LOSE, E.DELAY, E.REJECT}
    ends = TERMINAL - {S.FILLED}
    missing = [(s, e) for s in ends for e in answers if e not in OLD_NEWS[s] and e not in NEXT[s]]
    assert missing == []


@pytest.mark.parametrize("state", list(S))
@pytest.mark.parametrize("event", list(E))
def test_an_event_is_applied_or_old_or_impossible(state: S, event: E) -> None:
    order = an_order(state)
    if event in OLD_NEWS[state]:
        assert order.after(event, "words") is order
    elif event in NEXT[state]:
        assert order.after(event).state is NEXT[state][event]
    else:
        with pytest.raises(InvariantError):
            order.after(event)


@pytest.mark.parametrize("state", [S.SENT, S.UNKNOWN])
def test_a_send_never_makes_an_unknown_one_known(state: S) -> None:
    assert an_order(state).after(E.SEND).state is state


@pytest.mark.parametrize("state", list(S))
def test_all_of_its_shares_fill_an_order_in_any_state(state: S) -> None:
    order = an_order(state, reason="an earlier end").with_fills(Decimal(10))
    assert (order.state, order.reason) == (S.FILLED, None)


@pytest.mark.parametrize("state", list(S))
def test_some_of_its_shares_never_end_or_revive_an_order(state: S) -> None:
    order = an_order(state).with_fills(Decimal(3))
    is_over = state in TERMINAL
    assert order.state is (state if is_over else S.PARTIAL)
    assert (order.filled_size, order.matched_size) == (Decimal(3), Decimal(3))


def test_filled_size_never_falls() -> None:
    order = an_order().with_fills(Decimal(6)).with_fills(Decimal(2))
    assert order.filled_size == Decimal(6)


@pytest.mark.parametrize(("filled", "state"), [("9.989", S.PARTIAL), ("9.99", S.FILLED)])
def test_rounding_dust_counts_as_filled(filled: str, state: S) -> None:
    assert an_order().with_fills(Decimal(filled)).state is state
    assert Decimal("0.01") == COMPLETE_WITHIN


def test_e8_more_shares_than_were_signed_end_an_order_once_all_of_them_are_recorded() -> None:
    bought = replace(an_order(S.SENT), matched_size=Decimal("10.2")).after(E.ACCEPT)
    first = bought.with_fills(Decimal(10))
    assert (first.state, first.is_over, first.remaining) == (S.FILLED, False, 0)
    last = first.with_fills(Decimal("10.199999"))
    assert (last.state, last.is_over, last.remaining) == (S.FILLED, True, 0)


def test_an_order_seen_alive_after_its_end_is_open_again_without_its_reason() -> None:
    ended = an_order(S.CANCELLED, reason="no longer on the exchange", filled_size=Decimal(1))
    again = seen(ended, Sighting(is_active=True, matched_size=Decimal(2)), NOW)
    assert (again.state, again.reason, again.matched_size) == (S.PARTIAL, None, Decimal(2))


def test_an_order_is_not_over_while_a_matched_share_has_no_fill() -> None:
    killed = an_order(S.CANCELLED, matched_size=Decimal(5))
    assert not killed.is_over
    assert killed.with_fills(Decimal(5)).is_over


def test_a_sender_has_its_answer_once_the_order_rests_or_is_over() -> None:
    assert an_order(S.LIVE).is_settled_for_sender
    assert an_order(S.REJECTED).is_settled_for_sender
    assert not an_order(S.LIVE, time_in_force=TimeInForce.FAK).is_settled_for_sender
    assert not any(an_order(s).is_settled_for_sender for s in (S.SENT, S.UNKNOWN, S.DELAYED))


@pytest.mark.parametrize("state", [S.NEW, S.SENT, S.UNKNOWN])
def test_absence_alone_never_ends_an_order_nobody_acknowledged(state: S) -> None:
    order = an_order(state)
    for minutes in range(60):
        order = seen(order, ABSENT, later(60 * minutes))
    assert order.state is state


@pytest.mark.parametrize(
    ("order", "enough"),
    [
        (an_order(S.LIVE), ABSENT_LONG_AFTER),
        (an_order(S.PARTIAL), ABSENT_LONG_AFTER),
        (an_order(S.LIVE, time_in_force=TimeInForce.FAK), ABSENT_TWICE_AFTER),
        (an_order(S.PARTIAL, time_in_force=TimeInForce.FOK), ABSENT_TWICE_AFTER),
        (an_order(S.DELAYED), ABSENT_LONG_AFTER),
        (an_order(S.UNKNOWN, was_duplicate=True), ABSENT_LONG_AFTER),
        (an_order(S.SENT, was_duplicate=True), ABSENT_LONG_AFTER),
    ],
)
def test_two_looks_far_enough_apart_end_an_acknowledged_order(
    order: Order, enough: timedelta
) -> None:
    state = order.state
    once = seen(order, ABSENT, NOW)
    assert once.state is state
    early = seen(once, ABSENT, NOW + enough - timedelta(milliseconds=1))
    assert early.state is state
    assert seen(early, ABSENT, NOW + enough).state is S.CANCELLED


def test_a_look_that_finds_it_forgets_an_earlier_absence() -> None:
    order = seen(an_order(S.LIVE), ABSENT, NOW)
    order = seen(order, Sighting(is_active=True), later(5))
    assert seen(order, ABSENT, later(10)).state is S.LIVE


def test_a_dated_order_that_is_gone_at_its_date_has_expired() -> None:
    order = seen(an_order(S.LIVE, expires_at=later(100)), ABSENT, later(39))
    assert seen(order, ABSENT, later(60)).state is S.EXPIRED
    early = replace(order, expires_at=later(1000))
    assert seen(early, ABSENT, later(60)).state is S.CANCELLED


@pytest.mark.parametrize("state", sorted(OPEN))
def test_the_exchanges_own_word_ends_an_order_at_once(state: S) -> None:
    dead = seen(an_order(state), Sighting(is_active=False, is_cancelled=True), NOW)
    assert dead.state is S.CANCELLED
    assert dead.reason == "cancelled on the exchange"


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_an_order_that_is_over_and_absent_stays_as_it_is(state: S) -> None:
    order = an_order(state, reason="why")
    assert seen(order, ABSENT, NOW) == order
    assert seen(order, Sighting(is_active=False, is_cancelled=True), NOW) == order


def test_a_look_that_saw_fewer_matches_takes_none_back() -> None:
    order = an_order(S.LIVE, matched_size=Decimal(5))
    assert seen(order, Sighting(is_active=True, matched_size=Decimal(2)), NOW) == order

"""What a guardian repairs, and what it leaves alone: the table of rules, row by row."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.guardian import Look, Stray, Verdict, verdict
from domain.guardian_rules import EXEMPT, GAPS, IN_DOUBT, Held, Listing
from domain.order import TERMINAL, OrderState
from domain.position import PositionStatus
from domain.protection import ProtectionStatus
from domain.risk import HALTS, AccountState
from domain.stop import Quote, StopRule, Trigger

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
RULE = StopRule()
BID = Quote(token_id="t", best_bid=Decimal("0.55"), best_ask=Decimal("0.57"))
WHOLE = Held(
    position_id="p",
    token_id="t",
    status=PositionStatus.OPEN,
    size=Decimal(40),
    unsettled_size=Decimal(0),
    promised_size=Decimal(0),
    stop_loss=Decimal("0.40"),
    take_profit=Decimal("0.80"),
    unprotected_since=None,
    market="will-it-rain",
    outcome="Yes",
    tick_size=Decimal("0.01"),
    min_size=Decimal(5),
    accepting_orders=True,
    closed=False,
    stop_status=ProtectionStatus.ARMED,
    stop_price=Decimal("0.40"),
    stop_size=Decimal(40),
    profit_id="p:tp:1",
    profit_price=Decimal("0.80"),
    order_hash="0x1",
    order_state=OrderState.LIVE,
    order_price=Decimal("0.80"),
    order_left=Decimal(40),
    order_sent_at=NOW - timedelta(seconds=60),
)
NO_PROFIT = WHOLE._replace(
    profit_id=None,
    profit_price=None,
    order_hash=None,
    order_state=None,
    order_price=None,
    order_left=None,
    order_sent_at=None,
)
NO_STOP = WHOLE._replace(stop_status=None, stop_price=None, stop_size=None)
LOOK = Look(
    account_id="main",
    state=AccountState.RUNNING,
    held=(WHOLE,),
    strays=(),
    listing=Listing(hashes=frozenset({"0x1"}), at=NOW - timedelta(seconds=1)),
    quotes={"t": BID},
    rule=RULE,
    now=NOW,
)


def judged(*held: Held, **changes: object) -> Verdict:
    """What is made of a look that found these positions."""
    return verdict(replace(LOOK, held=held, **changes))  # pyright: ignore[reportArgumentType]


def reasons(found: Verdict) -> set[str]:
    """The names of the rules that hold."""
    names = {rule.words: rule.name for rule in GAPS}
    return {names[words] for concern in found.concerns for words in concern.why}


def repaired(found: Verdict) -> list[str]:
    return [concern.held.token_id for concern in found.concerns if concern.is_repaired]


def alarms(found: Verdict) -> list[str]:
    return [alarm.name for alarm in found.alarms]


def unlisted(**changes: object) -> Verdict:
    """The same position, its take-profit on no list of the exchange."""
    listing = Listing(hashes=frozenset(), at=LOOK.listing.at)
    return judged(WHOLE._replace(**changes), listing=listing)  # pyright: ignore[reportArgumentType]


def test_what_is_wanted_and_there_is_left_alone() -> None:
    found = judged(WHOLE)
    assert (found.concerns, found.alarms, found.unprotected) == ((), (), {})


@pytest.mark.parametrize(
    ("held", "rule", "is_gap"),
    [
        (NO_STOP, "stop_missing", True),
        (WHOLE._replace(stop_status=ProtectionStatus.FIRING), "stop_missing", True),
        (WHOLE._replace(stop_price=Decimal("0.41")), "stop_differs", False),
        (WHOLE._replace(stop_size=Decimal(39)), "stop_differs", False),
        (WHOLE._replace(stop_loss=None), "stop_unwanted", False),
        (NO_PROFIT, "profit_missing", True),
        (NO_PROFIT._replace(profit_id="p:tp:2"), "profit_missing", True),
        (WHOLE._replace(order_state=OrderState.CANCELLED), "profit_over", True),
        (WHOLE._replace(order_state=OrderState.REJECTED), "profit_over", True),
        (WHOLE._replace(order_hash="0x2"), "profit_lost", True),
        (WHOLE._replace(order_price=Decimal("0.81")), "profit_price", False),
        (WHOLE._replace(profit_price=Decimal("0.79")), "profit_price", False),
        (WHOLE._replace(order_left=Decimal(30)), "profit_size", False),
        (WHOLE._replace(order_left=Decimal("40.02")), "profit_size", False),
        (WHOLE._replace(promised_size=Decimal(10)), "profit_size", False),
        (WHOLE._replace(take_profit=None), "profit_unwanted", False),
    ],
)
def test_what_is_missing_or_wrong_is_repaired(held: Held, rule: str, is_gap: bool) -> None:  # noqa: FBT001
    found = judged(held)
    assert reasons(found) == {rule}
    assert repaired(found) == ["t"]
    assert ("p" in found.unprotected) is is_gap


@pytest.mark.parametrize(
    "held",
    [
        WHOLE._replace(order_price=Decimal("0.805"), profit_price=Decimal("0.8")),  # off the grid
        WHOLE._replace(order_left=Decimal("39.99")),  # the exchange keeps two places
        WHOLE._replace(unsettled_size=Decimal(10), order_left=Decimal(30)),
        WHOLE._replace(unsettled_size=Decimal(10), order_left=Decimal(40)),
        NO_PROFIT._replace(unsettled_size=Decimal(36)),  # four shares cannot rest
        NO_PROFIT._replace(promised_size=Decimal(40)),  # the user sells them all
    ],
)
def test_a_difference_that_cannot_be_helped_is_none(held: Held) -> None:
    assert judged(held).concerns == ()


@pytest.mark.parametrize("state", sorted(IN_DOUBT))
def test_an_order_in_doubt_is_never_repaired_and_counts_as_missing_after_its_answer_is_due(
    state: OrderState,
) -> None:
    sent = WHOLE._replace(order_state=state, order_hash="0x2", order_sent_at=NOW)
    assert judged(sent).concerns == ()
    late = judged(sent._replace(order_sent_at=NOW - timedelta(seconds=6)))
    assert repaired(late) == []
    assert reasons(late) == {"profit_in_doubt"}
    assert late.unprotected == {"p": NOW}


def test_an_order_sent_after_the_exchange_was_asked_is_not_missed_on_its_list() -> None:
    assert unlisted(order_sent_at=LOOK.listing.at).concerns == ()
    assert reasons(unlisted(order_sent_at=LOOK.listing.at - timedelta(seconds=1))) == {
        "profit_lost"
    }


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"closed": True}, "resolved"),
        ({"status": PositionStatus.SETTLING}, "resolved"),
        ({"status": PositionStatus.EXITING}, "leaving"),
        ({"exit_status": ProtectionStatus.FIRING}, "leaving"),
        ({"accepting_orders": False}, "paused"),
        ({"status": PositionStatus.DUST}, "dust"),
        ({"size": Decimal("4.99")}, "dust"),
        ({"stop_loss": None, "take_profit": None}, "unplanned"),
    ],
)
def test_a_position_that_is_exempt_is_left_alone_and_counted(
    changes: dict[str, object], name: str
) -> None:
    bare = NO_PROFIT._replace(stop_status=None, stop_price=None, stop_size=None)
    found = judged(bare._replace(**changes))  # pyright: ignore[reportArgumentType]
    assert (found.concerns, found.unprotected) == ((), {})
    assert found.exempt == {name: 1}


def test_a_blocked_exit_is_an_alarm_and_no_repair() -> None:
    found = judged(WHOLE._replace(exit_status=ProtectionStatus.BLOCKED))
    assert (found.concerns, alarms(found)) == ((), ["exit_blocked"])


@pytest.mark.parametrize("state", sorted(HALTS))
def test_while_halted_no_take_profit_is_wanted_and_the_stop_is(state: AccountState) -> None:
    nothing = Listing(hashes=frozenset(), at=NOW)
    assert judged(NO_PROFIT, state=state, listing=nothing).concerns == ()
    found = judged(NO_PROFIT._replace(stop_status=None), state=state, listing=nothing)
    assert reasons(found) == {"stop_missing"}
    low = replace(BID, best_bid=Decimal("0.40"))
    crossed = judged(NO_PROFIT, state=state, listing=nothing, quotes={"t": low})
    assert crossed.concerns[0].crossing is not None


def test_what_rests_while_halted_is_an_alarm() -> None:
    assert alarms(judged(WHOLE, state=AccountState.HALTED)) == ["rests_while_halted"]


def crossed(found: Verdict) -> list[Decimal]:
    return [each.crossing.price for each in found.concerns if each.crossing is not None]


def quoted(bid: str | None, ask: str | None = "0.57", last: str | None = None) -> dict[str, Quote]:
    bid_, ask_, last_ = (None if one is None else Decimal(one) for one in (bid, ask, last))
    return {"t": Quote(token_id="t", best_bid=bid_, best_ask=ask_, last_price=last_)}


@pytest.mark.parametrize(
    ("trigger", "quote", "price"),
    [
        (Trigger.BEST_BID, quoted("0.41"), None),
        (Trigger.BEST_BID, quoted("0.40"), "0.40"),
        (Trigger.MID, quoted("0.30", "0.52"), None),
        (Trigger.MID, quoted("0.30", "0.50"), "0.40"),
        (Trigger.LAST, quoted("0.30", "0.50", "0.45"), None),
        (Trigger.LAST, quoted("0.55", "0.57", "0.39"), "0.39"),
    ],
)
def test_i21_the_price_that_the_account_chose_decides_whether_a_stop_is_crossed(
    trigger: Trigger, quote: dict[str, Quote], price: str | None
) -> None:
    found = judged(WHOLE, quotes=quote, rule=StopRule(trigger=trigger))
    assert crossed(found) == ([] if price is None else [Decimal(price)])
    assert repaired(found) == []


def test_a_stop_may_ask_for_ticks_beyond_it() -> None:
    rule = StopRule(beyond_ticks=2)
    assert crossed(judged(WHOLE, quotes=quoted("0.39"), rule=rule)) == []
    assert crossed(judged(WHOLE, quotes=quoted("0.38"), rule=rule)) == [Decimal("0.38")]


def test_a_stop_may_ask_for_readings_that_stay_beyond_it_so_that_one_print_does_not_sell() -> None:
    rule = StopRule(beyond=timedelta(seconds=5))
    first = judged(WHOLE, quotes=quoted("0.39"), rule=rule)
    assert (crossed(first), first.beyond) == ([], {"t": NOW})
    then = NOW + timedelta(seconds=10)
    back = judged(WHOLE, quotes=quoted("0.50"), rule=rule, now=then, beyond=first.beyond)
    assert back.beyond == {}
    stays = judged(WHOLE, quotes=quoted("0.39"), rule=rule, now=then, beyond=first.beyond)
    assert crossed(stays) == [Decimal("0.39")]


@pytest.mark.parametrize("quotes", [{}, quoted(None)])
def test_a_stop_whose_book_is_missing_is_an_alarm_and_sells_nothing(
    quotes: dict[str, Quote],
) -> None:
    found = judged(WHOLE, quotes=quotes)
    assert (found.concerns, alarms(found)) == ((), ["stop_unjudged"])


def test_a_stop_crossed_while_the_market_is_paused_is_told_to_the_position_and_to_people() -> None:
    found = judged(WHOLE._replace(accepting_orders=False), quotes=quoted("0.30"))
    assert (crossed(found), alarms(found)) == ([Decimal("0.30")], ["stop_in_pause"])


def test_listed_orders_that_our_books_do_not_have_or_think_dead_are_alarms() -> None:
    strays = (Stray("0x8", None), Stray("0x9", "CANCELLED"), Stray("0xa", "LIVE"))
    assert alarms(judged(WHOLE, strays=strays)) == ["order_unknown", "order_lives"]


def test_unprotected_time_counts_from_the_first_look_that_saw_it_and_is_an_alarm_when_long() -> (
    None
):
    first = judged(NO_STOP)
    assert first.unprotected == {"p": NOW}
    long_ago = NOW - timedelta(seconds=25)
    later = judged(NO_STOP._replace(unprotected_since=long_ago))
    assert (later.unprotected, alarms(later)) == ({"p": long_ago}, ["unprotected"])


def test_every_rule_has_a_name_of_its_own_and_words() -> None:
    for table in (EXEMPT, GAPS):
        assert len({rule.name for rule in table}) == len({rule.words for rule in table})
        assert len({rule.name for rule in table}) == len(table)


sizes = st.sampled_from([Decimal(n) for n in ("0.5", "4", "5", "20", "39.99", "40", "40.5")])
prices = st.sampled_from([None, *(Decimal(n) / 100 for n in (35, 40, 41, 79, 80))])
moments = st.integers(-30, 0).map(lambda seconds: NOW + timedelta(seconds=seconds))
held_ones = st.builds(
    Held,
    position_id=st.just("p"),
    token_id=st.just("t"),
    status=st.sampled_from(list(PositionStatus)),
    size=sizes,
    unsettled_size=st.sampled_from([Decimal(0), Decimal(10)]),
    promised_size=st.sampled_from([Decimal(0), Decimal(10)]),
    stop_loss=prices,
    take_profit=prices,
    unprotected_since=st.none() | moments,
    market=st.just("m"),
    outcome=st.just("Yes"),
    tick_size=st.just(Decimal("0.01")),
    min_size=st.just(Decimal(5)),
    accepting_orders=st.booleans(),
    closed=st.booleans(),
    stop_status=st.none() | st.sampled_from(["armed", "firing"]),
    stop_price=prices,
    stop_size=sizes,
    profit_id=st.none() | st.just("p:tp:1"),
    profit_price=prices,
    order_hash=st.sampled_from([None, "0x1", "0x2"]),
    order_state=st.none() | st.sampled_from(list(OrderState)),
    order_price=prices,
    order_left=sizes,
    order_sent_at=st.none() | moments,
    exit_status=st.none() | st.sampled_from(["firing", "blocked"]),
)
states = st.sampled_from(list(AccountState))
tops = st.builds(Quote, token_id=st.just("t"), best_bid=prices, best_ask=prices, last_price=prices)


def whys(found: Verdict) -> Iterable[str]:
    return reasons(found)


@given(held_ones, states, tops)
def test_no_order_that_may_live_is_ever_repaired_as_missing(
    held: Held, state: AccountState, top: Quote
) -> None:
    found = reasons(judged(held, state=state, quotes={"t": top}))
    may_live = held.order_state is not None and held.order_state not in TERMINAL
    if may_live and held.order_state in IN_DOUBT:
        assert not found & {
            "profit_missing",
            "profit_over",
            "profit_lost",
            "profit_price",
            "profit_size",
        }
    if may_live:
        assert not found & {"profit_missing", "profit_over"}


@given(held_ones, states, tops)
def test_i6_whatever_is_wished_for_and_possible_is_there_or_repaired_or_in_doubt(
    held: Held, state: AccountState, top: Quote
) -> None:
    found = judged(held, state=state, quotes={"t": top})
    is_tradable = held.accepting_orders and not held.closed and held.size >= 5
    is_open = held.status in {PositionStatus.OPEN, PositionStatus.FLAT}
    if not (is_tradable and is_open and held.exit_status is None):
        assert reasons(found) == set()
        return
    is_armed = held.stop_status == "armed" and (held.stop_price, held.stop_size) == (
        held.stop_loss,
        held.size,
    )
    if held.stop_loss is not None and not is_armed:
        assert repaired(found) == ["t"]
    is_listed = held.order_hash == "0x1" and held.order_state in {"LIVE", "PARTIAL"}
    is_late = held.order_sent_at is not None and held.order_sent_at >= LOOK.listing.at
    sellable = held.size - held.unsettled_size - held.promised_size
    is_wanted = held.take_profit is not None and state not in HALTS and sellable >= 5
    if is_wanted and not is_listed and not is_late and held.order_state not in IN_DOUBT:
        assert repaired(found) == ["t"]
        assert "p" in found.unprotected


@given(held_ones, states, tops)
def test_i21_a_stop_is_called_crossed_exactly_where_its_book_says_so(
    held: Held, state: AccountState, top: Quote
) -> None:
    stop = held.stop_loss or (held.stop_price if held.stop_status == "armed" else None)
    is_open = held.status == "open" and held.exit_status is None and not held.closed
    is_beyond = stop is not None and top.best_bid is not None and top.best_bid <= stop
    found = crossed(judged(held, state=state, quotes={"t": top}))
    assert found == ([top.best_bid] if is_open and is_beyond else [])


@given(held_ones, states)
def test_a_second_look_at_the_same_things_asks_for_the_same(
    held: Held, state: AccountState
) -> None:
    first = judged(held, state=state)
    again = judged(held._replace(unprotected_since=first.unprotected.get("p")), state=state)
    assert whys(again) == whys(first)
    assert again.unprotected.keys() == first.unprotected.keys()

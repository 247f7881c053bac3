"""When a breaker opens, whom it lets through, and when it closes."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.breaker import FAILURES, Breaker, BreakerState, CallGroup

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def failed(group: CallGroup, times: int) -> Breaker:
    breaker = Breaker(scope="main", call_group=group)
    for _ in range(times):
        breaker = breaker.failed("no answer", NOW)
    return breaker


def test_it_opens_at_the_fifth_failure_in_a_row_and_not_before() -> None:
    assert failed(CallGroup.ENTRIES, FAILURES - 1).is_closed
    opened = failed(CallGroup.ENTRIES, FAILURES)
    assert (opened.state, opened.times_opened, opened.opened_at) == (BreakerState.OPEN, 1, NOW)


def test_an_answer_in_between_starts_the_count_again() -> None:
    almost = failed(CallGroup.ENTRIES, FAILURES - 1).succeeded()
    assert almost.failed("no answer", NOW).is_closed


@pytest.mark.parametrize(
    ("group", "is_urgent", "seconds"),
    [
        (CallGroup.ENTRIES, False, 60),
        (CallGroup.CANCELS, False, 60),
        (CallGroup.READS, False, 60),
        (CallGroup.READS, True, 1),
        (CallGroup.EXITS, False, 1),
        (CallGroup.ACCESS, True, 60),
    ],
)
def test_one_call_is_let_through_after_a_minute_and_every_second_for_exits(
    group: CallGroup, is_urgent: object, seconds: int
) -> None:
    opened = failed(group, FAILURES)
    wait = opened.probe_in(NOW, is_urgent=bool(is_urgent))
    assert wait == timedelta(seconds=seconds)
    later = NOW + wait
    assert opened.probe_in(later, is_urgent=bool(is_urgent)) <= timedelta(0)
    assert opened.probing(later).probe_in(later, is_urgent=bool(is_urgent)) == wait


def test_a_probe_that_fails_opens_it_again_without_counting_as_another_opening() -> None:
    probing = failed(CallGroup.READS, FAILURES).probing(NOW)
    again = probing.failed("no answer", NOW)
    assert (again.state, again.times_opened) == (BreakerState.OPEN, 1)
    assert probing.succeeded().is_spotless


def test_the_first_refusal_of_the_keys_is_enough() -> None:
    assert not failed(CallGroup.ACCESS, 1).is_closed


def test_every_change_is_newer_than_what_it_changed() -> None:
    opened = failed(CallGroup.READS, FAILURES)
    versions = [opened.version, opened.probing(NOW).version, opened.succeeded().version]
    assert versions == [FAILURES, FAILURES + 1, FAILURES + 1]

"""When a guardian looks next."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from workflows.guardian_ticks import next_tick


@given(st.datetimes(timezones=st.just(UTC), min_value=datetime(2020, 1, 1)))  # noqa: DTZ001
def test_d9_the_next_look_is_at_the_next_full_ten_seconds_however_late_this_one_is(
    now: datetime,
) -> None:
    """So an outage of a minute is followed by one look: what it missed is not made up for."""
    due = next_tick(now)
    assert timedelta(0) < due - now <= timedelta(seconds=10)
    assert (due.second % 10, due.microsecond) == (0, 0)

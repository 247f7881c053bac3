"""Percentiles read from counts are never below the truth and at most a quarter above it."""

from hypothesis import given
from hypothesis import strategies as st

from domain.latency import BUCKETS, EDGES_MS, GROWTH, PERCENTILES, added, bucket_of, percentile

DURATIONS = st.lists(st.floats(0.1, EDGES_MS[-1]), min_size=1, max_size=200)


def counted(durations: list[float]) -> list[int]:
    counts = [0] * BUCKETS
    for one in durations:
        counts[bucket_of(one)] += 1
    return counts


@given(durations=DURATIONS)
def test_a_percentile_is_at_most_a_quarter_above_the_truth(durations: list[float]) -> None:
    counts, ranked = counted(durations), sorted(durations)
    for percent in PERCENTILES:
        told = percentile(counts, percent)
        true = ranked[-(-len(ranked) * percent // 100) - 1]
        assert told is not None
        assert true <= told <= true * GROWTH + 0.001


@given(one=DURATIONS, other=DURATIONS)
def test_counts_of_two_processes_add_up(one: list[float], other: list[float]) -> None:
    assert added([counted(one), counted(other)]) == counted(one + other)


def test_of_nothing_there_is_no_percentile() -> None:
    assert percentile([0] * BUCKETS, 50) is None


def test_what_took_for_ever_is_told_as_the_last_edge() -> None:
    assert percentile(counted([1e9]), 99) == EDGES_MS[-1]

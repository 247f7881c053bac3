"""The exchange's limits are kept, a reserve is left for what must not wait, and it is obeyed."""

import asyncio

import httpx
import pytest

from domain.breaker import CallGroup
from domain.errors import BusyError
from infra.exchanges.limits import Bucket, Rate, Turns
from infra.exchanges.meter import Call, Passage
from infra.exchanges.polymarket.limits import PER_TEN_SECONDS, PolymarketLimits


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def taken(bucket: Bucket, *, is_urgent: bool) -> int:
    """Take what may be taken at once."""
    count = 0
    while bucket.wait(is_urgent=is_urgent) <= 0:
        bucket.take(is_urgent=is_urgent)
        count += 1
    return count


def placing(scope: str = "main", *, is_exit: bool = False) -> Call:
    group = CallGroup.EXITS if is_exit else CallGroup.ENTRIES
    return Call(scope=scope, group=group, endpoint="POST /order", is_signed=True, is_urgent=is_exit)


def cancelling(endpoint: str = "DELETE /order") -> Call:
    return Call(
        scope="main",
        group=CallGroup.CANCELS,
        endpoint=endpoint,
        is_signed=True,
        is_urgent=True,
    )


def answer(call: Call, status: int = 200, **headers: str) -> Passage:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Passage(call=call, response=httpx.Response(status, headers=named))


def signers(limits: PolymarketLimits, call: Call) -> Bucket:
    return limits.buckets(call)[-1]


def test_entries_leave_a_fifth_to_exits_and_exits_may_use_all(clock: Clock) -> None:
    bucket = Bucket(Rate(per_second=40, burst=60), clock)
    assert taken(bucket, is_urgent=False) == 48
    assert taken(bucket, is_urgent=True) == 12
    clock.now += 1
    assert taken(bucket, is_urgent=False) == 32
    assert taken(bucket, is_urgent=True) == 8
    clock.now += 60
    assert taken(bucket, is_urgent=True) == 60


def test_who_comes_later_waits_longer_and_never_more_than_the_rate_is_let_out(
    clock: Clock,
) -> None:
    bucket = Bucket(Rate(per_second=10, burst=10), clock)
    taken(bucket, is_urgent=False)
    waits: list[float] = []
    for _ in range(3):
        waits.append(bucket.wait(is_urgent=False))
        bucket.take(is_urgent=False)
    assert waits == pytest.approx([0.125, 0.25, 0.375])


@pytest.mark.parametrize("name", PER_TEN_SECONDS)
def test_no_ten_seconds_hold_more_calls_than_the_exchange_allows(clock: Clock, name: str) -> None:
    bucket = Bucket(Rate.per_ten_seconds(PER_TEN_SECONDS[name]), clock)
    count = 0
    for _ in range(1_000):
        count += taken(bucket, is_urgent=True)
        clock.now += 0.01
    assert 0.9 * PER_TEN_SECONDS[name] <= count <= PER_TEN_SECONDS[name]


def test_a_wait_the_exchange_asks_for_holds_back_that_limit_alone() -> None:
    limits = PolymarketLimits()
    limits.heard(answer(placing(), 429, Retry_After="7"))
    assert 6 < signers(limits, placing()).wait(is_urgent=True) <= 7
    assert signers(limits, placing("other")).wait(is_urgent=False) <= 0
    assert all(bucket.wait(is_urgent=True) <= 0 for bucket in limits.buckets(cancelling()))


@pytest.mark.parametrize("endpoint", ["DELETE /cancel-all", "DELETE /cancel-market-orders"])
def test_a_mass_cancel_that_is_refused_for_its_rate_holds_back_cancels_alone(endpoint: str) -> None:
    limits = PolymarketLimits()
    limits.heard(answer(cancelling(endpoint), 429, Retry_After="7"))
    assert 6 < signers(limits, cancelling(endpoint)).wait(is_urgent=True) <= 7
    assert signers(limits, cancelling(endpoint)) is signers(limits, cancelling())
    for exit_or_entry in (placing(is_exit=True), placing()):
        assert all(one.wait(is_urgent=True) <= 0 for one in limits.buckets(exit_or_entry))


def test_what_a_mass_cancel_cost_is_known_before_the_next_cancel() -> None:
    limits = PolymarketLimits()
    limits.heard(answer(cancelling("DELETE /cancel-all"), Poly_RateLimit_Remaining="0"))
    assert signers(limits, cancelling()).wait(is_urgent=True) > 0


def test_the_exchanges_own_count_is_followed_and_its_last_tokens_are_for_exits() -> None:
    limits = PolymarketLimits()
    limits.heard(answer(placing(), Poly_RateLimit_Remaining="12"))
    assert signers(limits, placing()).wait(is_urgent=False) > 0
    assert signers(limits, placing()).wait(is_urgent=True) <= 0
    limits.heard(answer(placing(), Poly_RateLimit_Remaining="-1"))
    assert signers(limits, placing()).wait(is_urgent=True) > 0


def test_the_tier_an_answer_names_is_used_from_then_on() -> None:
    limits = PolymarketLimits()
    taken(signers(limits, placing()), is_urgent=False)
    limits.heard(answer(placing(), Poly_RateLimit_Tier="Gold"))
    more = taken(signers(limits, placing()), is_urgent=False)
    assert 430 <= more <= 450  # four fifths of gold's 600 less standard's 60
    assert taken(signers(limits, placing("other")), is_urgent=False) == 48


def test_two_processes_share_one_limit() -> None:
    limits = PolymarketLimits()
    limits.shared_by(2)
    assert 24 <= taken(signers(limits, placing()), is_urgent=False) <= 25
    limits.shared_by(1)
    assert 24 <= taken(signers(limits, placing()), is_urgent=False) <= 26


async def test_a_wait_beyond_the_deadline_is_refused_at_once_and_takes_nothing() -> None:
    bucket, turns = Bucket(Rate(per_second=0.1, burst=1)), Turns()
    loop = asyncio.get_running_loop()
    async with turns.turn([bucket], is_urgent=False, until=loop.time() + 1):
        pass
    for _ in range(2):
        with pytest.raises(BusyError) as caught:
            async with turns.turn([bucket], is_urgent=False, until=loop.time() + 1):
                raise AssertionError("it was let out")
        assert 5 < caught.value.retry_after_seconds <= 12.5


async def test_while_every_place_is_taken_an_exit_still_finds_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("infra.exchanges.limits.MOST_AT_ONCE", 1)
    turns, loop = Turns(), asyncio.get_running_loop()
    async with turns.turn([], is_urgent=False, until=loop.time() + 1):
        with pytest.raises(BusyError):
            async with turns.turn([], is_urgent=False, until=loop.time() + 0.01):
                raise AssertionError("it was let out")
        async with turns.turn([], is_urgent=True, until=loop.time() + 1):
            pass

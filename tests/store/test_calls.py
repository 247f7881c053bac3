"""Counts of calls add up over processes and minutes, and are written once however often."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.latency import CallCounts, bucket_of
from infra.store.calls import KEPT, Calls

pytestmark = pytest.mark.services

MINUTE = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def counts(milliseconds: list[float], retries: int = 0) -> CallCounts:
    made = CallCounts(calls=len(milliseconds), bytes_out=10, bytes_in=20, retries=retries)
    for one in milliseconds:
        made.totals_ms[bucket_of(one)] += 1
    return made


async def test_two_processes_are_one_line_with_true_percentiles(database: AsyncEngine) -> None:
    calls = Calls(database)
    fast, slow = counts([1.0] * 95), counts([900.0] * 5, retries=2)
    await calls.write("a", {(MINUTE, "POST /order", 200): fast})
    await calls.write("b", {(MINUTE, "POST /order", 429): slow, (MINUTE, "GET /book", 0): fast})
    await calls.write("b", {(MINUTE, "POST /order", 429): slow})  # its first answer was lost

    order, book = await calls.summary(MINUTE)

    assert (order["endpoint"], order["calls"]) == ("POST /order", 100)
    assert order["statuses"] == {"200": 95, "429": 5}
    assert (order["retry_count"], order["rate_limit_hits"]) == (2, 5)
    assert 1.0 <= order["total_ms_p95"] <= 1.25
    assert 900 <= order["total_ms_p99"] <= 1125
    assert (order["bytes_out"], order["bytes_in"], order["connect_ms_p50"]) == (20, 40, None)
    assert book["statuses"] == {"none": 95}
    assert await calls.processes(MINUTE, ["POST /order"]) == 2


async def test_what_is_older_than_a_week_is_forgotten(database: AsyncEngine) -> None:
    calls = Calls(database)
    await calls.write("a", {(MINUTE, "GET /book", 200): counts([1.0])})
    await calls.forget(MINUTE + KEPT)
    assert len(await calls.summary(MINUTE)) == 1
    await calls.forget(MINUTE + KEPT + timedelta(minutes=1))
    assert await calls.summary(MINUTE) == []

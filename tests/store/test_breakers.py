"""Breakers outlive processes and are one for all of them."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.breaker import FAILURES, BreakerState, CallGroup
from infra.store.breakers import Breakers
from infra.store.database import open_database
from infra.store.reads import Asked, Reads

pytestmark = pytest.mark.services

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(seconds=60)
READS = CallGroup.READS


async def opened(breakers: Breakers) -> None:
    for _ in range(FAILURES):
        await breakers.failed("main", READS, "no answer", NOW)


async def test_an_open_breaker_is_open_after_a_restart_and_for_another_worker(
    database: AsyncEngine, database_url: str
) -> None:
    await opened(Breakers(database))
    elsewhere = open_database(database_url)
    [known] = await Breakers(elsewhere).known(["main"])
    await elsewhere.dispose()
    assert (known.state, known.failures, known.words) == (BreakerState.OPEN, 5, "no answer")
    assert known.opened_at == known.probed_at == NOW


async def test_failures_of_two_workers_in_a_row_are_counted_together(
    database: AsyncEngine,
) -> None:
    one, other = Breakers(database), Breakers(database)
    for each in (one, other, one, other):
        assert (await each.failed("main", READS, "no answer", NOW)).is_closed
    assert not (await one.failed("main", READS, "no answer", NOW)).is_closed


async def test_of_many_workers_one_alone_may_probe(database: AsyncEngine) -> None:
    await opened(Breakers(database))
    early = await Breakers(database).claim_probe("main", READS, NOW, is_urgent=False)
    assert not early[0]
    claims = await asyncio.gather(
        *(Breakers(database).claim_probe("main", READS, LATER, is_urgent=False) for _ in range(8))
    )
    assert [is_mine for is_mine, _ in claims].count(True) == 1
    assert {row.state for _, row in claims} == {BreakerState.PROBING}
    much_later = LATER + timedelta(seconds=60)  # the prober died
    again = await Breakers(database).claim_probe("main", READS, much_later, is_urgent=False)
    assert again[0]


async def test_opening_and_closing_are_events_and_nothing_between_is(
    database: AsyncEngine,
) -> None:
    breakers = Breakers(database)
    await opened(breakers)
    await breakers.claim_probe("main", READS, LATER, is_urgent=False)
    await breakers.failed("main", READS, "no answer", LATER)
    closed = await breakers.succeeded("main", READS)
    assert closed.is_spotless
    events = await Reads(database).page("events", Asked())
    assert [row["kind"] for row in events.items] == ["circuit.closed", "circuit.opened"]
    assert events.items[1]["detail"]["words"] == "no answer"
    assert events.items[1]["account_id"] == "main"
    [known] = await breakers.known()
    assert known.times_opened == 1

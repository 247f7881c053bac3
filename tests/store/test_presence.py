"""A trading worker knows whether another one lives, and a dead one never counts."""

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from infra.store.presence import Presence

pytestmark = pytest.mark.services


async def test_the_only_worker_knows_that_it_is_alone_and_the_next_that_it_is_not(
    database_url: str,
) -> None:
    first, second, third = (Presence(database_url) for _ in range(3))
    assert await first.enter()
    assert not await second.enter()
    await first.leave()
    assert not await third.enter()
    await second.leave()
    await third.leave()
    assert await first.enter()
    await first.leave()


async def test_a_worker_whose_session_the_server_has_ended_counts_no_more(
    database_url: str, database: AsyncEngine
) -> None:
    dead, following = Presence(database_url), Presence(database_url)
    assert await dead.enter()
    end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = :n"
    async with database.connect() as connection:
        await connection.execute(text(end), {"n": "holdfast-presence"})
    assert await following.enter()
    await following.leave()
    await dead.leave()

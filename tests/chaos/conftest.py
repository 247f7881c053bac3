"""The worlds that are checked: a small one in a database of its own, and a whole stack."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import psycopg
import pytest
import pytest_asyncio

from infra.failpoints import from_environment
from infra.store.database import open_database
from infra.store.migrate import migrate
from tests.chaos.evidence import Evidence
from tests.chaos.small_world import SmallWorld, lived
from tests.e2e.conftest import armed, collector, world
from tests.exchanges.desk import a_desk
from tests.paper.conftest import Server, server

__all__ = ["armed", "collector", "server", "world"]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A world that has settled: its database, and what the outside says of it."""

    url: str
    evidence: Evidence


@pytest.fixture(scope="module")
def own_database(postgres: str) -> Iterator[str]:
    """Return the address of a migrated database that nobody else uses."""
    url = f"{postgres}/chaos"
    with psycopg.connect(f"{postgres}/postgres", autocommit=True) as admin:
        admin.execute("CREATE DATABASE chaos")
        migrate(url)
        yield url
        admin.execute("DROP DATABASE chaos WITH (FORCE)")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kept(own_database: str, server: Server) -> AsyncIterator[Kept]:
    """Return the small world once it has been lived and has settled."""
    server.admin("POST", "/settlement", {"delay_s": 0.05})
    engine = open_database(own_database)
    async with a_desk(server, "the checker's world") as desk:
        small = SmallWorld(desk, engine, from_environment({}))
        await lived(small)
        yield Kept(url=own_database, evidence=await small.evidence())
        await small.inbox.close()
    await engine.dispose()

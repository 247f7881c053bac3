"""One durable PostgreSQL for all outages of the database, emptied before each test."""

import shutil
import tempfile
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import psycopg
import pytest

from infra.store.migrate import migrate
from tests.outages.durable import Server, durable_server
from tests.proxy import Link, linked
from tests.store.conftest import *  # noqa: F403  # the stores, on this server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The server itself."""
    folder = Path(tempfile.mkdtemp(prefix="holdfast-outages-")).resolve()
    with durable_server(folder) as running:
        yield running
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres(server: Server) -> str:
    """Its address, without a database."""
    return server.url


@pytest.fixture(scope="session")
def migrated_url(server: Server) -> str:
    """The address of a migrated database on it."""
    with psycopg.connect(f"{server.url}/postgres", autocommit=True) as admin:
        admin.execute("CREATE DATABASE migrated")
    migrate(f"{server.url}/migrated")
    return f"{server.url}/migrated"


@pytest.fixture
async def link(server: Server) -> AsyncGenerator[Link]:
    """A way to the server that can be cut."""
    async with linked("127.0.0.1", server.postgres.port) as opened:
        yield opened


@pytest.fixture
def linked_url(database_url: str, server: Server, link: Link) -> str:
    """The address of the emptied database by way of the link."""
    return database_url.replace(f":{server.postgres.port}/", f":{link.port}/")

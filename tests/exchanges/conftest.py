"""A scripted server and the account on it."""

from collections.abc import AsyncIterator

import pytest_asyncio

from infra.exchanges.polymarket.client import PolymarketAccount
from tests.exchanges.scripted import ScriptedServer, account_on, scripted_server


@pytest_asyncio.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with scripted_server() as script:
        yield script


@pytest_asyncio.fixture
async def account(server: ScriptedServer) -> AsyncIterator[PolymarketAccount]:
    async with account_on(server.address) as opened:
        yield opened

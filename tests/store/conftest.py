"""The stores on the session's PostgreSQL."""

from collections.abc import AsyncGenerator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.risk import AccountState
from infra.failpoints import from_environment
from infra.store.accounts import Account, Accounts
from infra.store.database import open_database
from infra.store.fills import Fills
from infra.store.inbox import Inbox
from infra.store.orders import Orders
from infra.store.protections import Protections
from infra.store.sealing import Cipher
from infra.store.signals import Signals
from tests.store.making import ACCOUNT, KEY, NOW, WALLET


@pytest.fixture
async def database(database_url: str) -> AsyncGenerator[AsyncEngine]:
    """Return a pool on a migrated database without rows."""
    engine = open_database(database_url, pool_size=20)
    yield engine
    await engine.dispose()


@pytest.fixture
async def accounts(database: AsyncEngine) -> Accounts:
    """Return the accounts, with one that may enter."""
    accounts = Accounts(database)
    await accounts.ensure(Account(id=ACCOUNT, wallet=WALLET, signature_type=0), NOW)
    await accounts.set_state(ACCOUNT, AccountState.RUNNING, reason="reconciled")
    return accounts


@pytest.fixture
async def orders(accounts: Accounts) -> Orders:
    return Orders(accounts.engine, Cipher(KEY))


@pytest.fixture
async def fills(accounts: Accounts) -> Fills:
    return Fills(accounts.engine, from_environment({}))


@pytest.fixture
async def protections(accounts: Accounts) -> Protections:
    return Protections(accounts.engine)


@pytest.fixture
async def signals(database: AsyncEngine) -> Signals:
    return Signals(database)


@pytest.fixture
async def inbox(database: AsyncEngine, database_url: str) -> AsyncGenerator[Inbox]:
    made = Inbox(database, database_url)
    yield made
    await made.close()

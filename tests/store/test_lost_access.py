"""Refused keys halt the account; only a start whose keys work lifts that halt, and no other."""

import logging

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.answer import Answer
from domain.risk import AccountState
from infra.exchanges.gate import Gate
from infra.exchanges.polymarket.limits import PolymarketLimits
from infra.store.accounts import Accounts
from infra.store.breakers import Breakers
from infra.store.orders import Orders
from infra.store.reads import Asked, Reads
from tests.exchanges.scripted import account_on, says, scripted_server
from tests.exchanges.test_gate import POST, Clock, asked, send
from tests.store.making import ACCOUNT, WIDE, an_order
from workers.wiring import halting

pytestmark = pytest.mark.services


@pytest.mark.parametrize("status", [401, 403])
async def test_x9_refused_keys_halt_the_account_deny_entries_and_are_said_loudly(
    database: AsyncEngine,
    accounts: Accounts,
    orders: Orders,
    caplog: pytest.LogCaptureFixture,
    status: int,
) -> None:
    clock = Clock()
    gate = Gate(PolymarketLimits(), Breakers(database), halting(accounts), clock)
    async with scripted_server() as server, account_on(server.address, gate=gate) as account:
        server.script(POST, says({"error": "Unauthorized/Invalid api key"}, status))
        for _ in range(9):
            await send(account)
        assert asked(server, POST) == 1
        clock.pass_seconds(60)
        for _ in range(3):
            await send(account)
        assert asked(server, POST) == 2

    assert await accounts.state(ACCOUNT) is AccountState.HALTED
    denied = await orders.admit(an_order("x9"), b"signed", WIDE)
    assert "halted" in str(denied)
    events = [row["kind"] for row in (await Reads(database).page("events", Asked())).items]
    assert events.count("account.halted") == 1
    loud = [one for one in caplog.records if one.getMessage() == "account.barred"]
    assert {one.levelno for one in loud} == {logging.CRITICAL}


async def test_x9_keys_that_work_again_let_calls_pass_after_a_minute(
    database: AsyncEngine,
) -> None:
    clock = Clock()
    gate = Gate(PolymarketLimits(), Breakers(database), clock=clock)
    async with scripted_server() as server, account_on(server.address, gate=gate) as account:
        server.script(POST, says({"error": "no"}, 401), says({"error": "invalid nonce"}, 400))
        assert "no access" in (await send(account)).words
        clock.pass_seconds(60)
        assert (await send(account)).words == "invalid nonce"
        assert (await send(account)).answer is Answer.REJECTED
        assert asked(server, POST) == 3


@pytest.mark.parametrize(
    ("reason", "after"),
    [
        ("access lost: HTTP 401", AccountState.RUNNING),
        ("kill by an operator", AccountState.HALTED),
    ],
)
async def test_x9_a_start_with_working_keys_lifts_the_halt_for_refused_keys_alone(
    accounts: Accounts, reason: str, after: AccountState
) -> None:
    await accounts.set_state(ACCOUNT, AccountState.HALTED, reason=reason)
    assert await accounts.regained_access(ACCOUNT) is after
    assert await accounts.state(ACCOUNT) is after

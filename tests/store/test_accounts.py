"""Whether an account may enter, and who said so."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.errors import InvariantError
from domain.risk import AccountState
from infra.store.accounts import Account, Accounts
from tests.store.making import ACCOUNT, NOW, WALLET, later, rows

pytestmark = pytest.mark.services

MAIN = Account(id=ACCOUNT, wallet=WALLET, signature_type=3)


async def test_a_new_account_reconciles_first(database: AsyncEngine) -> None:
    accounts = Accounts(database)
    assert await accounts.ensure(MAIN, NOW) is AccountState.RECONCILING
    assert await accounts.state(ACCOUNT) is AccountState.RECONCILING


async def test_a_restart_never_lifts_a_halt(accounts: Accounts) -> None:
    await accounts.set_state(ACCOUNT, AccountState.HALTED, reason="kill")
    assert await accounts.ensure(MAIN, later(60)) is AccountState.HALTED


async def test_an_account_keeps_its_wallet(accounts: Accounts) -> None:
    with pytest.raises(InvariantError):
        await accounts.ensure(Account(id=ACCOUNT, wallet="0xother", signature_type=3), NOW)


async def test_a_change_of_state_says_who_and_why(accounts: Accounts) -> None:
    await accounts.set_state(ACCOUNT, AccountState.HALTED, reason="too hot", who="ann")
    query = "SELECT kind, who, detail FROM events ORDER BY seq DESC LIMIT 1"
    (event,) = await rows(accounts.engine, query)
    assert (event["kind"], event["who"]) == ("account.halted", "ann")
    assert event["detail"]["reason"] == "too hot"
    notices = await rows(accounts.engine, "SELECT kind FROM outbox ORDER BY seq")
    assert notices[-1]["kind"] == "account.halted"


async def test_a_state_is_left_only_where_that_is_allowed(accounts: Accounts) -> None:
    await accounts.set_state(ACCOUNT, AccountState.HALTED, reason="kill")
    reconciled = await accounts.set_state(
        ACCOUNT,
        AccountState.RUNNING,
        reason="reconciled",
        only_from={AccountState.RECONCILING, AccountState.STOPPED},
    )
    assert reconciled is AccountState.HALTED
    assert await accounts.state(ACCOUNT) is AccountState.HALTED


async def test_the_same_state_again_is_no_event(accounts: Accounts) -> None:
    for _ in range(3):
        await accounts.set_state(ACCOUNT, AccountState.HALTED, reason="kill")
    events = await rows(accounts.engine, "SELECT 1 FROM events WHERE kind = 'account.halted'")
    assert len(events) == 1


async def test_an_unknown_account_is_a_bug(accounts: Accounts) -> None:
    with pytest.raises(InvariantError):
        await accounts.state("nobody")
    with pytest.raises(InvariantError):
        await accounts.set_state("nobody", AccountState.HALTED, reason="kill")


async def test_a_standing_says_since_when_and_why(accounts: Accounts) -> None:
    before = await accounts.standing(ACCOUNT)
    await accounts.set_state(ACCOUNT, AccountState.HALTED, reason="too hot", who="ann")
    after = await accounts.standing(ACCOUNT)
    assert (after.state, after.reason) == (AccountState.HALTED, "too hot")
    assert after.since > before.since
    with pytest.raises(InvariantError):
        await accounts.standing("nobody")

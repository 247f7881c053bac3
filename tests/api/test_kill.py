"""The kill switch at the door: the gate first, whatever else is up."""

from typing import Any

import httpx
import pytest

from domain.risk import AccountState
from infra.settings import TemporalSettings
from infra.store.accounts import Accounts
from tests.api.conftest import Stack, free_port, running, settings_for

pytestmark = pytest.mark.services


async def act(stack: Stack, verb: str, key: str = "operator", **more: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"}
    return await stack.http.post(f"/api/v1/accounts/main/{verb}", headers=headers, **more)


async def state(stack: Stack) -> str:
    return str((await stack.get("/accounts/main")).json()["state"])


async def test_a_kill_closes_the_gate_and_names_the_guardian(
    stack: Stack, accounts: Accounts
) -> None:
    assert (await accounts.standing("main")).state is AccountState.RUNNING
    answer = await act(stack, "kill", json={"reason": "too hot", "close_positions": True})
    assert answer.status_code == 202
    assert answer.json() == {"workflow_id": "guardian-main", "status": "accepted"}
    told = await accounts.standing("main")
    assert (told.state, told.reason) == (AccountState.HALTING, "too hot (operator)")


async def test_a_kill_needs_no_body_and_a_second_one_changes_nothing(
    stack: Stack, accounts: Accounts
) -> None:
    await act(stack, "kill")
    first = await accounts.standing("main")
    assert (await act(stack, "kill", json={"reason": "again"})).status_code == 202
    assert await accounts.standing("main") == first


async def test_o3_a_kill_with_temporal_down_closes_the_gate_all_the_same(
    database_url: str, accounts: Accounts, temporal: TemporalSettings
) -> None:
    nowhere = temporal.model_copy(update={"address": f"127.0.0.1:{free_port()}"})
    async with running(settings_for(database_url, nowhere)) as stack:
        answer = await act(stack, "kill")
        assert answer.status_code == 503
        assert (await accounts.standing("main")).state is AccountState.HALTING


async def test_a_resume_that_a_rule_forbids_is_refused_with_the_rule(
    stack: Stack, accounts: Accounts
) -> None:
    running_now = await act(stack, "resume")
    assert (running_now.status_code, running_now.json()["error"]["code"]) == (409, "not_resumed")
    await accounts.set_state("main", AccountState.HALTED, reason="kill")
    early = await act(stack, "resume")
    assert early.status_code == 409
    assert "cooldown" in early.json()["error"]["message"]
    forced = await act(stack, "resume", json={"force": True})
    assert forced.status_code == 202


@pytest.mark.parametrize("verb", ["kill", "resume"])
async def test_only_an_operator_may_and_only_on_an_account_there_is(
    stack: Stack, accounts: Accounts, verb: str
) -> None:
    assert (await act(stack, verb, key="reader")).status_code == 403
    assert (await act(stack, verb, key="wrong")).status_code == 401
    headers = {"Authorization": "Bearer operator"}
    other = await stack.http.post(f"/api/v1/accounts/other/{verb}", headers=headers)
    assert other.status_code == 404
    assert (await act(stack, verb, json={"surprise": 1})).status_code == 422
    assert (await accounts.standing("main")).state is AccountState.RUNNING

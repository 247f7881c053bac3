"""The kill switch at the door: the gate first, whatever else is up."""

import asyncio
from typing import Any

import httpx
import psycopg
import pytest

from api.commands import Command, stored
from domain.risk import AccountState
from domain.signal import Action
from infra.clock import utc_now
from infra.settings import TemporalSettings
from infra.store.accounts import Accounts
from tests.api.conftest import Stack, free_port, running, settings_for, temporal_on

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
    told = answer.json()
    assert (told["workflow_id"], told["status"]) == ("guardian-main", "accepted")
    [row] = stack.signals()
    assert (row["id"], row["action"], row["status"]) == (told["signal_id"], "KILL", "processed")
    stands = await accounts.standing("main")
    assert (stands.state, stands.reason) == (AccountState.HALTING, "too hot (operator)")


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
    port = free_port()
    nowhere = temporal.model_copy(update={"address": f"127.0.0.1:{port}"})
    async with running(settings_for(database_url, nowhere)) as stack:
        answer = await act(stack, "kill")
        assert (answer.status_code, answer.json()["status"]) == (202, "received")
        assert (await accounts.standing("main")).state is AccountState.HALTING
        server = temporal_on(port)
        await asyncio.to_thread(server.__enter__)
        try:  # and its guardian is told of it once there is one
            await stack.settled_as("processed", answer.json()["signal_id"])
            assert await stack.workflows("WorkflowId = 'guardian-main'") == 1
        finally:
            await asyncio.to_thread(server.__exit__, None, None, None)


async def test_o3_a_kill_whose_wish_cannot_be_stored_reaches_the_guardian_all_the_same(
    stack: Stack, accounts: Accounts
) -> None:
    headers = {"Idempotency-Key": "k", "Authorization": "Bearer operator"}
    with psycopg.connect(stack.database_url) as somebody:
        somebody.execute("LOCK TABLE holdfast.signals")
        answer = await stack.http.post("/api/v1/accounts/main/kill", headers=headers)
    assert (answer.status_code, answer.json()["status"]) == (202, "accepted")
    assert (await accounts.standing("main")).state is AccountState.HALTING


async def test_the_late_repeat_of_a_kill_does_not_stop_an_account_that_was_resumed(
    stack: Stack, accounts: Accounts
) -> None:
    key = {"Authorization": "Bearer operator", "Idempotency-Key": stack.salt}
    path = "/api/v1/accounts/main/kill"
    first = await stack.http.post(path, headers=key, json={"reason": "hot"})
    await accounts.set_state("main", AccountState.RUNNING, reason="resumed")

    again = await stack.http.post(path, headers=key, json={"reason": "hot"})
    other = await stack.http.post(path, headers=key, json={"reason": "hotter"})

    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json() == first.json()
    assert (other.status_code, other.json()["error"]["code"]) == (409, "conflict")
    assert (await accounts.standing("main")).state is AccountState.RUNNING


async def test_a_resume_delivered_late_does_not_undo_a_kill_that_came_after_it(
    stack: Stack, accounts: Accounts
) -> None:
    wish = Command(action=Action.RESUME, account_id="main", by="ann", key=stack.salt, force=True)
    resume = await stored(stack.parts, wish, utc_now())  # and its process ends
    await accounts.set_state("main", AccountState.HALTED, reason="kill")

    await stack.settled_as("expired", resume.signal_id)
    assert (await accounts.standing("main")).state is AccountState.HALTED


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

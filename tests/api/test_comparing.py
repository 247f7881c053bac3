"""Comparing with the exchange and stopping in good order, at the door; and what runs by itself."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from domain.reconciliation import Report, Result
from domain.risk import AccountState
from infra.settings import TemporalSettings
from infra.store.accounts import Accounts
from infra.store.reconciliations import Books
from tests.api.conftest import Stack, free_port, running, settings_for
from tests.store.making import NOW
from workers.schedules import schedule_comparison

pytestmark = pytest.mark.services

REPORT = Report(
    id="r1",
    account_id="main",
    reason="on time",
    asked_by="schedule",
    is_report_only=False,
    result=Result.AGREED,
    findings=(),
    warnings=(),
    begun_at=NOW,
    ended_at=NOW,
)


async def act(stack: Stack, verb: str, key: str = "operator", **more: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"}
    return await stack.http.post(f"/api/v1/accounts/main/{verb}", headers=headers, **more)


async def test_a_shutdown_closes_the_gate_and_names_its_workflow(
    stack: Stack, accounts: Accounts
) -> None:
    answer = await act(stack, "shutdown", json={"reason": "holidays"})
    assert answer.status_code == 202
    assert answer.json() == {"workflow_id": "shutdown-main", "status": "accepted"}
    told = await accounts.standing("main")
    assert (told.state, told.reason) == (AccountState.HALTING, "shutdown: holidays (operator)")
    assert told.is_shutting_down


async def test_a_shutdown_with_temporal_down_closes_the_gate_all_the_same(
    database_url: str, accounts: Accounts, temporal: TemporalSettings
) -> None:
    nowhere = temporal.model_copy(update={"address": f"127.0.0.1:{free_port()}"})
    async with running(settings_for(database_url, nowhere)) as stack:
        assert (await act(stack, "shutdown")).status_code == 503
        assert (await accounts.standing("main")).state is AccountState.HALTING


async def test_a_shutdown_never_softens_a_kill(stack: Stack, accounts: Accounts) -> None:
    await accounts.set_state("main", AccountState.HALTED, reason="kill")
    assert (await act(stack, "shutdown")).status_code == 202
    assert (await accounts.standing("main")).reason == "kill"


async def test_a_comparison_is_asked_for_and_its_report_found_by_the_moment_of_asking(
    stack: Stack, accounts: Accounts
) -> None:
    answer = await act(stack, "reconcile", json={"report_only": True})
    assert answer.status_code == 202
    asked = answer.json()
    assert asked["workflow_id"] == "reconcile-main"
    books = Books(accounts.engine)
    asked_at = datetime.fromisoformat(asked["asked_at"])
    await books.keep(replace(REPORT, begun_at=asked_at - timedelta(seconds=1)))
    await books.keep(replace(REPORT, id="r2", begun_at=asked_at + timedelta(seconds=1)))
    answered = await stack.get("/reconciliations", account="main", since=asked["asked_at"])
    found = answered.json()["items"]
    assert [(row["id"], row["result"]) for row in found] == [("r2", "agreed")]


@pytest.mark.parametrize("verb", ["shutdown", "reconcile"])
async def test_only_an_operator_may_and_only_on_an_account_there_is(
    stack: Stack, accounts: Accounts, verb: str
) -> None:
    assert (await act(stack, verb, key="reader")).status_code == 403
    headers = {"Authorization": "Bearer operator"}
    other = await stack.http.post(f"/api/v1/accounts/other/{verb}", headers=headers)
    assert other.status_code == 404
    assert (await act(stack, verb, json={"surprise": 1})).status_code == 422
    assert (await accounts.standing("main")).state is AccountState.RUNNING


async def test_status_lists_every_periodic_job_and_the_last_comparison(
    stack: Stack, accounts: Accounts
) -> None:
    await schedule_comparison(stack.parts.temporal, "main")
    await schedule_comparison(stack.parts.temporal, "main")
    await Books(accounts.engine).keep(REPORT)

    status = (await stack.get("/status")).json()

    jobs = {job["name"]: job for job in status["schedules"]}
    assert jobs["reconcile-main"]["every"] == "300 s"
    assert jobs["reconcile-main"]["overlap"] == "skip"
    assert jobs["reconcile-main"]["next_run"] is not None
    assert jobs["guardian-main"]["kind"] == "tick"
    [last] = status["reconciliations"]
    assert (last["account_id"], last["result"], last["differences"]) == ("main", "agreed", 0)

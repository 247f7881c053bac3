"""What was stored is carried out, whatever crashed or was away in between."""

import asyncio
from typing import Any

import pytest

from api.dispatch import start
from api.inbox import Judged, judged
from api.schemas import dialect, understand
from domain.ids import order_workflow_id
from infra.clock import utc_now
from infra.settings import TemporalSettings
from tests.api.conftest import (
    SECRET,
    Stack,
    free_port,
    running,
    settings_for,
    temporal_on,
    until,
)

pytestmark = pytest.mark.services

BUY: dict[str, Any] = {"action": "BuyMarket", "market": "rain", "outcome": "Yes", "percent": 10}
EXIT: dict[str, Any] = {"action": "CLOSE", "market": "rain", "outcome": "Yes"}


async def stored(stack: Stack, fields: dict[str, Any]) -> tuple[Judged, str]:
    """Store an alert as the door does and leave it there, as a crash would."""
    body = stack.body(fields)
    known = stack.parts.settings.webhooks["tradingview"]
    read = understand(body, dialect("tradingview", known.aliases))
    found = judged("tradingview", known, read, utc_now())
    return found, (await stack.parts.inbox.take(found.arrival(body))).signal_id


async def test_a_signal_that_was_stored_and_not_started_is_carried_out(stack: Stack) -> None:
    # Its proof was in a header, which is gone: being stored as understood is proof enough.
    _, signal_id = await stored(stack, BUY)
    await stack.settled_as("processing", signal_id)
    assert await stack.workflows(f"SignalId = '{signal_id}'") == 1


async def test_what_a_stranger_sent_is_never_carried_out(stack: Stack) -> None:
    assert (await stack.post(stack.body(BUY))).status_code == 401
    _, signal_id = await stored(stack, EXIT)
    await stack.settled_as("processing", signal_id)  # the sweep has passed over both
    (row,) = [row for row in stack.signals() if row["is_unproven"]]
    assert row["status"] == "error"
    assert await stack.workflows(f"SignalId = '{row['id']}'") == 0


@pytest.mark.parametrize("is_over", [False, True], ids=["running", "over"])
async def test_a3_a_start_that_was_not_written_down_is_found_again(
    stack: Stack,
    is_over: bool,  # noqa: FBT001  # pytest names it
) -> None:
    found, signal_id = await stored(stack, BUY)
    workflow_id = await start(stack.parts.temporal, found.task(signal_id), 10)
    assert workflow_id == order_workflow_id(f"{signal_id}-0")
    if is_over:
        await stack.parts.temporal.get_workflow_handle(workflow_id).terminate("over")
    await stack.settled_as("processing", signal_id)
    assert await stack.workflows(f"WorkflowId = '{workflow_id}'") == 1


async def test_signals_wait_while_temporal_is_away_and_begin_when_it_returns(
    database_url: str,
) -> None:
    port = free_port()
    away = TemporalSettings(address=f"127.0.0.1:{port}")
    async with running(settings_for(database_url, away)) as stack:
        async with asyncio.timeout(10):
            answers = [await stack.post(BUY | {"id": number}) for number in range(5)]
        assert {answer.status_code for answer in answers} == {202}
        assert {answer.json()["status"] for answer in answers} == {"received"}
        server = temporal_on(port)
        await asyncio.to_thread(server.__enter__)
        try:
            for answer in answers:
                await stack.settled_as("processing", answer.json()["signal_id"])
        finally:
            await asyncio.to_thread(server.__exit__, None, None, None)


async def test_b5_old_entries_expire_while_exits_wait(database_url: str) -> None:
    away = TemporalSettings(address=f"127.0.0.1:{free_port()}")
    async with running(settings_for(database_url, away)) as stack:
        leave = (await stack.post(EXIT)).json()["signal_id"]
        entry = (await stack.post(BUY)).json()["signal_id"]  # swept after the exit
        stack.run("UPDATE holdfast.signals SET received_at = received_at - interval '5 minutes'")
        await stack.settled_as("expired", entry)
        found = {row["id"]: row for row in stack.signals()}
        assert found[leave]["status"] == "received"
        assert "too old" in found[entry]["reason"]


async def test_the_sweep_outlives_a_database_that_drops_its_connections(stack: Stack) -> None:
    for number in range(3):
        stack.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'holdfast-api' AND datname = current_database()"
        )
        body = stack.body(BUY, secret=SECRET, id=number)

        async def is_stored(body: bytes = body) -> bool:
            return (await stack.post(body)).status_code < 300

        await until(is_stored)
    for row in stack.signals():
        await stack.settled_as("processing", row["id"])


async def test_a4_without_a_database_nothing_is_promised(temporal: TemporalSettings) -> None:
    nowhere = f"postgresql://postgres@127.0.0.1:{free_port()}/none"
    async with running(settings_for(nowhere, temporal)) as stack:
        answer = await stack.post(BUY)
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) >= 1
        assert answer.json()["error"]["code"] == "unavailable"
        assert (await stack.get("/signals")).status_code == 503

"""One alert's story can be read as one: spans, log lines, `why`, and Temporal's own interface."""

import asyncio
import json
import os
import sys
from typing import Any

import pytest
from temporalio.client import Client

from tests.e2e.conftest import World

pytestmark = [pytest.mark.services, pytest.mark.asyncio(loop_scope="session")]

# From the webhook to the exchange and back.
STORY = {
    *("signal.received", "signal.stored", "signal.understood", "signal.started"),
    *("order.prepared", "order.signed", "order.admitted"),
    *("order.sent", "send.counted", "exchange.posted", "order.answered"),
    *("fill.recorded", "signal.settled"),
}


async def test_one_alert_is_one_tree_of_spans_from_webhook_to_exchange_and_back(
    world: World,
) -> None:
    signal_id, trace_id = await worked(world, "traced")

    async def is_told() -> bool:
        return {span.name for span in world.collector.of_trace(trace_id)} >= STORY

    await world.stage.until("the whole story", is_told)
    spans = world.collector.of_trace(trace_id)
    ids = {span.span_id for span in spans}
    [root] = [span for span in spans if span.parent_id is None]
    assert root.name == "signal.received"
    assert root.fields["signal_id"] == signal_id
    assert not [span.name for span in spans if span.parent_id not in {*ids, None}]
    assert {span.service for span in spans} >= {"holdfast-api", "holdfast-worker-trading"}


async def test_what_a_second_worker_does_for_a_killed_one_is_in_the_same_trace(
    world: World,
) -> None:
    world.arm("order.after_send=kill9")
    signal_id, trace_id = await worked(world, "traced-on")
    world.arm("")

    async def is_told() -> bool:
        names = {span.name for span in world.collector.of_trace(trace_id)}
        return names >= {"signal.received", "order.answered", "fill.recorded", "signal.settled"}

    assert world.has_fired("order.after_send")
    await world.stage.until("what came after", is_told)
    spans = world.collector.of_trace(trace_id)
    [started] = [span for span in spans if span.name == "signal.started"]
    later = [span for span in spans if span.name in {"order.answered", "signal.settled"}]
    # Though the worker that began it left no word, they hang where its own steps did.
    assert {span.parent_id for span in later} == {started.span_id}
    assert {span.fields["signal_id"] for span in later} == {signal_id}


async def worked(world: World, alert_id: str) -> tuple[str, str]:
    """Have one alert worked to its end; return the ids of its signal and its trace."""
    market = await world.quiet_market("0.40", "0.50")
    token = str(market["tokens"][0]["token_id"])
    signal_id = await world.send("BuyMarket", market, alert_id, size="20")
    await world.finish(signal_id, token=token)
    return signal_id, str((await world.signal(signal_id))["trace_id"])


async def test_one_alerts_lines_of_all_processes_are_found_by_its_trace_id(world: World) -> None:
    signal_id, trace_id = await worked(world, "logged")
    [order] = await world.stage.rows("orders", signal_id=signal_id)

    async def lines() -> list[dict[str, Any]]:
        logs = sorted((world.stage.folder / "logs").iterdir())
        found = [
            json.loads(line)
            for path in logs
            for line in path.read_text(errors="replace").splitlines()
            if trace_id in line
        ]
        return sorted(found, key=lambda line: line["at"])

    async def is_settled() -> bool:
        return "signal.settled" in {line["event"] for line in await lines()}

    await world.stage.until("the last line", is_settled)
    told = await lines()
    events = [line["event"] for line in told]
    for one in ("signal.received", "signal.started", "order.prepared", "order.sent"):
        assert one in events
    assert {line["role"] for line in told} >= {"api", "worker-trading"}
    assert all(line["signal_id"] == signal_id for line in told)
    sent = next(line for line in told if line["event"] == "order.sent")
    assert (sent["order_hash"], sent["workflow_id"]) == (order["order_hash"], order["workflow_id"])


async def test_why_and_temporal_name_the_same_trace(world: World) -> None:
    signal_id, trace_id = await worked(world, "asked-why")
    for given in (signal_id, trace_id):
        told = await why(world, given)
        assert (told["trace_id"], told["id"]) == (trace_id, signal_id)
        kinds = [step["kind"] for step in told["timeline"]]
        assert kinds[:2] == ["signal.received", "signal.understood"]
        assert {"order.prepared", "order.sent", "fill.recorded", "signal.processed"} <= set(kinds)
        assert told["timeline"] == sorted(told["timeline"], key=lambda step: step["at"])
        assert f"/workflows/order-{signal_id}" in told["temporal_url"]

    client = await Client.connect(world.stage.endpoints.temporal.address)
    found = [one.id async for one in client.list_workflows(f"TraceId = '{trace_id}'")]
    assert found == [f"order-{signal_id}-0"]


async def why(world: World, given: str) -> dict[str, Any]:
    command = (sys.executable, "-m", "workers.cli", "why", given, "--json")
    environ = {**os.environ, "HOLDFAST_DATA_DIR": str(world.stage.folder)}
    asked = await asyncio.create_subprocess_exec(
        *command, env=environ, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await asked.communicate()
    assert asked.returncode == 0, said
    return json.loads(said)

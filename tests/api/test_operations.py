"""An operator's wish is stored, reaches the workflow that carries it out, and is told its end."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from temporalio import activity, workflow
from temporalio.worker import Worker

from api.commands import Command, stored
from domain.fill import SeenBy
from domain.ids import position_id
from domain.order import OrderSource, OrderState
from domain.signal import Action, SignalStatus, SignalTask
from infra.clock import utc_now
from infra.settings import TemporalSettings
from infra.store.fills import Fills
from infra.store.orders import Orders
from infra.temporal import connect
from tests.api.conftest import Stack, free_port, running, settings_for, temporal_on
from tests.store.making import ACCOUNT, NOW, WIDE, YES, a_fill, an_order
from workflows import options
from workflows.options import TRADING

pytestmark = pytest.mark.services

POSITION = position_id(ACCOUNT, YES)
ROUTES = {
    "protect": (f"/positions/{POSITION}/protect", {"stop_loss": "0.30", "take_profit": "0.60"}),
    "exit": (f"/positions/{POSITION}/exit", {"reason": "enough"}),
    "cancel": ("/orders/0x1/cancel", {"reason": "too far"}),
}
MEANT = {"protect": "MAJ", "exit": "CLOSE", "cancel": "CANCEL"}


async def ask(
    stack: Stack, path: str, body: Any = None, key: str | None = None, who: str = "operator"
) -> httpx.Response:
    headers = {"Authorization": f"Bearer {who}"} | ({"Idempotency-Key": key} if key else {})
    return await stack.http.post(f"/api/v1{path}", headers=headers, json=body)


@pytest.fixture
async def held(stack: Stack, orders: Orders, fills: Fills) -> Stack:
    """The API, an open order 0x1 and the position that it made."""
    order = an_order(workflow_id=f"order-{stack.salt}")
    await orders.admit(order, b"signed", WIDE)
    await fills.record(a_fill(order=order), SeenBy.STREAM, NOW)
    return stack


async def given(stack: Stack, answer: httpx.Response) -> SignalTask:
    """Return what the workflow of an accepted command was told to do."""
    handle = stack.parts.temporal.get_workflow_handle(
        answer.json()["workflow_id"], result_type=SignalTask
    )
    return await handle.result()


@workflow.defn(name="ExecuteSignal", sandboxed=False)
class Denied:
    """Refuses whatever it is given, as a position's writer may."""

    @workflow.run
    async def run(self, task: SignalTask) -> None:
        await workflow.execute_activity("deny", task.signal_id, **options.ACT)


@asynccontextmanager
async def denying(stack: Stack) -> AsyncGenerator[None]:
    """Run a worker that refuses every command."""

    @activity.defn
    async def deny(signal_id: str) -> None:
        words = "stop_loss 0.60 is not below the best bid 0.52"
        await stack.parts.signals.settle(signal_id, SignalStatus.DENIED, words)

    client = await connect(stack.parts.settings.temporal)
    async with Worker(client, task_queue=TRADING, workflows=[Denied], activities=[deny]):
        yield


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("verb", ROUTES)
async def test_a_command_is_stored_as_a_signal_and_carried_out_by_its_workflow(
    held: Stack, verb: str
) -> None:
    path, body = ROUTES[verb]
    key = f"{verb}-{held.salt}"

    answer = await ask(held, path, body, key)

    told = answer.json()
    assert answer.status_code == 202
    assert told["workflow_id"] == f"signal-{told['signal_id']}"
    [row] = held.signals()
    assert (row["id"], row["source"], row["external_id"]) == (told["signal_id"], "api", key)
    assert (row["action"], row["account_id"]) == (MEANT[verb], ACCOUNT)
    task = await given(held, answer)
    assert (task.by, task.source) == ("operator", OrderSource.API)
    assert task.instruction.action == MEANT[verb]
    assert task.instruction.reason == body.get("reason")
    assert task.instruction.order_hash == ("0x1" if verb == "cancel" else None)
    assert task.instruction.market == (None if verb == "cancel" else YES)
    if verb == "protect":
        assert [row["prix_sl"], row["prix_tp"]] == [
            task.instruction.stop_loss,
            task.instruction.take_profit,
        ]
        assert str(task.instruction.stop_loss) == "0.30"


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("verb", ROUTES)
async def test_the_same_key_again_is_the_first_command_and_its_answer(
    held: Stack, verb: str
) -> None:
    path, body = ROUTES[verb]
    key = f"{verb}-{held.salt}"
    first = await ask(held, path, body, key)
    if verb == "cancel":
        held.run("UPDATE holdfast.orders SET state = %s", OrderState.CANCELLED.value)

    again = await ask(held, path, body, key)
    held.run("UPDATE holdfast.signals SET received_at = received_at - interval '1 hour'")
    late = await ask(held, path, body, key)

    assert (first.status_code, again.status_code, late.status_code) == (202, 200, 200)
    ids = {answer.json()["signal_id"] for answer in (first, again, late)}
    assert len(ids) == 1
    assert await held.workflows(f"SignalId = '{ids.pop()}'") == 1


@pytest.mark.usefixtures("worker")
async def test_a_key_that_was_used_for_another_wish_is_refused_and_nothing_is_done(
    held: Stack,
) -> None:
    path, body = ROUTES["protect"]
    await ask(held, path, body, held.salt)

    moved = await ask(held, path, {"stop_loss": "0.31"}, held.salt)
    other = await ask(held, *ROUTES["exit"], held.salt)
    cancel = await ask(held, *ROUTES["cancel"], held.salt)

    for answer in (moved, other, cancel):
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
    assert [row["status"] for row in held.signals() if row["action"]] == ["processing"]


@pytest.mark.usefixtures("worker")
async def test_without_a_key_each_wish_is_one_of_its_own(held: Stack) -> None:
    """Moving a stop up, down and up again within a minute are three wishes, not two."""
    path, _ = ROUTES["protect"]
    for price in ("0.30", "0.25", "0.30"):
        assert (await ask(held, path, {"stop_loss": price})).status_code == 202
    assert sorted(str(row["prix_sl"])[:4] for row in held.signals()) == ["0.25", "0.30", "0.30"]


async def test_a_wish_that_is_refused_is_told_so_at_once_with_the_words(held: Stack) -> None:
    path, body = ROUTES["protect"]
    async with denying(held):
        answer = await ask(held, path, body, held.salt)
        again = await ask(held, path, body, held.salt)

    for one in (answer, again):
        assert (one.status_code, one.json()["error"]["code"]) == (409, "denied")
        assert "not below the best bid" in one.json()["error"]["message"]
    assert answer.json()["workflow_id"] == again.json()["workflow_id"]


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({}, "stop_loss", "missing"),
    ({"stop_loss": "1.2"}, "stop_loss", "not a price"),
    ({"take_profit": "high"}, "take_profit", "not a number"),
    ({"take_profit": -0.1}, "take_profit", "not a price"),
    ({"stop_loss": "0.6", "take_profit": 0.5}, "stop_loss", "not below take_profit"),
    ({"stop": "0.6"}, "stop", "Extra inputs"),
]


async def test_a_plan_that_no_position_can_have_is_refused_by_field_with_a_remedy(
    held: Stack,
) -> None:
    for body, field, problem in WRONG:
        answer = await ask(held, ROUTES["protect"][0], body)
        [wrong] = answer.json()["error"]["fields"]
        assert answer.status_code == 422
        assert wrong["field"] == field
        assert wrong["problem"].startswith(problem)
        assert wrong["remedy"]
    assert held.signals() == []


async def test_only_an_operator_may_ask_and_only_about_what_there_is(held: Stack) -> None:
    for path, body in ROUTES.values():
        await refused(held, path, body)
    assert held.signals() == []


async def refused(held: Stack, path: str, body: dict[str, Any]) -> None:
    assert (await ask(held, path, body, who="reader")).status_code == 403
    assert (await ask(held, path, body, who="sender")).status_code == 403
    assert (await ask(held, path, body, who="nobody")).status_code == 401
    absent = path.replace(POSITION, "f" * 20).replace("0x1", "0x2")
    assert (await ask(held, absent, body)).status_code == 404
    assert (await ask(held, path, body | {"surprise": 1})).status_code == 422
    assert (await ask(held, path, body | {"reason": "a\nb"})).status_code == 422
    assert (await ask(held, path, body, "with space")).status_code == 422


async def test_an_order_that_is_over_is_not_cancelled(held: Stack) -> None:
    held.run("UPDATE holdfast.orders SET state = %s", OrderState.CANCELLED.value)
    over = await ask(held, "/orders/0x1/cancel")
    assert (over.status_code, over.json()["error"]["code"]) == (409, "order_over")


async def test_a_wish_is_not_lost_while_no_worker_runs(held: Stack) -> None:
    answer = await ask(held, *ROUTES["exit"], held.salt)
    assert (answer.status_code, answer.json()["status"]) == (202, "processing")

    client = held.parts.temporal
    async with denying(held):  # a worker comes back, whatever it does then
        await client.get_workflow_handle(answer.json()["workflow_id"]).result()


async def test_a_wish_is_not_lost_while_temporal_is_away(
    database_url: str, orders: Orders, fills: Fills
) -> None:
    order = an_order()
    await orders.admit(order, b"signed", WIDE)
    await fills.record(a_fill(order=order), SeenBy.STREAM, NOW)
    port = free_port()
    away = TemporalSettings(address=f"127.0.0.1:{port}")
    async with running(settings_for(database_url, away)) as stack:
        async with asyncio.timeout(10):
            answer = await ask(stack, *ROUTES["exit"], "once")
            again = await ask(stack, *ROUTES["exit"], "once")
        assert (answer.status_code, answer.json()["status"]) == (202, "received")
        assert (again.status_code, again.json()["signal_id"]) == (200, answer.json()["signal_id"])
        server = temporal_on(port)
        await asyncio.to_thread(server.__enter__)
        try:
            await stack.settled_as("processing", answer.json()["signal_id"])
        finally:
            await asyncio.to_thread(server.__exit__, None, None, None)


@pytest.mark.usefixtures("worker")
async def test_a_wish_that_was_stored_before_a_crash_is_delivered_after_it(stack: Stack) -> None:
    wish = Command(action=Action.CLOSE, account_id=ACCOUNT, by="ann", key=stack.salt, token_id=YES)
    taken = await stored(stack.parts, wish, utc_now())  # and here the process ends

    await stack.settled_as("processing", taken.signal_id)
    workflow_id = f"signal-{taken.signal_id}"
    handle = stack.parts.temporal.get_workflow_handle(workflow_id, result_type=SignalTask)
    assert (await handle.result()).by == "ann"

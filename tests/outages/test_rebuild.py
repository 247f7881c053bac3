"""D3: what should run is started again from our own rows, whatever Temporal remembers of it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
from temporalio import workflow
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError
from temporalio.worker import Worker

from api.rebuild import Rebuild
from domain.fill import SeenBy
from domain.ids import intent_id, order_workflow_id, position_workflow_id
from domain.order import Order, OrderEvent, Side
from domain.signal import OrderRequest, SignalTask
from infra.clock import utc_now
from infra.settings import TemporalSettings
from infra.store.fills import Fills
from infra.store.orders import Orders
from infra.store.unfinished import Unfinished
from infra.temporal import connect
from infra.temporal_workflows import TemporalWorkflows
from tests.api.conftest import Stack, free_port, running, settings_for, temporal_on
from tests.outages.durable import within
from tests.store.making import ACCOUNT, NOW, WIDE, YES, a_fill, an_order, later
from workers.process import worker
from workflows.options import TRADING

pytestmark = pytest.mark.services

PATIENCE_SECONDS = 60


@asynccontextmanager
async def temporal(port: int) -> AsyncGenerator[TemporalSettings]:
    """A server with an empty store."""
    server = temporal_on(port)
    yield await asyncio.to_thread(server.__enter__)
    await asyncio.to_thread(server.__exit__, None, None, None)


@pytest.fixture
async def lasting(database_url: str) -> AsyncGenerator[tuple[Stack, Callable[[], Awaitable[None]]]]:
    """The API, and what replaces its Temporal server by one that knows nothing."""
    port = free_port()
    async with AsyncExitStack() as servers:
        settings = await servers.enter_async_context(temporal(port))

        async def forget() -> None:
            await servers.aclose()
            await servers.enter_async_context(temporal(port))

        async with running(settings_for(database_url, settings)) as stack:
            yield stack, forget


async def runs(client: Client, workflow_id: str) -> bool:
    try:
        described = await client.get_workflow_handle(workflow_id).describe()
    except RPCError:
        return False
    return described.status is WorkflowExecutionStatus.RUNNING


async def wish(client: Client, workflow_id: str, kind: type) -> Any:
    """Return what a workflow was started with."""
    history = await client.get_workflow_handle(workflow_id).fetch_history()
    begun = history.events[0].workflow_execution_started_event_attributes
    return (await client.data_converter.decode(begun.input.payloads, [kind]))[0]


async def admitted(orders: Orders, order: Order) -> Order:
    known = await orders.admit(order, b"signed", WIDE)
    assert isinstance(known, Order)
    return known


async def abandoned(orders: Orders, name: str) -> Order:
    order = await admitted(orders, an_order(name, signal_id=None, created_at=utc_now()))
    await orders.begin_send(order.order_hash, NOW)
    return await orders.learn(order.order_hash, OrderEvent.ABANDON, "never seen", later(90))


async def ended(orders: Orders, name: str) -> Order:
    order = await admitted(orders, an_order(name, signal_id=None))
    return await orders.learn(order.order_hash, OrderEvent.CANCEL, "done", later(1))


async def test_d3_a_temporal_that_lost_its_store_is_told_again_what_runs(
    lasting: tuple[Stack, Callable[[], Awaitable[None]]], orders: Orders, fills: Fills
) -> None:
    stack, forget = lasting
    entry = {"action": "BuyMarket", "market": "rain", "outcome": "Yes", "size": "5"}
    waiting = await stack.begun(await stack.post(entry))
    sale_signal = await stack.begun(await stack.post(entry | {"action": "CLOSE"}))
    resting = await admitted(orders, an_order("rests", signal_id=None))
    await orders.begin_send(resting.order_hash, NOW)
    lost = await abandoned(orders, "lost")
    over = await ended(orders, "over")
    await fills.record(a_fill(order=resting, size=Decimal(4)), SeenBy.STREAM, NOW)
    stack.run("UPDATE holdfast.fills SET status = 'CONFIRMED'")
    owner = position_workflow_id(ACCOUNT, YES)
    sale = an_order("sale", side=Side.SELL, size=Decimal(4), signal_id=None, workflow_id=owner)
    await admitted(orders, sale)

    await forget()

    entry_id = order_workflow_id(intent_id(waiting, 0))
    expected = [
        *(entry_id, f"signal-{sale_signal}", owner),
        *(resting.workflow_id, lost.workflow_id),
    ]
    client = stack.parts.temporal
    for workflow_id in expected:
        await within(PATIENCE_SECONDS, lambda one=workflow_id: runs(client, one))
    assert not await runs(client, over.workflow_id)
    again = await wish(client, entry_id, OrderRequest)
    assert (again.signal_id, again.sizing.value) == (waiting, Decimal(5))
    assert again.not_after is not None  # an entry that has grown too old is not sent late


async def test_d3_an_order_of_an_unanswered_signal_is_left_to_its_signals_workflow(
    lasting: tuple[Stack, Callable[[], Awaitable[None]]], orders: Orders, fills: Fills
) -> None:
    stack, _ = lasting
    signal_id = await stack.begun(
        await stack.post({"action": "CLOSE", "market": "rain", "outcome": "Yes"})
    )
    bought = await admitted(orders, an_order(signal_id=None))
    await fills.record(a_fill(order=bought, size=Decimal(10)), SeenBy.STREAM, NOW)
    stack.run("UPDATE holdfast.fills SET status = 'CONFIRMED'")
    owner = position_workflow_id(ACCOUNT, YES)
    sale = an_order("s", side=Side.SELL, size=Decimal(4), signal_id=signal_id, workflow_id=owner)
    await admitted(orders, sale)

    client = stack.parts.temporal
    await within(PATIENCE_SECONDS, lambda: runs(client, owner))

    history = await client.get_workflow_handle(owner).fetch_history()
    told = history.events[1].workflow_execution_signaled_event_attributes
    [request] = await client.data_converter.decode(told.input.payloads, [OrderRequest])
    assert (request.intent_id, request.reply_to) == (sale.intent_id, f"signal-{signal_id}")


async def test_d3_what_runs_is_not_asked_for_again_and_again(
    lasting: tuple[Stack, Callable[[], Awaitable[None]]], orders: Orders
) -> None:
    stack, forget = lasting
    [own] = [task for task in asyncio.all_tasks() if task.get_name() == "rebuild"]
    own.cancel()  # this test takes its turns itself
    order = await admitted(orders, an_order(signal_id=None))
    stack.run("UPDATE holdfast.orders SET updated_at = now() - interval '1 minute'")
    client = stack.parts.temporal
    rebuild = Rebuild(stack.parts, Unfinished(engine=orders.engine), TemporalWorkflows(client))

    assert await rebuild.turn() == 1
    assert await rebuild.turn() == 0
    await client.get_workflow_handle(order.workflow_id).terminate("by a hand")
    assert await rebuild.turn() == 0  # seen to run a moment ago
    await forget()
    assert await rebuild.turn() == 1  # another store: what was seen before does not count


async def test_c16_a_workflow_whose_input_cannot_be_read_fails_and_is_begun_from_its_row(
    lasting: tuple[Stack, Callable[[], Awaitable[None]]],
) -> None:
    stack, _ = lasting
    closing = {"action": "CLOSE", "market": "rain", "outcome": "Yes"}
    workflow_id = f"signal-{await stack.begun(await stack.post(closing))}"
    client = await connect(stack.parts.settings.temporal)
    await client.get_workflow_handle(workflow_id).terminate("by the test")
    poisoned = await client.start_workflow(
        "ExecuteSignal", {"signal_id": [1]}, id=workflow_id, task_queue=TRADING
    )
    first = client.get_workflow_handle(workflow_id, run_id=poisoned.result_run_id)

    async with worker(client, TRADING, []):
        with pytest.raises(WorkflowFailureError):
            await asyncio.wait_for(first.result(), PATIENCE_SECONDS)

    await within(PATIENCE_SECONDS, lambda: runs(client, workflow_id))
    assert (await wish(client, workflow_id, SignalTask)).instruction.market == "rain"


@workflow.defn(name="ExecuteSignal", sandboxed=False)
class Broken:
    """Fails, as one whose input or whose code cannot be used."""

    @workflow.run
    async def run(self, _: SignalTask) -> None:
        raise ApplicationError("it cannot work")


async def test_c16_a_signal_whose_workflow_fails_every_time_is_given_up_aloud(
    lasting: tuple[Stack, Callable[[], Awaitable[None]]], caplog: pytest.LogCaptureFixture
) -> None:
    stack, _ = lasting
    client = await connect(stack.parts.settings.temporal)
    async with Worker(client, task_queue=TRADING, workflows=[Broken]):
        closing = {"action": "CLOSE", "market": "rain", "outcome": "Yes"}
        signal_id = await stack.begun(await stack.post(closing))

        async def is_given_up() -> bool:
            return stack.signals()[0]["status"] == "error"

        await within(PATIENCE_SECONDS, is_given_up)

    assert "failed 3 times" in stack.signals()[0]["reason"]
    assert "signal.given_up" in caplog.messages
    assert await stack.workflows(f"WorkflowId = 'signal-{signal_id}'") == 3

"""Workflows begin by name, with ids and arguments that others rely on."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from temporalio.client import Client

from api.dispatch import start, workflow_of
from domain.errors import UnavailableError
from domain.ids import digest
from domain.order import OrderSource, OrderType, Side, TimeInForce
from domain.signal import (
    Action,
    Instruction,
    OrderRequest,
    SignalTask,
    SizeKind,
    Sizing,
)
from infra.settings import TemporalSettings
from infra.temporal import connect
from tests.api.conftest import free_port, until
from workflows.options import ACCOUNT, ACTION, MARKET, SIGNAL_ID

TEN_PERCENT = Sizing(kind=SizeKind.PERCENT, value=Decimal(10))
UNTIL = datetime(2026, 11, 21, 12, 1, tzinfo=UTC)


def a_task(name: str, **fields: object) -> SignalTask:
    told: dict[str, object] = {"market": "rain", "outcome": "Yes", "sizing": TEN_PERCENT} | fields
    return SignalTask(
        signal_id=digest(name),
        account_id="main",
        source=OrderSource.WEBHOOK,
        instruction=Instruction(**told),  # pyright: ignore[reportArgumentType]  # a test's fields
        not_after=UNTIL,
    )


BUY = a_task("buy", action=Action.BUY_MARKET, price=Decimal("0.4"))


@pytest.fixture
async def client(temporal: TemporalSettings) -> Client:
    return await connect(temporal)


@pytest.mark.services
@pytest.mark.usefixtures("worker")
async def test_an_entry_begins_its_order_exactly_as_asked(client: Client) -> None:
    workflow_id = await start(client, BUY, 10)
    handle = client.get_workflow_handle(workflow_id)
    found = await handle.describe()
    began = await anext(handle.fetch_history_events())
    sent = began.workflow_execution_started_event_attributes.input.payloads
    (given,) = await client.data_converter.decode(sent, [OrderRequest])
    assert given == OrderRequest(
        intent_id=f"{BUY.signal_id}-0",
        account_id="main",
        signal_id=BUY.signal_id,
        trace_id=digest("trace", BUY.signal_id, length=32),
        workflow_id=f"order-{BUY.signal_id}-0",
        source=OrderSource.WEBHOOK,
        market="rain",
        outcome="Yes",
        side=Side.BUY,
        type=OrderType.MARKET,
        time_in_force=TimeInForce.FAK,
        sizing=TEN_PERCENT,
        price=Decimal("0.4"),
        not_after=UNTIL,
    )
    marks = found.typed_search_attributes
    assert [marks.get(key) for key in (ACCOUNT, MARKET, ACTION, SIGNAL_ID)] == [
        "main",
        "rain",
        "BuyMarket",
        BUY.signal_id,
    ]
    assert await found.static_summary() == "BUY 10% Yes at 0.4 · rain"


@pytest.mark.services
async def test_asking_twice_begins_one_workflow_even_when_it_is_over(client: Client) -> None:
    task = a_task("twice", action=Action.BUY_LIMIT, price=Decimal("0.4"))
    first = await start(client, task, 10)
    assert await start(client, task, 10) == first
    await client.get_workflow_handle(first).terminate("over")
    assert await start(client, task, 10) == first
    query = f"WorkflowId = '{first}'"

    async def is_listed() -> bool:
        return (await client.count_workflows(query)).count == 1

    await until(is_listed)


@pytest.mark.services
async def test_a_server_that_is_away_is_told_apart_from_a_start() -> None:
    lazy = await connect(TemporalSettings(address=f"127.0.0.1:{free_port()}"), lazy=True)
    with pytest.raises(UnavailableError):
        await start(lazy, BUY, 0.2)


ROUTES = [
    (a_task("1", action=Action.BUY_LIMIT), "WorkOrder"),
    (a_task("2", action=Action.SELL_MARKET, sells_by_complement=True), "WorkOrder"),
    (a_task("3", action=Action.SELL_MARKET), "ExecuteSignal"),
    (a_task("4", action=Action.SELL_LIMIT), "ExecuteSignal"),
    (a_task("5", action=Action.MAJ), "ExecuteSignal"),
    (a_task("6", action=Action.CLOSE), "ExecuteSignal"),
    (a_task("7", action=Action.CLOSEALL), "ExecuteSignal"),
    (a_task("8", action=Action.CANCEL), "ExecuteSignal"),
]


@pytest.mark.parametrize(("task", "name"), ROUTES, ids=range(len(ROUTES)))
def test_what_opens_something_is_an_order_and_the_rest_is_a_signal(
    task: SignalTask, name: str
) -> None:
    assert workflow_of(task)[0] == name

"""A time-skipping Temporal server for the session, and a worker on it for each test."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest_asyncio
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.failures import FailureTranslator
from activities.orders import Desk, OrderActivities
from activities.signals import SignalActivities
from domain.ids import digest
from domain.signal import OrderRequest
from tests.workflows.memory import LIMITS, Calls, Ledger, ServerClock, Venue, no_failpoint
from workflows.options import TRADING
from workflows.registry import RUNNER, WORKFLOWS
from workflows.work_order import OrderStatus, WorkOrder

KEYWORD = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
NAMES = ("Account", "Market", "Action", "OrderState", "SignalId")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def skipping() -> AsyncIterator[WorkflowEnvironment]:
    """The time-skipping server."""
    binary = Path(sys.executable).parent / "temporal-test-server"
    environment = await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=str(binary), data_converter=pydantic_data_converter
    )
    await environment.client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(
            namespace=environment.client.namespace,
            search_attributes=dict.fromkeys(NAMES, KEYWORD),
        )
    )
    async with environment:
        yield environment


@dataclass
class Engine:
    """One worker with everything in memory behind it."""

    environment: WorkflowEnvironment
    client: Client
    queue: str
    venue: Venue
    ledger: Ledger
    calls: Calls
    begun: list[str] = field(default_factory=list[str])

    async def work(self, request: OrderRequest) -> WorkflowHandle[WorkOrder, OrderStatus]:
        """Start an entry's workflow."""
        handle = await self.client.start_workflow(
            WorkOrder.run, request, id=f"{self.queue}-{request.intent_id}", task_queue=self.queue
        )
        self.begun.append(handle.id)
        return handle

    async def end(self) -> None:
        """End what still runs: work without a worker would hold the server's time."""
        for workflow_id in self.begun:
            with contextlib.suppress(RPCError):
                await self.client.get_workflow_handle(workflow_id).terminate("the test is over")

    async def until(self, condition: Callable[[], bool], seconds: int = 60) -> None:
        """Let the server's time pass, a tenth of a second at a time, until `condition` holds."""
        for _ in range(seconds * 10):
            if condition():
                return
            await asyncio.sleep(0.01)  # the worker needs real time for its part
            await self.environment.sleep(0.1)
        raise AssertionError("it never happened")


@pytest_asyncio.fixture(loop_scope="session")
async def engine(skipping: WorkflowEnvironment, request: Any) -> AsyncIterator[Engine]:
    """A worker of its own, on a queue of its own."""
    venue = Venue(clock=ServerClock(read=skipping.get_current_time))
    await venue.clock.refresh()
    ledger, calls = Ledger(), Calls()
    queue = f"q-{digest(request.node.name)}"
    async with running(skipping.client, queue, venue, ledger, calls):
        made = Engine(skipping, skipping.client, queue, venue, ledger, calls)
        yield made
        await made.end()


def running(
    client: Client, queue: str, venue: Venue, ledger: Ledger, calls: Calls
) -> AbstractAsyncContextManager[Worker]:
    """Run the product's workflows and activities on `queue`, everything outside in memory."""
    orders = OrderActivities(
        desks={"main": Desk(exchange=venue, limits=LIMITS)},
        orders=ledger,
        fills=ledger,
        markets=ledger,
        signals=ledger,
        clock=venue.clock,
        failpoint=no_failpoint,
    )
    signals = SignalActivities(orders=ledger, fills=ledger, markets=ledger, workflows=calls)
    return _worker(
        Worker(
            client,
            task_queue=queue,
            workflows=WORKFLOWS[TRADING],
            workflow_runner=RUNNER,
            activities=[
                orders.prepare,
                orders.submit,
                orders.record_answer,
                orders.learn,
                orders.reload,
                orders.look,
                orders.cancel,
                orders.settle_signal,
                signals.deliver_sales,
                signals.deliver_cancel,
            ],
            interceptors=[FailureTranslator()],
        )
    )


@asynccontextmanager
async def _worker(worker: Worker) -> AsyncIterator[Worker]:
    async with worker:
        yield worker

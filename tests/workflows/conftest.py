"""A time-skipping Temporal server for the session, and a worker on it for each test."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest_asyncio
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.failures import FailureTranslator
from activities.guard import GuardActivities
from activities.orders import Desk, OrderActivities, Outcome
from activities.protection import ProtectionActivities
from activities.sweep import SweepActivities
from domain.halt import Reconcile, Shutdown
from domain.ids import digest, signal_workflow_id
from domain.reconciliation import Report
from domain.signal import OrderRequest, PositionTask, SignalTask
from domain.stop import StopRule
from infra.store.database import open_database
from infra.temporal import DATA_CONVERTER
from tests.workflows.books import Books
from tests.workflows.calls import Calls
from tests.workflows.compared_books import MemoryBooks, comparing
from tests.workflows.held import Bourse, Held
from tests.workflows.memory import LIMITS, Ledger, ServerClock, Venue, no_failpoint
from tests.workflows.unheld import Unheld
from tests.workflows.wishing import signal_activities
from workers.wiring import trading_activities
from workflows.execute_signal import ExecuteSignal
from workflows.guard_account import GuardAccount, GuardianTask
from workflows.hold_position import HoldPosition
from workflows.options import TRADING
from workflows.reconcile_account import ReconcileAccount, ReconcileTask
from workflows.registry import WORKFLOWS
from workflows.shutdown_account import ShutdownAccount, ShutdownOutcome, ShutdownTask
from workflows.work_order import OrderStatus, WorkOrder

KEYWORD = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
# Where to leave the histories that tests/workflows/test_replay.py replays; unset, none are left.
RECORDINGS = os.environ.get("HOLDFAST_TEST_RECORDINGS")
# The rules are pure and the activities are only named: imported once for all runs. A second
# import would make a second `Answer.BUSY`, and `is` would tell them apart.
SANDBOX = SandboxedWorkflowRunner(
    restrictions=SandboxRestrictions.default.with_passthrough_modules(
        "domain", "activities", "pydantic", "pydantic_core"
    )
)
NAMES = ("Account", "Market", "Action", "OrderState", "SignalId", "TraceId")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def skipping() -> AsyncIterator[WorkflowEnvironment]:
    """A time-skipping server for each file: what one leaves unfinished holds its clock up."""
    binary = Path(sys.executable).parent / "temporal-test-server"
    environment = await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=str(binary), data_converter=DATA_CONVERTER
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
    name: str
    venue: Venue
    ledger: Ledger
    calls: Calls
    books: Books
    compared: MemoryBooks
    begun: list[str] = field(default_factory=list[str])

    async def work(self, request: OrderRequest) -> WorkflowHandle[WorkOrder, OrderStatus]:
        """Start an entry's workflow."""
        handle = await self.client.start_workflow(
            WorkOrder.run, request, id=f"{self.queue}-{request.intent_id}", task_queue=self.queue
        )
        self.begun.append(handle.id)
        return handle

    async def hold(self, token_id: str, *sales: OrderRequest) -> WorkflowHandle[HoldPosition, None]:
        """Start a position's workflow with sales to make."""
        task = PositionTask(account_id="main", token_id=token_id, requests=sales)
        handle = await self.client.start_workflow(
            HoldPosition.run, task, id=f"{self.queue}-position", task_queue=self.queue
        )
        self.begun.append(handle.id)
        return handle

    async def execute(self, task: SignalTask) -> WorkflowHandle[ExecuteSignal, Outcome]:
        """Start the workflow of a signal that is not an entry."""
        workflow_id = signal_workflow_id(task.signal_id)
        handle = await self.client.start_workflow(
            ExecuteSignal.run, task, id=workflow_id, task_queue=self.queue
        )
        self.begun.append(handle.id)
        return handle

    async def guard(self) -> WorkflowHandle[GuardAccount, None]:
        """Start the account's guardian."""
        handle = await self.client.start_workflow(
            GuardAccount.run,
            GuardianTask(account_id="main"),
            id=f"{self.queue}-guardian",
            task_queue=self.queue,
        )
        self.begun.append(handle.id)
        return handle

    async def compare(self, *wishes: Reconcile) -> WorkflowHandle[ReconcileAccount, Report | None]:
        """Start the account's comparison."""
        task = ReconcileTask(account_id="main", wishes=wishes)
        handle = await self.client.start_workflow(
            ReconcileAccount.run, task, id=f"{self.queue}-reconcile", task_queue=self.queue
        )
        self.begun.append(handle.id)
        return handle

    async def shut_down(self) -> WorkflowHandle[ShutdownAccount, ShutdownOutcome]:
        """Start the account's shutdown."""
        task = ShutdownTask(account_id="main", wish=Shutdown(by="ann", reason="holidays"))
        handle = await self.client.start_workflow(
            ShutdownAccount.run, task, id=f"{self.queue}-shutdown", task_queue=self.queue
        )
        self.begun.append(handle.id)
        return handle

    async def end(self) -> None:
        """End what still runs: work without a worker would hold the server's time."""
        for workflow_id in self.begun:
            handle = self.client.get_workflow_handle(workflow_id)
            if RECORDINGS is not None:
                history = await handle.fetch_history()
                (Path(RECORDINGS) / f"{self.name}.json").write_text(history.to_json())
            with contextlib.suppress(RPCError):
                await handle.terminate("the test is over")

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait in real time, the server's clock not skipping, until `condition` holds."""
        for _ in range(3_000):
            if condition():
                return
            await asyncio.sleep(0.01)
        raise AssertionError("it never happened")


@pytest_asyncio.fixture(loop_scope="session")
async def engine(skipping: WorkflowEnvironment, request: Any) -> AsyncIterator[Engine]:
    """A worker of its own, on a queue of its own."""
    venue = Venue(clock=ServerClock(read=skipping.get_current_time))
    await venue.clock.refresh()
    ledger, calls = Ledger(), Calls()
    books, compared = Books(ledger), MemoryBooks(ledger)
    queue = f"q-{digest(request.node.name)}"
    async with running(skipping.client, queue, venue, books, calls, compared):
        made = Engine(
            skipping,
            skipping.client,
            queue,
            request.node.name,
            venue,
            ledger,
            calls,
            books,
            compared,
        )
        yield made
        await made.end()


def running(  # noqa: PLR0913, PLR0917  # each is one thing of the outside
    client: Client,
    queue: str,
    venue: Venue,
    books: Books,
    calls: Calls,
    compared: MemoryBooks | None = None,
) -> Worker:
    """Run the product's workflows and activities on `queue`, everything outside in memory."""
    ledger = books.ledger
    orders = OrderActivities(
        desks={"main": Desk(exchange=venue, exits=venue, limits=LIMITS)},
        orders=ledger,
        fills=ledger,
        markets=ledger,
        signals=ledger,
        days=ledger,
        workflows=calls,
        clock=venue.clock,
        failpoint=no_failpoint,
    )
    guard = _guarding(venue, ledger, calls)
    ledger.now = venue.clock
    signals = signal_activities(ledger, calls)
    return Worker(
        client,
        task_queue=queue,
        workflows=WORKFLOWS[TRADING],
        workflow_runner=SANDBOX,
        activities=[
            *trading_activities(
                orders, signals, guard, looking(guard, books), _unprotected(venue, ledger)
            ),
            *comparing(orders, guard, compared or MemoryBooks(ledger)),
        ],
        interceptors=[FailureTranslator()],
    )


def _guarding(venue: Venue, ledger: Ledger, calls: Calls) -> GuardActivities:
    """Return the activities of a guardian."""
    return GuardActivities(
        desks={"main": Desk(exchange=venue, exits=venue, limits=LIMITS)},
        cooldowns={"main": timedelta(seconds=60)},
        accounts=ledger,
        orders=ledger,
        fills=ledger,
        days=ledger,
        workflows=calls,
        clock=venue.clock,
        failpoint=no_failpoint,
    )


def looking(guard: GuardActivities, books: Books) -> SweepActivities:
    """Return the product's sweep, everything outside in memory."""
    return SweepActivities(
        desks=guard.desks,
        stops={"main": StopRule()},
        accounts=guard.accounts,
        guardians=books,
        workflows=guard.workflows,
        check_limits=guard.check_limits,
        clock=guard.clock,
    )


def _unprotected(venue: Venue, ledger: Ledger) -> ProtectionActivities:
    """Return the activities of protection where nothing was ever held."""
    return ProtectionActivities(
        desks={"main": Desk(exchange=venue, exits=venue, limits=LIMITS)},
        floors={"main": Decimal("0.5")},
        protections=Unheld(),
        markets=ledger,
        clock=venue.clock,
        failpoint=no_failpoint,
    )


@pytest_asyncio.fixture(loop_scope="session")
async def held(skipping: WorkflowEnvironment, database_url: str) -> AsyncIterator[Held]:
    """A worker, an exchange, and an account that holds nothing yet."""
    venue = Bourse(clock=ServerClock(read=skipping.get_current_time))
    await venue.clock.refresh()
    engine = open_database(database_url, pool_size=10)
    made = Held(skipping, engine, venue)
    await made.open()
    async with made.worker():
        yield made
        with contextlib.suppress(RPCError):
            await made.handle.terminate("the test is over")
    await engine.dispose()

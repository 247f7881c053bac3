"""C11, D7: a process that is held up says so, and a server that takes little is not hammered."""

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import datetime

import pytest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import ActivityEnvironment
from typing_extensions import override

from activities.orders import Desk, OrderActivities
from domain.answer import Answer, Submission
from domain.order import OrderState
from infra.clock import monotonic_seconds, utc_now
from infra.embedded.temporal import add_search_attributes, binary
from infra.settings import TemporalSettings
from infra.store.orders import Orders
from infra.temporal import connect
from tests.api.conftest import free_port
from tests.outages.durable import within
from tests.store.making import ACCOUNT, WIDE, an_order
from tests.workflows.books import Books
from tests.workflows.calls import Calls
from tests.workflows.conftest import running
from tests.workflows.memory import Ledger, ServerClock, Venue, a_wish, no_failpoint
from workers.process import watch_loop
from workflows.work_order import WorkOrder

pytestmark = pytest.mark.services

BLOCKED_SECONDS = 1.2
REQUESTS_A_SECOND = 20


def block() -> None:
    """Hold up the event loop, as a mistake would."""
    time.sleep(BLOCKED_SECONDS)


async def test_c11_a_blocked_event_loop_is_told_with_how_long(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watching = asyncio.create_task(watch_loop())
    await asyncio.sleep(0.15)
    block()
    await asyncio.sleep(0.15)
    watching.cancel()

    [told] = [record for record in caplog.records if record.message == "loop.blocked"]
    assert told.levelname == "WARNING"
    assert told.__dict__["lag_seconds"] > BLOCKED_SECONDS / 2


@dataclass
class Stuck(Venue):
    """An exchange whose client blocks the loop in the middle of a send."""

    blocked: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])

    @override
    async def submit(self, payload: bytes) -> Submission:
        await asyncio.sleep(0.5)
        began = monotonic_seconds()
        block()
        self.blocked.append((began, monotonic_seconds()))
        await asyncio.sleep(0.5)
        return Submission(answer=Answer.LIVE)


async def test_c11_a_blocked_loop_sends_no_heartbeat(orders: Orders) -> None:
    order = an_order()
    await orders.admit(order, b"signed", WIDE)
    ledger = Ledger()
    venue = Stuck(clock=ServerClock(read=_now))
    sending = OrderActivities(
        desks={ACCOUNT: Desk(exchange=venue, exits=venue, limits=WIDE)},
        orders=orders,
        fills=ledger,
        markets=ledger,
        signals=ledger,
        days=ledger,
        workflows=Calls(),
        clock=utc_now,
        failpoint=no_failpoint,
    )
    beats: list[float] = []
    environment = ActivityEnvironment()
    environment.on_heartbeat = lambda *_: beats.append(monotonic_seconds())

    await environment.run(sending.submit, order)

    [(began, ended)] = venue.blocked
    assert len(beats) >= 2
    assert [beat for beat in beats if began < beat < ended] == []


async def _now() -> datetime:
    return utc_now()


@pytest.fixture
async def slow_server() -> AsyncGenerator[Client]:
    """A Temporal server that takes few requests in a second."""
    port = free_port()
    listen = ("--headless", "--ip", "127.0.0.1", "--port", str(port), "--log-level", "never")
    limit = ("--dynamic-config-value", f"frontend.namespaceRPS={REQUESTS_A_SECOND}")
    nowhere = asyncio.subprocess.DEVNULL
    server = await asyncio.create_subprocess_exec(
        *(binary(), "server", "start-dev", *listen, *limit), stdout=nowhere, stderr=nowhere
    )
    made: list[Client] = []

    async def is_up() -> bool:
        try:
            client = await connect(TemporalSettings(address=f"127.0.0.1:{port}"))
            await add_search_attributes(client)
        except (RPCError, RuntimeError):
            return False
        made.append(client)
        return True

    await within(60, is_up)
    yield made[0]
    server.terminate()
    await server.wait()


async def test_d7_a_server_that_refuses_for_its_rate_is_waited_for_and_every_order_ends_once(
    slow_server: Client,
) -> None:
    client, venue, ledger = slow_server, Venue(clock=ServerClock(read=_now)), Ledger()
    refused = 0

    async def crowd() -> None:
        nonlocal refused
        request = DescribeNamespaceRequest(namespace=client.namespace)
        while True:
            try:
                await client.workflow_service.describe_namespace(request, retry=False)
            except RPCError as error:
                refused += error.status is RPCStatusCode.RESOURCE_EXHAUSTED
            await asyncio.sleep(0.02)

    crowding = asyncio.create_task(crowd())
    async with running(client, "crowded", venue, Books(ledger), Calls()):
        for number in range(5):
            venue.at_look += venue.pieces(40)
            await client.start_workflow(
                WorkOrder.run,
                a_wish(f"d7-{number}", signal_id=f"d7-{number}"),
                id=f"order-d7-{number}",
                task_queue="crowded",
            )

        async def all_filled() -> bool:
            states = [order.state for order in ledger.rows.values()]
            return len(states) == 5 and all(state is OrderState.FILLED for state in states)

        await within(90, all_filled)
    crowding.cancel()

    assert refused > 0
    assert len(venue.sends) == len(set(venue.sends)) == 5

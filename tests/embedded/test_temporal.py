"""The Temporal server of the folder: prepared for our workflows, and remembering them."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Mapping
from datetime import timedelta

import psutil
import pytest
from temporalio import activity
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.service import RPCError
from temporalio.worker import Worker

from infra.clock import monotonic_seconds
from infra.embedded.folder import Folder
from infra.embedded.ports import reserved
from infra.embedded.supervisor import Supervisor
from infra.embedded.temporal import SEARCH_ATTRIBUTES, Temporal

pytestmark = pytest.mark.services

QUEUE = "trading"


def ignored(_: Mapping[str, int]) -> None:
    return


@activity.defn
async def nothing() -> None:
    return


@pytest.fixture
async def supervisor(folder: Folder) -> AsyncGenerator[Supervisor]:
    async with Supervisor(folder, ignored) as made:
        yield made


@pytest.fixture
async def temporal(folder: Folder, supervisor: Supervisor) -> AsyncGenerator[Temporal]:
    with reserved(folder.run / "ports.json", 23_000) as ports:
        made = Temporal(folder.temporal, ports)
        await supervisor.start(made.child())
        yield made


@pytest.fixture
async def client(temporal: Temporal) -> Client:
    return await Client.connect(temporal.address)


async def attributes(client: Client) -> dict[str, int]:
    listed = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    return {name: int(kind) for name, kind in listed.custom_attributes.items()}


async def begin(client: Client, workflow_id: str) -> None:
    pairs = [
        SearchAttributePair(SearchAttributeKey.for_keyword(name), "x") for name in SEARCH_ATTRIBUTES
    ]
    await client.start_workflow(
        "Order",
        id=workflow_id,
        task_queue=QUEUE,
        search_attributes=TypedSearchAttributes(pairs),
    )


async def counted(client: Client, query: str, wanted: int) -> None:
    deadline = monotonic_seconds() + 20
    while True:
        try:
            if (await client.count_workflows(query)).count == wanted:
                return
        except RPCError:
            pass
        assert monotonic_seconds() < deadline, f"never {wanted} for {query}"
        await asyncio.sleep(0.05)


async def test_workflows_can_be_searched_by_our_attributes(client: Client) -> None:
    assert sorted(await attributes(client)) == sorted(SEARCH_ATTRIBUTES)

    await begin(client, "order-1")

    query = " AND ".join(f"{name} = 'x'" for name in SEARCH_ATTRIBUTES)
    await counted(client, query, 1)


async def test_closed_workflows_are_kept_for_thirty_days(client: Client) -> None:
    described = await client.workflow_service.describe_namespace(
        DescribeNamespaceRequest(namespace=client.namespace)
    )

    kept = described.config.workflow_execution_retention_ttl.ToTimedelta()
    assert kept == timedelta(days=30)


async def test_workflows_and_attributes_survive_kill_9(
    client: Client, supervisor: Supervisor
) -> None:
    for number in range(5):
        await begin(client, f"order-{number}")
    killed = supervisor.pids["temporal"]

    os.kill(killed, signal.SIGKILL)

    await counted(client, "Account = 'x'", 5)
    assert supervisor.pids["temporal"] != killed
    assert sorted(await attributes(client)) == sorted(SEARCH_ATTRIBUTES)


async def test_attributes_missing_in_an_older_file_are_added_at_the_next_start(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with reserved(folder.run / "ports.json", 23_000) as ports:
        made = Temporal(folder.temporal, ports)
        async with Supervisor(folder, ignored) as first:
            with monkeypatch.context() as older:
                older.setattr("infra.embedded.temporal.SEARCH_ATTRIBUTES", ("Account",))
                await first.start(made.child())
        async with Supervisor(folder, ignored) as second:
            await second.start(made.child())
            client = await Client.connect(made.address)
            assert sorted(await attributes(client)) == sorted(SEARCH_ATTRIBUTES)


async def test_a_strangers_temporal_variables_do_not_lead_the_server_astray(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("TEMPORAL_API_KEY", "not-ours")
    with reserved(folder.run / "ports.json", 23_000) as ports:
        async with Supervisor(folder, ignored) as supervisor:
            await supervisor.start(Temporal(folder.temporal, ports).child())
            server = psutil.Process(supervisor.pids["temporal"])
            assert not [name for name in server.environ() if name.startswith("TEMPORAL_")]


async def test_the_server_is_heard_on_loopback_alone_and_on_the_ports_it_was_given(
    temporal: Temporal, supervisor: Supervisor
) -> None:
    server = psutil.Process(supervisor.pids["temporal"])
    heard = {one.laddr for one in server.net_connections() if one.status == "LISTEN"}

    wanted = temporal.ports
    assert {ip for ip, _ in heard} == {"127.0.0.1"}
    assert {
        wanted.temporal,
        wanted.temporal_ui,
        wanted.temporal_http,
        wanted.temporal_metrics,
    } <= {port for _, port in heard}


async def test_a_task_queue_has_a_poller_once_a_worker_runs(
    temporal: Temporal, client: Client
) -> None:
    assert not await temporal.has_poller(QUEUE)

    async with Worker(client, task_queue=QUEUE, activities=[nothing]):
        deadline = monotonic_seconds() + 20
        while not await temporal.has_poller(QUEUE):
            assert monotonic_seconds() < deadline, "the worker never polled"
            await asyncio.sleep(0.05)

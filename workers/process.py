"""What every worker process does: connect until it works, poll, and leave in good order."""

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from datetime import timedelta
from importlib.metadata import version
from typing import Any, Final

from pydantic import ValidationError
from temporalio.client import Client
from temporalio.worker import Worker

from activities.failures import FailureTranslator
from infra.clock import monotonic_seconds
from infra.settings import Settings
from infra.temporal import connect
from workers.urgency import ExitsFirst
from workflows.registry import RUNNER, WORKFLOWS

log = logging.getLogger(__name__)

CONNECT_PAUSE_SECONDS: Final = 0.3
# A workflow cached by a worker that died is given to another after this long; too short only
# costs a replay (docs/decisions/0006).
STICKY: Final = timedelta(milliseconds=500)
# Named, for else the SDK hashes every loaded module at each start: seconds of a recovery.
BUILD: Final = f"holdfast-{version('holdfast')}"
# After an outage everything that waited begins at once. Tasks that share one core outlive their
# timeout, are given out again, and none is ever done; what waits at the server has no timeout.
MOST_AT_ONCE: Final = 12
LOOP_GLANCE_SECONDS: Final = 0.1
LOOP_LAG_SECONDS: Final = 0.5  # a send's heartbeat is late by then
# Else the SDK lets a beat through only after four fifths of the timeout: one late and it is missed.
BEAT: Final = timedelta(milliseconds=300)
GRACE: Final = timedelta(seconds=8)  # less than a supervisor waits before it kills


async def connected(settings: Settings) -> Client:
    """Return a client once the Temporal server answers; it may come up later than we do."""
    is_told = False
    while True:
        try:
            return await connect(settings.temporal)
        except RuntimeError as error:
            if not is_told:
                log.warning("temporal.unreachable", extra={"why": str(error)})
                is_told = True
            await asyncio.sleep(CONNECT_PAUSE_SECONDS)


async def serve_queue(client: Client, queue: str, activities: Sequence[Callable[..., Any]]) -> None:
    """Poll a task queue until the process is told to end; work under way is finished first."""
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, ending.set)
    watching = asyncio.create_task(watch_loop())
    async with worker(client, queue, activities):
        log.info("worker.polling", extra={"queue": queue})
        await ending.wait()
    watching.cancel()
    log.info("worker.ended", extra={"queue": queue})


def worker(client: Client, queue: str, activities: Sequence[Callable[..., Any]]) -> Worker:
    """Return what polls a task queue."""
    return Worker(
        client,
        task_queue=queue,
        workflows=WORKFLOWS[queue],
        activities=activities,
        workflow_runner=RUNNER,
        # Else it would try for ever; the row tells what to begin anew.
        workflow_failure_exception_types=[ValidationError],
        interceptors=[FailureTranslator(), ExitsFirst()],
        build_id=BUILD,
        sticky_queue_schedule_to_start_timeout=STICKY,
        max_concurrent_workflow_tasks=MOST_AT_ONCE,
        max_heartbeat_throttle_interval=BEAT,
        graceful_shutdown_timeout=GRACE,
    )


async def watch_loop() -> None:
    """Say when something has held up everything this process does; heartbeats stop with it."""
    while True:
        began = monotonic_seconds()
        await asyncio.sleep(LOOP_GLANCE_SECONDS)
        lag = monotonic_seconds() - began - LOOP_GLANCE_SECONDS
        if lag > LOOP_LAG_SECONDS:
            log.warning("loop.blocked", extra={"lag_seconds": round(lag, 3)})

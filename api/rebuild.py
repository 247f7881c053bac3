"""Starts again what should run and does not: Temporal lost its store, or a crash fell in between.

Our rows tell what should run. Each is carried on from where it stands: an order is found by its
intent, a send by its count, so that nothing is done twice.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from api.dispatch import start
from api.inbox import START_SECONDS
from api.parts import Parts
from api.recall import recalled
from domain.errors import HoldfastError, UnavailableError
from domain.ids import signal_workflow_id
from domain.order import Order, Side
from domain.signal import SignalStatus
from infra.clock import monotonic_seconds, utc_now
from infra.store.signals import StoredSignal
from infra.store.unfinished import Unfinished
from infra.temporal_workflows import TemporalWorkflows

log = logging.getLogger(__name__)

PERIOD_SECONDS: Final = 5.0
RECHECK_SECONDS: Final = 30.0  # how long a workflow that was seen to run is taken to do so
LOOKS_AT_ONCE: Final = 8
LOOKS_PER_TURN: Final = 100  # where nothing says that the store was lost
RPC_TIMEOUT: Final = timedelta(seconds=2)
TRIES: Final = 3  # a signal whose workflow fails so often is not carried out
IN_DOUBT_ALARM: Final = timedelta(seconds=120)

RUNS: Final = frozenset({WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.CONTINUED_AS_NEW})
BROKE: Final = frozenset({WorkflowExecutionStatus.FAILED, WorkflowExecutionStatus.TIMED_OUT})


@dataclass
class Rebuild:
    """What this process knows of what runs."""

    parts: Parts
    rows: Unfinished
    workflows: TemporalWorkflows
    _store: str = ""
    _seen_at: dict[str, float] = field(default_factory=dict[str, float])
    _failures: Counter[str] = field(default_factory=Counter[str])
    _alarmed: set[str] = field(default_factory=set[str])

    async def turn(self) -> int:
        """Look once at what should run, start what does not, and return how much that was.

        Raises:
            UnavailableError: the database or the Temporal server is away.
        """
        await self._notice_new_store()
        signals, orders = await self.rows.signals(), await self.rows.orders()
        self._tell_old_doubts(orders, utc_now())
        owners = [row.workflow_id for row in signals if row.workflow_id is not None]
        gone = await self._gone([*owners, *(order.workflow_id for order in orders)])
        unanswered = {row.id for row in signals}
        started = 0
        for row in signals:
            if row.workflow_id in gone:
                started += await self._carry_on(row, gone[row.workflow_id])
        for order in orders:
            if order.workflow_id in gone:
                started += await self._resume(order, unanswered, gone)
        return started

    async def _notice_new_store(self) -> None:
        """Forget what was seen to run when the server's store is another one than before."""
        client = self.parts.temporal
        request = DescribeNamespaceRequest(namespace=client.namespace)
        try:
            told = await client.workflow_service.describe_namespace(request, timeout=RPC_TIMEOUT)
        except (RPCError, RuntimeError) as error:
            raise UnavailableError(f"Temporal: {error}") from error
        if self._store and self._store != told.namespace_info.id:
            log.critical("temporal.store_lost", extra={"remedy": "nothing: rebuilt from our rows"})
            self._seen_at.clear()
        self._store = told.namespace_info.id

    async def _gone(self, workflow_ids: Iterable[str]) -> dict[str, WorkflowExecutionStatus | None]:
        """Return those that do not run, each with how it ended, None where it is not known."""
        now = monotonic_seconds()
        wanted = set(workflow_ids)
        self._seen_at = {one: at for one, at in self._seen_at.items() if one in wanted}
        due = sorted(
            (one for one in wanted if now - self._seen_at.get(one, 0.0) > RECHECK_SECONDS),
            key=lambda one: self._seen_at.get(one, 0.0),
        )
        never = [one for one in due if one not in self._seen_at]
        due = due[: max(LOOKS_PER_TURN, len(never))]
        line = asyncio.Semaphore(LOOKS_AT_ONCE)

        async def look(workflow_id: str) -> WorkflowExecutionStatus | None:
            async with line:
                return await self._status(workflow_id)

        found = dict(zip(due, await asyncio.gather(*map(look, due)), strict=True))
        self._seen_at |= {one: now for one, status in found.items() if status in RUNS}
        return {one: status for one, status in found.items() if status not in RUNS}

    async def _status(self, workflow_id: str) -> WorkflowExecutionStatus | None:
        """Return how a workflow stands; None where the server knows none of that id."""
        handle = self.parts.temporal.get_workflow_handle(workflow_id)
        try:
            return (await handle.describe(rpc_timeout=RPC_TIMEOUT)).status
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise UnavailableError(f"Temporal: {error.message}") from error

    async def _carry_on(self, row: StoredSignal, ended: WorkflowExecutionStatus | None) -> int:
        """Start a signal's workflow again; one that fails every time is given up."""
        self._failures[row.id] += ended in BROKE
        told = {"signal_id": row.id, "was": ended.name if ended else "not known"}
        task = recalled(self.parts.settings, row)
        if isinstance(task, str) or self._failures[row.id] >= TRIES:
            why = task if isinstance(task, str) else f"it failed {TRIES} times"
            log.critical("signal.given_up", extra=told | {"why": why})
            words = f"its workflow ended without an outcome: {why}"
            await self.parts.signals.settle(row.id, SignalStatus.ERROR, words)
            return 0
        await start(self.parts.temporal, task, START_SECONDS, is_again=True)
        log.error("signal.carried_on", extra=told)
        return 1

    async def _resume(
        self, order: Order, unanswered: set[str], gone: dict[str, WorkflowExecutionStatus | None]
    ) -> int:
        """Have an order worked again, unless its signal's workflow, just started, sees to it."""
        is_answered = order.signal_id not in unanswered
        teller = None if is_answered else signal_workflow_id(order.signal_id or "")
        if not is_answered and (order.side is Side.BUY or teller in gone):
            return 0
        await self.workflows.resume(order, reply_to=teller)
        ended = gone[order.workflow_id]
        told = {"order_hash": order.order_hash, "was": ended.name if ended else "not known"}
        log.error("order.carried_on", extra=told)
        return 1

    def _tell_old_doubts(self, orders: list[Order], now: datetime) -> None:
        """Say aloud, once, which orders have been in doubt for long."""
        for order in orders:
            since = order.last_sent_at or order.created_at
            is_old = order.is_in_doubt and now - since > IN_DOUBT_ALARM
            if is_old and order.order_hash not in self._alarmed:
                log.error("order.long_in_doubt", extra={"order_hash": order.order_hash})
                self._alarmed.add(order.order_hash)


async def rebuild_forever(parts: Parts) -> None:
    """Look every five seconds until cancelled; an outage is no news of this module's."""
    rebuild = Rebuild(parts, Unfinished(engine=parts.database), TemporalWorkflows(parts.temporal))
    while True:
        try:
            await rebuild.turn()
        except UnavailableError as error:
            log.info("rebuild.waits", extra={"why": str(error)})
        except HoldfastError:
            log.exception("rebuild.failed")
        await asyncio.sleep(PERIOD_SECONDS)

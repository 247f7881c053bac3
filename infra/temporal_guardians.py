"""Starting a guardian that somebody ended, and finding out who that was."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryReverseRequest
from temporalio.client import Client, WorkflowExecutionDescription, WorkflowExecutionStatus
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from domain.errors import UnavailableError
from domain.ids import guardian_workflow_id
from infra.temporal_workflows import RPC_TIMEOUT, TASK_TIMEOUT, TRADING_QUEUE

LAST_EVENTS: Final = 10  # an end and what asked for it are among the last few
RPC_SECONDS: Final = timedelta(seconds=5)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a guardian ended, and by whose hand; None where Temporal does not say."""

    words: str
    who: str | None


async def ensure_guardian(client: Client, account_id: str) -> Ended | None:
    """Start an account's guardian if it does not run; return how the one before ended.

    None says that it runs already, that another worker was quicker, or that it is the first.

    Raises:
        UnavailableError: Temporal does not answer.
    """
    try:
        before = await _described(client, account_id)
        if before is not None and before.status is WorkflowExecutionStatus.RUNNING:
            return None
        ended = None if before is None else await _end_of(client, before)
        is_ours = await _started(client, account_id)
    except (RPCError, RuntimeError) as error:  # the second: it was never reached so far
        raise UnavailableError(f"Temporal: {error}") from error
    return ended if is_ours else None


async def _described(client: Client, account_id: str) -> WorkflowExecutionDescription | None:
    """Return the newest run of a guardian; None where there never was one."""
    handle = client.get_workflow_handle(guardian_workflow_id(account_id))
    try:
        return await handle.describe(rpc_timeout=RPC_TIMEOUT)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise


async def _started(client: Client, account_id: str) -> bool:
    """Start a guardian; False where one was started meanwhile."""
    try:
        await client.start_workflow(
            "GuardAccount",
            {"account_id": account_id},
            id=guardian_workflow_id(account_id),
            task_queue=TRADING_QUEUE,
            task_timeout=TASK_TIMEOUT,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            static_summary=f"guardian of {account_id}",
            rpc_timeout=RPC_TIMEOUT,
        )
    except WorkflowAlreadyStartedError:
        return False
    return True


async def _end_of(client: Client, run: WorkflowExecutionDescription) -> Ended:
    """Return how a run ended, from the last events of its history."""
    asked = GetWorkflowExecutionHistoryReverseRequest(
        namespace=client.namespace,
        execution=WorkflowExecution(workflow_id=run.id, run_id=run.run_id),
        maximum_page_size=LAST_EVENTS,
    )
    answer = await client.workflow_service.get_workflow_execution_history_reverse(
        asked, timeout=RPC_SECONDS
    )
    status = run.status.name.lower() if run.status is not None else "over"
    found = (_told(event) for event in answer.history.events)
    words, who = next((one for one in found if one is not None), ("", None))
    return Ended(words=f"{status}: {words}" if words else status, who=who or None)


def _told(event: HistoryEvent) -> tuple[str, str] | None:
    """Return the words and the hand of an event that ends a run, or asks for its end."""
    if event.HasField("workflow_execution_terminated_event_attributes"):
        end = event.workflow_execution_terminated_event_attributes
        return end.reason, end.identity
    if event.HasField("workflow_execution_cancel_requested_event_attributes"):
        asked = event.workflow_execution_cancel_requested_event_attributes
        return asked.cause, asked.identity
    if event.HasField("workflow_execution_failed_event_attributes"):
        return event.workflow_execution_failed_event_attributes.failure.message, ""
    return None

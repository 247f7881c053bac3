"""From an understood signal to the workflow that carries it out, started at most once."""

import asyncio
import logging
from datetime import timedelta
from typing import Final

from temporalio.client import Client
from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from domain.errors import UnavailableError
from domain.ids import intent_id, order_workflow_id, signal_workflow_id, trace_id
from domain.signal import (
    Instruction,
    OrderRequest,
    SignalTask,
    SizeKind,
    is_entry,
    order_request,
)
from workflows.options import (
    ACCOUNT,
    ACTION,
    MARKET,
    SIGNAL_ID,
    TRACE_ID,
    TRADING,
    WORKFLOW_TASK_TIMEOUT,
)

log = logging.getLogger(__name__)

RPC_TIMEOUT: Final = timedelta(seconds=2)
ONCE: Final = WorkflowIDReusePolicy.REJECT_DUPLICATE
AGAIN: Final = WorkflowIDReusePolicy.ALLOW_DUPLICATE
MAX_SUMMARY: Final = 120  # characters, of the server's 400 bytes
MAX_KEYWORD: Final = 200


def workflow_of(task: SignalTask) -> tuple[str, str, OrderRequest | SignalTask]:
    """Return type, id and argument of the workflow that carries out `task`.

    An entry is one order and needs nobody to watch over it.
    """
    wish = task.instruction
    if is_entry(wish):
        workflow_id = order_workflow_id(intent_id(task.signal_id, 0))
        return "WorkOrder", workflow_id, order_request(task, workflow_id)
    return "ExecuteSignal", signal_workflow_id(task.signal_id), task


async def start(
    client: Client, task: SignalTask, within_seconds: float, *, is_again: bool = False
) -> str:
    """Start the workflow of `task`, once however often it is asked, and return its id.

    `is_again` starts it anew where an earlier run has ended.

    Raises:
        UnavailableError: not known to have started in time; asking again is safe.
    """
    name, workflow_id, argument = workflow_of(task)
    try:
        async with asyncio.timeout(within_seconds):
            await client.start_workflow(
                name,
                argument,
                id=workflow_id,
                task_queue=TRADING,
                id_reuse_policy=AGAIN if is_again else ONCE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                task_timeout=WORKFLOW_TASK_TIMEOUT,
                rpc_timeout=RPC_TIMEOUT,
                search_attributes=_attributes(task),
                static_summary=_summary(task.instruction),
            )
    except WorkflowAlreadyStartedError:
        log.info("workflow.found", extra={"workflow_id": workflow_id})
    except TimeoutError as error:
        raise UnavailableError("Temporal did not answer in time") from error
    except (RPCError, RuntimeError) as error:
        raise UnavailableError(f"Temporal: {error}") from error
    return workflow_id


def _attributes(task: SignalTask) -> TypedSearchAttributes:
    wish = task.instruction
    pairs = [
        SearchAttributePair(ACCOUNT, task.account_id),
        SearchAttributePair(ACTION, wish.action.value),
        SearchAttributePair(SIGNAL_ID, task.signal_id),
        SearchAttributePair(TRACE_ID, trace_id(task.signal_id)),
    ]
    if wish.market:
        pairs.append(SearchAttributePair(MARKET, wish.market[:MAX_KEYWORD]))
    return TypedSearchAttributes(pairs)


def _summary(wish: Instruction) -> str:
    """Return one line for operators: "BUY 10% Yes · market-slug"."""
    amount = ""
    if wish.sizing is not None:
        forms = {SizeKind.PERCENT: "{:f}%", SizeKind.NOTIONAL: "${:f}", SizeKind.SIZE: "{:f}"}
        amount = forms[wish.sizing.kind].format(wish.sizing.value)
    verb = wish.action.value.removesuffix("Market").removesuffix("Limit").upper()
    limit = f"at {wish.price:f}" if wish.price is not None else ""
    what = " ".join(filter(None, (verb, amount, wish.outcome, limit)))
    return " · ".join(filter(None, (what, wish.market)))[:MAX_SUMMARY]

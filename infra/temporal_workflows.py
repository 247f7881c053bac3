"""How activities speak to other workflows: by id, through the server."""

import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any

from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
    WorkflowUpdateStage,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import FailureError
from temporalio.service import RPCError, RPCStatusCode

from domain.errors import RejectedError, UnavailableError
from domain.halt import Kill, Reconcile, Resume, Shutdown
from domain.ids import (
    guardian_workflow_id,
    position_workflow_id,
    reconcile_workflow_id,
    shutdown_workflow_id,
)
from domain.order import Order, Side
from domain.protection import Crossing, Exit, Protect, Repair
from domain.signal import CancelRequest, OrderRequest, PositionTask, resumed

log = logging.getLogger(__name__)

TASK_TIMEOUT = timedelta(seconds=3)  # the same for every workflow: workflows/options.py says why
RPC_TIMEOUT = timedelta(seconds=5)
WISH_TIMEOUT = timedelta(seconds=10)  # a wish reads a book and writes a row before it answers
TRADING_QUEUE = "trading"


def words_of(error: WorkflowUpdateFailedError) -> str:
    """Return the words with which a workflow refused an update, whatever they are wrapped in."""
    cause: BaseException = error.cause
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return cause.message if isinstance(cause, FailureError) else str(cause)


class TemporalWorkflows:
    """The port `Workflows` on a Temporal client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def sell(self, task: PositionTask, request: OrderRequest) -> None:
        """Hand a sale to the position's workflow, started if it is not running."""
        await self._hold(task, "sell", request, f"sales of {request.market}")

    async def protect(self, task: PositionTask, wish: Protect) -> None:
        """Have a position's plan changed, and return once it is.

        Raises:
            RejectedError: refused, with the words that say why.
        """
        await self._wish(task, "protect", wish, wish.signal_id)

    async def exit(self, task: PositionTask, wish: Exit) -> None:
        """Have a position left, and return once that is written down.

        Raises:
            RejectedError: refused, with the words that say why.
        """
        await self._wish(task, "exit", wish, wish.signal_id)

    async def repair(self, task: PositionTask, hint: Repair) -> None:
        """Have a position's workflow look again, started if it is not running."""
        await self._hold(task, "repair", hint, f"protects {task.token_id}")

    async def price_crossed(self, task: PositionTask, crossing: Crossing) -> None:
        """Tell a position's workflow of a price beyond its stop, started if it is not running."""
        await self._hold(task, "price_crossed", crossing, f"protects {task.token_id}")

    async def _hold(self, task: PositionTask, signal: str, told: Any, summary: str) -> None:
        """Signal a position's workflow, started if it is not running."""
        await self._begin(
            "HoldPosition",
            task,
            position_workflow_id(task.account_id, task.token_id),
            start_signal=signal,
            start_signal_args=[told],
            static_summary=summary,
        )

    async def _wish(
        self, task: PositionTask, name: str, wish: Protect | Exit, wish_id: str | None
    ) -> None:
        """Send an update to a position's workflow, started if need be, and wait for its end."""
        start: WithStartWorkflowOperation[Any, None] = WithStartWorkflowOperation(
            "HoldPosition",
            task,
            id=position_workflow_id(task.account_id, task.token_id),
            task_queue=TRADING_QUEUE,
            task_timeout=TASK_TIMEOUT,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            static_summary=f"protects {task.token_id}",
        )
        try:
            # The SDK leaves a type parameter of this function open.
            await self._client.execute_update_with_start_workflow(  # pyright: ignore[reportUnknownMemberType]
                name, wish, start_workflow_operation=start, id=wish_id, rpc_timeout=WISH_TIMEOUT
            )
        except WorkflowUpdateFailedError as error:
            raise RejectedError(words_of(error)) from error
        except WorkflowUpdateRPCTimeoutOrCancelledError as error:
            raise UnavailableError(f"no worker took the {name} in time") from error
        except (RPCError, RuntimeError) as error:
            raise UnavailableError(f"Temporal: {error}") from error

    async def resume(self, order: Order, *, reply_to: str | None = None) -> None:
        """Have somebody work an order again: its position if it sells, else its own workflow.

        `reply_to` is the workflow that still waits for what comes of it.
        """
        request = replace(resumed(order), reply_to=reply_to)
        if order.side is Side.SELL:
            task = PositionTask(account_id=order.account_id, token_id=order.token_id)
            await self.sell(task, request)
            return
        await self._begin(
            "WorkOrder",
            request,
            order.workflow_id,
            static_summary=f"again: {order.side} {order.size:f} at {order.price:f}",
        )

    async def guard(self, account_id: str, wish: Kill | Resume | None = None) -> str:
        """Have an account watched over, and its guardian told of a wish; return its id."""
        told: dict[str, Any] = {}
        if wish is not None:
            name = "kill" if isinstance(wish, Kill) else "resume"
            told = {"start_signal": name, "start_signal_args": [wish]}
        workflow_id = guardian_workflow_id(account_id)
        await self._begin(
            "GuardAccount",
            {"account_id": account_id},
            workflow_id,
            static_summary=f"guardian of {account_id}",
            **told,
        )
        return workflow_id

    async def kill(self, account_id: str, wish: Kill) -> None:
        """Have an account's guardian, started if it is not running, stop it."""
        await self.guard(account_id, wish)

    async def reconcile(self, account_id: str, wish: Reconcile) -> None:
        """Have the account compared with the exchange, after what is at it now."""
        await self._begin(
            "ReconcileAccount",
            {"account_id": account_id, "wishes": []},
            reconcile_workflow_id(account_id),
            start_signal="ask",
            start_signal_args=[wish],
            static_summary=f"compares {account_id} with the exchange",
        )

    async def shut_down(self, account_id: str, wish: Shutdown) -> str:
        """Have an account shut down, after a shutdown at work; return the workflow's id."""
        workflow_id = shutdown_workflow_id(account_id)
        await self._begin(
            "ShutdownAccount",
            {"account_id": account_id, "wish": wish},
            workflow_id,
            start_signal="ask",
            static_summary=f"shuts {account_id} down",
        )
        return workflow_id

    async def _begin(self, name: str, task: Any, workflow_id: str, **told: Any) -> None:
        """Start a workflow of the trading queue, or find the one of that id that runs."""
        try:
            await self._client.start_workflow(
                name,
                task,
                id=workflow_id,
                task_queue=TRADING_QUEUE,
                task_timeout=TASK_TIMEOUT,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                rpc_timeout=RPC_TIMEOUT,
                **told,
            )
        except (RPCError, RuntimeError) as error:  # the second: it was never reached so far
            raise UnavailableError(f"Temporal: {error}") from error

    async def cancel_order(self, workflow_id: str, request: CancelRequest) -> bool:
        """Ask an order's workflow to cancel it; False where it no longer runs or refuses."""
        try:
            # The SDK leaves a type parameter of this function open.
            await self._client.get_workflow_handle(workflow_id).start_update(  # pyright: ignore[reportUnknownMemberType]
                "cancel",
                request,
                wait_for_stage=WorkflowUpdateStage.ACCEPTED,
                rpc_timeout=RPC_TIMEOUT,
            )
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return False
            raise UnavailableError(f"Temporal: {error.message}") from error
        except WorkflowUpdateRPCTimeoutOrCancelledError as error:
            raise UnavailableError("no worker took the cancel in time") from error
        except RuntimeError as error:  # the server was never reached so far
            raise UnavailableError(f"Temporal: {error}") from error
        return True

    async def order_changed(self, workflow_id: str, order_hash: str) -> None:
        """Tell a workflow that one of its orders changed; one no longer running is no error."""
        try:
            await self._client.get_workflow_handle(workflow_id).signal(
                "order_changed", order_hash, rpc_timeout=RPC_TIMEOUT
            )
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return
            # The row is committed: its workflow finds it at the next poll.
            log.warning("workflow.not_told", extra={"workflow_id": workflow_id}, exc_info=error)

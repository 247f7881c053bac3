"""The routes that act: each hands a wish to the workflow that owns the thing."""

import asyncio
import logging
from typing import Annotated, Final

from fastapi import APIRouter, Body
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from temporalio.client import WorkflowUpdateRPCTimeoutOrCancelledError

from api.keys import MayOperate
from api.parts import Shared
from api.problems import Problem, not_found
from domain.errors import UnavailableError
from domain.order import TERMINAL
from domain.signal import CancelRequest
from infra.temporal_workflows import TemporalWorkflows

log = logging.getLogger(__name__)

OVER: Final = frozenset(state.value for state in TERMINAL)
ACCEPT_SECONDS: Final = 4.0  # a worker that lives takes it in milliseconds


class CancelBody(BaseModel):
    """Why an order is to be cancelled; kept on the order."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    reason: Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""


def router() -> APIRouter:
    """Return the acting routes."""
    made = APIRouter(tags=["operate"])
    made.post("/orders/{order_hash}/cancel", status_code=202, summary="cancel an order")(_cancel)
    return made


async def _cancel(
    parts: Shared,
    order_hash: str,
    who: MayOperate,
    body: Annotated[CancelBody | None, Body()] = None,
) -> JSONResponse:
    """The order's own state says what came of it; a cancel may lose against a fill."""
    order = await parts.reads.one("orders", order_hash)
    if order is None:
        raise not_found("order")
    workflow_id = str(order["workflow_id"])
    if order["state"] in OVER:
        raise Problem(409, "order_over", f"the order is {order['state']}: nothing to cancel")
    reason = body.reason if body and body.reason else "cancelled by hand"
    request = CancelRequest(reason=f"{reason} ({who})", order_hash=str(order["order_hash"]))
    try:
        async with asyncio.timeout(ACCEPT_SECONDS):
            is_taken = await TemporalWorkflows(parts.temporal).cancel_order(workflow_id, request)
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
        raise UnavailableError(f"no worker has taken the cancel of {order_hash} yet") from error
    if not is_taken:
        raise Problem(409, "not_worked", f"no workflow works this order now ({workflow_id})")
    log.info("order.cancel_asked", extra={"order_hash": order_hash, "who": who})
    return JSONResponse({"workflow_id": workflow_id, "status": "accepted"}, 202)

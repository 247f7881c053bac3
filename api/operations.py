"""The routes that act: each hands a wish to the workflow that owns the thing."""

import asyncio
import logging
from datetime import timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Body
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from temporalio.client import WorkflowUpdateRPCTimeoutOrCancelledError

from api.keys import MayOperate
from api.parts import Shared
from api.problems import Problem, not_found
from domain.errors import UnavailableError
from domain.halt import Kill, Resume, why_not_resumed
from domain.order import TERMINAL
from domain.risk import AccountState
from domain.signal import CancelRequest
from infra.clock import utc_now
from infra.store.accounts import Accounts
from infra.temporal_workflows import TemporalWorkflows

log = logging.getLogger(__name__)

OVER: Final = frozenset(state.value for state in TERMINAL)
ACCEPT_SECONDS: Final = 4.0  # a worker that lives takes it in milliseconds


Words = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class KillBody(BaseModel):
    """Why an account is to stop, and whether what it holds is to be sold."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    reason: Words = "by hand"
    close_positions: bool = False


class ResumeBody(BaseModel):
    """Whether to trade again before the cooldown is over."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    force: bool = False


class CancelBody(BaseModel):
    """Why an order is to be cancelled; kept on the order."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    reason: Words = ""


def router() -> APIRouter:
    """Return the acting routes."""
    made = APIRouter(tags=["operate"])
    made.post("/orders/{order_hash}/cancel", status_code=202, summary="cancel an order")(_cancel)
    made.post("/accounts/{account_id}/kill", status_code=202, summary="stop an account")(_kill)
    made.post(
        "/accounts/{account_id}/resume", status_code=202, summary="let an account trade again"
    )(_resume)
    return made


async def _kill(
    parts: Shared, account_id: str, who: MayOperate, body: Annotated[KillBody | None, Body()] = None
) -> JSONResponse:
    """The gate is closed before anything else, whether Temporal answers or not."""
    asked = body or KillBody()
    wish = Kill(by=who, reason=asked.reason, close_positions=asked.close_positions)
    accounts = Accounts(parts.database)
    await _existing(parts, account_id)
    await accounts.set_state(
        account_id,
        AccountState.HALTING,
        reason=f"{wish.reason} ({wish.by})",
        who=who,
        only_from=frozenset(AccountState) - {AccountState.HALTED, AccountState.HALTING},
    )
    log.critical("account.kill_asked", extra={"account_id": account_id, "who": who})
    workflow_id = await TemporalWorkflows(parts.temporal).guard(account_id, wish)
    return JSONResponse({"workflow_id": workflow_id, "status": "accepted"}, 202)


async def _resume(
    parts: Shared,
    account_id: str,
    who: MayOperate,
    body: Annotated[ResumeBody | None, Body()] = None,
) -> JSONResponse:
    """The guardian resumes; what a rule forbids is refused here already, with the rule."""
    await _existing(parts, account_id)
    wish = Resume(by=who, force=body is not None and body.force)
    standing = await Accounts(parts.database).standing(account_id)
    limits = parts.settings.accounts[account_id].limits
    cooldown = timedelta(seconds=limits.cooldown_seconds)
    refusal = why_not_resumed(wish, standing, utc_now(), cooldown)
    if refusal is not None:
        raise Problem(409, "not_resumed", refusal)
    workflow_id = await TemporalWorkflows(parts.temporal).guard(account_id, wish)
    return JSONResponse({"workflow_id": workflow_id, "status": "accepted"}, 202)


async def _existing(parts: Shared, account_id: str) -> None:
    """Refuse an account that is not configured or has no row yet."""
    known = account_id in parts.settings.accounts
    if not known or await parts.reads.one("accounts", account_id) is None:
        raise not_found("account")


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

"""The routes that compare an account with the exchange, and that stop it in good order."""

import logging
from typing import Annotated

from fastapi import APIRouter, Body
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

from api.keys import MayOperate
from api.operations import Words
from api.parts import Parts, Shared
from api.problems import not_found
from domain.halt import SHUTDOWN, Reconcile, Shutdown
from domain.ids import reconcile_workflow_id
from domain.risk import AccountState
from infra.clock import utc_now
from infra.store.accounts import Accounts
from infra.temporal_workflows import TemporalWorkflows

log = logging.getLogger(__name__)


class ShutdownBody(BaseModel):
    """Why an account is shut down; kept in the audit trail."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    reason: Words = "by hand"


class ReconcileBody(BaseModel):
    """Whether differences are only to be told."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    report_only: bool = False


def router() -> APIRouter:
    """Return the routes of comparisons and shutdowns."""
    made = APIRouter(tags=["operate"])
    made.post(
        "/accounts/{account_id}/shutdown", status_code=202, summary="stop an account in good order"
    )(_shutdown)
    made.post(
        "/accounts/{account_id}/reconcile", status_code=202, summary="compare with the exchange"
    )(_reconcile)
    return made


async def _shutdown(
    parts: Shared,
    account_id: str,
    who: MayOperate,
    body: Annotated[ShutdownBody | None, Body()] = None,
) -> JSONResponse:
    """The gate is closed before anything else, whether Temporal answers or not."""
    await _existing(parts, account_id)
    wish = Shutdown(by=who, reason=(body or ShutdownBody()).reason)
    await Accounts(parts.database).set_state(
        account_id,
        AccountState.HALTING,
        reason=f"{SHUTDOWN}: {wish.reason} ({who})",
        who=who,
        only_from=(AccountState.RUNNING, AccountState.RECONCILING),
    )
    log.warning("account.shutdown_asked", extra={"account_id": account_id, "who": who})
    workflow_id = await TemporalWorkflows(parts.temporal).shut_down(account_id, wish)
    return JSONResponse({"workflow_id": workflow_id, "status": "accepted"}, 202)


async def _reconcile(
    parts: Shared,
    account_id: str,
    who: MayOperate,
    body: Annotated[ReconcileBody | None, Body()] = None,
) -> JSONResponse:
    """The report is the first of the account's reconciliations begun after `asked_at`."""
    await _existing(parts, account_id)
    is_report_only = body is not None and body.report_only
    wish = Reconcile(by=who, is_report_only=is_report_only)
    asked_at = utc_now()
    await TemporalWorkflows(parts.temporal).reconcile(account_id, wish)
    told = {"workflow_id": reconcile_workflow_id(account_id), "status": "accepted"}
    return JSONResponse(told | {"asked_at": asked_at.isoformat()}, 202)


async def _existing(parts: Parts, account_id: str) -> None:
    """Refuse an account that is not configured or has no row yet."""
    known = account_id in parts.settings.accounts
    if not known or await parts.reads.one("accounts", account_id) is None:
        raise not_found("account")

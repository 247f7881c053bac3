"""The routes that act: each wish is stored, then handed to the workflow that owns the thing."""

import asyncio
import logging
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body
from fastapi.responses import JSONResponse
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from api import values
from api.commands import Command, IdempotencyKey, delivered, key_of, stored
from api.documents import FieldError
from api.keys import MayOperate
from api.parts import Parts, Shared
from api.problems import Problem, not_found, refusal, summary
from domain.errors import HoldfastError, UnavailableError
from domain.halt import why_not_resumed
from domain.headroom import why_it_would_trip
from domain.order import TERMINAL
from domain.risk import AccountState
from domain.signal import Action, SignalStatus
from infra.clock import utc_now
from infra.settings import COMMANDS
from infra.store.accounts import Accounts
from infra.store.arrivals import Verdict
from infra.store.days import Days
from infra.temporal_workflows import TemporalWorkflows

log = logging.getLogger(__name__)

KILL_SECONDS: Final = 3.0  # what a kill gives the inbox, delivery included
OVER: Final = frozenset(state.value for state in TERMINAL)
REFUSED: Final = {
    SignalStatus.DENIED.value: "denied",
    SignalStatus.EXPIRED.value: "expired",
    SignalStatus.ERROR.value: "failed",
}


Words = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


def _read_price(given: Any) -> Decimal:
    """Return a price of the plan, read as an alert's is."""
    try:
        return values.price_or_none(
            Decimal(str(given)) if isinstance(given, float | int) else given
        )
    except values.WrongError as wrong:
        told = {"remedy": wrong.remedy}
        raise PydanticCustomError("wrong", wrong.problem, told) from wrong  # pyright: ignore[reportArgumentType]


PlanPrice = Annotated[Decimal, BeforeValidator(_read_price)]


class ProtectBody(BaseModel):
    """The new prices of a position's plan; what is left out stays, 0 takes it away."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    stop_loss: PlanPrice | None = None
    take_profit: PlanPrice | None = None
    reason: Words = ""


class ExitBody(BaseModel):
    """Why a position is to be sold; kept on what sells it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    reason: Words = ""


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
    made.post("/positions/{position_id}/protect", status_code=202, summary="move stop or target")(
        _protect
    )
    made.post("/positions/{position_id}/exit", status_code=202, summary="sell a position")(_exit)
    made.post("/accounts/{account_id}/kill", status_code=202, summary="stop an account")(_kill)
    made.post(
        "/accounts/{account_id}/resume", status_code=202, summary="let an account trade again"
    )(_resume)
    return made


async def _protect(
    parts: Shared, position_id: str, who: MayOperate, body: ProtectBody, key: IdempotencyKey = None
) -> JSONResponse:
    """The position's own workflow moves stop and target; what makes no sense is refused."""
    _check_plan(body)
    position = await _row(parts, "positions", position_id)
    command = Command(
        action=Action.MAJ,
        account_id=str(position["account_id"]),
        by=who,
        key=key_of(key, "protect", position_id),
        token_id=str(position["token_id"]),
        stop_loss=body.stop_loss,
        take_profit=body.take_profit,
        reason=body.reason or None,
    )
    return await _carried_out(parts, command)


async def _exit(
    parts: Shared,
    position_id: str,
    who: MayOperate,
    body: Annotated[ExitBody | None, Body()] = None,
    key: IdempotencyKey = None,
) -> JSONResponse:
    """The position's own workflow sells all of it; once stored, the wish is not lost."""
    position = await _row(parts, "positions", position_id)
    command = Command(
        action=Action.CLOSE,
        account_id=str(position["account_id"]),
        by=who,
        key=key_of(key, "exit", position_id),
        token_id=str(position["token_id"]),
        reason=(body.reason if body else "") or None,
    )
    return await _carried_out(parts, command)


async def _cancel(
    parts: Shared,
    order_hash: str,
    who: MayOperate,
    body: Annotated[CancelBody | None, Body()] = None,
    key: IdempotencyKey = None,
) -> JSONResponse:
    """The order's own state says what came of it; a cancel may lose against a fill."""
    order = await _row(parts, "orders", order_hash)
    command = Command(
        action=Action.CANCEL,
        account_id=str(order["account_id"]),
        by=who,
        key=key_of(key, "cancel", order_hash),
        order_hash=str(order["order_hash"]),
        reason=(body.reason if body else "") or None,
    )
    if (again := await _repeated(parts, command, key)) is not None:
        return again
    if order["state"] in OVER:
        raise Problem(409, "order_over", f"the order is {order['state']}: nothing to cancel")
    return await _carried_out(parts, command)


async def _kill(
    parts: Shared,
    account_id: str,
    who: MayOperate,
    body: Annotated[KillBody | None, Body()] = None,
    key: IdempotencyKey = None,
) -> JSONResponse:
    """The gate is closed before anything else, whether Temporal answers or not."""
    asked = body or KillBody()
    command = Command(
        action=Action.KILL,
        account_id=account_id,
        by=who,
        key=key_of(key, "kill", account_id),
        reason=asked.reason,
        close_positions=asked.close_positions,
    )
    await _existing(parts, account_id)
    with suppress(
        TimeoutError, UnavailableError
    ):  # unknown to the inbox in time: a kill too many is the lesser evil
        async with asyncio.timeout(KILL_SECONDS):
            if (again := await _repeated(parts, command, key)) is not None:
                return again
    await Accounts(parts.database).set_state(
        account_id,
        AccountState.HALTING,
        reason=f"{asked.reason} ({who})",
        who=who,
        only_from=frozenset(AccountState) - {AccountState.HALTED, AccountState.HALTING},
    )
    log.critical("account.kill_asked", extra={"account_id": account_id, "who": who})
    return await _killed(parts, command)


async def _resume(
    parts: Shared,
    account_id: str,
    who: MayOperate,
    body: Annotated[ResumeBody | None, Body()] = None,
    key: IdempotencyKey = None,
) -> JSONResponse:
    """The guardian resumes; what a rule forbids is refused here already, with the rule."""
    command = Command(
        action=Action.RESUME,
        account_id=account_id,
        by=who,
        key=key_of(key, "resume", account_id),
        force=body is not None and body.force,
    )
    await _existing(parts, account_id)
    if (again := await _repeated(parts, command, key)) is not None:
        return again
    standing = await Accounts(parts.database).standing(account_id)
    limits = parts.settings.accounts[account_id].limits
    cooldown = timedelta(seconds=limits.cooldown_seconds)
    reading = await Days(parts.database).reading(account_id, utc_now())
    still = why_it_would_trip(reading, limits.as_limits())
    why_not = why_not_resumed(command.resume, standing, utc_now(), cooldown, still)
    if why_not is not None:
        raise Problem(409, "not_resumed", why_not)
    return await _carried_out(parts, command)


async def _existing(parts: Parts, account_id: str) -> None:
    """Refuse an account that is not configured or has no row yet."""
    known = account_id in parts.settings.accounts
    if not known or await parts.reads.one("accounts", account_id) is None:
        raise not_found("account")


async def _row(parts: Parts, kind: str, identity: str) -> dict[str, Any]:
    """Return what is to be acted on."""
    found = await parts.reads.one(kind, identity)
    if found is None:
        raise not_found(kind.removesuffix("s"))
    return found


def _check_plan(body: ProtectBody) -> None:
    """Refuse a plan that no position could have."""
    low, high = body.stop_loss, body.take_profit
    wrong: list[FieldError] = []
    if low is None and high is None:
        remedy = "stop_loss, take_profit or both; 0 takes one away"
        wrong.append(FieldError(field="stop_loss", problem="missing", remedy=remedy))
    if low and high and low >= high:
        remedy = "a stop-loss under the take-profit"
        wrong.append(FieldError(field="stop_loss", problem="not below take_profit", remedy=remedy))
    if wrong:
        raise Problem(422, "invalid", summary(wrong), fields=wrong)


async def _repeated(parts: Parts, command: Command, key: str | None) -> JSONResponse | None:
    """Return the answer to a key that was used before; None where it is new, or none was given."""
    if key is None:
        return None
    first = await parts.signals.by_external_id(COMMANDS, key)
    if first is None:
        return None
    if first.raw_payload != command.body:
        raise _conflict()
    return await _told(parts, command, first.id, is_new=False)


async def _carried_out(parts: Parts, command: Command) -> JSONResponse:
    """Store a command, deliver it, and say how it stands."""
    received_at = utc_now()
    taken = await stored(parts, command, received_at)
    if taken.verdict is Verdict.CONFLICT:
        raise _conflict()
    if taken.is_new:
        log.info("command.asked", extra={"signal_id": taken.signal_id, "who": command.by})
        await delivered(parts, command, taken.signal_id, received_at)
    return await _told(parts, command, taken.signal_id, is_new=taken.is_new)


async def _killed(parts: Parts, command: Command) -> JSONResponse:
    """Carry a kill out; an inbox that does not take it in time holds nothing up."""
    try:
        async with asyncio.timeout(KILL_SECONDS):
            return await _carried_out(parts, command)
    except (TimeoutError, HoldfastError):
        log.exception("command.not_stored", extra={"action": command.action})
    guard = TemporalWorkflows(parts.temporal).guard
    workflow_id = await guard(command.account_id, command.wish)
    return JSONResponse({"workflow_id": workflow_id, "status": "accepted"}, 202)


async def _told(parts: Parts, command: Command, signal_id: str, *, is_new: bool) -> JSONResponse:
    """Return how a command stands; one that was refused is refused with its words."""
    row = await parts.signals.by_id(signal_id)
    status = row.status.value if row is not None else SignalStatus.RECEIVED.value
    reason = row.reason if row is not None else None
    workflow_id = command.workflow_id(signal_id)
    if status in REFUSED:
        told = {"workflow_id": workflow_id, "signal_id": signal_id}
        return refusal(409, REFUSED[status], reason or status, (), **told)
    if command.is_switch and status == SignalStatus.PROCESSED:
        status, reason = "accepted", None
    told = {"workflow_id": workflow_id, "signal_id": signal_id, "status": status}
    more = {"reason": reason} if reason else {}
    return JSONResponse(told | more, 202 if is_new else 200)


def _conflict() -> Problem:
    return Problem(409, "conflict", "this Idempotency-Key was used before for another wish")

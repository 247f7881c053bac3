"""The door for alerts: stored first, answered in under 100 ms, never twice."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from api.documents import FieldError, shown_name
from api.inbox import Arrival, Outcome, begun, consider
from api.parts import Parts, Shared
from api.problems import busy, refusal, summary
from api.schemas import secret_in
from api.senders import UNPROVEN, is_proven, tokens_of
from domain.errors import UnavailableError
from domain.signal import SignalStatus
from infra.clock import monotonic_seconds, utc_now
from infra.store.signals import MOST_BODY_BYTES, Receipt, Verdict

log = logging.getLogger(__name__)

ANSWER_SECONDS: Final = 0.08  # from the first byte; the promise is 100 ms
LEAST_SECONDS: Final = 0.02  # a start is waited for so long at least, however long storing took
BODY_SECONDS: Final = 5.0  # a sender that takes longer for 64 KiB holds the door open

TOO_LONG: Final = FieldError(
    field="body", problem="longer than 64 KiB", remedy="send the order alone"
)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request, read.

    Attributes:
        body: one byte more than is taken, where it is too long.
        tokens: what it offers as proof outside its body.
        began_at: seconds of the clock that never steps back.
    """

    source: str
    body: bytes
    tokens: list[str]
    received_at: datetime
    began_at: float

    @property
    def is_too_long(self) -> bool:
        """Tell whether more came than is taken."""
        return len(self.body) > MOST_BODY_BYTES

    def proves_itself(self, parts: Parts) -> bool:
        """Tell whether its sender is who it says."""
        within = None if self.is_too_long else secret_in(self.body)
        offered = [*self.tokens, within] if within is not None else self.tokens
        return is_proven(parts.settings, self.source, offered)


def router() -> APIRouter:
    """Return the routes for alerts."""
    made = APIRouter(tags=["signals"])
    for path in ("/webhooks/{source}", "/webhooks/{source}/{token}"):
        made.post(path, status_code=202, summary="take a signal")(_webhook)
    return made


async def _webhook(
    parts: Shared, request: Request, source: str, token: str | None = None
) -> JSONResponse:
    """A JSON object such as {"action": "BuyMarket", "market": …, "percent": 10, "secret": …}."""
    began_at, now = monotonic_seconds(), utc_now()
    try:
        call = Call(
            source=source,
            body=await _body(request),
            tokens=tokens_of(request, token),
            received_at=now,
            began_at=began_at,
        )
        answer = await _answer(parts, call)
    except (TimeoutError, ClientDisconnect):
        answer = refusal(408, "body_missing", f"the body did not come within {BODY_SECONDS:g} s")
    except UnavailableError as error:
        log.warning("webhook.not_stored", extra={"source": shown_name(source), "why": str(error)})
        answer = busy("not stored; send it again")
    parts.answered[answer.status_code] += 1
    return answer


async def _body(request: Request) -> bytes:
    """Return the body, or its beginning where it is too long: the rest is never read."""
    body = bytearray()
    async with asyncio.timeout(BODY_SECONDS):
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_BODY_BYTES:
                break
    return bytes(body[: MOST_BODY_BYTES + 1])


async def _answer(parts: Parts, call: Call) -> JSONResponse:
    """Store, judge and start; raises UnavailableError where nothing can be promised."""
    async with parts.turns.one():
        if parts.strangers.are_spent(call.began_at) and not call.proves_itself(parts):
            return refusal(429, "too_many", "too many requests that prove nothing")
        receipt = await _received(parts, call)
        if call.is_too_long:
            answer = refusal(413, "too_large", summary([TOO_LONG]), [TOO_LONG])
            answer.headers["Connection"] = "close"
            return answer
        if not call.proves_itself(parts):
            return await _turned_away(parts, receipt, call)
        arrival = Arrival(
            signal_id=receipt.signal_id,
            source=call.source,
            body=call.body,
            received_at=call.received_at,
        )
        outcome = await consider(parts, arrival, call.received_at)
    left = ANSWER_SECONDS - (monotonic_seconds() - call.began_at)
    return _told(receipt, await begun(parts, outcome, max(left, LEAST_SECONDS)))


async def _received(parts: Parts, call: Call) -> Receipt:
    """Store the bytes as they came, whatever they are, and commit."""
    await parts.failpoint("api.before_insert")
    why = summary([TOO_LONG]) if call.is_too_long else None
    source = shown_name(call.source)
    receipt = await parts.signals.receive(source, call.body, call.received_at, refusal=why)
    await parts.failpoint("api.after_insert")
    return receipt


async def _turned_away(parts: Parts, receipt: Receipt, call: Call) -> JSONResponse:
    """Answer a stranger, who learns nothing; a row that others sent as well is not touched."""
    parts.strangers.count(call.began_at)
    if not receipt.is_repeat:
        status = SignalStatus.ERROR
        await parts.signals.refused(receipt.signal_id, status, UNPROVEN, is_unproven=True)
    return refusal(401, "unauthorized", "not accepted")


def _told(receipt: Receipt, outcome: Outcome) -> JSONResponse:
    """Return what the sender learns of its signal."""
    if outcome.errors:
        words = summary(outcome.errors)
        return refusal(422, "invalid", words, outcome.errors, signal_id=receipt.signal_id)
    if outcome.verdict is Verdict.CONFLICT:
        words = "this id was used before with another body"
        return refusal(409, "conflict", words, signal_id=receipt.signal_id)
    is_first = not receipt.is_repeat and outcome.signal_id == receipt.signal_id
    told = {"signal_id": outcome.signal_id, "status": outcome.status.value}
    if outcome.reason is not None:
        told["reason"] = outcome.reason
    return JSONResponse(told, 202 if is_first else 200)

"""The door for alerts: stored first, answered in under 100 ms, never twice."""

import asyncio
import logging
import re
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from api.documents import Document, FieldError, read_document, shown_name
from api.inbox import Judged, judged, launch
from api.parts import Parts, of_request
from api.problems import busy, refusal, summary
from api.schemas import Misunderstood, dialect, secret_of, understand_document
from api.senders import UNPROVEN, Offer, Proof, address_of, proof_of, sender_at, signed_id
from api.strangers import Room
from domain.errors import UnavailableError
from domain.signal import SignalStatus
from infra.clock import monotonic_seconds, utc_now
from infra.points import Point
from infra.settings import WebhookSettings
from infra.store.arrivals import MOST_BODY_BYTES, Arrival, Taken, Verdict
from infra.telemetry import work_of
from infra.tracing import Origin, note, point

log = logging.getLogger(__name__)

BODY_SECONDS: Final = 5.0  # a sender that takes longer for 64 KiB holds the door open
RETRY_STRANGERS: Final = "60"
PLAIN: Final = frozenset({"", "identity"})

TOO_LONG: Final = FieldError(
    field="body", problem="longer than 64 KiB", remedy="send the order alone"
)
COMPRESSED: Final = FieldError(
    field="Content-Encoding", problem="compressed", remedy="send the body as it is"
)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request, read once.

    Attributes:
        body: one byte more than is taken, where it is too long.
        document: what the body says, or the one reason why it cannot be read.
        points: what is being passed until the answer is given.
    """

    source: str
    sender: str
    headers: Headers
    in_path: str | None
    body: bytes
    document: Document
    received_at: datetime
    points: ExitStack

    @property
    def offer(self) -> Offer:
        """What it offers as proof."""
        return Offer(
            headers=self.headers,
            in_path=self.in_path,
            body=self.body,
            secret=secret_of(self.document),
            received_at=self.received_at,
        )


def router() -> APIRouter:
    """Return the routes for alerts."""
    made = APIRouter(tags=["signals"])
    for path in ("/webhooks/{source}", "/webhooks/{source}/{token}"):
        made.post(path, status_code=202, summary="take a signal")(_webhook)
    return made


class ShortWay:
    """Takes alerts past the framework, which costs more than storing them does.

    The route they would take says the same, for whoever reads /docs.
    """

    def __init__(self, app: ASGIApp, path: str) -> None:
        self._app = app
        self._path = re.compile(rf"{path}/(?P<source>[^/]+)(?:/(?P<token>[^/]+))?")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer an alert, or let the request pass."""
        is_post = scope["type"] == "http" and scope["method"] == "POST"
        named = self._path.fullmatch(scope["path"]) if is_post else None
        if named is None:
            await self._app(scope, receive, send)
            return
        scope["path_params"] = named.groupdict()
        answer = await _webhook(Request(scope, receive))
        await answer(scope, receive, send)


async def _webhook(request: Request) -> JSONResponse:
    """A JSON object such as {"action": "BuyMarket", "market": …, "percent": 10, "secret": …}."""
    parts = of_request(request)
    parts.pace.arrived()
    with ExitStack() as points:
        try:
            answer = await _answer(parts, await _read(parts, request, points))
        except (TimeoutError, ClientDisconnect):
            words = f"the body did not come within {BODY_SECONDS:g} s"
            answer = refusal(408, "body_missing", words)
        except UnavailableError as error:
            source = shown_name(request.path_params["source"])
            log.warning("webhook.not_stored", extra={"source": source, "why": str(error)})
            answer = busy("not stored; send it again")
        note(http_status=answer.status_code)
    parts.answered[answer.status_code] += 1
    return answer


async def _read(parts: Parts, request: Request, points: ExitStack) -> Call:
    """Read one request, and its body no further than it is taken."""
    received_at, body = utc_now(), bytearray()
    async with asyncio.timeout(BODY_SECONDS):
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_BODY_BYTES:
                break
    peer = request.client.host if request.client else ""
    raw, headers = bytes(body[: MOST_BODY_BYTES + 1]), request.headers
    return Call(
        source=request.path_params["source"],
        sender=address_of(peer, headers, parts.settings.api.trusted_proxies),
        headers=headers,
        in_path=request.path_params.get("token"),
        body=raw,
        document=_document(raw, headers),
        received_at=received_at,
        points=points,
    )


def _document(raw: bytes, headers: Headers) -> Document:
    """Return what a body says; nothing is ever unpacked, so nothing can swell."""
    if len(raw) > MOST_BODY_BYTES:
        return TOO_LONG
    if headers.get("Content-Encoding", "").strip().lower() not in PLAIN:
        return COMPRESSED
    return read_document(raw)


async def _answer(parts: Parts, call: Call) -> JSONResponse:
    """Judge and store; raises UnavailableError where nothing can be promised."""
    offer = call.offer
    proof = proof_of(parts.settings, call.source, offer)
    known = parts.settings.webhooks.get(call.source)
    if proof is None or known is None:
        return await _turned_away(parts, call)
    if call.document is TOO_LONG:
        await _stored(parts, call, _refused(call, summary([TOO_LONG]), is_unproven=False))
        return _too_long()
    found = _judged(call, known)
    if proof is Proof.HMAC and found.external_id is None:
        found = replace(found, external_id=signed_id(known, offer))
    taken = await _stored(parts, call, found.arrival(call.body))
    if taken.is_new and taken.status is SignalStatus.RECEIVED:
        task = found.task(taken.signal_id)
        parts.starts.put(task.signal_id, partial(launch, parts, task))
    return _told(taken, found)


def _judged(call: Call, known: WebhookSettings) -> Judged:
    if isinstance(call.document, FieldError):
        read = Misunderstood(errors=(call.document,))
    else:
        read = understand_document(call.document, dialect(call.source, known.aliases))
    return judged(shown_name(call.source), known, read, call.received_at)


async def _stored(parts: Parts, call: Call, arrival: Arrival) -> Taken:
    """Store the bytes as they came, whatever they are, and what they mean, in one commit."""
    await parts.failpoint("api.before_insert")
    began_at = utc_now()
    taken = await parts.inbox.take(arrival)
    cause = call.headers.get("traceparent")
    origin = Origin(began_at=call.received_at, is_root=taken.is_new, cause=cause)
    received = point(Point.SIGNAL_RECEIVED, work_of(taken), origin, source=arrival.source)
    call.points.enter_context(received)
    with point(Point.SIGNAL_STORED, origin=Origin(began_at=began_at)):
        pass  # over by now: only the stored row tells which trace it belongs to
    with point(Point.SIGNAL_UNDERSTOOD, origin=Origin(began_at=began_at)) as here:
        here.note(status=taken.status.value, reason=taken.reason)
    await parts.failpoint("api.after_insert")
    return taken


async def _turned_away(parts: Parts, call: Call) -> JSONResponse:
    """Answer a stranger, who learns nothing, and keep what it sent while there is room."""
    now = monotonic_seconds()
    room = parts.strangers.room_for(sender_at(call.sender), now)
    parts.strangers.report(now)
    if room is Room.ONE_TOO_MANY:
        answer = refusal(429, "too_many", "too many requests that prove nothing")
        answer.headers["Retry-After"] = RETRY_STRANGERS
        return answer
    if room is Room.STORED:
        await _stored(parts, call, _refused(call, UNPROVEN, is_unproven=True))
    if call.document is TOO_LONG:
        return _too_long()
    return refusal(401, "unauthorized", "not accepted")


def _refused(call: Call, reason: str, *, is_unproven: bool) -> Arrival:
    return Arrival(
        source=shown_name(call.source),
        body=call.body,
        received_at=call.received_at,
        status=SignalStatus.ERROR,
        reason=reason,
        is_unproven=is_unproven,
    )


def _too_long() -> JSONResponse:
    answer = refusal(413, "too_large", summary([TOO_LONG]), [TOO_LONG])
    answer.headers["Connection"] = "close"
    return answer


def _told(taken: Taken, found: Judged) -> JSONResponse:
    """Return what the sender learns of its signal."""
    if found.errors:
        words = summary(found.errors)
        return refusal(422, "invalid", words, found.errors, signal_id=taken.own_id)
    if taken.verdict is Verdict.CONFLICT:
        words = "this id was used before with another body"
        return refusal(409, "conflict", words, signal_id=taken.own_id)
    told = {"signal_id": taken.signal_id, "status": taken.status.value}
    if taken.reason is not None:
        told["reason"] = taken.reason
    return JSONResponse(told, 202 if taken.is_new else 200)

"""The one way in for HTTP: routing, one transaction per request, the request ledger, faults."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, cast
from urllib.parse import parse_qs

from starlette.types import Receive, Scope, Send

from infra.paper.admin import Admin
from infra.paper.authentication import authenticate
from infra.paper.exchange import Exchange
from infra.paper.faults import Action, Fault, Faults, altered, invented, pretended
from infra.paper.late import LateRequests
from infra.paper.ledger import RequestRow
from infra.paper.limits import AddressLimits, SignerLimits, is_counted
from infra.paper.news import News
from infra.paper.oddities import refusal, told
from infra.paper.placement import identify
from infra.paper.protocol import CUT
from infra.paper.routes import Routes
from infra.paper.services import CLOB, services
from infra.paper.stream_faults import StreamFaults
from infra.paper.wire import MICRO, Answer, RefusedError, Request, refused

ADMIN: Final = "_paper"
_MOST_BODY: Final = 4_000_000
log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Reply:
    """An answer as it goes out: `cut` after so many body bytes, 0 for no answer at all."""

    answer: Answer
    cut: int | None = None


class Door:
    """The ASGI application of everything but the streams.

    Args:
        exchange: whom it lets people speak to.
        stream_faults: the streams' rules, which the admin changes.
        publish: told the news of every commit.
    """

    def __init__(
        self, exchange: Exchange, stream_faults: StreamFaults, publish: Callable[[News], None]
    ) -> None:
        self._exchange = exchange
        self._publish = publish
        self._faults = Faults(exchange.ledger)
        self._late = LateRequests(exchange.ledger, exchange.now)
        self._signers = SignerLimits(exchange.now, lambda: exchange.switches)
        self._addresses = AddressLimits(exchange.now, lambda: exchange.switches)
        self._admin = Admin(exchange, self._faults, stream_faults)
        self._services = {**services(exchange), ADMIN: Routes()}
        self._admin.register(self._services[ADMIN])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = _request(scope, await _body(receive))
        fault = None
        if request.service != ADMIN:
            try:
                wait_us = self._addresses.wait_us(request, _address(scope))
            except RefusedError as error:
                self._note_alone(request, error.status, "too many requests of this address")
                await _send(send, refused(error))
                return
            await asyncio.sleep(wait_us / MICRO)
            fault = self._faults.striking(request)
        if fault is None:
            await _send(send, self.process(request))
            return
        reply = await self._faulty(request, fault)
        if reply.cut is None:
            await _send(send, reply.answer)
            return
        if reply.cut:
            await _send(send, reply.answer, cut=reply.cut)
        _cut_connection(scope)
        while (await receive())["type"] != "http.disconnect":
            pass

    def process(self, request: Request, note: str = "") -> Answer:
        """Return a request's answer after committing what it did and telling the news.

        `note` goes to the request ledger when the client will not see this answer.
        """
        if request.method == "GET":
            return self._answer(request, note)
        is_whole = False
        try:
            with self._exchange.ledger.transaction():
                answer = self._answer(request, note)
            is_whole = True
        finally:
            if not is_whole:
                log.critical("request.broken", extra={"path": request.path})
                self._exchange.rebuild()
            self._publish(self._exchange.engine.take_news())
        return answer

    def _answer(self, request: Request, note: str) -> Answer:
        outcome = "ok"
        try:
            answer = self._route(request)
            if request.service == CLOB:
                answer = told(self._exchange, request, answer)
        except RefusedError as error:
            other = refusal(self._exchange.switches, request, error)
            answer, outcome = other or refused(error), error.text
        if request.service == CLOB:
            self._write_down(request, answer.status, note or request.outcome or outcome)
        return answer

    def _route(self, request: Request) -> Answer:
        routes = self._services.get(request.service)
        if routes is None:
            raise RefusedError(404, "not found")
        if request.service == ADMIN:
            nested = self._admin.answer_nested(request)
            if nested is not None:
                return nested
        is_limited = self._exchange.switches.signer_limits != "off"
        if request.service == CLOB and is_limited and is_counted(request):
            return self._limited(request, routes)
        return routes.answer(request)

    def _limited(self, request: Request, routes: Routes) -> Answer:
        """Answer what takes tokens of its signer; only who proves to be one is charged."""
        signer = authenticate(request, self._exchange.engine.accounts).address
        headers = self._signers.admit(request, signer)
        try:
            answer = routes.answer(request)
        except RefusedError as error:
            error.headers = {**headers, **error.headers}
            raise
        headers |= self._signers.settle(request, signer, answer)
        answer.headers = {**headers, **answer.headers}
        return answer

    def advance(self) -> None:
        """Process the requests whose lost answers made them late."""
        for request in self._late.take():
            self.process(request)

    def _write_down(self, request: Request, status: int, outcome: str) -> None:
        for part in request.parts or [request]:
            if part.method == "POST" and not part.order_hash and part.path == "/order":
                self._identify(part)
            self._exchange.ledger.note(
                RequestRow(
                    at=self._exchange.now(),
                    method=part.method,
                    path=part.path,
                    wallet=part.wallet,
                    order_hash=part.order_hash,
                    token_id=part.token_id or part.one("token_id"),
                    status=status,
                    outcome=part.outcome or outcome,
                )
            )

    def _identify(self, request: Request) -> None:
        """Name the order of a request that was not processed, as far as it can be read."""
        try:
            posted = request.json()
        except RefusedError:
            return
        found = identify(self._exchange.engine, posted)
        request.order_hash, request.wallet, request.token_id = found

    async def _faulty(self, request: Request, fault: Fault) -> _Reply:
        """Do what a fault says; its parts add up, and the delay always comes before the answer."""
        action = fault.action
        if action.process_after_us is not None:
            answer = self._process_later(request, action)
            is_lost = not (action.status or action.body is not None or action.false_success)
        elif action.false_success:
            answer, is_lost = pretended(self._exchange, request), action.drop
            status = 0 if is_lost else answer.status
            self._note_alone(request, status, "false success: not processed")
        elif fault.is_before and not (action.only_delays or (action.duplicate and not action.drop)):
            answer, is_lost = invented(action), action.drop
            words = "dropped before processing" if is_lost else "fault: not processed"
            self._note_alone(request, 0 if is_lost else answer.status, words)
        else:
            if fault.is_before:
                await asyncio.sleep(action.delay_us / MICRO)
            answer, is_lost = self._processed(request, action), action.drop
        if not (fault.is_before and action.only_delays):
            await asyncio.sleep(action.delay_us / MICRO)
        if is_lost:
            return _Reply(answer, cut=0)
        return _Reply(altered(action, answer), cut=action.truncate_bytes)

    def _note_alone(self, request: Request, status: int, outcome: str) -> None:
        if request.service != CLOB:
            return
        with self._exchange.ledger.transaction():
            self._write_down(request, status, outcome)

    def _processed(self, request: Request, action: Action) -> Answer:
        answer = self.process(replace(request))
        return self.process(replace(request)) if action.duplicate else answer

    def _process_later(self, request: Request, action: Action) -> Answer:
        """Put a request off; what its client sees meanwhile is nothing, a fault or a lie."""
        answer = invented(action)
        if action.false_success:
            answer = pretended(self._exchange, request)
        self._note_alone(request, action.status, "answer lost, processed later")
        late = [replace(request), replace(request)] if action.duplicate else [replace(request)]
        self._late.add(late, action.process_after_us or 0)
        return answer


def _address(scope: Scope) -> str:
    client = cast("tuple[str, int] | None", scope.get("client"))
    return client[0] if client else ""


def _request(scope: Scope, body: bytes) -> Request:
    path = cast("str", scope["path"])
    _, service, *rest = path.split("/", 2)
    query = cast("bytes", scope["query_string"]).decode()
    headers = cast("list[tuple[bytes, bytes]]", scope["headers"])
    return Request(
        method=cast("str", scope["method"]),
        service=service,
        path="/" + (rest[0] if rest else ""),
        query=parse_qs(query, keep_blank_values=True) if query else {},
        headers={name.decode("latin-1"): value.decode("latin-1") for name, value in headers},
        body=body,
    )


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(cast("bytes", message.get("body", b"")))
        if not message.get("more_body") or sum(map(len, parts)) > _MOST_BODY:
            return b"".join(parts)


async def _send(send: Send, answer: Answer, *, cut: int | None = None) -> None:
    headers = {
        "content-type": "application/json",
        "content-length": str(len(answer.body)),
        **answer.headers,
    }
    listed = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": listed})
    body = answer.body if cut is None else answer.body[:cut]
    await send({"type": "http.response.body", "body": body, "more_body": cut is not None})


def _cut_connection(scope: Scope) -> None:
    extensions = cast("dict[str, dict[str, Callable[[], None]]]", scope.get("extensions", {}))
    abort = extensions.get(CUT)
    if abort is not None:
        abort["now"]()

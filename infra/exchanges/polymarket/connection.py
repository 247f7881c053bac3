"""Requests to the exchange apart from sending orders: pooled, signed, bounded, read tolerantly.

The SDK's own reads refuse a whole page over one missing field; losing a trade that way is worse
than reading it ourselves.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from json import dumps
from secrets import SystemRandom
from typing import Final, TypeVar

import httpx
from polymarket._internal.hmac import build_hmac_signature

from domain.breaker import CallGroup
from domain.errors import InvalidInputError, UnavailableError
from infra.clock import utc_now
from infra.exchanges.gate import Gate
from infra.exchanges.meter import Call, Passage, answered, asked
from infra.exchanges.polymarket import wire
from infra.exchanges.polymarket.failures import (
    NOT_FOUND,
    RequestRefusedError,
    failure,
    is_failing,
)
from infra.exchanges.polymarket.wire import Json
from infra.points import Point
from infra.tracing import point

log = logging.getLogger(__name__)

TIMEOUT: Final = httpx.Timeout(connect=2.0, read=4.0, write=2.0, pool=1.0)
WHOLE_SECONDS: Final = 10.0  # of one answer, however slowly its bytes drip in, retries and all
TRY_SECONDS: Final = 5.0  # of one try
MOST_RETRIES: Final = 2  # of a read; what changes anything is never made again here
FIRST_PAUSE_SECONDS: Final = 0.1  # doubled for each further retry, and blurred
VARYING: Final = re.compile(r"/(0x[0-9a-fA-F]+|\d+)(?=/|$)")
LIMITS: Final = httpx.Limits(
    max_connections=100, max_keepalive_connections=20, keepalive_expiry=30.0
)
GARBLED_AFTER: Final = 5  # answers in a row that are not understood: no longer one odd row
MOST_PAGES: Final = 500  # a cursor that leads further leads in a circle
END_CURSOR: Final = "LTE="

Query = Mapping[str, str | list[str]]
T = TypeVar("T")
Raw = TypeVar("Raw")


@dataclass(frozen=True, kw_only=True)
class ApiKeys:
    """What proves to the exchange that a request speaks for an account.

    Attributes:
        address: of the key that signs; not the wallet's, unless the wallet is that plain key.
    """

    address: str
    key: str
    secret: str = field(repr=False)
    passphrase: str = field(repr=False)

    def headers(self, method: str, path: str, body: str | None) -> dict[str, str]:
        """Return the headers of one request; the path goes without prefix and query."""
        timestamp = int(utc_now().timestamp())
        signature = build_hmac_signature(
            secret=self.secret, timestamp=timestamp, method=method, path=path, body=body
        )
        return {
            "POLY_ADDRESS": self.address,
            "POLY_API_KEY": self.key,
            "POLY_PASSPHRASE": self.passphrase,
            "POLY_SIGNATURE": signature,
            "POLY_TIMESTAMP": str(timestamp),
        }


def pooled_client(base_url: str) -> httpx.AsyncClient:
    """Return a client that keeps its connections; the environment's proxies are not used."""
    return httpx.AsyncClient(
        base_url=base_url,
        timeout=TIMEOUT,
        limits=LIMITS,
        http2=True,
        trust_env=False,
        event_hooks={"request": [asked], "response": [answered]},
    )


@dataclass(frozen=True, kw_only=True)
class Paging:
    """How a list is paged: where its rows are, and which parameter asks for the next page."""

    rows: str
    parameter: str


CLOB_PAGES: Final = Paging(rows="data", parameter="next_cursor")


class Connection:
    """One of the exchange's addresses.

    Args:
        http: a pooled client with the base URL.
        gate: what every request passes.
        scope: the account's id, or what else is asked for.
        keys: sign every request; None for what is public.
        is_urgent: an exit hangs on what is read here.

    Attributes:
        unreadable: answers that could not be understood so far.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        gate: Gate,
        scope: str,
        keys: ApiKeys | None = None,
        *,
        is_urgent: bool = False,
    ) -> None:
        self._http = http
        self._gate = gate
        self._scope = scope
        self._keys = keys
        self._is_urgent = is_urgent
        self._random = SystemRandom()
        self.unreadable = 0
        self._in_a_row = 0

    async def read(self, path: str, parsed: Callable[[object], T], query: Query | None = None) -> T:
        """Return what `parsed` makes of an answer.

        Raises:
            BusyError, AccessError: the exchange did not process the request.
            UnavailableError: no answer, or one that is not understood.
        """
        return self.understood(path, parsed, await self.request("GET", path, query=query))

    async def find(self, path: str, parsed: Callable[[object], T]) -> T | None:
        """Return what `parsed` makes of an answer; None where there is no such thing (404)."""
        try:
            return await self.read(path, parsed)
        except RequestRefusedError as refused:
            if refused.status == NOT_FOUND:
                return None
            raise

    async def pages(
        self, path: str, query: Query | None = None, paging: Paging = CLOB_PAGES
    ) -> AsyncIterator[list[Json]]:
        """Yield the rows of page after page; a list that cannot be read to its end raises."""
        cursors: set[str] = set()
        asked: Query = query or {}
        for _ in range(MOST_PAGES):
            rows, cursor = await self.read(path, lambda raw: _page(raw, paging), asked)
            yield rows
            if cursor is None:
                return
            if cursor in cursors:
                raise UnavailableError(f"{path}: the cursor {cursor} leads back to itself")
            cursors.add(cursor)
            asked = {**asked, paging.parameter: cursor}
        raise UnavailableError(f"{path}: more than {MOST_PAGES} pages")

    async def rows(self, path: str, query: Query | None = None) -> list[Json]:
        """Return the rows of all pages of a list of the CLOB."""
        return [row async for page in self.pages(path, query) for row in page]

    async def request(
        self, method: str, path: str, *, query: Query | None = None, json: object = None
    ) -> object:
        """Return the JSON of one answer; the errors are those of `read`.

        A read that got no proper answer is made again a little later, while there is time.
        """
        body = None if json is None else dumps(json, separators=(",", ":"))
        until = asyncio.get_running_loop().time() + WHOLE_SECONDS
        call = self._call(method, path)
        while True:
            try:
                return await self._try(call, path, query, body, until)
            except UnavailableError as error:
                pause = self._random.uniform(0.5, 1) * FIRST_PAUSE_SECONDS * 2**call.retry
                is_late = asyncio.get_running_loop().time() + pause >= until
                may_help = method == "GET" and not isinstance(error, RequestRefusedError)
                if not may_help or is_late or call.retry >= MOST_RETRIES:
                    raise
                log.info("exchange.retry", extra={"endpoint": call.endpoint, "why": str(error)})
            await asyncio.sleep(pause)
            call = replace(call, retry=call.retry + 1)

    def _call(self, method: str, path: str) -> Call:
        """Return what the gate is told of a request."""
        is_cancel = method == "DELETE"
        return Call(
            scope=self._scope,
            group=CallGroup.CANCELS if is_cancel else CallGroup.READS,
            endpoint=f"{method} {VARYING.sub('/{id}', path)}",
            is_signed=self._keys is not None,
            is_urgent=is_cancel or self._is_urgent,
        )

    async def _try(
        self, call: Call, path: str, query: Query | None, body: str | None, until: float
    ) -> object:
        """Make a request once."""
        async with self._gate.passing(call, until) as passage:
            response = await self._answer(passage, path, query, body, until)
            words = "" if response.is_success else _words(response)
            status = response.status_code
            passage.conclude(failing=is_failing(status, words), words=f"HTTP {status}: {words}")
            if not response.is_success:
                raise failure(response, f"{call.endpoint}: {words}")
            try:
                return wire.decoded(response.content or b"null")
            except InvalidInputError as error:
                passage.conclude(failing=True, words=f"not JSON: {error}")
                self.note_unreadable(path, error)
                raise UnavailableError(f"{path}: {error}") from error

    async def _answer(
        self, passage: Passage, path: str, query: Query | None, body: str | None, until: float
    ) -> httpx.Response:
        """Return whatever the exchange answers."""
        method = passage.call.endpoint.partition(" ")[0]
        headers = {} if body is None else {"Content-Type": "application/json"}
        if self._keys is not None:
            headers |= self._keys.headers(method, path, body)
        latest = min(until, asyncio.get_running_loop().time() + TRY_SECONDS)
        # The trace ends here: the exchange gets no header that it did not ask for.
        with point(Point.EXCHANGE_ASKED, method=method, path=path) as here:
            try:
                async with asyncio.timeout_at(latest):
                    response = await self._http.request(
                        method, path, params=query, content=body, headers=headers
                    )
            except (httpx.HTTPError, TimeoutError) as error:
                words = f"{method} {path}: {type(error).__name__} {error}"
                passage.conclude(failing=True, words=words)
                raise UnavailableError(words) from error
            here.note(http_status=response.status_code)
        return response

    def understood(self, what: str, parsed: Callable[[Raw], T], raw: Raw) -> T:
        """Return what `parsed` makes of `raw`; what it cannot read is logged, counted, raised."""
        try:
            found = parsed(raw)
        except InvalidInputError as error:
            self.note_unreadable(what, error)
            raise UnavailableError(f"{what}: {error}") from error
        if self._in_a_row >= GARBLED_AFTER:
            log.warning("exchange.understood_again", extra={"scope": self._scope})
        self._in_a_row = 0
        return found

    def note_unreadable(self, what: str, error: InvalidInputError) -> None:
        """Log and count something that could not be understood; cry out once when all is."""
        self.unreadable += 1
        self._in_a_row += 1
        told = {"what": what, "why": str(error)}
        log.warning("exchange.unreadable", extra=told)
        if self._in_a_row == GARBLED_AFTER:
            log.critical("exchange.garbled", extra=told | {"scope": self._scope})


def _page(raw: object, paging: Paging) -> tuple[list[Json], str | None]:
    """Return one page's rows and the next page's cursor, None on the last."""
    page = wire.record(raw, "page")
    rows = wire.records(page.get(paging.rows), paging.rows)
    cursor = wire.optional_text(page, "next_cursor")
    return rows, None if cursor == END_CURSOR else cursor


def _words(response: httpx.Response) -> str:
    """Return the exchange's own words for a refusal, as far as there are any."""
    try:
        answer = wire.record(wire.decoded(response.content), "error")
    except InvalidInputError:
        return response.reason_phrase
    return wire.optional_text(answer, "error", "errorMsg", "message") or response.reason_phrase

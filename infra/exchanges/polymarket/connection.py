"""Requests to the exchange apart from sending orders: pooled, signed, bounded, read tolerantly.

The SDK's own reads refuse a whole page over one missing field; losing a trade that way is worse
than reading it ourselves.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from json import dumps
from typing import Final, TypeVar

import httpx
from polymarket._internal.hmac import build_hmac_signature

from domain.errors import InvalidInputError, UnavailableError
from infra.clock import utc_now
from infra.exchanges.polymarket import wire
from infra.exchanges.polymarket.failures import NOT_FOUND, RequestRefusedError, failure
from infra.exchanges.polymarket.wire import Json

log = logging.getLogger(__name__)

TIMEOUT: Final = httpx.Timeout(connect=2.0, read=4.0, write=2.0, pool=1.0)
WHOLE_SECONDS: Final = 10.0  # of one answer, however slowly its bytes drip in
LIMITS: Final = httpx.Limits(
    max_connections=100, max_keepalive_connections=20, keepalive_expiry=30.0
)
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
        base_url=base_url, timeout=TIMEOUT, limits=LIMITS, http2=True, trust_env=False
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
        keys: sign every request; None for what is public.

    Attributes:
        unreadable: answers that could not be understood so far.
    """

    def __init__(self, http: httpx.AsyncClient, keys: ApiKeys | None = None) -> None:
        self._http = http
        self._keys = keys
        self.unreadable = 0

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
        """Return the JSON of one answer; the errors are those of `read`."""
        body = None if json is None else dumps(json, separators=(",", ":"))
        headers = {} if body is None else {"Content-Type": "application/json"}
        if self._keys is not None:
            headers |= self._keys.headers(method, path, body)
        try:
            async with asyncio.timeout(WHOLE_SECONDS):
                response = await self._http.request(
                    method, path, params=query, content=body, headers=headers
                )
        except (httpx.HTTPError, TimeoutError) as error:
            raise UnavailableError(f"{method} {path}: {type(error).__name__} {error}") from error
        if not response.is_success:
            raise failure(response, f"{method} {path}: {_words(response)}")
        return self.understood(path, wire.decoded, response.content or b"null")

    def understood(self, what: str, parsed: Callable[[Raw], T], raw: Raw) -> T:
        """Return what `parsed` makes of `raw`; what it cannot read is logged, counted, raised."""
        try:
            return parsed(raw)
        except InvalidInputError as error:
            self.note_unreadable(what, error)
            raise UnavailableError(f"{what}: {error}") from error

    def note_unreadable(self, what: str, error: InvalidInputError) -> None:
        """Log and count something that could not be understood."""
        self.unreadable += 1
        log.warning("exchange.unreadable", extra={"what": what, "why": str(error)})


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

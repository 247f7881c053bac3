"""What every call to an exchange cost: an event for each, and counts that add up."""

import logging
import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import httpx

from domain.breaker import CallGroup
from domain.latency import CallCounts, bucket_of
from domain.ports import Clock

log = logging.getLogger(__name__)

NO_ANSWER: Final = 0
MOST_KEYS: Final = 5_000  # counts kept while nobody can write them

CallKey = tuple[datetime, str, int]


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call that is to be made.

    Attributes:
        scope: the account's id, or what else it is made for.
        endpoint: method and path, without what differs from call to call.
        is_signed: it carries the account's credentials.
        is_urgent: an exit or a cancel hangs on it.
        retry: how often it was made already.
    """

    scope: str
    group: CallGroup
    endpoint: str
    is_signed: bool
    is_urgent: bool
    retry: int = 0


@dataclass
class Passage:
    """A call under way, and then what it was.

    Attributes:
        failing: whether it speaks against the exchange; None says nothing, as when we gave it up.
        words: what went wrong.
    """

    call: Call
    begun: float = field(default_factory=time.perf_counter)
    response: httpx.Response | None = None
    failing: bool | None = None
    words: str = ""
    connect_ms: float | None = None
    first_byte_ms: float | None = None
    bytes_out: int = 0
    _connecting: float | None = None

    @property
    def status(self) -> int:
        """The answer's status, 0 where none came."""
        return NO_ANSWER if self.response is None else self.response.status_code

    @property
    def headers(self) -> Mapping[str, str]:
        """The answer's headers, in any case."""
        return httpx.Headers() if self.response is None else self.response.headers

    @property
    def bytes_in(self) -> int:
        """Bytes of the answer's body, as they came over the wire."""
        return 0 if self.response is None else self.response.num_bytes_downloaded

    def conclude(self, *, failing: bool, words: str = "") -> None:
        """Say what came of it."""
        self.failing, self.words = failing, words

    async def trace(self, event: str, _: Mapping[str, object]) -> None:
        """Take note of when a connection of its own began and stood."""
        if not event.startswith("connection."):
            return
        now = time.perf_counter()
        if event == "connection.connect_tcp.started":
            self._connecting = now
        elif event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self.connect_ms = 1000 * (now - (self._connecting or now))


CURRENT: Final[ContextVar[Passage | None]] = ContextVar("CURRENT", default=None)


async def asked(request: httpx.Request) -> None:
    """Note that a request of the call under way goes out; a hook of the HTTP client."""
    passage = CURRENT.get()
    if passage is not None:
        passage.bytes_out = int(request.headers.get("Content-Length", "0"))
        request.extensions = {**request.extensions, "trace": passage.trace}


async def answered(response: httpx.Response) -> None:
    """Note that the answer begins to come in; a hook of the HTTP client."""
    passage = CURRENT.get()
    if passage is not None:
        passage.response = response
        passage.first_byte_ms = 1000 * (time.perf_counter() - passage.begun)


class Meter:
    """Counts the calls of this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counts: dict[CallKey, CallCounts] = {}

    def record(self, passage: Passage) -> None:
        """Log and count a call that is over."""
        total_ms = 1000 * (time.perf_counter() - passage.begun)
        if log.isEnabledFor(logging.DEBUG):
            log.debug("exchange.called", extra=_told(passage, total_ms))
        minute = self._clock().replace(second=0, microsecond=0)
        key = (minute, passage.call.endpoint, passage.status)
        counts = self._counts.setdefault(key, CallCounts())
        counts.calls += 1
        counts.retries += passage.call.retry > 0
        counts.bytes_out += passage.bytes_out
        counts.bytes_in += passage.bytes_in
        counts.totals_ms[bucket_of(total_ms)] += 1
        if passage.connect_ms is not None:
            counts.connects_ms[bucket_of(passage.connect_ms)] += 1
        if passage.first_byte_ms is not None:
            counts.first_bytes_ms[bucket_of(passage.first_byte_ms)] += 1

    def counted(self) -> dict[CallKey, CallCounts]:
        """Return all counts that are not written for good."""
        return dict(self._counts)

    def written(self, keys: Mapping[CallKey, CallCounts]) -> None:
        """Forget what is written and will not grow any more; and the oldest of too much."""
        minute = self._clock().replace(second=0, microsecond=0)
        for key in keys:
            if key[0] < minute:
                self._counts.pop(key, None)
        for key in sorted(self._counts)[: max(0, len(self._counts) - MOST_KEYS)]:
            del self._counts[key]


def _told(passage: Passage, total_ms: float) -> dict[str, object]:
    """Return the fields of a call's event."""
    call = passage.call
    return {
        "scope": call.scope,
        "endpoint": call.endpoint,
        "status": passage.status or None,
        "connect_ms": _rounded(passage.connect_ms),
        "first_byte_ms": _rounded(passage.first_byte_ms),
        "total_ms": _rounded(total_ms),
        "bytes_out": passage.bytes_out,
        "bytes_in": passage.bytes_in,
        "retry": call.retry,
        "retry_after": passage.headers.get("Retry-After"),
        "words": passage.words or None,
    }


def _rounded(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 2)

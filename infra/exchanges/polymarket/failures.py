"""What a failed request means for the engine: the one map from the exchange's answers."""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Final

import httpx
from polymarket.errors import (
    RateLimitError,
    RequestRejectedError,
    TransportError,
)
from polymarket.models.clob import RejectedOrder

from domain.answer import Answer, Submission
from domain.breaker import PROBE_EVERY
from domain.errors import AccessError, BusyError, HoldfastError, UnavailableError
from infra.clock import utc_now

# The connection never came about, so not one byte of the request left this machine.
NOTHING_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)

BUSY: Final = frozenset({425, 429, 503})  # the exchange did not process the request
NO_ACCESS: Final = frozenset({401, 403})
IN_DOUBT: Final = frozenset({408, 499})  # given up half way, on the exchange's side
REFUSED: Final = range(400, 500)
TOO_MANY: Final = 429
SERVER_FAULT: Final = 500
NOT_FOUND: Final = 404
RETRY_AFTER_SECONDS: Final = 1.0  # where the exchange does not say
MOST_SECONDS: Final = 3_600.0  # whatever it says
BARRED: Final = "no access"
ACCESS_SECONDS: Final = PROBE_EVERY.total_seconds()  # an operator has to act first

# Words that do not tell whether the order exists, whatever the status they come with.
DOUBTFUL: Final = (
    "could not insert order",
    "could not run the execution",
    "order match delayed",
    "error delaying the order",
    "context canceled",
    "internal server error",
)
WORDLESS: Final = "Unknown order failure"  # the SDK's words for an answer it has no name for
NOT_NOW: Final = ("post-only mode", "cancel-only", "trading is currently disabled")


class RequestRefusedError(UnavailableError):
    """A request answered by a refusal that is no fault of ours to mend.

    Args:
        status: the HTTP status.
        body: the whole answer, which may tell more than its words.
    """

    def __init__(self, status: int, words: str, body: bytes = b"") -> None:
        super().__init__(words)
        self.status = status
        self.body = body


def submission(error: Exception) -> Submission:
    """Return what a send that raised `error` came to.

    Only a refusal that is definite is called REJECTED, and only what cannot have been processed
    is called BUSY; everything else is UNKNOWN, and the look-up by hash decides.
    """
    if isinstance(error, RateLimitError):
        return _busy(str(error), error.retry_after)
    if isinstance(error, RequestRejectedError):
        return _refusal(error)
    if isinstance(error, TransportError) and isinstance(error.__cause__, NOTHING_SENT):
        return _busy(f"no connection: {type(error.__cause__).__name__}", None)
    cause = error.__cause__ or error
    return Submission(answer=Answer.UNKNOWN, words=f"{type(cause).__name__}: {error}")


def held_back(error: BusyError | AccessError) -> Submission:
    """Return what a send that we never made came to: certainly nothing."""
    if isinstance(error, AccessError):
        words = f"{BARRED}: {error}"
        return Submission(
            answer=Answer.REJECTED, words=words, retry_after_seconds=error.retry_after_seconds
        )
    return _busy(str(error), error.retry_after_seconds)


def kept_trying(barred: Submission) -> Submission:
    """Return an exit that the exchange bars as one to be tried again: nobody else will sell."""
    if barred.answer is not Answer.REJECTED or not barred.words.startswith(BARRED):
        return barred
    return _busy(barred.words, barred.retry_after_seconds or ACCESS_SECONDS)


def refused_in_answer(refused: RejectedOrder) -> Submission:
    """Return what an answer of status 200 that refuses the order came to."""
    if refused.code == "unmatched" or refused.message == WORDLESS:
        return Submission(answer=Answer.UNKNOWN, words=f"{refused.code}: {refused.message}")
    if refused.code == "post_only_mode":
        return _busy(refused.message, None)
    return _by_words(refused.message)


def _refusal(error: RequestRejectedError) -> Submission:
    """Return what an error status came to."""
    words, status = str(error), error.status
    if status in BUSY:
        return _busy(words, error.retry_after)
    if status in NO_ACCESS:
        return Submission(answer=Answer.REJECTED, words=f"{BARRED} ({status}): {words}")
    if status in IN_DOUBT or status not in REFUSED:
        return Submission(answer=Answer.UNKNOWN, words=f"HTTP {status}: {words}")
    return _by_words(words)


def _by_words(words: str) -> Submission:
    """Return what a refusal means by its own words."""
    said = words.casefold()
    if "duplicated" in said:
        return Submission(answer=Answer.DUPLICATE, words=words)
    if any(one in said for one in DOUBTFUL):
        return Submission(answer=Answer.UNKNOWN, words=words)
    if any(one in said for one in NOT_NOW):
        return _busy(words, None)
    return Submission(answer=Answer.REJECTED, words=words)


def _busy(words: str, retry_after: float | None) -> Submission:
    """Return that nothing was processed, and when to try again."""
    wait = RETRY_AFTER_SECONDS if retry_after is None else retry_after
    return Submission(answer=Answer.BUSY, words=words, retry_after_seconds=wait)


def failure(response: httpx.Response, words: str) -> HoldfastError:
    """Return the error that an unsuccessful answer to a read or a cancel stands for."""
    status, said = response.status_code, f"HTTP {response.status_code}: {words}"
    if status in NO_ACCESS:
        return AccessError(said)
    if status in BUSY:
        return BusyError(said, retry_after_of(response.headers))
    if status in REFUSED and status not in IN_DOUBT:
        return RequestRefusedError(status, said, response.content)
    return UnavailableError(said)


def retry_after_of(headers: Mapping[str, str]) -> float:
    """Return the seconds the exchange asks us to wait, told as such or as a date."""
    told = headers.get("Retry-After", "").strip()
    try:
        seconds = float(told)
    except ValueError:
        seconds = _until(told)
    if not isfinite(seconds) or seconds < 0:
        return RETRY_AFTER_SECONDS
    return min(seconds, MOST_SECONDS)


def _until(date: str) -> float:
    """Return the seconds until a date as HTTP writes it; the default where it is none."""
    try:
        return max((parsedate_to_datetime(date) - utc_now()).total_seconds(), 0.0)
    except (ValueError, TypeError):  # no date, or one without a time zone
        return RETRY_AFTER_SECONDS


def is_failing(status: int, words: str) -> bool:
    """Tell whether an answer, or none (0), speaks against the exchange or the way to it.

    A refusal does not, and neither does a server that says which mode it is in: it is at work.
    """
    if 0 < status < SERVER_FAULT:
        return status in IN_DOUBT
    said = words.casefold()
    return not any(mode in said for mode in NOT_NOW)

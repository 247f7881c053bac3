"""What the command knows of the running stack: its addresses, and a caller of its API."""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self, cast
from urllib.parse import quote, urlencode, urlsplit

from domain.errors import HoldfastError

FAILED: Final = 1
WRONG_USE: Final = 2
DENIED: Final = 3
NOT_KNOWN_YET: Final = 4

PREFIX: Final = "/api/v1"
ANSWER_SECONDS: Final = 10.0
PAGE: Final = 500  # rows asked for at once where all are wanted
UNAUTHORIZED: Final = 401
FORBIDDEN: Final = 403
NOT_FOUND: Final = 404
CONFLICT: Final = 409
UNPROCESSABLE: Final = 422

Row = dict[str, Any]


class CommandError(HoldfastError):
    """The command cannot do what was asked; the message says why and what to do.

    Args:
        exit_code: FAILED, WRONG_USE, DENIED or NOT_KNOWN_YET.
    """

    def __init__(self, words: str, exit_code: int = FAILED) -> None:
        super().__init__(words)
        self.exit_code = exit_code


class UnreachableError(CommandError):
    """Nothing answers at the address; asking again may help.

    Attributes:
        fact: the same without advice.
    """

    def __init__(self, fact: str) -> None:
        super().__init__(f"{fact}: `holdfast up` starts the stack, `holdfast doctor` looks")
        self.fact = fact


@dataclass(frozen=True)
class Answer:
    """What came back: the HTTP status and the decoded body, text where it is not JSON."""

    status: int
    body: Any

    @property
    def is_good(self) -> bool:
        """Tell whether the request was accepted."""
        return self.status < http.client.BAD_REQUEST

    @property
    def words(self) -> str:
        """The answer's own words for people, on one line."""
        return _words(self.body) or http.client.responses.get(self.status, "")


@dataclass
class Caller:
    """One connection to one HTTP server, opened when first used and again after it broke."""

    url: str
    key: str | None = None
    timeout_seconds: float = ANSWER_SECONDS
    _connection: http.client.HTTPConnection | None = field(default=None, init=False)

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        key: str | None = None,
    ) -> Answer:
        """Return what the server says, whatever it says.

        `key` makes asking again the same request: its Idempotency-Key.

        Raises:
            UnreachableError: no answer came.
        """
        target = f"{urlsplit(self.url).path.rstrip('/')}{path}"
        if query:
            target += f"?{urlencode(query)}"
        payload = None if body is None else json.dumps(body).encode()
        try:
            return self._exchange(method, target, payload, key)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            words = f"nothing answers at {self.url} ({_reason(error)})"
            raise UnreachableError(words) from None

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def __enter__(self) -> Self:
        """Nothing is opened before it is needed."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go of the connection."""
        self.close()

    def _exchange(self, method: str, target: str, payload: bytes | None, key: str | None) -> Answer:
        """Send once; a read is sent again where the kept connection was closed meanwhile."""
        if method != "GET":
            self.close()
        is_kept = self._connection is not None
        headers = {"Accept": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        if payload is not None:
            headers["Content-Type"] = "application/json"
        if key is not None:
            headers["Idempotency-Key"] = key
        try:
            return self._once(method, target, payload, headers)
        except (OSError, http.client.HTTPException):
            self.close()
            if not is_kept:
                raise
            return self._once(method, target, payload, headers)

    def _once(
        self, method: str, target: str, payload: bytes | None, headers: Mapping[str, str]
    ) -> Answer:
        connection = self._connection or self._opened()
        self._connection = connection
        connection.request(method, target, payload, dict(headers))
        reply = connection.getresponse()
        return Answer(reply.status, _decoded(reply.read()))

    def _opened(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        secure = parts.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        return kind(parts.hostname or "", parts.port, timeout=self.timeout_seconds)


class Api(Caller):
    """The API of the running stack, asked with the operator's key."""

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """Return the document at `path` under the API's prefix.

        Raises:
            CommandError: the API refuses; the message says why.
        """
        answer = self.ask("GET", PREFIX + path, query=query)
        if not answer.is_good:
            raise refusal(answer, path)
        return answer.body

    def find(self, kind: str, identity: str) -> Row | None:
        """Return one row by its whole id, None where there is none."""
        path = f"/{kind}/{quote(identity, safe='')}"
        answer = self.ask("GET", PREFIX + path)
        if answer.status in {NOT_FOUND, UNPROCESSABLE}:
            return None
        if not answer.is_good:
            raise refusal(answer, path)
        return answer.body

    def rows(
        self, kind: str, limit: int | None = None, query: Mapping[str, str] | None = None
    ) -> list[Row]:
        """Return up to `limit` rows, newest first; None means all."""
        rows: list[Row] = []
        cursor: str | None = None
        while limit is None or len(rows) < limit:
            size = PAGE if limit is None else min(PAGE, limit - len(rows))
            asked = {"limit": str(size), **(query or {}), **({"cursor": cursor} if cursor else {})}
            page = self.get(f"/{kind}", asked)
            rows += page["items"]
            cursor = page.get("next_cursor")
            if not cursor or not page["items"]:
                break
        return rows


def refusal(answer: Answer, path: str) -> CommandError:
    """Return the error that says what the API refused and what to do."""
    match answer.status:
        case 401 | 403:
            words = f"the API refuses the key of endpoints.json ({answer.words})"
            return CommandError(f"{words}: is it of this stack? `holdfast doctor` looks")
        case 404 | 422:
            return CommandError(answer.words, WRONG_USE)
        case _:
            return CommandError(f"the API answers {answer.status} to {path}: {answer.words}")


def _decoded(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode(errors="replace")[:500]


def _words(body: Any) -> str:
    """Return the message of a refusal: {"error": {"message"}} by contract, else what there is."""
    if not isinstance(body, dict):
        return str(body or "").strip()
    error: Any = cast("Row", body).get("error", "")
    return str(cast("Row", error).get("message", "")) if isinstance(error, dict) else str(error)


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__

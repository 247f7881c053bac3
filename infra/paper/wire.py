"""What crosses the wire: a request as it came, an answer as it goes, and refusals between."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Final, cast

import orjson

MICRO: Final = 1_000_000  # units of a share, of a dollar and of a price of one dollar

Json = dict[str, object]


class RefusedError(Exception):
    """The exchange says no, in production's words.

    Args:
        status: HTTP status of the answer.
        text: value of the key `error`.
        extra: further keys of the answer's body.
        headers: further headers of the answer.
    """

    def __init__(
        self,
        status: int,
        text: str,
        *,
        extra: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.extra = dict(extra or {})
        self.headers = dict(headers or {})


@dataclass(slots=True)
class Answer:
    """An HTTP answer: status, body bytes, and headers beside content-type and length."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(slots=True)
class Request:
    """One HTTP request, with the base prefix taken off its path.

    `order_hash`, `wallet`, `token_id` and `outcome` are filled in while it is answered, for the
    ledger; a batch of orders has one of `parts` for each leg.
    """

    method: str
    service: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes
    tail: str = ""
    wallet: str = ""
    order_hash: str = ""
    token_id: str = ""
    outcome: str = ""
    parts: "list[Request]" = field(default_factory=list["Request"])

    def one(self, name: str, default: str = "") -> str:
        """Return the first value of a query parameter."""
        values = self.query.get(name)
        return values[0] if values else default

    def many(self, name: str) -> list[str]:
        """Return all values of a query parameter, repeated keys and comma lists alike."""
        return [part for value in self.query.get(name, []) for part in value.split(",") if part]

    def json(self, refusal: str = "Invalid order payload") -> object:
        """Return the body parsed. Raises RefusedError with `refusal` when it is not JSON."""
        try:
            return cast("object", orjson.loads(self.body))
        except orjson.JSONDecodeError as error:
            raise RefusedError(400, refusal) from error

    def json_object(self, refusal: str = "Invalid order payload") -> Json:
        """Return the body as a JSON object. Raises RefusedError when it is none."""
        return json_object(self.json(refusal), refusal)


Responder = Callable[[Request], Answer]


def json_object(value: object, refusal: str) -> Json:
    """Return `value` as a JSON object. Raises RefusedError when it is none."""
    if not isinstance(value, dict):
        raise RefusedError(400, refusal)
    return cast("Json", value)


def json_list(value: object, refusal: str) -> list[object]:
    """Return `value` as a JSON array. Raises RefusedError when it is none."""
    if not isinstance(value, list):
        raise RefusedError(400, refusal)
    return cast("list[object]", value)


def encode(value: object) -> bytes:
    """Return compact JSON."""
    return orjson.dumps(value)


def answered(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    """Return a JSON answer."""
    return Answer(status, encode(value), headers or {})


def refused(error: RefusedError) -> Answer:
    """Return the answer of a refusal: `{"error": text, …}`."""
    return answered({"error": error.text, **error.extra}, error.status, error.headers)


def text_of(micro: int) -> str:
    """Return micro-units as a decimal string without trailing zeros: 9500000 is "9.5"."""
    sign = "-" if micro < 0 else ""
    whole, rest = divmod(abs(micro), MICRO)
    return f"{sign}{whole}.{rest:06d}".rstrip("0") if rest else f"{sign}{whole}"


def number_of(micro: int) -> int | float:
    """Return micro-units as a JSON number, for the few fields production sends that way."""
    return micro // MICRO if micro % MICRO == 0 else float(text_of(micro))


def micro_of(value: object, refusal: str = "Invalid number") -> int:
    """Return a decimal text or number as micro-units, cut below the sixth decimal.

    Raises RefusedError when it is not a finite decimal.
    """
    try:
        number = Decimal(str(value))
    except InvalidOperation as error:
        raise RefusedError(400, refusal) from error
    if not number.is_finite():
        raise RefusedError(400, refusal)
    return int(number * MICRO)

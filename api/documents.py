"""From the bytes of a request to named values, whatever the bytes are."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final, cast
from urllib.parse import parse_qsl

MAX_NESTING: Final = 32
MAX_NAME: Final = 64  # characters of a field's name that an answer repeats

Json = None | bool | Decimal | str | list["Json"] | dict[str, "Json"]

_TOKENS: Final = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.DOTALL)
_FORM: Final = re.compile(r"[A-Za-z_][\w.-]*=")


@dataclass(frozen=True, kw_only=True)
class FieldError:
    """One reason why a signal is refused.

    Attributes:
        field: the name as the sender wrote it; "body" for the whole.
        remedy: what to send instead.
    """

    field: str
    problem: str
    remedy: str


class _RefusedError(ValueError):
    """Reading stops here: one reason is enough."""

    def __init__(self, problem: str, remedy: str, field: str = "body") -> None:
        super().__init__(problem)
        self.error = FieldError(field=field, problem=problem, remedy=remedy)


Document = Mapping[str, Json] | FieldError


def read_document(raw: bytes) -> Document:
    """Return the fields that `raw` carries, or the one reason why it cannot be read.

    JSON is taken alone or inside other text, as alert templates write it; so are form fields and
    the bare word PING.
    """
    try:
        return _fields(raw.decode("utf-8-sig").strip())
    except UnicodeDecodeError:
        return FieldError(field="body", problem="not UTF-8", remedy="send UTF-8 text")
    except _RefusedError as refusal:
        return refusal.error


def shown_name(name: str) -> str:
    """Return a sender's name for a field as an answer may repeat it: short, on one line."""
    return "".join(c if c.isprintable() else "?" for c in name[:MAX_NAME])


def _fields(text: str) -> Mapping[str, Json]:
    if text.strip('"').casefold() == "ping":
        return {"action": "PING"}
    if not text:
        raise _RefusedError("empty", 'send a JSON object such as {"action": "PING"}')
    if text[0] not in "{[" and _FORM.match(text):
        return _of_form(text)
    start, end = text.find("{"), text.rfind("}")
    if start < 0 or text[0] == "[":
        raise _RefusedError("not a JSON object", 'send one object: {"action": …, "market": …}')
    return _of_json(text[start : end + 1] if end > start else text[start:])


def _of_form(text: str) -> Mapping[str, Json]:
    pairs = parse_qsl(text, keep_blank_values=True)
    if len(pairs) == 1 and pairs[0][1].lstrip().startswith("{"):
        return _of_json(pairs[0][1].strip())
    return _object([(name, value) for name, value in pairs])


def _of_json(text: str) -> Mapping[str, Json]:
    _refuse_deep(text)
    try:
        read: object = json.loads(
            text,
            parse_float=_number,
            parse_int=_number,
            parse_constant=Decimal,
            object_pairs_hook=_object,
        )
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        problem = f"not JSON: {error.msg.lower()} at {place}"
        raise _RefusedError(problem, "send one JSON object") from None
    if not isinstance(read, dict):
        raise _RefusedError("not a JSON object", "send one JSON object")
    return cast("dict[str, Json]", read)


def _refuse_deep(text: str) -> None:
    """Refuse nesting that would exhaust the reader's stack."""
    depth = 0
    for token in _TOKENS.finditer(text):
        mark = token.group()
        depth += (mark in "[{") - (mark in "]}")
        if depth > MAX_NESTING:
            raise _RefusedError(f"nested deeper than {MAX_NESTING}", "send one flat object")


def _number(text: str) -> Decimal:
    """Return a JSON number exactly; one too large for any arithmetic counts as infinite."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal("Infinity")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Json]:
    """Return the pairs as an object; a name given twice has no one meaning."""
    fields: dict[str, Json] = {}
    for name, value in pairs:
        if name in fields:
            raise _RefusedError("given twice", "give it once", shown_name(name))
        fields[name] = value
    return fields

"""Rows as JSON shows them: exact numbers as text, times in UTC, secrets masked."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

from api.vocabulary import FIELDS, Name
from infra.store.rows import as_json
from infra.telemetry import MASK

_SECRET_NAMES: Final = "|".join(
    r"[\s_\-.]*".join(word) for word, name in FIELDS.items() if name is Name.SECRET
)
_SECRET_FIELD: Final = re.compile(
    rf"""(["'&?\s]|^)(?P<name>[\s_\-.]*(?:{_SECRET_NAMES})[\s_\-.]*)(?P<middle>["']?\s*[:=]\s*)"""
    r"""(?:"(?:[^"\\]|\\.)*"?|[^\s&,}"]+)""",
    re.IGNORECASE | re.DOTALL,
)
_ESCAPED: Final = re.compile(r"\\u00([2-7][0-9a-fA-F])|\\(/)")


def shown(value: Any) -> Any:
    """Return a value of a row as JSON carries it; bytes as the text they are, or nearly."""
    return as_json(value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value)


def shown_row(row: Mapping[str, Any], secrets: Iterable[str] = ()) -> dict[str, Any]:
    """Return a row as JSON carries it; `secrets` never appear in what a sender wrote."""
    return {
        name: masked(shown(value), secrets) if name == "raw_payload" else shown(value)
        for name, value in row.items()
    }


def masked(text: str, secrets: Iterable[str]) -> str:
    """Return a sender's text with every secret in it masked, known or by its field's name.

    Escapes that JSON allows are written out first, so that none hides a secret.
    """
    plain = _ESCAPED.sub(_written_out, text)
    for secret in filter(None, secrets):
        for written in (secret, json.dumps(secret)[1:-1], quote(secret, safe="")):
            plain = plain.replace(written, MASK)
    return _SECRET_FIELD.sub(rf'\1\g<name>\g<middle>"{MASK}"', plain)


def _written_out(escape: re.Match[str]) -> str:
    """Return the character of one escape, quotes and backslashes left escaped."""
    character = escape.group(2) or chr(int(escape.group(1), 16))
    return escape.group() if character in '"\\' else character

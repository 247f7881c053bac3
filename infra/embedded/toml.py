"""Writes TOML: the standard library only reads it."""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TypeAlias

Value: TypeAlias = "str | int | float | Decimal | Sequence[Value] | Mapping[str, Value]"
Table: TypeAlias = Mapping[str, Value]


def toml_text(table: Table) -> str:
    """Return `table` as a TOML document; Decimals become strings, so that none is rounded."""
    return "".join(f"{line}\n" for line in _lines(table, ())).lstrip()


def merged(below: Table, above: Table) -> dict[str, Value]:
    """Return both tables in one; where both say something, `above` wins."""
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        if isinstance(under, Mapping) and isinstance(value, Mapping):
            result[key] = merged(under, value)
        else:
            result[key] = value
    return result


def _lines(table: Table, path: tuple[str, ...]) -> list[str]:
    """Return the lines of one table: its plain values first, then the tables inside it."""
    plain = {key: one for key, one in table.items() if not isinstance(one, Mapping)}
    inner = {key: one for key, one in table.items() if isinstance(one, Mapping)}
    lines = [f"{_quoted(key)} = {_value(one)}" for key, one in plain.items()]
    if path and (lines or not inner):
        lines = ["", f"[{'.'.join(_quoted(part) for part in path)}]", *lines]
    for key, one in inner.items():
        lines += _lines(one, (*path, key))
    return lines


def _value(value: Value) -> str:
    """Return a value as it stands on the right of an equals sign."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        pairs = (f"{_quoted(key)} = {_value(one)}" for key, one in value.items())
        return f"{{ {', '.join(pairs)} }}"
    if isinstance(value, str | Decimal):
        return _quoted(str(value))
    if isinstance(value, Sequence):
        return f"[{', '.join(_value(one) for one in value)}]"
    return repr(value)


def _quoted(text: str) -> str:
    """Return a basic string; JSON's escapes are TOML's, but for the character DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")

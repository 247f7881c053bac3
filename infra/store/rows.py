"""The whole mapping between a value and its row, by name: field `x` is column `x`."""

from collections.abc import Iterable, Mapping
from dataclasses import Field, fields, is_dataclass
from datetime import date
from decimal import Decimal
from enum import Enum, StrEnum
from functools import cache
from typing import Any, ClassVar, Final, Protocol, TypeVar, get_type_hints

REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"


class Value(Protocol):
    """A frozen dataclass of the domain."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


V = TypeVar("V", bound=Value)


def columns_of(value: Value, **more: object) -> dict[str, Any]:
    """Return the columns of `value`, and `more` that only the database keeps."""
    columns = {field.name: _stored(getattr(value, field.name)) for field in fields(value)}
    return columns | {name: _stored(given) for name, given in more.items()}


def inserting(table: str, names: Iterable[str]) -> str:
    """Return the insert of one row from parameters of the columns' names."""
    names = tuple(names)
    values = ", ".join(f":{name}" for name in names)
    return f"INSERT INTO holdfast.{table} ({', '.join(names)}) VALUES ({values})"  # noqa: S608


def read(kind: type[V], row: Mapping[Any, Any]) -> V:
    """Return the value whose fields `row` holds among its columns."""
    words = _enums(kind)
    columns = ((field.name, row[field.name]) for field in fields(kind))
    return kind(**{name: _read(value, words.get(name)) for name, value in columns})


def changes(before: Value, after: Value) -> dict[str, Any]:
    """Return the fields in which `after` differs from `before`, as JSON has them."""
    old, new = columns_of(before), columns_of(after)
    return {name: as_json(value) for name, value in new.items() if old[name] != value}


def as_json(value: object) -> Any:
    """Return `value` as JSON keeps it: exact, with Decimals and moments as text."""
    if isinstance(value, Decimal):
        return f"{shortest(value):f}"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, Mapping):
        return {str(name): as_json(item) for name, item in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # JSON within JSON
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_json(getattr(value, field.name)) for field in fields(value)}
    return value


def shortest(value: Decimal) -> Decimal:
    """Return `value` without the zeros that a column of fixed scale pads it with."""
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        return value
    places = exponent
    while places < 0 and len(digits) > 1 and digits[-1] == 0:
        digits, places = digits[:-1], places + 1
    return Decimal((sign, digits, 0 if digits == (0,) else places))


def storable_text(text: str) -> str:
    """Return `text` with what PostgreSQL cannot keep (NUL, half a surrogate pair) replaced."""
    return text.encode("utf-8", "replace").decode().replace("\0", REPLACEMENT)


@cache
def _enums(kind: type[Value]) -> dict[str, type[StrEnum]]:
    """Return which fields of `kind` hold a word from a list, and from which."""
    hints = get_type_hints(kind)
    return {name: hint for name, hint in hints.items() if _is_words(hint)}


def _is_words(hint: object) -> bool:
    return isinstance(hint, type) and issubclass(hint, StrEnum)


def _stored(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    return storable_text(value) if isinstance(value, str) else value


def _read(value: object, words: type[StrEnum] | None) -> object:
    if words is not None and isinstance(value, str):
        return words(value)
    return shortest(value) if isinstance(value, Decimal) else value

"""Fields out of the exchange's JSON: tolerant of how a value is written, never of what it means."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from json import JSONDecodeError, loads
from typing import Final, TypeGuard

from domain.errors import InvalidInputError
from domain.order import Side

Json = Mapping[str, object]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SECONDS_BELOW: Final = 10**11  # as seconds this is the year 5138, as milliseconds 1973
MILLISECONDS_BELOW: Final = 10**14
MICROSECONDS_BELOW: Final = 10**17
LARGEST: Final = Decimal(10) ** 20  # numeric(38, 18) holds no more
SIDES: Final = {side.value: side for side in Side}
SHOWN: Final = 80  # characters of a foreign value that may enter a message


def decoded(text: str | bytes) -> object:
    """Return the value of a JSON text; no number ever passes through a float.

    Raises:
        InvalidInputError: it is not JSON, or nested beyond reason.
    """
    try:
        return loads(text, parse_float=Decimal)
    except (JSONDecodeError, UnicodeDecodeError, RecursionError, InvalidOperation) as error:
        raise InvalidInputError("body", f"not JSON: {shown(text)}") from error


def shown(raw: object) -> str:
    """Return a foreign value as far as a message should repeat it."""
    return repr(raw)[:SHOWN]


def is_record(raw: object) -> TypeGuard[Json]:
    """Tell whether `raw` is a JSON object."""
    return isinstance(raw, dict)


def is_list(raw: object) -> TypeGuard[list[object]]:
    """Tell whether `raw` is a JSON array."""
    return isinstance(raw, list)


def record(raw: object, name: str) -> Json:
    """Return `raw` if it is an object."""
    if not is_record(raw):
        raise InvalidInputError(name, f"expected an object, got {shown(raw)}")
    return raw


def records(raw: object, name: str) -> list[Json]:
    """Return `raw` if it is an array of objects."""
    if not is_list(raw):
        raise InvalidInputError(name, f"expected an array, got {shown(raw)}")
    return [record(one, f"{name}[{place}]") for place, one in enumerate(raw)]


def optional_text(of: Json, *names: str) -> str | None:
    """Return the first of `names` that is there and not empty."""
    for name in names:
        value = of.get(name)
        if isinstance(value, str | int | Decimal) and not isinstance(value, bool) and value != "":
            return str(value)
    return None


def text(of: Json, *names: str) -> str:
    """Return the first of `names` that is there and not empty.

    Raises:
        InvalidInputError: none is.
    """
    found = optional_text(of, *names)
    if found is None:
        raise InvalidInputError(names[0], f"expected text, got {shown(of.get(names[0]))}")
    return found


def optional_number(of: Json, name: str) -> Decimal | None:
    """Return a number written as a JSON number or string; None where it is absent or empty.

    Raises:
        InvalidInputError: it is there, and no finite number that can be stored.
    """
    raw = of.get(name)
    if raw is None or raw == "":
        return None
    if isinstance(raw, bool) or not isinstance(raw, str | int | Decimal):
        raise InvalidInputError(name, f"expected a number, got {shown(raw)}")
    try:
        value = Decimal(raw)
    except InvalidOperation as error:
        raise InvalidInputError(name, f"expected a number, got {shown(raw)}") from error
    if not value.is_finite() or abs(value) >= LARGEST:
        raise InvalidInputError(name, f"expected a finite number, got {shown(raw)}")
    return value


def number(of: Json, name: str) -> Decimal:
    """Return a number that must be there."""
    value = optional_number(of, name)
    if value is None:
        raise InvalidInputError(name, "expected a number, got nothing")
    return value


def size(of: Json, name: str) -> Decimal:
    """Return a number of shares; never negative."""
    value = number(of, name)
    if value < 0:
        raise InvalidInputError(name, f"expected no negative number, got {value}")
    return value


def price(of: Json, name: str = "price") -> Decimal:
    """Return a price: what one share costs, between 0 and 1."""
    value = number(of, name)
    if not 0 <= value <= 1:
        raise InvalidInputError(name, f"expected a price between 0 and 1, got {value}")
    return value


def optional_side(of: Json, name: str = "side") -> Side | None:
    """Return BUY or SELL in whatever case it is written; None where it is absent or empty."""
    raw = optional_text(of, name)
    if raw is None:
        return None
    found = SIDES.get(raw.upper())
    if found is None:
        raise InvalidInputError(name, f"expected BUY or SELL, got {shown(raw)}")
    return found


def side(of: Json, name: str = "side") -> Side:
    """Return a side that must be there."""
    found = optional_side(of, name)
    if found is None:
        raise InvalidInputError(name, "expected BUY or SELL, got nothing")
    return found


def truth(of: Json, name: str, otherwise: str = "false") -> bool:
    """Return a yes or no; `otherwise` is the word for a field that is absent or null."""
    raw = of.get(name)
    word = (otherwise if raw is None else str(raw)).casefold()
    if word not in {"true", "false"}:
        raise InvalidInputError(name, f"expected true or false, got {shown(raw)}")
    return word == "true"


def optional_moment(of: Json, *names: str) -> datetime | None:
    """Return the first of `names` that tells a time: unix seconds, milliseconds or finer, or ISO.

    Raises:
        InvalidInputError: it is there and tells no time.
    """
    raw = optional_text(of, *names)
    if raw is None:
        return None
    try:
        moment = _unix(int(raw)) if raw.isdecimal() else datetime.fromisoformat(raw)
    except (ValueError, OverflowError) as error:
        raise InvalidInputError(names[0], f"expected a time, got {shown(raw)}") from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def moment(of: Json, *names: str) -> datetime:
    """Return a time that must be there."""
    found = optional_moment(of, *names)
    if found is None:
        raise InvalidInputError(names[0], "expected a time, got nothing")
    return found


def _unix(count: int) -> datetime:
    """Return a unix time whose unit is told by its magnitude."""
    if count < SECONDS_BELOW:
        return EPOCH + timedelta(seconds=count)
    if count < MILLISECONDS_BELOW:
        return EPOCH + timedelta(milliseconds=count)
    if count < MICROSECONDS_BELOW:
        return EPOCH + timedelta(microseconds=count)
    return EPOCH + timedelta(microseconds=count // 1000)


def texts(of: Json, name: str) -> list[str]:
    """Return a list of texts, also where the exchange wraps it as JSON inside a string."""
    raw = of.get(name)
    if isinstance(raw, str):
        raw = decoded(raw)
    if not is_list(raw) or not all(isinstance(one, str) and one for one in raw):
        raise InvalidInputError(name, f"expected a list of texts, got {shown(raw)}")
    return [str(one) for one in raw]

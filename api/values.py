"""One value of a signal, read strictly: what it is, or what is wrong with it."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from api.documents import Json
from api.vocabulary import ACTIONS, plain
from domain.signal import Action

MAX_TEXT: Final = 200  # characters; the longest slug known has 120
MAX_PLACES: Final = 12
MAX_REST_SECONDS: Final = Decimal(365 * 86_400)
MILLISECONDS_FROM: Final = Decimal(100_000_000_000)  # a larger unix time is in milliseconds
LAST_UNIX_TIME: Final = Decimal(4_102_444_800)  # the year 2100
KNOWN_ACTIONS: Final = ", ".join(dict.fromkeys(action.value for action in ACTIONS.values()))

_NUMBER: Final = re.compile(r"[+-]?(\d{1,20}(\.\d{0,20})?|\.\d{1,20})([eE][+-]?\d{1,3})?", re.ASCII)
_ORDER_HASH: Final = re.compile(r"0x[0-9a-f]{64}", re.ASCII)


class WrongError(ValueError):
    """A value that cannot be used."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy


def text(value: Json) -> str:
    """Return a short text without control characters."""
    if not isinstance(value, str) or not value.strip():
        raise WrongError("not a text", "send a string in quotes")
    if len(value) > MAX_TEXT or not value.isprintable():
        raise WrongError("too long or not printable", f"at most {MAX_TEXT} plain characters")
    return value.strip()


def identity(value: Json) -> str:
    """Return the sender's own id, whether it wrote a text or a number."""
    if isinstance(value, Decimal) and value.is_finite() and value.adjusted() < MAX_TEXT:
        return text(str(value))
    return text(value)


def action(value: Json) -> Action:
    """Return the action a word means."""
    known = ACTIONS.get(plain(text(value)))
    if known is None:
        raise WrongError("unknown action", f"one of {KNOWN_ACTIONS}")
    return known


def number(value: Json) -> Decimal:
    """Return a finite number exactly as written."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = Decimal(value.strip())
    if not isinstance(value, Decimal) or not value.is_finite():
        raise WrongError("not a number", "send a plain number such as 0.45")
    exponent = value.as_tuple().exponent
    if value and isinstance(exponent, int) and not -MAX_PLACES <= exponent <= MAX_PLACES:
        raise WrongError("too many places", f"at most {MAX_PLACES} places")
    return value


def price(value: Json) -> Decimal:
    """Return a price of a share: what pays 1 or 0 costs something between."""
    asked = number(value)
    if not 0 < asked < 1:
        raise WrongError("not a price", "more than 0 and less than 1")
    return asked


def price_or_none(value: Json) -> Decimal:
    """Return a price of a share, or 0: the price that takes protection away."""
    asked = number(value)
    if not 0 <= asked < 1:
        raise WrongError("not a price", "less than 1, or 0 to take it away")
    return asked


def up_to(most: Decimal) -> Callable[[Json], Decimal]:
    """Return a reader of numbers above zero and at most `most`."""

    def read(value: Json) -> Decimal:
        found = number(value)
        if not 0 < found <= most:
            raise WrongError("out of range", f"more than 0 and at most {most}")
        return found

    return read


def seconds(value: Json) -> int:
    """Return whole seconds."""
    asked = up_to(MAX_REST_SECONDS)(value)
    if asked != asked.to_integral_value():
        raise WrongError("not whole seconds", "a whole number of seconds")
    return int(asked)


def moment(value: Json) -> datetime:
    """Return a time given in ISO 8601 (UTC unless it says otherwise) or as unix time."""
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
        try:
            given = datetime.fromisoformat(value.strip())
            zoned = given if given.tzinfo else given.replace(tzinfo=UTC)
            return zoned.astimezone(UTC)
        except (ValueError, OverflowError):
            raise WrongError("not a time", "such as 2026-11-21T10:00:00Z") from None
    unix = number(value)
    since = unix / 1000 if unix >= MILLISECONDS_FROM else unix
    if not 0 <= since <= LAST_UNIX_TIME:
        raise WrongError("not a time", "unix seconds or milliseconds, or ISO 8601")
    return datetime.fromtimestamp(float(since), UTC)


def order_hash(value: Json) -> str:
    """Return an order hash in lower case."""
    written = text(value).lower()
    if not _ORDER_HASH.fullmatch(written):
        raise WrongError("not an order hash", "0x and 64 hex digits")
    return written


def short(value: Json) -> str:
    """Return the one known way to sell what is not held."""
    if plain(text(value)) != "complement":
        raise WrongError("unknown way to sell short", 'leave it out, or write "complement"')
    return "complement"

"""Logging in one place: events with fields, as JSON lines or for a terminal, never a secret."""

import json
import logging
import re
import sys
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType, TracebackType
from typing import Any, Final, TextIO, cast

from typing_extensions import override

from domain.ids import trace_id

MASK: Final = "***"
SECRET_NAMES: Final = re.compile(
    r"(^|_)(secret|password|passphrase|private_?key|api_?key|storage_key|authorization|cookie"
    r"|mnemonic|signature)s?$|^key$",
    re.IGNORECASE,
)
# Secrets inside a text: the password of a URL, the key of an Authorization header.
SECRET_TEXT: Final = re.compile(
    r"(://[^/\s:@]*:)[^/\s@]+(?=@)|(\bbearer\s+)[^\s\"',]+", re.IGNORECASE
)
QUIET: Final = ("httpx", "httpcore", "uvicorn.access", "websockets", "asyncio")
OWN_ATTRIBUTES: Final = frozenset(
    vars(logging.LogRecord("", 0, "", 0, "", None, None)).keys() | {"message", "asctime"}
)
# What names a piece of work, on every line that is written for it.
WORK_NAMES: Final = ("trace_id", "signal_id", "order_hash", "workflow_id")
COLOURS: Final = {"WARNING": "33", "ERROR": "31", "CRITICAL": "1;31", "DEBUG": "2"}


_NOBODYS: Final[Mapping[str, str]] = MappingProxyType({})
_work: ContextVar[Mapping[str, str]] = ContextVar("work", default=_NOBODYS)


def work_of(value: object) -> dict[str, str]:
    """Return the names of the work that `value` (a request, an order, an outcome) belongs to."""
    found = {name: getattr(value, name, None) for name in WORK_NAMES}
    if not found["trace_id"] and isinstance(found["signal_id"], str):
        found["trace_id"] = trace_id(found["signal_id"])
    return {name: one for name, one in found.items() if isinstance(one, str) and one}


def current_work() -> Mapping[str, str]:
    """Return the names of the work that is being done here."""
    return _work.get()


def turn_to(work: Mapping[str, str]) -> None:
    """Name the work that this task does from now on; names of another trace are dropped."""
    _work.set(_joined(work))


@contextmanager
def about(work: Mapping[str, str]) -> Generator[None]:
    """Name the work that is done within the block on all its log lines."""
    token = _work.set(_joined(work))
    try:
        yield
    finally:
        _work.reset(token)


def _joined(work: Mapping[str, str]) -> Mapping[str, str]:
    known = _work.get()
    trace = work.get("trace_id")
    is_other = trace is not None and known.get("trace_id", trace) != trace
    return work if is_other else {**known, **work}


def configure_logging(log_format: str, role: str) -> None:
    """Send every log event of this process to standard error.

    Args:
        log_format: "json" for one JSON object a line, "console" for people.
        role: which process this is ("api", "worker-trading", …); named on every line.
    """
    handler = logging.StreamHandler(sys.stderr)
    as_json = log_format == "json"
    handler.setFormatter(JsonLines(role) if as_json else Pretty(role, sys.stderr))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_crash


def redacted(value: Any, name: str = "") -> Any:
    """Return `value` as JSON can carry it, secrets masked by the name of their field."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if SECRET_NAMES.search(name.replace("-", "_")):
        return MASK
    if isinstance(value, Mapping):
        pairs = cast("Mapping[Any, Any]", value).items()
        return {str(key): redacted(one, str(key)) for key, one in pairs}
    if isinstance(value, list | tuple | set | frozenset):
        return [redacted(one) for one in cast("Iterable[Any]", value)]
    return scrubbed(str(value))


def scrubbed(text: str) -> str:
    """Return `text` without the secrets that can be told by what stands around them."""
    return SECRET_TEXT.sub(rf"\1\2{MASK}", text)


def printable(text: str) -> str:
    """Return `text` with every control character written out, so that no input moves a cursor."""
    return "".join(one if one.isprintable() else _written_out(one) for one in text)


class JsonLines(logging.Formatter):
    """One JSON object a line: at, level, role, event, logger, then the event's own fields."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role

    @override
    def format(self, record: logging.LogRecord) -> str:
        """Return the line of `record`."""
        line: dict[str, Any] = {
            "at": _moment(record).isoformat(timespec="microseconds"),
            "level": record.levelname.lower(),
            "role": self._role,
            "event": scrubbed(record.getMessage()),
            "logger": record.name,
        }
        # An event's field never hides one of ours.
        line |= {key: one for key, one in _fields(record).items() if key not in line}
        if record.exc_info:
            line["exception"] = scrubbed(self.formatException(record.exc_info))
        return json.dumps(line).replace("\x7f", "\\u007f")


class Pretty(logging.Formatter):
    """A line for people: time, level, role, event, fields; coloured on a terminal."""

    def __init__(self, role: str, stream: TextIO) -> None:
        super().__init__()
        self._role = role
        self._coloured = stream.isatty()

    @override
    def format(self, record: logging.LogRecord) -> str:
        """Return the line of `record`, and its traceback on the lines below."""
        at = _moment(record).astimezone().strftime("%H:%M:%S.%f")[:-3]
        level = self._painted(f"{record.levelname.lower():<8}", COLOURS.get(record.levelname))
        event = self._painted(printable(scrubbed(record.getMessage())), "1")
        told = " ".join(f"{key}={_told(one)}" for key, one in _fields(record).items())
        line = f"{at} {level} {self._role} {event} {self._painted(told, '36')}".rstrip()
        if record.exc_info:
            trace = scrubbed(self.formatException(record.exc_info))
            line += "".join(f"\n    {printable(one)}" for one in trace.splitlines())
        return line

    def _painted(self, text: str, colour: str | None) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._coloured and colour and text else text


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return the names of the work at hand and what the caller gave as `extra`, masked."""
    own = {key: one for key, one in vars(record).items() if key not in OWN_ATTRIBUTES}
    return {**_work.get(), **{key: redacted(one, key) for key, one in own.items()}}


def _told(value: Any) -> str:
    """Return a field's value for people, quoted where it holds spaces."""
    text = printable(value if isinstance(value, str) else json.dumps(value))
    return f'"{text}"' if " " in text or not text else text


def _moment(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _written_out(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _log_crash(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Log what nobody caught, in the format of everything else."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logging.getLogger("holdfast").critical("process.crashed", exc_info=(kind, error, trace))

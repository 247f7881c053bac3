"""Passing the named points of a piece of work: a log line each, and a span where spans are made.

Everything a signal causes has one trace id, derived from the signal and written on its rows:
repeats, retries, crashes and sweeps come into the same trace. Without an exporter nothing of
OpenTelemetry is even imported.
"""

import logging
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

from infra.clock import monotonic_seconds, utc_now
from infra.points import Point
from infra.telemetry import about, current_work

log = logging.getLogger("holdfast.points")


@dataclass
class Reached:
    """A point that is being passed; what is noted stands on its span and on its log line."""

    fields: dict[str, Any] = field(default_factory=dict[str, Any])

    def note(self, **fields: Any) -> None:
        """Add fields; those that are None are left out."""
        self.fields |= {name: one for name, one in fields.items() if one is not None}


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a point's span hangs, if not on the one that is open here.

    Attributes:
        began_at: when it began, if that is past.
        parent: the traceparent it came with; obeyed only within the work's own trace.
        is_root: it is the first of its trace.
        cause: a stranger's traceparent: linked, never adopted.
    """

    began_at: datetime | None = None
    parent: str | None = None
    is_root: bool = False
    cause: str | None = None


HERE: Final = Origin()
Tell = Callable[[Mapping[str, Any]], None]


class SpanMaker(Protocol):
    """Makes the spans of a process."""

    def span(self, name: str, trace: str, origin: Origin) -> AbstractContextManager[Tell]:
        """Open a span of `trace`; gives what writes its attributes."""
        ...

    def traceparent(self) -> str | None:
        """Return the open span as W3C trace context writes it; None where there is none."""
        ...

    def end(self) -> None:
        """Send what is left."""
        ...


@dataclass
class _Process:
    """What is set once per process: who makes spans, if anybody does."""

    spans: SpanMaker | None = None


_process: Final = _Process()
_open: ContextVar[Reached | None] = ContextVar("open", default=None)


def is_tracing() -> bool:
    """Tell whether spans are made."""
    return _process.spans is not None


def make_spans_by(maker: SpanMaker | None) -> None:
    """Have `maker` make the spans of this process from now on; None makes none."""
    before, _process.spans = _process.spans, maker
    if before is not None:
        before.end()


def note(**fields: Any) -> None:
    """Add fields to the point that is being passed here, if one is."""
    here = _open.get()
    if here is not None:
        here.note(**fields)


def traceparent() -> str | None:
    """Return what carries the open span across a wire; None where there is none."""
    return _process.spans.traceparent() if _process.spans is not None else None


@contextmanager
def point(
    reached: Point, work: Mapping[str, str] | None = None, origin: Origin = HERE, **fields: Any
) -> Generator[Reached]:
    """Pass a named point.

    Args:
        reached: its name.
        work: the names of the work, as far as they are not known here already.
        origin: where its span hangs.
        **fields: what else is to be told.
    """
    here = Reached()
    here.note(**fields)
    begun = monotonic_seconds()
    if origin.began_at is not None:
        begun -= (utc_now() - origin.began_at).total_seconds()
    with about(work or {}), _span(reached, origin, here):
        token = _open.set(here)
        try:
            yield here
        except BaseException as error:
            why = f"{type(error).__name__}: {error}"
            _tell(logging.WARNING, reached, begun, {**here.fields, "failed": why})
            raise
        finally:
            _open.reset(token)
        _tell(reached.level, reached, begun, here.fields)


@contextmanager
def _span(reached: Point, origin: Origin, here: Reached) -> Generator[None]:
    """Open a span, if spans are made and it is known in which trace."""
    trace = current_work().get("trace_id")
    if _process.spans is None or trace is None:
        yield
        return
    with _process.spans.span(reached.value, trace, origin) as tell:
        try:
            yield
        finally:
            tell({**current_work(), **here.fields})


def _tell(level: int, reached: Point, begun: float, fields: Mapping[str, Any]) -> None:
    if log.isEnabledFor(level):
        passed_ms = round((monotonic_seconds() - begun) * 1000, 2)
        log.log(level, reached.value, extra={"ms": passed_ms, **fields})

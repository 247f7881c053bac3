"""OpenTelemetry's spans under ids that are known beforehand; loaded only where they are made."""

import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    get_current_span,
    set_span_in_context,
    use_span,
)
from typing_extensions import override

from infra.telemetry import redacted, scrubbed
from infra.tracing import Origin, Tell

SPAN_DIGITS: Final = 16
WRITTEN: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?")
MOST_WORDS: Final = 300  # of an error, on a span
SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)

# The identity that the next span is to have: the first one of a trace has its root's.
_root: ContextVar[tuple[int, int] | None] = ContextVar("root", default=None)


class Identities(RandomIdGenerator):
    """Random ids, but for the root of a trace."""

    @override
    def generate_trace_id(self) -> int:
        """Return the id of a new trace."""
        named = _root.get()
        return super().generate_trace_id() if named is None else named[0]

    @override
    def generate_span_id(self) -> int:
        """Return the id of a new span."""
        named = _root.get()
        return super().generate_span_id() if named is None else named[1]


class Spans:
    """Makes the spans of one process.

    Args:
        role: which process this is.
        at_once: spans are sent as each ends, not in batches.
    """

    def __init__(self, exporter: SpanExporter, role: str, *, at_once: bool = False) -> None:
        resource = Resource.create({"service.name": f"holdfast-{role}"})
        self._provider = TracerProvider(resource=resource, id_generator=Identities())
        process = SimpleSpanProcessor if at_once else BatchSpanProcessor
        self._provider.add_span_processor(process(exporter))
        self._tracer = self._provider.get_tracer("holdfast")

    def end(self) -> None:
        """Send what is left."""
        self._provider.shutdown()

    def traceparent(self) -> str | None:
        """Return the open span as W3C trace context writes it; None where there is none."""
        known = get_current_span().get_span_context()
        if not known.is_valid:
            return None
        return f"00-{known.trace_id:032x}-{known.span_id:016x}-01"

    @contextmanager
    def span(self, name: str, trace: str, origin: Origin) -> Generator[Tell]:
        """Open a span of `trace`; yields what writes its attributes.

        What an error says may quote what was sent: its text is scrubbed and cut, and its stack
        is not taken along.
        """
        span = self._begun(name, trace, origin)
        if span is None:
            yield _untold
            return
        with use_span(
            span, end_on_exit=True, record_exception=False, set_status_on_exception=False
        ):
            try:
                yield lambda fields: span.set_attributes(_attributes(fields))
            except BaseException as error:
                words = scrubbed(f"{type(error).__name__}: {error}")[:MOST_WORDS]
                span.set_status(Status(StatusCode.ERROR, words))
                raise

    def _begun(self, name: str, trace: str, origin: Origin) -> Span | None:
        """Begin a span; None where `trace` is no trace id."""
        root = context_of(f"00-{trace}-{root_span_id(trace)}-01")
        if root is None:
            return None
        began = _nanoseconds(origin.began_at)
        cause = context_of(origin.cause)
        links = [Link(cause)] if cause is not None else []
        if origin.is_root:
            token = _root.set((root.trace_id, root.span_id))
            try:
                return self._tracer.start_span(name, Context(), links=links, start_time=began)
            finally:
                _root.reset(token)
        parent = set_span_in_context(NonRecordingSpan(_parent(root, origin)), Context())
        return self._tracer.start_span(name, parent, links=links, start_time=began)


def root_span_id(trace: str) -> str:
    """Return the id of a trace's first span: derived, so that nobody need be told of it."""
    return trace[:SPAN_DIGITS]


def context_of(carried: str | None) -> SpanContext | None:
    """Return the span that a traceparent names; None where it names none."""
    written = WRITTEN.fullmatch(carried or "")
    if written is None:
        return None
    trace, span = (int(one, 16) for one in written.groups())
    found = SpanContext(trace, span, is_remote=True, trace_flags=SAMPLED)
    return found if found.is_valid else None


def _untold(fields: Mapping[str, Any]) -> None:
    """There is no span to write on."""
    del fields


def _parent(root: SpanContext, origin: Origin) -> SpanContext:
    """Return what a span hangs on: what was carried here, what is open here, else the root.

    Another trace's span is never a parent.
    """
    for known in (context_of(origin.parent), get_current_span().get_span_context()):
        if known is not None and known.trace_id == root.trace_id:
            return known
    return root


def _nanoseconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1_000_000) * 1_000


def _attributes(fields: Mapping[str, Any]) -> dict[str, str | int | float | bool]:
    """Return what may stand on a span: plain values, secrets masked as in the log."""
    masked = {name: redacted(one, name) for name, one in fields.items() if one is not None}
    return {
        name: one if isinstance(one, str | int | float | bool) else str(one)
        for name, one in masked.items()
    }

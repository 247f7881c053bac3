"""Spans as they end, kept in memory, and the tree they form."""

from collections.abc import Generator
from contextlib import contextmanager

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from infra.spans import Spans
from infra.tracing import make_spans_by


@contextmanager
def collected(role: str = "test") -> Generator[InMemorySpanExporter]:
    """Make spans within the block, and none after it."""
    exporter = InMemorySpanExporter()
    make_spans_by(Spans(exporter, role, at_once=True))
    try:
        yield exporter
    finally:
        make_spans_by(None)


def trace_of(span: ReadableSpan) -> str:
    """Return a span's trace id as rows have it."""
    known = span.get_span_context()
    assert known is not None
    return f"{known.trace_id:032x}"


def span_id(span: ReadableSpan) -> str:
    """Return a span's own id."""
    known = span.get_span_context()
    assert known is not None
    return f"{known.span_id:016x}"


def parent_id(span: ReadableSpan) -> str | None:
    """Return the id of what a span hangs on."""
    return f"{span.parent.span_id:016x}" if span.parent is not None else None

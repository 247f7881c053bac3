"""Sending spans to a collector, as OTLP over HTTP in JSON.

The official exporter brings nine packages for one POST; this is that POST. It is told where to
by the standard variables, and it never stands in anybody's way: what cannot be sent is dropped.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote

import httpx
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import StatusCode
from typing_extensions import override

log = logging.getLogger(__name__)

HEADERS: Final = "OTEL_EXPORTER_OTLP_HEADERS"
TIMEOUT_SECONDS: Final = 5.0
INTERNAL: Final = 1  # the kind of span that is neither a call nor the answer to one


class Collector(SpanExporter):
    """A collector at the end of a URL.

    Args:
        endpoint: the whole address, path included.
        headers: what it asks for besides, as its key.
    """

    def __init__(self, endpoint: str, headers: Mapping[str, str]) -> None:
        self._endpoint = endpoint
        self._http = httpx.Client(headers=headers, timeout=TIMEOUT_SECONDS, trust_env=False)
        self._is_lost = False

    @override
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch; a failure is logged when it begins, not at every batch."""
        try:
            self._http.post(self._endpoint, json=batch(spans)).raise_for_status()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            if not self._is_lost:
                log.warning("spans.not_sent", extra={"why": f"{type(error).__name__}: {error}"})
            self._is_lost = True
            return SpanExportResult.FAILURE
        self._is_lost = False
        return SpanExportResult.SUCCESS

    @override
    def shutdown(self) -> None:
        """Close the connection."""
        self._http.close()


def headers_in(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that the standard variable asks for: "name=value,…", percent-encoded."""
    pairs = (one.partition("=") for one in environ.get(HEADERS, "").split(",") if "=" in one)
    return {unquote(name.strip()): unquote(value.strip()) for name, _, value in pairs}


def batch(spans: Sequence[ReadableSpan]) -> dict[str, Any]:
    """Return spans as OTLP's JSON: ids in hex, moments as text in nanoseconds."""
    resource = _pairs(spans[0].resource.attributes) if spans else []
    scope = {"scope": {"name": "holdfast"}, "spans": [_span(one) for one in spans]}
    return {"resourceSpans": [{"resource": {"attributes": resource}, "scopeSpans": [scope]}]}


def _span(span: ReadableSpan) -> dict[str, Any]:
    known = span.get_span_context()
    if known is None:
        raise ValueError("a span without a context")
    told: dict[str, Any] = {
        "traceId": f"{known.trace_id:032x}",
        "spanId": f"{known.span_id:016x}",
        "name": span.name,
        "kind": INTERNAL,
        "startTimeUnixNano": str(span.start_time),
        "endTimeUnixNano": str(span.end_time),
        "attributes": _pairs(span.attributes or {}),
        "links": list(_links(span)),
    }
    if span.parent is not None:
        told["parentSpanId"] = f"{span.parent.span_id:016x}"
    if span.status.status_code is StatusCode.ERROR:
        told["status"] = {"code": 2, "message": span.status.description or ""}
    return told


def _links(span: ReadableSpan) -> Iterator[dict[str, str]]:
    for link in span.links:
        yield {
            "traceId": f"{link.context.trace_id:032x}",
            "spanId": f"{link.context.span_id:016x}",
        }


def _pairs(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(one)} for name, one in attributes.items()]


def _value(value: object) -> dict[str, Any]:
    """Return one value with the name of its kind; whole numbers travel as text."""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    return {"stringValue": str(value)}

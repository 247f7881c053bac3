"""A collector of spans, as operators run one: it keeps whatever the stack's processes send."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from typing_extensions import override


@dataclass(frozen=True, kw_only=True)
class SentSpan:
    """A span as the collector got it, with the process that made it."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str | None
    began: int
    fields: dict[str, str]


@dataclass
class Collector:
    """What was sent so far, byte for byte.

    Attributes:
        environment: what a process is given to send its spans here.
    """

    environment: dict[str, str]
    bodies: list[bytes] = field(default_factory=list[bytes])

    def of_trace(self, trace_id: str) -> list[SentSpan]:
        """Return the spans of one trace, oldest first."""
        found = [span for body in list(self.bodies) for span in _spans(json.loads(body))]
        return sorted(
            (span for span in found if span.trace_id == trace_id), key=lambda span: span.began
        )


@contextmanager
def collecting() -> Generator[Collector]:
    """Listen within the block."""
    collector = Collector(environment={"OTEL_BSP_SCHEDULE_DELAY": "100"})

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the library's name
            collector.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        @override
        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    url = f"http://127.0.0.1:{server.server_port}"
    collector.environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = url
    serving = Thread(target=server.serve_forever)
    serving.start()
    try:
        yield collector
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def _spans(body: dict[str, Any]) -> list[SentSpan]:
    """Return the spans of one batch."""
    found: list[SentSpan] = []
    for part in body["resourceSpans"]:
        service = _fields(part["resource"]["attributes"])["service.name"]
        for scope in part["scopeSpans"]:
            found += [
                SentSpan(
                    service=service,
                    name=span["name"],
                    trace_id=span["traceId"],
                    span_id=span["spanId"],
                    parent_id=span.get("parentSpanId"),
                    began=int(span["startTimeUnixNano"]),
                    fields=_fields(span["attributes"]),
                )
                for span in scope["spans"]
            ]
    return found


def _fields(pairs: list[dict[str, Any]]) -> dict[str, str]:
    return {pair["key"]: str(next(iter(pair["value"].values()))) for pair in pairs}

"""One trace per signal, under the id on its rows: whoever adds to it, and from whatever process."""

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from typing_extensions import override

from domain.ids import trace_id
from infra.exporting import configure_tracing
from infra.otlp import Collector, batch
from infra.points import OF_ACTIVITY, Point
from infra.spans import root_span_id
from infra.telemetry import JsonLines, about, current_work, turn_to, work_of
from infra.tracing import Origin, is_tracing, make_spans_by, note, point, traceparent
from tests.spans import collected, parent_id, span_id, trace_of
from tests.workflows.memory import a_wish

TRACE, OTHER = trace_id("one"), trace_id("other")
WORK = {"trace_id": TRACE, "signal_id": "one"}
STRANGER = f"00-{'ab' * 16}-{'cd' * 8}-01"
DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    with collected() as exporter:
        yield exporter


def names(exporter: InMemorySpanExporter) -> list[str]:
    return [span.name for span in exporter.get_finished_spans()]


def test_a_span_has_the_trace_id_of_the_row(spans: InMemorySpanExporter) -> None:
    with point(Point.ORDER_PREPARED, WORK):
        pass
    [span] = spans.get_finished_spans()
    assert trace_of(span) == TRACE


def test_what_knows_only_the_signal_comes_into_its_trace() -> None:
    assert work_of(a_wish(trace_id="", signal_id="one"))["trace_id"] == TRACE


def test_the_first_span_of_a_trace_is_the_one_that_all_others_hang_on_unasked(
    spans: InMemorySpanExporter,
) -> None:
    # A fill that the stream tells of is recorded before the webhook's own span has ended.
    with point(Point.FILL_RECORDED, WORK):
        pass
    with point(Point.SIGNAL_RECEIVED, WORK, Origin(is_root=True)):
        pass
    fill, received = spans.get_finished_spans()
    assert span_id(received) == root_span_id(TRACE) == parent_id(fill)
    assert parent_id(received) is None


def test_a_span_within_another_hangs_on_it(spans: InMemorySpanExporter) -> None:
    with point(Point.ORDER_PREPARED, WORK), point(Point.ORDER_SIGNED):
        pass
    signed, prepared = spans.get_finished_spans()
    assert parent_id(signed) == span_id(prepared)
    assert trace_of(signed) == TRACE


def test_work_of_another_signal_leaves_the_open_trace(spans: InMemorySpanExporter) -> None:
    with point(Point.ORDER_LOOKED_UP, WORK), point(Point.FILL_RECORDED, {"trace_id": OTHER}):
        assert dict(current_work()) == {"trace_id": OTHER}
    inner, _ = spans.get_finished_spans()
    assert (trace_of(inner), parent_id(inner)) == (OTHER, root_span_id(OTHER))


def test_a_carried_span_is_a_parent_in_its_own_trace_only(spans: InMemorySpanExporter) -> None:
    with point(Point.SIGNAL_STARTED, WORK):
        carried = traceparent()
    [started] = spans.get_finished_spans()
    for work in (WORK, {"trace_id": OTHER}):
        with point(Point.ORDER_PREPARED, work, Origin(parent=carried)):
            pass
    _, own, foreign = spans.get_finished_spans()
    assert (trace_of(own), parent_id(own)) == (TRACE, span_id(started))
    assert (trace_of(foreign), parent_id(foreign)) == (OTHER, root_span_id(OTHER))


def test_a_strangers_trace_is_linked_and_never_adopted(spans: InMemorySpanExporter) -> None:
    with point(Point.SIGNAL_RECEIVED, WORK, Origin(is_root=True, cause=STRANGER)):
        pass
    [span] = spans.get_finished_spans()
    assert trace_of(span) == TRACE
    [link] = span.links
    assert f"{link.context.trace_id:032x}" == "ab" * 16


@pytest.mark.parametrize("cause", ["", "00-0-0-01", f"00-{'0' * 32}-{'1' * 16}-01", "x" * 9_000])
def test_a_trace_header_that_means_nothing_is_passed_over(
    spans: InMemorySpanExporter, cause: str
) -> None:
    with point(Point.SIGNAL_RECEIVED, WORK, Origin(is_root=True, cause=cause)):
        pass
    [span] = spans.get_finished_spans()
    assert span.links == ()


@pytest.mark.parametrize("trace", ["trace-1", "", "f" * 31, "0" * 32])
def test_work_without_a_trace_id_is_done_without_a_span(
    spans: InMemorySpanExporter, trace: str
) -> None:
    with point(Point.ORDER_PREPARED, {"trace_id": trace}):
        pass
    assert not spans.get_finished_spans()


def test_a_span_may_have_begun_before_its_trace_was_known(spans: InMemorySpanExporter) -> None:
    began = datetime.now(UTC) - timedelta(seconds=2)  # noqa: TID251  # the SDK ends it by this clock
    with point(Point.SIGNAL_STORED, WORK, Origin(began_at=began)):
        pass
    [span] = spans.get_finished_spans()
    assert span.start_time is not None
    assert span.end_time is not None
    assert span.end_time - span.start_time >= 2_000_000_000


def test_a_failure_is_told_on_the_span_without_its_secrets(spans: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="hunter2"), point(Point.ORDER_SENT, WORK):
        raise ValueError("postgresql://me:hunter2@host/db")
    [span] = spans.get_finished_spans()
    assert span.status.description == "ValueError: postgresql://me:***@host/db"
    assert not span.events
    assert "hunter2" not in span.to_json()


def test_a_secret_is_masked_on_a_span_as_in_the_log(spans: InMemorySpanExporter) -> None:
    with point(Point.EXCHANGE_ASKED, WORK, api_key="hunter2") as here:
        here.note(headers={"POLY-PASSPHRASE": "hunter2"}, words="Bearer hunter2")
    [span] = spans.get_finished_spans()
    assert "hunter2" not in span.to_json()
    assert span.attributes is not None
    assert span.attributes["api_key"] == "***"


def test_a_point_is_a_log_line_with_the_names_of_its_work(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO), point(Point.ORDER_SENT, WORK):
        note(answer="live")
        line = json.loads(JsonLines("api").format(a_record("x.y")))
    assert (line["trace_id"], line["signal_id"]) == (TRACE, "one")
    [told] = [one for one in caplog.records if one.getMessage() == "order.sent"]
    assert vars(told)["answer"] == "live"
    assert vars(told)["ms"] >= 0


def a_record(event: str) -> logging.LogRecord:
    return logging.getLogger("x").makeRecord("x", logging.INFO, "", 0, event, (), None)


def test_a_point_that_failed_is_a_warning_that_says_why(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ValueError, match="no"), point(Point.ORDER_LOOKED_UP, WORK):
        raise ValueError("no")
    [told] = caplog.records
    assert told.levelno == logging.WARNING
    assert vars(told)["failed"] == "ValueError: no"


async def test_two_pieces_of_work_at_once_do_not_mix_their_names() -> None:
    async def one(name: str) -> str:
        with about({"trace_id": trace_id(name)}):
            await asyncio.sleep(0)
            turn_to({"order_hash": name})
            await asyncio.sleep(0)
            return json.loads(JsonLines("x").format(a_record("x.y")))["order_hash"]

    assert await asyncio.gather(one("a"), one("b")) == ["a", "b"]
    assert not current_work()


def test_without_an_exporter_nothing_of_opentelemetry_is_loaded() -> None:
    script = (
        "import sys, os, workers.process, api.app, infra.exchanges.polymarket.connection\n"
        "from infra.exporting import configure_tracing\n"
        "configure_tracing({}, 'api')\n"
        "sys.exit(any(one.startswith('opentelemetry.sdk') for one in sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", script], check=False)  # noqa: S603  # our own
    assert ended.returncode == 0


class Inbox(BaseHTTPRequestHandler):
    """A collector that keeps what it is sent."""

    bodies: list[dict[str, Any]]

    def do_POST(self) -> None:  # the library's name
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.bodies.append(
            {"path": self.path, "key": self.headers["x-key"], "body": json.loads(body)}
        )
        self.send_response(200)
        self.end_headers()

    @override
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[HTTPServer]:
    Inbox.bodies = []
    server = HTTPServer(("127.0.0.1", 0), Inbox)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_spans_go_where_the_standard_variables_say(collector: HTTPServer) -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}/",
        "OTEL_EXPORTER_OTLP_HEADERS": "x-key=a%20b",
    }
    configure_tracing(environ, "worker-trading")
    with point(Point.SIGNAL_RECEIVED, WORK, Origin(is_root=True, cause=STRANGER), bytes=7):
        pass
    make_spans_by(None)
    [sent] = Inbox.bodies
    assert (sent["path"], sent["key"]) == ("/v1/traces", "a b")
    [resource] = sent["body"]["resourceSpans"]
    service = {"key": "service.name", "value": {"stringValue": "holdfast-worker-trading"}}
    assert service in resource["resource"]["attributes"]
    [span] = resource["scopeSpans"][0]["spans"]
    assert span["traceId"] == TRACE
    assert span["spanId"] == root_span_id(TRACE)
    assert "parentSpanId" not in span
    assert int(span["endTimeUnixNano"]) >= int(span["startTimeUnixNano"])
    assert {"key": "bytes", "value": {"intValue": "7"}} in span["attributes"]
    assert span["links"] == [{"traceId": "ab" * 16, "spanId": "cd" * 8}]


def test_without_the_variables_no_spans_are_made() -> None:
    configure_tracing({}, "api")
    assert not is_tracing()


def test_an_absent_collector_costs_its_spans_and_one_warning(
    caplog: pytest.LogCaptureFixture, spans: InMemorySpanExporter
) -> None:
    with point(Point.ORDER_SENT, WORK):
        pass
    lost = Collector("http://127.0.0.1:1/v1/traces", {})
    for _ in range(3):
        lost.export(spans.get_finished_spans())
    lost.shutdown()
    warned = [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert [one.getMessage() for one in warned] == ["spans.not_sent"]


def test_a_failed_span_says_so_to_the_collector(spans: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="no"), point(Point.ORDER_SENT, WORK):
        raise ValueError("no")
    [span] = batch(spans.get_finished_spans())["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert span["status"] == {"code": 2, "message": "ValueError: no"}
    assert span["parentSpanId"] == root_span_id(TRACE)


def test_the_runbook_names_every_point_with_its_level() -> None:
    runbook = (DOCS / "runbook.md").read_text()
    for one in Point:
        assert f"| `{one.value}` | {logging.getLevelName(one.level)} |" in runbook


def test_every_activity_of_the_trading_worker_is_a_named_point() -> None:
    from activities.orders import OrderActivities  # noqa: PLC0415
    from activities.signals import SignalActivities  # noqa: PLC0415
    from activities.wishes import WishActivities  # noqa: PLC0415

    kinds = (OrderActivities, SignalActivities, WishActivities)
    steps = {name for kind in kinds for name, one in vars(kind).items() if _is_activity(one)}
    assert steps == OF_ACTIVITY.keys()


def _is_activity(member: object) -> bool:
    return hasattr(member, "__temporal_activity_definition")

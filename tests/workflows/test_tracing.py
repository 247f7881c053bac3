"""The trace of a signal through Temporal: one tree, whatever is retried or restarted on the way."""

import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Replayer

from domain.answer import Submission
from domain.errors import InvariantError, UnavailableError
from domain.ids import digest, trace_id
from domain.signal import OrderRequest, PositionTask, SizeKind, Sizing
from infra.following import Following
from infra.points import Point
from infra.spans import root_span_id
from infra.telemetry import JsonLines
from infra.tracing import Origin, point
from tests.spans import collected, parent_id, span_id, trace_of
from tests.workflows.books import Books
from tests.workflows.calls import Calls
from tests.workflows.compared_books import MemoryBooks
from tests.workflows.conftest import Engine, running
from tests.workflows.memory import YES, Ledger, ServerClock, Venue, a_wish
from tests.workflows.test_hold_position import a_sale
from workflows.hold_position import HoldPosition
from workflows.options import TRADING
from workflows.registry import RUNNER, WORKFLOWS

pytestmark = [pytest.mark.services, pytest.mark.asyncio(loop_scope="session")]

TRACE = trace_id("s1")


@dataclass
class Faulty(Venue):
    """An exchange that does not answer, or answers what cannot be."""

    asks_in_vain: int = 0
    is_broken: bool = False

    async def collateral_usd(self) -> Decimal:
        if self.asks_in_vain > 0:
            self.asks_in_vain -= 1
            raise UnavailableError("no balance yet")
        return await super().collateral_usd()

    async def submit(self, payload: bytes) -> Submission:
        answer = await super().submit(payload)
        if self.is_broken:
            self.is_broken = False
            raise InvariantError("the exchange knows it by another id")
        return answer


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    with collected() as exporter:
        yield exporter


@pytest_asyncio.fixture(loop_scope="session")
async def traced(skipping: WorkflowEnvironment, request: Any) -> AsyncIterator[Engine]:
    """An engine without a worker, whose client follows."""
    config = skipping.client.config()
    config["interceptors"] = [*config["interceptors"], Following()]
    venue = Faulty(clock=ServerClock(read=skipping.get_current_time))
    await venue.clock.refresh()
    queue = f"traced-{digest(request.node.name)}"
    client = Client(**config)
    ledger = Ledger()
    books = Books(ledger), MemoryBooks(ledger)
    made = Engine(skipping, client, queue, request.node.name, venue, ledger, Calls(), *books)
    yield made
    await made.end()


def worker(engine: Engine) -> Any:
    return running(engine.client, engine.queue, engine.venue, engine.books, engine.calls)


def assert_one_tree(finished: tuple[ReadableSpan, ...], trace: str) -> None:
    """Every span of `trace` leads up to its root, which somebody may not have lived to send."""
    own = [span for span in finished if trace_of(span) == trace]
    known = {span_id(span) for span in own} | {root_span_id(trace)}
    lost = [span.name for span in own if parent_id(span) not in {*known, None}]
    assert own
    assert not lost


def wish() -> OrderRequest:
    percent = Sizing(kind=SizeKind.PERCENT, value=Decimal(2))
    return a_wish(trace_id=TRACE, sizing=percent)


def said(request: OrderRequest) -> Any:
    """Stand where the API stands when it starts the work of a signal."""
    work = {"trace_id": request.trace_id, "signal_id": request.signal_id or ""}
    return point(Point.SIGNAL_STARTED, work, Origin(is_root=True))


def told(span: ReadableSpan, name: str) -> str:
    return str((span.attributes or {}).get(name))


async def test_an_orders_steps_are_one_tree_across_a_retry(
    traced: Engine, spans: InMemorySpanExporter
) -> None:
    assert isinstance(traced.venue, Faulty)
    traced.venue.asks_in_vain = 1
    traced.venue.at_look = traced.venue.pieces(20, 20)
    async with worker(traced):
        with said(wish()):
            handle = await traced.work(wish())
        await handle.result()

    finished = spans.get_finished_spans()
    assert {trace_of(span) for span in finished} == {TRACE}
    assert_one_tree(finished, TRACE)
    names = [span.name for span in finished]
    failed = [span.name for span in finished if not span.status.is_ok]
    assert names.count("order.prepared") == 2
    assert failed == ["order.prepared"]
    for one in ("signal.started", "order.sent", "order.looked_up", "signal.settled"):
        assert one in names
    # The steps hang on the start they came from, not merely on the trace.
    [started] = [span for span in finished if span.name == "signal.started"]
    assert {parent_id(span) for span in finished if span is not started} == {span_id(started)}
    sent = next(span for span in finished if span.name == "order.sent")
    assert told(sent, "workflow_id") == handle.id
    assert told(sent, "answer") == "live"


async def test_sales_of_two_signals_in_one_position_keep_their_own_traces(
    traced: Engine, spans: InMemorySpanExporter
) -> None:
    traced.ledger.held[YES] = Decimal(40)
    first = a_sale("s1", 20, trace_id=trace_id("s1"))
    second = a_sale("s2", 20, trace_id=trace_id("s2"))
    task = PositionTask(account_id="main", token_id=YES)
    async with worker(traced):
        for sale in (first, second):
            with said(sale):
                handle = await traced.client.start_workflow(
                    HoldPosition.run,
                    task,
                    id=f"{traced.queue}-position",
                    task_queue=traced.queue,
                    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                    start_signal="sell",
                    start_signal_args=[sale],
                )
        await traced.until(lambda: len(traced.venue.active) == 2)
        traced.venue.at_look = traced.venue.pieces(20, 20)
        await handle.result()

    finished = spans.get_finished_spans()
    for sale in (first, second):
        own = [span for span in finished if trace_of(span) == sale.trace_id]
        assert_one_tree(finished, sale.trace_id)
        assert {"order.prepared", "order.sent", "signal.settled"} <= {span.name for span in own}
        hashes = {told(span, "order_hash") for span in own} - {"None"}
        assert len(hashes) == 1


async def test_a_replay_makes_no_span_and_needs_none(
    traced: Engine, spans: InMemorySpanExporter
) -> None:
    traced.venue.at_look = traced.venue.pieces(20, 20)
    async with worker(traced):
        with said(wish()):
            handle = await traced.work(wish())
        await handle.result()
    history = await handle.fetch_history()
    spans.clear()
    for interceptors in ([Following()], []):
        replayer = Replayer(
            workflows=WORKFLOWS[TRADING],
            data_converter=pydantic_data_converter,
            workflow_runner=RUNNER,
            interceptors=interceptors,
        )
        await replayer.replay_workflow(history)
    assert not spans.get_finished_spans()


@pytest.mark.usefixtures("spans")
async def test_the_trace_costs_no_event_and_few_bytes(traced: Engine, engine: Engine) -> None:
    sizes: dict[str, tuple[int, int]] = {}
    traced.venue.at_look, engine.venue.at_look = (
        traced.venue.pieces(20, 20),
        engine.venue.pieces(20, 20),
    )
    async with worker(traced):
        with said(wish()):
            handles = {"traced": await traced.work(wish()), "plain": await engine.work(wish())}
        for name, handle in handles.items():
            await handle.result()
            history = await handle.fetch_history()
            size = sum(event.ByteSize() for event in history.events)
            sizes[name] = (len(history.events), size)
    assert sizes["traced"][0] == sizes["plain"][0]
    assert sizes["traced"][1] - sizes["plain"][1] < 150 * sizes["plain"][0]


async def test_a_line_that_a_workflow_logs_names_its_work(traced: Engine) -> None:
    assert isinstance(traced.venue, Faulty)
    traced.venue.is_broken = True
    traced.venue.at_look = traced.venue.pieces(20, 20)
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonLines("worker-trading"))
    logger = logging.getLogger("temporalio.workflow")
    logger.addHandler(handler)
    async with worker(traced):
        handle = await traced.work(wish())
        await handle.result()
    logger.removeHandler(handler)
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    [lost] = [line for line in lines if line["event"] == "order.send_lost"]
    assert (lost["trace_id"], lost["workflow_id"]) == (TRACE, handle.id)
    assert lost["order_hash"] == traced.venue.sends[0]

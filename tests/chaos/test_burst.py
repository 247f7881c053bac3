"""What waited while everything was away is worked through a few at a time, and all of it."""

import asyncio
from collections.abc import Generator
from dataclasses import dataclass
from decimal import Decimal

import pytest
from temporalio import activity

from activities.orders import Outcome, Preparation
from domain.order import OrderSource, OrderType, Side, TimeInForce
from domain.signal import OrderRequest, SizeKind, Sizing
from domain.sizing import Denied
from infra.settings import TemporalSettings
from infra.temporal import connect
from tests.api.conftest import free_port, temporal_on
from workers.process import MOST_AT_ONCE, serve_queue
from workflows.options import TRADING
from workflows.work_order import WorkOrder

pytestmark = pytest.mark.services

WAITING = 3 * MOST_AT_ONCE


@dataclass
class Slow:
    """The first and the last step of an order, each so slow that all of them overlap."""

    now: int = 0
    most: int = 0
    told: int = 0

    @activity.defn
    async def prepare(self, request: OrderRequest) -> Preparation:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.5)
        self.now -= 1
        return Preparation(denied=Denied(rule="closed", words=request.intent_id))

    @activity.defn
    async def settle_signal(self, outcome: Outcome) -> None:
        self.told += 1


@pytest.fixture
def temporal() -> Generator[TemporalSettings]:
    with temporal_on(free_port()) as settings:
        yield settings


async def test_a_burst_of_signals_is_worked_a_few_at_a_time_so_that_none_times_out(
    temporal: TemporalSettings,
) -> None:
    client, slow = await connect(temporal), Slow()
    waiting = [
        await client.start_workflow(
            WorkOrder.run, a_request(number), id=f"burst-{number}", task_queue=TRADING
        )
        for number in range(WAITING)
    ]

    working = asyncio.create_task(serve_queue(client, TRADING, [slow.prepare, slow.settle_signal]))
    for handle in waiting:
        await handle.result()
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)

    assert slow.told == WAITING
    assert 1 < slow.most <= MOST_AT_ONCE


def a_request(number: int) -> OrderRequest:
    return OrderRequest(
        intent_id=str(number),
        account_id="main",
        signal_id=str(number),
        trace_id=str(number),
        workflow_id=f"burst-{number}",
        source=OrderSource.WEBHOOK,
        market="rain",
        outcome="Yes",
        side=Side.BUY,
        type=OrderType.MARKET,
        time_in_force=TimeInForce.FAK,
        sizing=Sizing(kind=SizeKind.SIZE, value=Decimal(10)),
    )

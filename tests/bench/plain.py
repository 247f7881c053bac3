"""The same three steps as plain activities, with the SDK's and the server's defaults.

Insert a signed order, POST it, write its outcome: as anybody would begin with Temporal. A worker
in a process of its own: `python -m tests.bench.plain TEMPORAL_ADDRESS CLOB_URL`.
"""

import asyncio
import os
import sys
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from psycopg_pool import AsyncConnectionPool
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    from domain.order import Side, TimeInForce
    from domain.sizing import Terms
    from infra.exchanges.polymarket.client import PolymarketAccount
    from tests.bench.market import account_on_bench, market_named
    from tests.bench.tables import ORDER_INSERT, ORDER_UPDATE

QUEUE: Final = "plain"
STEP_TIMEOUT: Final = timedelta(seconds=10)  # the one thing that the SDK demands to be said


@dataclass
class Wish:
    """What to buy."""

    identity: str
    market: str
    price: str
    size: str


@dataclass
class Sent:
    """An order's fate."""

    identity: str
    words: str


@dataclass
class Steps:
    """The three steps."""

    pool: AsyncConnectionPool[Any]
    account: PolymarketAccount

    @activity.defn
    async def prepare(self, wish: Wish) -> str:
        """Sign and insert."""
        market = market_named(wish.market)
        terms = Terms(
            side=Side.BUY,
            time_in_force=TimeInForce.FAK,
            price=Decimal(wish.price),
            size=Decimal(wish.size),
        )
        signed = await self.account.sign(terms, market, market.tokens[0].token_id, None)
        async with self.pool.connection() as connection:
            row = (wish.identity, signed.order_hash, signed.payload)
            await connection.execute(ORDER_INSERT, row)
        return signed.payload.decode()

    @activity.defn
    async def send(self, payload: str) -> str:
        """POST."""
        return (await self.account.submit(payload.encode())).answer.value

    @activity.defn
    async def record(self, sent: Sent) -> None:
        """Write the outcome."""
        async with self.pool.connection() as connection:
            await connection.execute(ORDER_UPDATE, (sent.words, sent.identity))


@workflow.defn
class PlainOrder:
    """One order."""

    @workflow.run
    async def run(self, wish: Wish) -> None:
        """Take the three steps."""
        payload = await workflow.execute_activity_method(
            Steps.prepare, wish, start_to_close_timeout=STEP_TIMEOUT
        )
        words = await workflow.execute_activity_method(
            Steps.send, payload, start_to_close_timeout=STEP_TIMEOUT
        )
        await workflow.execute_activity_method(
            Steps.record,
            Sent(identity=wish.identity, words=words),
            start_to_close_timeout=STEP_TIMEOUT,
        )


async def run(address: str, clob_url: str) -> None:
    """Work until the process is ended."""
    client = await Client.connect(address)
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
        os.environ["BENCH_DATABASE"], min_size=10, max_size=10, open=False
    )
    async with pool, account_on_bench(clob_url) as account:
        steps = Steps(pool, account)
        activities = [steps.prepare, steps.send, steps.record]
        async with Worker(client, task_queue=QUEUE, workflows=[PlainOrder], activities=activities):
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], sys.argv[2]))

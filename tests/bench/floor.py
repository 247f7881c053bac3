"""The floor: the same work without durability between the steps, in one asyncio process.

Accept, insert, answer, sign, POST, update. Nothing survives a crash, nothing is checked, nothing
is retried: no engine can be faster on this machine. `python -m tests.bench.floor PORT CLOB_URL`.
"""

import asyncio
import os
import sys
from decimal import Decimal
from json import loads
from typing import Any

import uvloop
from psycopg_pool import AsyncConnectionPool

from domain.order import Side, TimeInForce
from domain.sizing import Terms
from infra.exchanges.polymarket.client import PolymarketAccount
from tests.bench.exchange import HOST, http, length_in
from tests.bench.market import account_on_bench, market_named
from tests.bench.tables import ORDER_INSERT, ORDER_UPDATE

Pool = AsyncConnectionPool[Any]


class Floor:
    """One process that trades."""

    def __init__(self, pool: Pool, account: PolymarketAccount) -> None:
        self._pool, self._account = pool, account
        self._trading = set[asyncio.Task[None]]()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take alerts from one connection."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                wish = loads(await reader.readexactly(length_in(head)))
                task = asyncio.create_task(self.trade(wish, writer))
                self._trading.add(task)
                task.add_done_callback(self._trading.discard)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def trade(self, wish: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        """Carry one alert out."""
        market = market_named(wish["market"])
        terms = Terms(
            side=Side.BUY,
            time_in_force=TimeInForce.FAK,
            price=Decimal(wish["price"]),
            size=Decimal(wish["size"]),
        )
        signed = await self._account.sign(terms, market, market.tokens[0].token_id, None)
        async with self._pool.connection() as connection:
            row = (wish["id"], signed.order_hash, signed.payload)
            await connection.execute(ORDER_INSERT, row)
        writer.write(http(200, {"signal_id": wish["id"]}))
        answer = await self._account.submit(signed.payload)
        async with self._pool.connection() as connection:
            await connection.execute(ORDER_UPDATE, (answer.answer.value, wish["id"]))


async def run(port: int, clob_url: str) -> None:
    """Serve until the process is ended."""
    pool: Pool = AsyncConnectionPool(
        os.environ["BENCH_DATABASE"], min_size=10, max_size=10, open=False
    )
    async with pool, account_on_bench(clob_url) as account:
        floor = Floor(pool, account)
        server = await asyncio.start_server(floor.serve, HOST, port)
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(run(int(sys.argv[1]), sys.argv[2]))

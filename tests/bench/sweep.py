"""A guardian's sweep of many positions, and beside it its one statement and the parsing alone.

`python -m tests.bench.sweep URL` (of an empty database) prints one JSON object.
"""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from statistics import median
from typing import Any, Final

import psycopg
from temporalio.testing import ActivityEnvironment

from activities.orders import Desk
from activities.sweep import SweepActivities, SweepTask
from domain.stop import StopRule
from infra.clock import monotonic_seconds, utc_now
from infra.store.accounts import Accounts
from infra.store.database import open_database
from infra.store.guardians import Guardians
from infra.store.migrate import migrate
from tests.bench.market import account_on_bench
from tests.store.making import WIDE
from tests.workflows.calls import Calls

POSITIONS: Final = 10_000
TIMES: Final = 5
LEVELS: Final = 30  # on each side of a book
PAGE: Final = 500
HOST: Final = "127.0.0.1"

FILL: Final = """
INSERT INTO holdfast.accounts (id, state, wallet, signature_type, created_at)
VALUES ('main', 'running', '0x', 3, now());
INSERT INTO holdfast.markets (condition_id, slug, question, neg_risk, tick_size, min_size, fee_rate,
    fee_exponent, accepting_orders, closed, listed_at, updated_at)
SELECT 'c' || n, 'market-' || n, '', false, 0.01, 5, 0, 1, true, false, now(), now()
FROM generate_series(1, {n}) n;
INSERT INTO holdfast.tokens (token_id, condition_id, outcome, position)
SELECT n::text, 'c' || n, 'Yes', 0 FROM generate_series(1, {n}) n;
INSERT INTO holdfast.positions (id, account_id, token_id, condition_id, status, size, cost_usd,
    average_price, cash_usd, fees_usd, realised_pnl_average, realised_pnl_fifo, lots_opened,
    current_sl, current_tp)
SELECT 'p' || n, 'main', n::text, 'c' || n, 'open', 40, 20, 0.5, -20, 0, 0, 0, 1, 0.4, 0.8
FROM generate_series(1, {n}) n;
INSERT INTO holdfast.protections (id, position_id, kind, price, size, n, status, created_at)
SELECT 'p' || n || ':' || short, 'p' || n, kind, price, 40, 1, status, now()
FROM generate_series(1, {n}) n, (VALUES ('sl', 'stop_loss', 0.4, 'armed'),
    ('tp', 'take_profit', 0.8, 'resting')) kinds(short, kind, price, status);
INSERT INTO holdfast.orders (order_hash, intent_id, account_id, token_id, condition_id, side, type,
    time_in_force, post_only, source, state, price, size, filled_size, matched_size, workflow_id,
    trace_id, attempts, last_sent_at, was_duplicate, created_at)
SELECT '0x' || n, 'p' || n || ':tp', 'main', n::text, 'c' || n, 'SELL', 'take_profit', 'GTC', false,
    'order_monitor', 'LIVE', 0.8, 40, 0, 0, '', '', 1, now() - interval '1 hour', false, now()
FROM generate_series(1, {n}) n;
ANALYZE;
"""


async def no_limits(account_id: str) -> None:
    """Nothing trips."""
    del account_id


class Exchange:
    """Answers with every order of ours live, and with a book for each token."""

    def __init__(self, positions: int) -> None:
        self.calls: list[str] = []
        self._books: dict[bytes, bytes] = {}
        orders = [self._order(n) for n in range(1, positions + 1)]
        starts = range(0, positions, PAGE)
        nexts = [*(str(number) for number in range(1, len(starts))), "LTE="]
        self._pages = [
            json.dumps({"data": orders[start : start + PAGE], "next_cursor": following}).encode()
            for start, following in zip(starts, nexts, strict=True)
        ]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer on one connection until it is closed."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                method, target, _ = head.split(" ", 2)
                length = next(
                    (int(line[15:]) for line in head.lower().split("\r\n") if line[:15] == LENGTH),
                    0,
                )
                body = self.answer(method, target, await reader.readexactly(length))
                told = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{LENGTH} {len(body)}"
                writer.write(told.encode() + b"\r\n\r\n" + body)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def answer(self, method: str, target: str, body: bytes) -> bytes:
        """Return the JSON of one answer."""
        self.calls.append(f"{method} {target.partition('?')[0]}")
        if method == "POST":
            if body not in self._books:
                self._books[body] = books([one["token_id"] for one in json.loads(body)])
            return self._books[body]
        return self._pages[int(target.rpartition("next_cursor=")[2]) if "?" in target else 0]

    @staticmethod
    def _order(n: int) -> dict[str, Any]:
        return {
            "id": f"0x{n}",
            "asset_id": str(n),
            "side": "SELL",
            "price": "0.8",
            "original_size": "40",
            "size_matched": "0",
            "status": "LIVE",
        }


LENGTH: Final = "content-length:"


def books(token_ids: list[str]) -> bytes:
    """Return books as the exchange writes them."""
    bids = [{"price": f"0.{20 + n}", "size": "100"} for n in range(LEVELS)]
    asks = [{"price": f"0.{80 - n}", "size": "100"} for n in range(LEVELS)]
    return json.dumps(
        [
            {"asset_id": one, "bids": bids, "asks": asks, "last_trade_price": "0.5"}
            for one in token_ids
        ]
    ).encode()


@asynccontextmanager
async def served(positions: int) -> AsyncGenerator[tuple[str, Exchange]]:
    """Serve the exchange in this process: its answers are made before they are timed."""
    exchange = Exchange(positions)
    server = await asyncio.start_server(exchange.serve, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield f"http://{HOST}:{port}", exchange


async def measured(url: str, positions: int) -> dict[str, Any]:
    """Return milliseconds of a sweep and of its floor, and how many calls a sweep makes."""
    migrate(url)
    async with await psycopg.AsyncConnection[Any].connect(url, autocommit=True) as database:
        await database.execute(FILL.format(n=positions).encode())
    engine = open_database(url)
    async with served(positions) as (address, exchange), account_on_bench(address) as account:
        sweeps = SweepActivities(
            desks={"main": Desk(exchange=account, exits=account, limits=WIDE)},
            stops={"main": StopRule()},
            accounts=Accounts(engine),
            guardians=Guardians(engine),
            workflows=Calls(),
            check_limits=no_limits,
            clock=utc_now,
        )
        times, floors, asked = list[float](), list[float](), 0
        for _ in range(TIMES + 1):
            exchange.calls.clear()
            began = monotonic_seconds()
            swept = await ActivityEnvironment().run(sweeps.sweep, SweepTask(account_id="main"))
            times.append((monotonic_seconds() - began) * 1000)
            assert (swept.sweep.is_whole, swept.repair_count) == (True, 0), swept
            floors.append(await floor(engine, exchange, positions))
            asked = sum(call == "POST /books" for call in exchange.calls)
    await engine.dispose()
    return {
        "positions": positions,
        "product": median(times[1:]),  # the first makes the answers
        "floor": median(floors[1:]),
        "worst": max(times[1:]),
        "book_calls": asked,
    }


async def floor(engine: Any, exchange: Exchange, positions: int) -> float:
    """Return the milliseconds of the statement, and of reading the answers as JSON."""
    hashes = [f"0x{n}" for n in range(1, positions + 1)]
    bodies = [
        books([str(n) for n in range(start, start + PAGE)]) for start in range(1, positions, PAGE)
    ]
    bodies += [exchange.answer("GET", f"/?next_cursor={n}", b"") for n in range(len(bodies))]
    began = monotonic_seconds()
    await Guardians(engine).seen("main", hashes)
    for body in bodies:
        json.loads(body)
    return (monotonic_seconds() - began) * 1000


def main() -> None:
    """Measure once and print it."""
    positions = int(sys.argv[2]) if len(sys.argv) > 2 else POSITIONS
    sys.stdout.write(json.dumps(asyncio.run(measured(sys.argv[1], positions))))


if __name__ == "__main__":
    main()

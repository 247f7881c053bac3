"""What a user may rely on as the tables grow: no question reads a whole one."""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.market import Market
from domain.risk import AccountState
from infra.clock import utc_now
from infra.store.database import open_database, transaction
from infra.store.fills import Fills
from infra.store.markets import Markets
from infra.store.orders import Orders
from infra.store.reads import RESOURCES, Asked, Reads
from infra.store.signals import Signals
from infra.store.stakes import exposure, stakes
from infra.store.stories import earned, why
from infra.store.unfinished import Unfinished
from tests.store.making import ACCOUNT, NOW, WIDE, a_market, an_order

pytestmark = pytest.mark.services

ROWS = 10_000
BIG = {"signals", "orders", "fills", "positions", "events", "outbox"}
FILL = (
    """
    INSERT INTO accounts (id, state, wallet, signature_type, created_at)
    SELECT 'second', 'RUNNING', 'w', 0, now() WHERE :rows > 0
    """,
    """
    INSERT INTO signals (id, source, external_id, received_at, status, action, raw_payload,
        body_digest, repeats, is_unproven, account_id, trace_id, updated_at)
    SELECT 's' || n, 'tradingview', 'e' || n, now() - n * interval '1 minute',
        (ARRAY['processed', 'denied'])[1 + n % 2], 'BuyMarket', '{}', 'd' || n, 0, false,
        CASE WHEN n % 100 = 0 THEN 'second' ELSE 'main' END, 't' || n,
        now() - n * interval '1 minute'
    FROM generate_series(1, :rows) AS n
    """,
    """
    INSERT INTO orders (order_hash, intent_id, account_id, token_id, condition_id, side, type,
        time_in_force, post_only, source, state, price, size, filled_size, matched_size, signal_id,
        workflow_id, trace_id, attempts, was_duplicate, created_at, updated_at)
    SELECT '0x' || n, 'i' || n, CASE WHEN n % 100 = 0 THEN 'second' ELSE 'main' END,
        'k' || n % 2000, 'c' || n % 2000, 'BUY', 'market', 'FAK',
        false, 'webhook', CASE WHEN n % 500 = 0 THEN 'LIVE' ELSE 'FILLED' END, 0.5, 10, 10, 10,
        's' || n, 'w' || n, 't' || n, 1, false, now() - n * interval '1 minute', now()
    FROM generate_series(1, :rows) AS n
    """,
    """
    INSERT INTO fills (trade_id, order_hash, account_id, token_id, condition_id, side, price, size,
        fee, fee_asset, share_fee, status, source, matched_at, seen_by, recorded_at)
    SELECT 'f' || n, '0x' || n, CASE WHEN n % 100 = 0 THEN 'second' ELSE 'main' END,
        'k' || n % 2000, 'c' || n % 2000, 'BUY', 0.5, 10, 0,
        'collateral', 0, CASE WHEN n % 500 = 0 THEN 'MATCHED' ELSE 'CONFIRMED' END, 'webhook',
        now() - n * interval '1 minute', 'stream', now()
    FROM generate_series(1, :rows) AS n
    """,
    """
    INSERT INTO positions (id, account_id, token_id, condition_id, status, size, cost_usd,
        average_price, cash_usd, fees_usd, realised_pnl_average, realised_pnl_fifo, lots_opened)
    SELECT 'p' || n, CASE WHEN n % 100 = 0 THEN 'second' ELSE 'main' END, 'k' || n, 'c' || n,
        'closed', 0, 0, 0, 0, 0, 0, 0, 1
    FROM generate_series(1, :rows) AS n
    """,
    """
    INSERT INTO events (at, kind, subject_kind, subject_id, account_id, signal_id, order_hash,
        position_id, trace_id, detail)
    SELECT now() - (:rows - n) * interval '1 minute',
        CASE WHEN n % 1000 = 0 THEN 'order.rejected' ELSE 'order.filled' END, 'order', '0x' || n,
        CASE WHEN n % 100 = 0 THEN 'second' ELSE 'main' END, 's' || n, '0x' || n, 'p' || n,
        't' || n, '{"attempt": 1}'
    FROM generate_series(1, :rows) AS n
    """,
    "INSERT INTO outbox (kind, payload) SELECT 'order.filled', '{}' FROM generate_series(1, :rows)",
)

Ask = Callable[[AsyncEngine], Awaitable[object]]
Told = tuple[str, Any]


@pytest.fixture
async def full(database_url: str) -> AsyncGenerator[AsyncEngine]:
    """A database in which a good deal has happened."""
    engine = open_database(database_url)
    async with transaction(engine) as connection:
        for statement in FILL:
            await connection.execute(text(statement), {"rows": ROWS})
    async with engine.connect() as connection:
        alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await alone.execute(text("ANALYZE"))
    await Markets(engine).replace(_markets(), NOW)
    yield engine
    await engine.dispose()


def _markets() -> list[Market]:
    return [a_market(f"m{number}") for number in range(20)]


@contextmanager
def heard(engine: AsyncEngine) -> Generator[list[Told]]:
    """Take down every statement that goes to the server."""
    told: list[Told] = []

    def hear(*arguments: Any) -> None:
        told.append((arguments[2], arguments[3]))

    event.listen(engine.sync_engine, "before_cursor_execute", hear)
    try:
        yield told
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", hear)


async def read_whole(engine: AsyncEngine, told: list[Told]) -> list[str]:
    """Return which big tables the server would read from end to end for these statements."""
    found: list[str] = []
    async with engine.connect() as connection:
        for statement, values in told:
            asked = f"EXPLAIN (FORMAT JSON) {statement}"
            plan = (await connection.exec_driver_sql(asked, values)).scalar_one()
            plan = json.loads(plan) if isinstance(plan, str) else plan
            found += [node.get("Relation Name", "") for node in _nodes(plan[0]["Plan"])]
    return [name for name in found if name in BIG]


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every node that reads a table from end to end, in whatever order."""
    is_sifted = "Scan" in plan["Node Type"] and "Filter" in plan and "Index Cond" not in plan
    if plan["Node Type"] == "Seq Scan" or (is_sifted and "Recheck Cond" not in plan):
        yield plan
    for below in plan.get("Plans", []):
        yield from _nodes(below)


def _page(kind: str, filters: dict[str, str] | None = None, limit: int = 50) -> Ask:
    return lambda engine: Reads(engine).page(kind, Asked(filters=filters or {}, limit=limit))


def _since(kind: str) -> Ask:
    moment = utc_now() - timedelta(hours=1)
    return lambda engine: Reads(engine).page(kind, Asked(since=moment, limit=50))


def _one(kind: str, identity: str) -> Ask:
    return lambda engine: Reads(engine).one(kind, identity)


def _why(identity: str) -> Ask:
    return lambda engine: why(Reads(engine), identity)


async def _second_page(engine: AsyncEngine, kind: str) -> None:
    reads = Reads(engine)
    first = await reads.page(kind, Asked(limit=50))
    await reads.page(kind, Asked(limit=50, cursor=first.next_cursor))


async def _stakes(engine: AsyncEngine) -> None:
    draft = an_order(account_id="second", token_id="k7", condition_id="c7")
    async with transaction(engine) as connection:
        await stakes(connection, "second", "k7")
        await exposure(connection, draft, AccountState.RUNNING, WIDE)


def _further(kind: str) -> Ask:
    return lambda engine: _second_page(engine, kind)


LISTED = ("signals", "orders", "fills", "positions", "events")
FILTERS = (
    ("signals", "external_id", "e7"),
    ("signals", "signal_id", "s7"),
    ("signals", "status", "error"),
    ("signals", "account", "second"),
    ("orders", "state", "LIVE"),
    ("orders", "signal_id", "s7"),
    ("orders", "intent_id", "i7"),
    ("orders", "token", "k7"),
    ("orders", "market", "m1"),
    ("orders", "account", "second"),
    ("fills", "order_hash", "0x7"),
    ("fills", "trade_id", "f7"),
    ("fills", "token", "k7"),
    ("fills", "signal_id", "s7"),
    ("fills", "market", "m1"),
    ("positions", "token", "k7"),
    ("positions", "market", "m1"),
    ("fills", "account", "second"),
    ("events", "account", "second"),
    ("events", "kind", "order.rejected"),
    ("events", "subject", "0x7"),
    ("events", "signal_id", "s7"),
    ("events", "order_hash", "0x7"),
    ("events", "position_id", "p7"),
    ("events", "trace_id", "t7"),
)
NAMED = (
    ("signals", "s7"),
    ("signals", "e7"),
    ("orders", "0x7"),
    ("orders", "i7"),
    ("fills", "f7"),
    ("positions", "p7"),
    ("events", "7"),
    ("events", "not a number"),
)
ASKED: dict[str, Ask] = {
    **{f"newest {kind}": _page(kind) for kind in LISTED},
    **{f"older {kind}": _further(kind) for kind in LISTED},
    **{f"{kind} of the last hour": _since(kind) for kind in LISTED},
    **{f"{kind} by {name}": _page(kind, {name: value}) for kind, name, value in FILTERS},
    **{f"one of {kind}, {identity}": _one(kind, identity) for kind, identity in NAMED},
    **{f"the story of {identity}": _why(identity) for identity in ("s7", "e7", "0x7", "p7", "t7")},
    "what is at stake": _stakes,
    "what waits to be started": lambda engine: Signals(engine).waiting(utc_now(), 1, 100),
    "signals that should be worked": lambda engine: Unfinished(engine=engine).signals(),
    "orders that should be worked": lambda engine: Unfinished(engine=engine).orders(),
    "an order by its hash": lambda engine: Orders(engine, None).by_hash("0x7"),
    "an order by its intent": lambda engine: Orders(engine, None).by_intent("i7"),
    "open orders": lambda engine: Orders(engine, None).open_orders(ACCOUNT),
    "unsettled trades": lambda engine: Fills(engine, _pass).unsettled(ACCOUNT),
    "tokens held": lambda engine: Fills(engine, _pass).open_tokens(ACCOUNT),
}


async def _pass(name: str) -> None:
    del name


async def test_no_question_reads_a_whole_table(full: AsyncEngine) -> None:
    whole: dict[str, list[str]] = {}
    for name, ask in ASKED.items():
        with heard(full) as told:
            await ask(full)
        assert told, name
        if found := await read_whole(full, told):
            whole[name] = found

    assert whole == {}


async def test_what_is_shown_costs_as_many_statements_for_many_rows_as_for_few(
    full: AsyncEngine,
) -> None:
    async def counted(ask: Ask) -> int:
        with heard(full) as told:
            await ask(full)
        return len(told)

    few = await counted(_why("s7"))
    async with transaction(full) as connection:
        await connection.execute(text("UPDATE orders SET signal_id = 's7' WHERE token_id = 'k9'"))
        await connection.execute(text("DELETE FROM positions WHERE id > 'p12'"))

    assert await counted(_why("s7")) == few
    assert await counted(lambda engine: earned(Reads(engine), "main")) == 1
    for kind in RESOURCES:
        for limit in (1, 200):
            assert await counted(_page(kind, limit=limit)) == 1

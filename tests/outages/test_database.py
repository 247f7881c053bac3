"""What happens to the database costs time, never a row: on a server that flushes its commits."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from decimal import Decimal

import psycopg
import pytest
from sqlalchemy import text
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput
from typing_extensions import override

from domain.answer import Answer, Submission
from domain.errors import UnavailableError
from domain.fill import FillStatus, SeenBy
from domain.order import Order, OrderState, Side
from domain.risk import AccountState
from infra.clock import monotonic_seconds
from infra.settings import SettingsError, TemporalSettings
from infra.store import database as module
from infra.store.accounts import Accounts
from infra.store.database import open_database, transaction, urgently
from infra.store.durability import risks
from infra.store.fills import Fills
from infra.store.orders import Orders
from infra.store.sealing import Cipher
from tests.api.conftest import Stack, free_port, running, settings_for
from tests.outages.durable import Server, within
from tests.proxy import Link, Mode
from tests.store.making import KEY, NOW, WIDE, a_fill, an_order, later, one, rows
from workers.trading import demand_durability
from workers.urgency import ExitsFirst, is_urgent

pytestmark = pytest.mark.services

LARGEST_FILE = 2_000_000  # more than the catalogue's files and less than what the test writes
# Fills the inbox's table row by row, each short enough to lie in the table's own file.
FILL = """
    DO $$ BEGIN
        FOR n IN 1..5000 LOOP
            BEGIN
                INSERT INTO holdfast.signals (id, source, body_digest, received_at, status,
                    raw_payload, repeats, is_unproven, trace_id)
                VALUES ('filler-' || n, 'filler', n::text, now(), 'processed',
                    convert_to(repeat('x', 1500), 'UTF8'), 0, false, 'trace-' || n);
            EXCEPTION WHEN internal_error THEN EXIT;
            END;
        END LOOP;
    END $$
"""


async def bought(orders: Orders, fills: Fills, size: int = 10) -> Order:
    """Return an order of ours whose shares are held and settled."""
    order = await orders.admit(an_order(size=Decimal(size)), b"signed", WIDE)
    assert isinstance(order, Order)
    await fills.record(a_fill(size=Decimal(size)), SeenBy.STREAM, NOW)
    async with transaction(orders.engine) as connection:
        await connection.execute(text("UPDATE fills SET status = 'CONFIRMED'"))
    return order


@pytest.fixture
async def door(database_url: str) -> AsyncGenerator[Stack]:
    """The API on this database; Temporal is away, which is no business of the inbox."""
    nowhere = TemporalSettings(address=f"127.0.0.1:{free_port()}")
    async with running(settings_for(database_url, nowhere)) as made:
        yield made


async def test_e1_a_transaction_whose_backend_is_ended_leaves_nothing_and_works_when_run_again(
    orders: Orders, fills: Fills
) -> None:
    await orders.admit(an_order(), b"signed", WIDE)
    engine = fills.engine

    async def end_backends(name: str) -> None:
        if name == "fill.mid_tx":
            await one(
                ended, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'holdfast'"
            )  # fmt: skip

    ended = open_database(engine.url.render_as_string(hide_password=False), application_name="x")
    cut = Fills(engine, end_backends)
    with pytest.raises(UnavailableError):
        await cut.record(a_fill(), SeenBy.STREAM, NOW)

    assert await rows(engine, "SELECT 1 FROM fills UNION ALL SELECT 1 FROM positions") == []
    assert (await fills.record(a_fill(), SeenBy.POLL, NOW)).is_new
    assert await one(engine, "SELECT size FROM positions") == Decimal(4)
    assert await one(engine, "SELECT count(*) FROM events WHERE kind = 'fill.recorded'") == 1
    await ended.dispose()


async def test_e3_what_was_answered_survives_a_server_that_stops_at_once(
    door: Stack, server: Server
) -> None:
    pings = [{"action": "PING", "id": f"e3-{n}"} for n in range(20)]
    answers = await asyncio.gather(*(door.post(ping) for ping in pings))
    await asyncio.to_thread(server.stop_immediately)
    away = await door.post({"action": "PING", "id": "away"})
    await asyncio.to_thread(server.start)

    assert [answer.status_code for answer in answers] == [202] * 20
    assert away.status_code == 503
    acked = {answer.json()["signal_id"] for answer in answers}
    assert {row["id"] for row in door.signals()} == acked

    async def is_back() -> bool:
        return (await door.post({"action": "PING", "id": "back"})).status_code in {200, 202}

    await within(30, is_back)


async def test_e3_a_session_flushes_its_commits_whatever_the_servers_default_is(
    accounts: Accounts,
) -> None:
    name = await one(accounts.engine, "SELECT current_database()")
    async with accounts.engine.begin() as connection:
        await connection.exec_driver_sql(f"ALTER DATABASE {name} SET synchronous_commit = off")
    fresh = open_database(accounts.engine.url.render_as_string(hide_password=False))
    assert await one(fresh, "SHOW synchronous_commit") == "on"
    assert await risks(fresh) is None
    await fresh.dispose()
    async with accounts.engine.begin() as connection:
        await connection.exec_driver_sql(f"ALTER DATABASE {name} RESET synchronous_commit")


async def test_e3_a_server_that_may_forget_commits_is_not_ready_and_nothing_trades_on_it(
    door: Stack, server: Server
) -> None:
    ready = (await door.http.get("/readyz")).json()["parts"]
    assert ready["durability"] == "ok"
    with psycopg.connect(f"{server.url}/postgres", autocommit=True) as admin:
        admin.execute("ALTER SYSTEM SET full_page_writes = off")
        admin.execute("SELECT pg_reload_conf()")
    try:

        async def is_told() -> bool:
            answer = await door.http.get("/readyz")
            return "full_page_writes = off" in answer.json()["parts"]["durability"]

        await within(30, is_told)
        assert (await door.http.get("/readyz")).status_code == 503
        with pytest.raises(SettingsError, match="full_page_writes = off; set each to on"):
            await demand_durability(door.parts.database)
    finally:
        with psycopg.connect(f"{server.url}/postgres", autocommit=True) as admin:
            admin.execute("ALTER SYSTEM RESET full_page_writes")
            admin.execute("SELECT pg_reload_conf()")


async def test_e5_a_fill_that_a_stranger_deadlocks_with_is_recorded_whole(
    orders: Orders, fills: Fills
) -> None:
    order = await bought(orders, fills)
    second = a_fill("t2", order, size=Decimal(1))
    holds = asyncio.Event()

    async def go_on(name: str) -> None:
        if name == "fill.mid_tx":  # the position is locked; the order comes next
            holds.set()

    async def stranger() -> None:
        """Lock in the wrong order, as somebody at a prompt might."""
        async with fills.engine.begin() as connection:
            await connection.execute(text("SELECT 1 FROM orders FOR UPDATE"))
            await holds.wait()
            await connection.execute(text("SET LOCAL deadlock_timeout = '60s'"))  # not the victim
            await connection.execute(text("SELECT 1 FROM positions FOR UPDATE"))

    blocking = asyncio.create_task(stranger())
    recorded = await Fills(fills.engine, go_on).record(second, SeenBy.STREAM, later(1))
    await blocking

    assert recorded.is_new
    assert await one(fills.engine, "SELECT count(*) FROM fills") == 2
    assert await one(fills.engine, "SELECT size FROM positions") == Decimal(11)


REFUSE_TWICE = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF nextval('tries') < 3 THEN
            RAISE EXCEPTION 'try again' USING ERRCODE = '40001';
        END IF;
        RETURN NEW;
    END $$
"""
WRITES = {
    "orders.begin_send": ("orders", "UPDATE"),
    "accounts.set_state": ("accounts", "UPDATE"),
    "signals.receive": ("signals", "INSERT"),
}


@pytest.mark.parametrize("name", WRITES)
async def test_e5_a_serialisation_failure_is_run_again_as_a_whole(
    orders: Orders, door: Stack, name: str
) -> None:
    table, kind = WRITES[name]
    order = await orders.admit(an_order(), b"signed", WIDE)
    assert isinstance(order, Order)
    async with orders.engine.begin() as connection:
        await connection.exec_driver_sql("CREATE SEQUENCE tries")
        await connection.exec_driver_sql(REFUSE_TWICE)
        await connection.exec_driver_sql(
            f"CREATE TRIGGER refuse BEFORE {kind} ON {table} FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
    try:
        if name == "orders.begin_send":
            assert (await orders.begin_send(order.order_hash, NOW)).payload == b"signed"
        elif name == "accounts.set_state":
            rows_of = Accounts(orders.engine)
            halted = await rows_of.set_state("main", AccountState.HALTED, reason="now")
            assert halted is AccountState.HALTED
        else:
            assert (await door.post({"action": "PING"})).status_code == 202
        assert await one(orders.engine, "SELECT last_value FROM tries") == 3
    finally:
        async with orders.engine.begin() as connection:
            await connection.exec_driver_sql("DROP FUNCTION refuse CASCADE")
            await connection.exec_driver_sql("DROP SEQUENCE tries")


async def test_e6_a_lock_that_is_held_is_told_in_time_and_a_sale_does_not_need_it(
    orders: Orders, fills: Fills, caplog: pytest.LogCaptureFixture
) -> None:
    held = await bought(orders, fills)
    sale = an_order("sale", side=Side.SELL, size=Decimal(5), token_id=held.token_id)
    async with fills.engine.begin() as holder:
        await holder.execute(text("SELECT 1 FROM positions FOR UPDATE"))
        began = monotonic_seconds()
        blocked = asyncio.create_task(
            fills.record(a_fill("t2", held, size=Decimal(1)), SeenBy.STREAM, NOW)
        )
        assert isinstance(await orders.admit(sale, b"sell", WIDE), Order)
        assert (await orders.begin_send(sale.order_hash, NOW)).payload == b"sell"
        live = await orders.answered(sale.order_hash, Submission(answer=Answer.LIVE), NOW)
        assert live.state is OrderState.LIVE
        with pytest.raises(UnavailableError, match="55P03"):
            await blocked
        assert 1.5 < monotonic_seconds() - began < 20
    assert "database.lock_timeout" in caplog.messages
    assert (await fills.record(a_fill("t2", held, size=Decimal(1)), SeenBy.POLL, NOW)).is_new


async def test_e7_entries_wait_in_vain_for_a_pool_that_hangs_and_an_exit_goes_past_them(
    database_url: str, orders: Orders, fills: Fills, caplog: pytest.LogCaptureFixture
) -> None:
    held = await bought(orders, fills)
    crowded = open_database(database_url)
    seven_hang = asyncio.Barrier(8)

    async def hang() -> None:
        async with transaction(crowded) as connection:
            await seven_hang.wait()
            await connection.execute(text("SELECT pg_sleep(60)"))

    hanging = [asyncio.create_task(hang()) for _ in range(7)]
    await seven_hang.wait()
    store = Orders(crowded, Cipher(KEY))
    with pytest.raises(UnavailableError, match="no database connection is free"):
        await store.by_hash(held.order_hash)
    sale = an_order("sale", side=Side.SELL, size=Decimal(5), token_id=held.token_id)
    with urgently():
        assert isinstance(await store.admit(sale, b"sell", WIDE), Order)
        assert (await store.begin_send(sale.order_hash, NOW)).payload == b"sell"

    assert "database.pool_exhausted" in caplog.messages
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    await crowded.dispose()


@pytest.mark.parametrize(
    ("workflow", "step", "expected"),
    [
        ("WorkOrder", "prepare", False),
        ("WorkOrder", "submit", False),
        ("WorkOrder", "cancel", True),
        ("HoldPosition", "prepare", True),
        ("HoldPosition", "submit", True),
        ("ExecuteSignal", "deliver_cancel", True),
    ],
)
async def test_e7_exits_and_cancels_use_the_reserved_connections_and_entries_do_not(
    workflow: str, step: str, *, expected: bool
) -> None:
    seen: list[bool] = []

    class Inner(ActivityInboundInterceptor):
        def __init__(self) -> None:
            """There is nothing further in."""

        @override
        async def execute_activity(self, input: ExecuteActivityInput) -> None:
            seen.append(module.is_urgent_now())

    environment = ActivityEnvironment()
    environment.info = replace(environment.info, workflow_type=workflow, activity_type=step)
    placed = ExitsFirst().intercept_activity(Inner())
    call = ExecuteActivityInput(fn=len, args=[], executor=None, headers={})
    await environment.run(placed.execute_activity, call)
    assert seen == [expected] == [is_urgent(workflow, step)]


async def test_e8_a_full_disk_is_told_stores_no_half_and_ends_by_itself(
    door: Stack, server: Server
) -> None:
    sent: list[int] = []
    with server.full_disk(LARGEST_FILE):
        door.run(FILL)
        for number in range(10):
            ping = {"action": "PING", "id": f"e8-{number}", "comment": "y" * 1_500}
            sent.append((await door.post(ping)).status_code)
        stored = door.rows("SELECT id FROM holdfast.signals WHERE source <> 'filler'")
        told = door.rows("SELECT signal_id FROM holdfast.events WHERE kind = 'signal.received'")
    assert sent[-3:] == [503] * 3
    assert len(stored) == sent.count(202)
    assert {row["id"] for row in stored} == {row["signal_id"] for row in told}

    assert (await door.post({"action": "PING", "id": "space again"})).status_code == 202


async def test_an_answer_that_never_comes_is_a_lost_connection_not_a_wait_without_end(
    linked_url: str, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.5)
    engine = open_database(linked_url)
    assert await one(engine, "SELECT 1") == 1

    async def unheard() -> None:
        async with transaction(engine) as connection:
            await link.cut(Mode.DROP_ANSWERS)
            await connection.execute(text("SELECT 1"))

    async with asyncio.timeout(20):
        with pytest.raises(UnavailableError):
            await unheard()
        await link.heal()
        assert await one(engine, "SELECT 1") == 1
    await engine.dispose()


@pytest.mark.parametrize("fails_first", ["the purchase", "the sale"])
async def test_s5_a_purchase_that_fails_after_its_shares_were_sold_is_taken_back_aloud(
    orders: Orders, fills: Fills, caplog: pytest.LogCaptureFixture, fails_first: str
) -> None:
    held = await bought(orders, fills)
    sale = an_order("sale", side=Side.SELL, size=Decimal(10), token_id=held.token_id)
    await orders.admit(sale, b"sell", WIDE)
    purchase, sold = a_fill(size=Decimal(10)), a_fill("t2", sale, size=Decimal(10))
    await fills.record(sold, SeenBy.STREAM, later(1))
    async with transaction(orders.engine) as connection:
        await connection.execute(text("UPDATE fills SET status = 'MINED'"))
    assert await one(fills.engine, "SELECT size FROM positions") == 0
    failing = [purchase, sold] if fails_first == "the purchase" else [sold, purchase]

    await fills.record(replace(failing[0], status=FillStatus.FAILED), SeenBy.POLL, later(2))

    first_is_purchase = failing[0] is purchase
    size = await one(fills.engine, "SELECT size FROM positions")
    assert size == (Decimal(-10) if first_is_purchase else Decimal(10))  # what the exchange has
    assert ("position.short" in caplog.messages) == first_is_purchase
    again = an_order("again", side=Side.SELL, size=Decimal(5), token_id=held.token_id)
    free = await orders.funds(again.account_id, again.token_id, Decimal(0))
    assert free.free_shares == (Decimal(0) if first_is_purchase else Decimal(10))

    await fills.record(replace(failing[1], status=FillStatus.FAILED), SeenBy.POLL, later(3))

    [position] = await rows(fills.engine, "SELECT size, cash_usd, cost_usd FROM positions")
    assert set(position.values()) == {Decimal(0)}
    reversals = "SELECT count(*) FROM events WHERE kind = 'fill.reversed'"
    assert await one(fills.engine, reversals) == 2

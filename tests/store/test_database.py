"""What a caller sees when the database fails, and that nothing is half written then."""

import asyncio
import contextlib
import traceback
from decimal import Decimal

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.errors import InvariantError, UnavailableError
from domain.fill import SeenBy
from domain.order import Order
from infra.store.accounts import Accounts
from infra.store.database import ConflictError, open_database, retried, transaction
from infra.store.fills import Fills
from infra.store.orders import Orders
from infra.store.sealing import Cipher
from tests.store.making import ACCOUNT, KEY, NOW, WIDE, a_fill, an_order, one

pytestmark = pytest.mark.services

HUSH = "hush-hush"


async def test_a_session_carries_our_limits_and_name(database: AsyncEngine) -> None:
    async with transaction(database) as connection:
        for setting, value in (
            ("search_path", "holdfast"),
            ("TimeZone", "UTC"),
            ("statement_timeout", "4s"),
            ("lock_timeout", "2s"),
            ("application_name", "holdfast"),
        ):
            found = await connection.execute(text(f"SHOW {setting}"))
            assert found.scalar_one() == value


async def test_an_exception_undoes_the_whole_block(accounts: Accounts) -> None:
    async def fail() -> None:
        async with transaction(accounts.engine) as connection:
            await connection.execute(text("UPDATE accounts SET state = 'stopped'"))
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert await one(accounts.engine, "SELECT state FROM accounts") == "running"


async def test_a_connection_ended_midway_is_unavailable_and_writes_nothing(
    accounts: Accounts,
) -> None:
    engine = accounts.engine

    async def cut() -> None:
        async with transaction(engine) as connection:
            await connection.execute(text("UPDATE accounts SET state = 'stopped'"))
            pid = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
            assert await one(engine, f"SELECT pg_terminate_backend({pid})")
            await connection.execute(text("SELECT 1"))

    with pytest.raises(UnavailableError):
        await cut()
    assert await one(engine, "SELECT state FROM accounts") == "running"


async def test_connections_that_died_while_idle_are_replaced_unseen(orders: Orders) -> None:
    await asyncio.gather(*(orders.by_hash("0x1") for _ in range(5)))
    await one(
        orders.engine,
        "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    for _ in range(10):
        assert await orders.by_hash("0x1") is None


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    engine = open_database("postgresql://nobody@127.0.0.1:1/nothing")
    with pytest.raises(UnavailableError):
        await Orders(engine, Cipher(KEY)).by_hash("0x1")
    await engine.dispose()


async def test_a_row_locked_for_too_long_is_unavailable(accounts: Accounts) -> None:
    async with accounts.engine.begin() as holder:
        await holder.execute(text("SELECT 1 FROM accounts FOR UPDATE"))
        orders = Orders(accounts.engine, Cipher(KEY))
        with pytest.raises(UnavailableError, match="55P03"):
            await orders.admit(an_order(), b"", WIDE)


async def test_an_exhausted_pool_is_unavailable(database_url: str) -> None:
    engine = open_database(database_url, pool_size=1)
    async with engine.connect():
        with pytest.raises(UnavailableError, match="no database connection is free"):
            await Orders(engine, Cipher(KEY)).by_hash("0x1")
    await engine.dispose()


async def test_a_statement_that_hangs_is_unavailable(database: AsyncEngine) -> None:
    with pytest.raises(UnavailableError, match="57014"):
        async with transaction(database) as connection:
            await connection.execute(text("SELECT pg_sleep(60)"))


async def test_a_row_the_tables_refuse_is_a_bug(accounts: Accounts) -> None:
    with pytest.raises(InvariantError):
        async with transaction(accounts.engine) as connection:
            await connection.execute(text("INSERT INTO accounts SELECT * FROM accounts"))


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        pytest.param(
            "INSERT INTO accounts (id, state, wallet) VALUES ('x', :secret, '0x')",
            "accounts",
            id="check",
        ),
        pytest.param("SELECT CAST(:secret AS integer)", "22P02", id="not a number"),
        pytest.param("INSERT INTO accounts SELECT * FROM accounts", "accounts_pkey", id="key"),
    ],
)
async def test_a_refused_row_is_named_by_its_rule_and_never_quoted(
    accounts: Accounts, statement: str, told: str
) -> None:
    async with transaction(accounts.engine) as connection:
        await connection.execute(text("UPDATE accounts SET wallet = :secret"), {"secret": HUSH})
    with pytest.raises(InvariantError, match=told) as refused:
        async with transaction(accounts.engine) as connection:
            await connection.execute(text(statement), {"secret": HUSH})

    # All that logs and histories write of it: the causes, too.
    assert HUSH not in "".join(traceback.format_exception(refused.value))


async def test_a_lost_connection_does_not_quote_what_was_being_written(
    accounts: Accounts,
) -> None:
    fatal = text("SELECT pg_terminate_backend(pg_backend_pid()), CAST(:secret AS text)")
    with pytest.raises(UnavailableError) as lost:
        async with transaction(accounts.engine) as connection:
            await connection.execute(fatal, {"secret": HUSH})

    assert HUSH not in "".join(traceback.format_exception(lost.value))


async def test_one_of_two_that_block_each_other_is_told_and_succeeds_again(
    accounts: Accounts,
) -> None:
    engine = accounts.engine
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE pair AS SELECT 1 AS id UNION SELECT 2"))
    both_hold_one = asyncio.Barrier(2)
    tries: list[int] = []

    async def take(first: int, second: int) -> None:
        async with transaction(engine) as connection:
            tries.append(first)
            await connection.execute(text(f"SELECT 1 FROM pair WHERE id = {first} FOR UPDATE"))  # noqa: S608
            if len(tries) <= 2:
                await both_hold_one.wait()
            await connection.execute(text(f"SELECT 1 FROM pair WHERE id = {second} FOR UPDATE"))  # noqa: S608

    try:
        await asyncio.gather(retried(lambda: take(1, 2)), retried(lambda: take(2, 1)))
    finally:
        async with engine.begin() as connection:
            await connection.execute(text("DROP TABLE pair"))
    assert len(tries) >= 3  # on a busy machine both may be told


async def test_a_conflict_that_never_ends_is_told_after_five_tries() -> None:
    tries: list[int] = []

    async def fail() -> None:
        tries.append(1)
        raise ConflictError("again")

    with pytest.raises(UnavailableError):
        await retried(fail)
    assert len(tries) == 5


async def test_backends_ended_at_random_never_lose_or_double_a_fill(
    orders: Orders, fills: Fills, database_url: str
) -> None:
    order = await orders.admit(an_order(size=Decimal(200)), b"", WIDE)
    assert isinstance(order, Order)
    left = [a_fill(f"t{n}", order, size=Decimal(10)) for n in range(20)]
    killer = open_database(database_url, application_name="killer")

    async def kill() -> None:
        while True:
            await one(
                killer,
                "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
                " WHERE application_name = 'holdfast' AND datname = current_database()"
                " AND pid % 3 = 0",
            )
            await asyncio.sleep(0.05)

    async def insist(index: int) -> None:
        while True:
            with contextlib.suppress(UnavailableError):
                await fills.record(left[index], SeenBy.STREAM, NOW)
                return

    killing = asyncio.create_task(kill())
    await asyncio.gather(*(insist(index) for index in range(20)))
    killing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await killing
    await killer.dispose()
    assert await one(fills.engine, "SELECT size FROM positions") == Decimal(200)
    assert await one(fills.engine, "SELECT count(*) FROM fills") == 20
    recorded = "SELECT count(*) FROM events WHERE kind = 'fill.recorded'"
    assert await one(fills.engine, recorded) == 20
    assert await fills.open_tokens(ACCOUNT) == [order.token_id]

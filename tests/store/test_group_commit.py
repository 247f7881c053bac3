"""Who comes while a write is under way shares the next; nobody waits for ever or is lost."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import psycopg
import pytest

from domain.errors import InvariantError, UnavailableError
from infra.store.database import plain_session
from infra.store.group_commit import BATCH, LONGEST_LINE, Connection, GroupCommit

pytestmark = pytest.mark.services

Write = Callable[[Connection, Sequence[int]], Awaitable[Sequence[int]]]


def line(url: str, write: Write) -> GroupCommit[int, int]:
    async def connect() -> Connection:
        return await plain_session(url, application_name="line")

    return GroupCommit[int, int](connect, write)


class Gate:
    """Writes nothing, and not before it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.open = asyncio.Event()
        self.entered = asyncio.Event()

    async def __call__(self, _: Connection, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.entered.set()
        await self.open.wait()
        return [item * 10 for item in items]


async def test_who_comes_meanwhile_shares_the_next_write(database_url: str) -> None:
    gate = Gate()
    writes = line(database_url, gate)
    first = asyncio.create_task(writes.do(0))
    await gate.entered.wait()
    rest = [asyncio.create_task(writes.do(n)) for n in range(1, 101)]
    await asyncio.sleep(0.01)
    gate.open.set()
    assert await asyncio.gather(first, *rest) == [n * 10 for n in range(101)]
    assert gate.batches == [
        [0],
        list(range(1, BATCH + 1)),
        list(range(BATCH + 1, 101)),
    ]
    await writes.close()


async def test_a5_a_full_line_is_refused_and_nothing_of_it_written(database_url: str) -> None:
    gate = Gate()
    writes = line(database_url, gate)
    tasks = [asyncio.create_task(writes.do(n)) for n in range(LONGEST_LINE)]
    await asyncio.sleep(0)
    with pytest.raises(UnavailableError):
        await writes.do(-1)
    gate.open.set()
    await asyncio.gather(*tasks)
    assert -1 not in [item for batch in gate.batches for item in batch]
    await writes.close()


async def test_a5_who_waited_too_long_is_taken_out_of_the_line(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.store.group_commit.WAIT_SECONDS", 0.05)
    gate = Gate()
    writes = line(database_url, gate)
    taken = asyncio.create_task(writes.do(0))
    await gate.entered.wait()
    async with asyncio.timeout(20):
        with pytest.raises(UnavailableError):
            await writes.do(1)
    gate.open.set()
    assert await taken == 0  # its write had begun: it has its outcome, however late
    assert await writes.do(2) == 20
    assert gate.batches == [[0], [2]]
    await writes.close()


async def test_a_connection_that_broke_at_rest_costs_nobody_anything(database_url: str) -> None:
    async def write(connection: Connection, items: Sequence[int]) -> list[int]:
        await connection.execute("SELECT 1")
        return list(items)

    writes = line(database_url, write)
    assert await writes.do(1) == 1
    with psycopg.connect(database_url, autocommit=True) as admin:
        ended = admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'line' AND datname = current_database()"
        )
        assert len(ended.fetchall()) == 1
    assert await writes.do(2) == 2
    await writes.close()


async def test_a_row_that_is_refused_fails_alone(database_url: str) -> None:
    async def write(connection: Connection, items: Sequence[int]) -> list[int]:
        await connection.execute("SELECT 1 / (n - 13) FROM unnest(%s::int[]) AS n", [list(items)])
        return list(items)

    writes = line(database_url, write)
    told = await asyncio.gather(*(writes.do(n) for n in range(10, 16)), return_exceptions=True)
    assert [one for one in told if not isinstance(one, BaseException)] == [10, 11, 12, 14, 15]
    assert isinstance(told[3], InvariantError)
    await writes.close()

"""An exchange that answers nonsense to everything is told of once, halts nobody, and heals."""

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.answer import Answer
from domain.breaker import PROBE_EVERY, CallGroup
from domain.errors import BusyError, HoldfastError, UnavailableError
from domain.order import Side
from infra.exchanges.gate import Gate
from infra.exchanges.polymarket.client import PolymarketAccount
from infra.exchanges.polymarket.connection import GARBLED_AFTER
from infra.exchanges.polymarket.limits import PolymarketLimits
from infra.store.breakers import Breakers
from infra.store.database import transaction
from tests.exchanges.scripted import YES, Reply, ScriptedServer, account_on, says, scripted_server
from tests.exchanges.test_gate import DELETE, HASH, POST, Clock, send

pytestmark = pytest.mark.services

NONSENSE = {
    "a page of HTML": Reply(
        body=b"<html>maintenance</html>", headers={"Content-Type": "text/html"}
    ),
    "half an answer": Reply(body=b'{"data": [{"id": "0x', cut=3),
    "a broken gateway": Reply(status=502, body=b"<html>bad gateway</html>"),
}


@dataclass
class Room:
    """An account on a garbled exchange, its breakers in a database, and who was told of a halt."""

    server: ScriptedServer
    account: PolymarketAccount
    clock: Clock
    database: AsyncEngine
    halted: list[str] = field(default_factory=list[str])

    async def notices(self) -> list[tuple[str, str]]:
        query = text("SELECT kind, payload->>'group' FROM holdfast.outbox ORDER BY seq")
        async with transaction(self.database) as connection:
            rows: list[Any] = list((await connection.execute(query)).all())
        return [(str(kind), str(group)) for kind, group in rows]

    async def everything(self) -> None:
        """Do a little of all that an engine does; what fails must fail as what it is."""
        for act in (
            self.account.active_orders(),
            self.account.fills(),
            self.account.collateral_usd(),
            self.account.cancel(HASH),
            self.account.cancel_all(),
        ):
            with pytest.raises((UnavailableError, BusyError)):
                await act
        for side in Side:
            assert (await send(self.account, side)).answer in {Answer.UNKNOWN, Answer.BUSY}


@pytest_asyncio.fixture(params=NONSENSE)
async def room(database: AsyncEngine, request: pytest.FixtureRequest) -> AsyncIterator[Room]:
    clock, halted = Clock(), list[str]()

    async def barred(account_id: str, _: str) -> None:
        halted.append(account_id)

    gate = Gate(PolymarketLimits(), Breakers(database), barred, clock)
    async with scripted_server() as server, account_on(server.address, gate=gate) as account:
        server.otherwise = NONSENSE[request.param]
        yield Room(server, account, clock, database, halted)


async def test_nonsense_to_everything_is_told_once_for_each_group_of_calls_and_heals(
    room: Room,
) -> None:
    for _ in range(8):
        await room.everything()
        room.clock.pass_seconds(1)
    groups = {CallGroup.ENTRIES, CallGroup.EXITS, CallGroup.CANCELS, CallGroup.READS}
    assert sorted(await room.notices()) == sorted(("circuit.opened", one.value) for one in groups)
    assert room.halted == []

    room.server.script("GET /data/orders", says({"data": [], "next_cursor": "LTE="}))
    room.server.script(DELETE, says({"canceled": [HASH], "not_canceled": {}}))
    room.server.script(POST, says({"error": "invalid nonce"}, 400))
    room.clock.pass_seconds(PROBE_EVERY.total_seconds())
    assert await room.account.active_orders() == []
    assert (await room.account.cancel(HASH)).is_cancelled
    for side in Side:
        assert (await send(room.account, side)).answer is Answer.REJECTED

    closed = [group for kind, group in await room.notices() if kind == "circuit.closed"]
    assert sorted(closed) == sorted(one.value for one in groups)
    assert room.halted == []


@pytest.mark.parametrize("raw", ['{"maintenance": true}', "[]", '"come back later"', "null"])
async def test_well_formed_nonsense_is_cried_out_once_and_its_end_is_told(
    caplog: pytest.LogCaptureFixture, raw: str
) -> None:
    async with scripted_server() as server, account_on(server.address) as account:
        server.otherwise = Reply(body=raw.encode(), headers={"Content-Type": "application/json"})
        with caplog.at_level(logging.WARNING):
            for _ in range(2 * GARBLED_AFTER):
                with pytest.raises(HoldfastError):
                    await account.collateral_usd()
            server.script("GET /balance-allowance", says({"balance": "5000000"}))
            assert await account.shares(YES) == 5
        cries = [one.message for one in caplog.records if one.levelno >= logging.CRITICAL]
        assert cries == ["exchange.garbled"]
        assert "exchange.understood_again" in caplog.messages


async def test_one_odd_answer_among_good_ones_cries_out_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    good, odd = says({"balance": "5000000"}), says({"balance": "5.0"})
    async with scripted_server() as server, account_on(server.address) as account:
        server.script("GET /balance-allowance", *([odd, good] * GARBLED_AFTER))
        for _ in range(GARBLED_AFTER):
            with pytest.raises(UnavailableError):
                await account.collateral_usd()
            assert await account.collateral_usd() == 5
        assert account.unreadable == GARBLED_AFTER
        assert not [one for one in caplog.records if one.levelno >= logging.CRITICAL]

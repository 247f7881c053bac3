"""Two workers on one database are of one mind about what may be sent, and so is a new one."""

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.answer import Answer
from infra.exchanges.gate import Gate
from infra.exchanges.polymarket.limits import PolymarketLimits
from infra.store.breakers import Breakers
from tests.exchanges.scripted import account_on, scripted_server
from tests.exchanges.test_gate import BROKEN, POST, Clock, asked, fail, send

pytestmark = pytest.mark.services


async def test_what_one_worker_opens_holds_for_a_new_one_and_one_of_them_probes(
    database: AsyncEngine,
) -> None:
    clock = Clock()
    first, second = (Gate(PolymarketLimits(), Breakers(database), clock=clock) for _ in range(2))
    async with (
        scripted_server() as server,
        account_on(server.address, gate=first) as one,
        account_on(server.address, gate=second) as other,
    ):
        server.script(POST, BROKEN)
        await fail(one)
        await second.circuits.refresh()
        assert (await send(other)).answer is Answer.BUSY
        assert asked(server, POST) == 5

        clock.pass_seconds(60)
        tried = await asyncio.gather(send(one), send(other))
        assert {sent.answer for sent in tried} == {Answer.UNKNOWN, Answer.BUSY}
        assert asked(server, POST) == 6

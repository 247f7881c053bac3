"""An exchange that keeps failing is left alone for a while; what protects is tried all the time."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from domain.answer import Answer, Submission
from domain.breaker import FAILURES
from domain.errors import CircuitOpenError, RejectedError, UnavailableError
from domain.order import Side
from infra.exchanges.gate import Gate
from infra.exchanges.polymarket.client import PolymarketAccount
from infra.exchanges.polymarket.limits import PolymarketLimits
from infra.store.breakers import Breakers
from tests.exchanges.scripted import MARKET, YES, Reply, ScriptedServer, account_on, says, terms
from tests.exchanges.test_sending import accepted

HASH = "0x" + "a1" * 32
BROKEN = Reply(status=500, body=b"oops", headers={"Content-Type": "text/plain"})
SILENT = Reply(fate="drop")
POST, DELETE, READ = "POST /order", "DELETE /order", f"GET /data/order/{HASH}"

Act = Callable[[PolymarketAccount], Coroutine[object, object, object]]


class Clock:
    """The time as breakers see it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_seconds(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture
async def account(server: ScriptedServer, clock: Clock) -> AsyncIterator[PolymarketAccount]:
    gate = Gate(PolymarketLimits(), clock=clock)
    async with account_on(server.address, gate=gate) as opened:
        yield opened


async def send(account: PolymarketAccount, side: Side = Side.BUY) -> Submission:
    signed = await account.sign(terms(side), MARKET, YES, None)
    return await account.submit(signed.payload)


async def fail(account: PolymarketAccount, side: Side = Side.BUY, times: int = FAILURES) -> None:
    for _ in range(times):
        assert (await send(account, side)).answer is Answer.UNKNOWN


def asked(server: ScriptedServer, what: str) -> int:
    return sum(f"{one.method} {one.path}" == what for one in server.requests)


@pytest.mark.parametrize("reply", [BROKEN, SILENT, Reply(body=b"<html>", headers={})])
async def test_after_five_failures_an_entry_is_not_sent_and_known_as_not_sent(
    server: ScriptedServer, account: PolymarketAccount, reply: Reply
) -> None:
    server.script(POST, reply)
    await fail(account)
    held = await send(account)
    assert held.answer is Answer.BUSY
    assert held.retry_after_seconds is not None
    assert 60 <= held.retry_after_seconds <= 75
    assert "not sent" in held.words
    assert asked(server, POST) == FAILURES


async def test_cancels_exits_and_reads_go_on_while_entries_are_held_back(
    server: ScriptedServer, account: PolymarketAccount
) -> None:
    server.script(POST, BROKEN)
    await fail(account)
    server.script(DELETE, says({"canceled": [HASH], "not_canceled": {}}))
    assert (await account.cancel(HASH)).is_cancelled
    assert await account.active_order(HASH) is None
    assert (await send(account, Side.SELL)).answer is Answer.UNKNOWN
    assert asked(server, POST) == FAILURES + 1


async def test_after_a_minute_one_entry_alone_is_tried_and_its_success_lets_all_go(
    server: ScriptedServer, account: PolymarketAccount, clock: Clock
) -> None:
    server.script(POST, BROKEN)
    await fail(account)
    clock.pass_seconds(59)
    assert (await send(account)).answer is Answer.BUSY
    clock.pass_seconds(1)
    sent = await asyncio.gather(*(send(account) for _ in range(6)))
    assert [one.answer for one in sent].count(Answer.UNKNOWN) == 1
    assert asked(server, POST) == FAILURES + 1
    clock.pass_seconds(60)
    server.script(POST, says({"error": "invalid nonce"}, 400))
    assert (await send(account)).answer is Answer.REJECTED
    assert (await send(account)).answer is Answer.REJECTED
    assert asked(server, POST) == FAILURES + 3


async def test_a_sale_is_tried_every_second_and_so_is_a_read_for_one(
    server: ScriptedServer, account: PolymarketAccount, clock: Clock
) -> None:
    server.script(POST, BROKEN)
    await fail(account, Side.SELL)
    assert (await send(account, Side.SELL)).answer is Answer.BUSY
    for _ in range(3):
        clock.pass_seconds(1)
        assert (await send(account, Side.SELL)).answer is Answer.UNKNOWN

    server.script(READ, BROKEN)
    for _ in range(2):
        with pytest.raises((UnavailableError, CircuitOpenError)):
            await account.active_order(HASH)
    clock.pass_seconds(1)
    before = asked(server, READ)
    with pytest.raises(CircuitOpenError):
        await account.active_order(HASH)
    assert asked(server, READ) == before
    server.script(READ, says(None))
    assert await account.for_exits().active_order(HASH) is None
    assert await account.active_order(HASH) is None


@pytest.mark.parametrize(
    "reply",
    [
        says({"error": "invalid signature"}, 400),
        says({"error": "engine restarting"}, 425),
        says({"error": "Trading is currently cancel-only."}, 503),
        says({"error": "Trading is currently disabled."}, 503),
        says({"error": "post-only mode: only post-only orders"}, 503),
        says(accepted(orderID="", status="", errorMsg="invalid nonce")),
    ],
)
async def test_a_refusal_is_an_answer_and_opens_nothing(
    server: ScriptedServer, account: PolymarketAccount, reply: Reply
) -> None:
    server.script(POST, reply)
    for _ in range(FAILURES + 2):
        await send(account)
    assert asked(server, POST) == FAILURES + 2


async def test_one_answer_between_failures_keeps_it_closed(
    server: ScriptedServer, account: PolymarketAccount
) -> None:
    refusal = says({"error": "invalid nonce"}, 400)
    server.script(POST, *[BROKEN] * 4, refusal, *[BROKEN] * 4, refusal)
    for _ in range(10):
        await send(account)
    assert asked(server, POST) == 10


async def test_a_read_is_made_again_after_a_failure_and_a_cancel_is_not(
    server: ScriptedServer, account: PolymarketAccount
) -> None:
    server.script(READ, SILENT, BROKEN, says(None))
    assert await account.active_order(HASH) is None
    assert asked(server, READ) == 3
    server.script(DELETE, BROKEN)
    with pytest.raises(UnavailableError):
        await account.cancel(HASH)
    assert asked(server, DELETE) == 1


async def test_a_refused_read_is_not_made_again(
    server: ScriptedServer, account: PolymarketAccount
) -> None:
    server.script("GET /book", says({"error": "no orderbook"}, 404))
    with pytest.raises(RejectedError):
        await account.book(YES)
    assert asked(server, "GET /book") == 1


async def test_opening_is_an_error_in_the_log(
    server: ScriptedServer, account: PolymarketAccount, caplog: pytest.LogCaptureFixture
) -> None:
    server.script(POST, BROKEN)
    await fail(account)
    await send(account)
    told = [record for record in caplog.records if record.getMessage() == "circuit.opened"]
    assert [record.levelno for record in told] == [logging.ERROR]


class Broken(Breakers):
    """A database that does not answer."""

    async def _changed(self, *_: object) -> object:  # pyright: ignore[reportIncompatibleMethodOverride]
        raise UnavailableError("no database connection is free")


async def test_without_a_database_a_process_holds_back_by_what_it_knows_itself(
    server: ScriptedServer, clock: Clock
) -> None:
    nowhere = Broken(None)  # pyright: ignore[reportArgumentType]  # never reached
    gate = Gate(PolymarketLimits(), nowhere, clock=clock)
    server.script(POST, BROKEN)
    async with account_on(server.address, gate=gate) as account:
        await fail(account)
        assert (await send(account)).answer is Answer.BUSY
        clock.pass_seconds(60)
        assert (await send(account)).answer is Answer.UNKNOWN
        assert (await send(account)).answer is Answer.BUSY

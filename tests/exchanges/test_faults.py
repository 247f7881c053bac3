"""The adapter at a paper exchange that misbehaves: every fault is taken for what it proves."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal

import pytest
import pytest_asyncio

from domain.answer import Answer, Submission
from domain.errors import AccessError, UnavailableError
from domain.order import Side, TimeInForce
from domain.ports import SignedOrder
from tests.exchanges.desk import Desk, a_desk, eventually
from tests.exchanges.scripted import terms
from tests.paper.conftest import Server, server

__all__ = ["server"]
pytestmark = pytest.mark.services

BUY, SELL, GTC = Side.BUY, Side.SELL, TimeInForce.GTC


@pytest_asyncio.fixture
async def desk(server: Server, request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    async with a_desk(server, request.node.name) as opened:
        opened.book([("0.40", "500")], [("0.60", "500")])
        yield opened


async def signed(desk: Desk, side: Side = BUY, size: str = "20") -> SignedOrder:
    return await desk.account.sign(terms(side, GTC, "0.50", size), desk.market, desk.yes, None)


async def sent(desk: Desk, order: SignedOrder) -> Submission:
    return await desk.account.submit(order.payload)


async def is_there(desk: Desk, order: SignedOrder) -> bool:
    return await desk.account.active_order(order.order_hash) is not None


def posts(desk: Desk) -> int:
    return sum(row["path"].endswith("/order") for row in desk.ledger("requests"))


@pytest.mark.parametrize(
    "do",
    [
        {"status": 500},
        {"status": 502, "body": "<html>"},
        {"status": 200, "body": "yes"},
        {"truncate_bytes": 30},
    ],
    ids=["500", "502", "nonsense", "cut short"],
)
async def test_x1_an_order_accepted_behind_a_500_is_found_by_its_hash_and_is_one(
    desk: Desk, do: Mapping[str, object]
) -> None:
    order = await signed(desk)
    desk.fault("after", do)
    assert (await sent(desk, order)).answer is Answer.UNKNOWN
    assert await is_there(desk, order)
    assert (await sent(desk, order)).answer is Answer.DUPLICATE
    assert len(desk.ledger("orders")) == 1


async def test_x2_an_order_lost_behind_a_500_is_sent_again_as_the_same_bytes(desk: Desk) -> None:
    order = await signed(desk)
    desk.fault("before", {"status": 500})
    assert (await sent(desk, order)).answer is Answer.UNKNOWN
    assert not await is_there(desk, order)
    assert (await sent(desk, order)).answer is Answer.LIVE
    assert [row["order_hash"] for row in desk.ledger("orders")] == [order.order_hash]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_x3_an_order_whose_answer_is_lost_is_found_by_its_hash_or_sent_again(
    desk: Desk, when: str
) -> None:
    order = await signed(desk)
    desk.fault(when, {"drop": True})
    assert (await sent(desk, order)).answer is Answer.UNKNOWN
    exists = when == "after"
    assert await is_there(desk, order) == exists
    assert (await sent(desk, order)).answer is (Answer.DUPLICATE if exists else Answer.LIVE)
    assert len(desk.ledger("orders")) == 1


async def test_x4_an_order_that_arrives_late_is_found_later(desk: Desk) -> None:
    order = await signed(desk)
    desk.fault("before", {"process_after_s": 0.5})
    assert (await sent(desk, order)).answer is Answer.UNKNOWN

    async def look() -> bool:
        return await is_there(desk, order)

    assert await eventually(look, bool)


async def test_x5_the_same_bytes_twice_are_one_order_and_known_as_a_repeat(desk: Desk) -> None:
    order = await signed(desk)
    assert (await sent(desk, order)).answer is Answer.LIVE
    assert (await sent(desk, order)).answer is Answer.DUPLICATE
    assert len(await desk.account.active_orders()) == 1


async def test_x7_after_a_429_nothing_is_sent_before_the_wait_it_asked_for(desk: Desk) -> None:
    order = await signed(desk)
    desk.fault("before", {"status": 429, "headers": {"Retry-After": "2"}})
    limited = await sent(desk, order)
    assert (limited.answer, limited.retry_after_seconds) == (Answer.BUSY, 2.0)
    before = posts(desk)
    held = await sent(desk, order)
    assert held.answer is Answer.BUSY
    assert held.retry_after_seconds is not None
    assert 0 < held.retry_after_seconds <= 2
    assert posts(desk) == before
    assert not (await desk.account.cancel(order.order_hash)).is_cancelled  # it may go out at once


async def test_x7_a_burst_beyond_the_limit_is_never_refused_by_the_exchange(desk: Desk) -> None:
    orders = [await signed(desk, size="5") for _ in range(70)]
    answers = [one.answer for one in await asyncio.gather(*(sent(desk, one) for one in orders))]
    assert {*answers} <= {Answer.LIVE, Answer.BUSY}
    assert answers.count(Answer.LIVE) >= 48  # the burst of the standard tier, less the reserve
    assert answers.count(Answer.LIVE) == len(desk.ledger("orders"))
    assert 429 not in {row["status"] for row in desk.ledger("requests")}


async def test_i1_under_a_burst_of_entries_exits_cancels_and_a_kill_go_out_at_once(
    desk: Desk,
) -> None:
    desk.exchange.admin(
        "POST", f"/accounts/{desk.account.who.wallet}/balances", {"tokens": {desk.yes: "100"}}
    )
    resting = await desk.send(BUY, GTC, "0.20", "20")
    entries = [await signed(desk, size="5") for _ in range(120)]
    exits = [await signed(desk, SELL, "5") for _ in range(8)]

    burst = [sent(desk, one) for one in [*entries, *exits]]
    answers, cancelled = await asyncio.gather(asyncio.gather(*burst), desk.account.cancel(resting))
    await desk.account.cancel_all()

    assert Answer.BUSY in {one.answer for one in answers[: len(entries)]}
    assert {one.answer for one in answers[len(entries) :]} <= {Answer.LIVE, Answer.MATCHED}
    assert cancelled.is_cancelled
    assert await desk.account.active_orders() == []
    assert 429 not in {row["status"] for row in desk.ledger("requests")}


@pytest.mark.parametrize("mode", ["cancel_only", "disabled"])
async def test_x8_entries_wait_while_the_exchange_takes_none_and_go_once_it_does(
    desk: Desk, mode: str
) -> None:
    resting, waiting = await signed(desk), await signed(desk)
    await sent(desk, resting)
    desk.exchange.admin("POST", "/mode", {"mode": mode, "seconds": 60})
    try:
        for _ in range(6):
            assert (await sent(desk, waiting)).answer is Answer.BUSY
        if mode == "cancel_only":
            assert (await desk.account.cancel(resting.order_hash)).is_cancelled
    finally:
        desk.exchange.admin("POST", "/mode", {"mode": "normal", "seconds": 0})
    assert (await sent(desk, waiting)).answer is Answer.LIVE


@pytest.mark.parametrize("status", [401, 403])
async def test_x9_refused_keys_stop_every_call_and_an_exit_is_tried_again_after_a_minute(
    desk: Desk, status: int
) -> None:
    entry, sale = await signed(desk), await signed(desk, SELL)
    no = {"status": status, "body": {"error": "Unauthorized/Invalid api key"}}
    desk.fault("before", no)
    refused = await sent(desk, entry)
    assert (refused.answer, "no access" in refused.words) == (Answer.REJECTED, True)
    before = len(desk.ledger("requests"))
    assert (await sent(desk, entry)).answer is Answer.REJECTED
    held = await sent(desk, sale)
    assert held.answer is Answer.BUSY
    assert held.retry_after_seconds is not None
    assert 50 < held.retry_after_seconds <= 75
    with pytest.raises(AccessError) as caught:
        await desk.account.active_orders()
    assert 50 < caught.value.retry_after_seconds <= 75
    assert len(desk.ledger("requests")) == before


async def test_x10_an_order_without_the_money_for_it_is_refused_with_the_reason(
    desk: Desk,
) -> None:
    first, second = await signed(desk, size="15000"), await signed(desk, size="15000")
    assert (await sent(desk, first)).answer is Answer.LIVE
    refused = await sent(desk, second)  # the first has promised the money
    assert refused.answer is Answer.REJECTED
    assert "not enough balance" in refused.words
    assert not await is_there(desk, second)


GARBAGE: Mapping[str, object] = {
    "cut short": {"truncate_bytes": 25},
    "a page of HTML": {"status": 200, "body": "<html>sign in</html>"},
    "a list for an object": {"status": 200, "body": []},
    "rows of another kind": {"status": 200, "body": {"data": [5], "next_cursor": "LTE="}},
    "no rows": {"status": 200, "body": {"next_cursor": "LTE="}},
    "a cursor that leads back": {"status": 200, "body": {"data": [], "next_cursor": "Mg=="}},
}


@pytest.mark.parametrize("name", GARBAGE)
async def test_x11_a_list_that_is_not_whole_is_an_error_and_never_an_empty_list(
    desk: Desk, name: str
) -> None:
    await sent(desk, await signed(desk))
    match = {"method": "GET", "path": "/data/orders"}
    fault = {"match": match, "when": "after", "do": GARBAGE[name], "times": 99}
    desk.exchange.admin("POST", "/faults", fault)
    with pytest.raises(UnavailableError):
        await desk.account.active_orders()
    desk.exchange.admin("DELETE", "/faults")
    assert len(await desk.account.active_orders()) == 1


async def test_x13_a_delayed_order_is_known_as_delayed_and_then_found_where_it_went(
    server: Server, request: pytest.FixtureRequest
) -> None:
    async with a_desk(server, request.node.name, delay_s=1) as desk:
        desk.book([("0.40", "500")], [("0.50", "500")])
        order = await signed(desk)
        assert (await sent(desk, order)).answer is Answer.DELAYED
        fills = await eventually(desk.account.fills, bool)
        assert sum(fill.size for fill in fills) == Decimal(20)
        assert {fill.order_hash for fill in fills} == {order.order_hash}

"""Workers that end, freeze, multiply or lose Temporal: each order is sent once and ends right."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.conftest import Row
from tests.outages.world import Bench, bench
from tests.proxy import Mode

pytestmark = [pytest.mark.services, pytest.mark.asyncio(loop_scope="module")]

POST_ORDER = {"method": "POST", "path": "/order"}
BURST = 30


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[Bench]:
    """The servers with one trading worker, `a`, and one streams worker."""
    async with bench() as made:
        await asyncio.gather(made.start("a"), made.start("streams", "streams"))

        async def listed() -> bool:
            listed = [row for row in await made.stage.rows("markets") if row["accepting_orders"]]
            # The plain ones are taken first, from the end.
            listed.sort(key=lambda row: (not row["neg_risk"], row["tick_size"] == "0.01"))
            made.markets = listed
            return bool(listed)

        await made.stage.until("the list of markets", listed)
        yield made


def token_of(market: Row) -> str:
    return str(market["tokens"][0]["token_id"])


async def order_of(world: Bench, signal_id: str) -> Row:
    [order] = await world.stage.rows("orders", signal_id=signal_id)
    return order


async def rests(world: Bench, signal_id: str) -> bool:
    return await world.state(signal_id) == "LIVE"


async def test_c9_a_worker_told_to_end_during_a_send_finishes_it_and_ends_well(
    world: Bench,
) -> None:
    market = await world.quiet_market("0.40", "0.50")
    slow = {"match": POST_ORDER, "when": "after", "do": {"delay_s": 1.5}, "times": 1}
    await world.stage.admin("/faults", slow)
    first = world.roles[0]
    signal_id = await world.send("BuyMarket", market, "c9", size="20")

    async def is_sending() -> bool:
        return len(await world.orders_at_exchange(token_of(market))) == 1

    await world.stage.until("the send", is_sending)
    code = await first.end()
    await world.start("b")
    await world.finish(signal_id, token=token_of(market))

    order = await order_of(world, signal_id)
    assert code == 0
    assert (order["state"], order["attempts"]) == ("FILLED", 1)
    assert len(await world.posts(order["order_hash"])) == 1
    await world.assert_agreement(signal_id, token_of(market))


async def test_c10_a_worker_that_was_frozen_over_its_deadline_sends_nothing_when_it_wakes(
    world: Bench,
) -> None:
    market = await world.quiet_market("0.40", "0.50")
    [frozen] = [role for role in world.roles if role.name == "b"]
    frozen.failpoints.write_text("order.before_post=sleep:0.5")
    signal_id = await world.send("BuyMarket", market, "c10", size="20")

    async def is_about_to_send() -> bool:
        return world.has_fired("order.before_post")

    await world.stage.until("the moment before the send", is_about_to_send)
    frozen.freeze()
    await world.start("c")
    await world.finish(signal_id, token=token_of(market))
    frozen.thaw()

    async def woke() -> bool:
        return frozen.says("order.send_stale")

    await world.stage.until("the frozen worker to wake", woke)
    order = await order_of(world, signal_id)
    assert (order["state"], order["attempts"]) == ("FILLED", 2)
    assert len(await world.posts(order["order_hash"])) == 1
    await world.assert_agreement(signal_id, token_of(market))


async def test_c13_two_workers_of_each_kind_lose_and_double_nothing_when_one_is_killed(
    world: Bench,
) -> None:
    market = await world.quiet_market("0.40", "0.50")
    await world.start("streams-beside", "streams")
    trading = [role for role in world.roles if role.kind == "trading" and role.runs]
    assert len(trading) == 2
    burst = [world.send("BuyMarket", market, f"c13-{n}", size="10") for n in range(BURST)]
    sending = asyncio.gather(*burst)

    async def is_under_way() -> bool:
        return len(await world.orders_at_exchange(token_of(market))) >= BURST // 4

    await world.stage.until("some of them to arrive", is_under_way)
    await trading[-1].kill()
    signals = await sending
    await world.finish(*signals, token=token_of(market))

    orders = [await order_of(world, signal_id) for signal_id in signals]
    assert {order["state"] for order in orders} == {"FILLED"}
    there = {row["order_hash"] for row in await world.orders_at_exchange(token_of(market))}
    assert there == {order["order_hash"] for order in orders}
    assert len(there) == BURST
    await world.assert_account_agrees(token_of(market))


async def test_d6_a_completion_that_never_reaches_temporal_is_no_second_order(
    world: Bench,
) -> None:
    market = await world.quiet_market("0.40", "0.50")
    slow = {"match": POST_ORDER, "when": "after", "do": {"delay_s": 1.0}, "times": 1}
    await world.stage.admin("/faults", slow)
    signal_id = await world.send("BuyMarket", market, "d6", size="20")

    async def is_accepted() -> bool:
        return len(await world.orders_at_exchange(token_of(market))) == 1

    await world.stage.until("the exchange to take it", is_accepted)
    await world.temporal.cut(Mode.REFUSE)
    await asyncio.sleep(3)  # the outage itself: longer than a heartbeat's timeout
    await world.temporal.heal()
    await world.finish(signal_id, token=token_of(market))

    assert len(await world.orders_at_exchange(token_of(market))) == 1
    await world.assert_agreement(signal_id, token_of(market))


async def test_d1_d9_alerts_are_taken_while_temporal_is_frozen_and_one_look_catches_up(
    world: Bench,
) -> None:
    resting, taken = (
        await world.quiet_market("0.40", "0.60"),
        await world.quiet_market("0.40", "0.50"),
    )
    limit = await world.send("BuyLimit", resting, "d9", size="20", price="0.50")
    await world.stage.until("the order to rest", lambda: rests(world, limit))
    pid = world.server_pid()

    os.kill(pid, signal.SIGSTOP)
    signals = [await world.send("BuyMarket", taken, f"d1-{n}", size="10") for n in range(3)]
    await asyncio.sleep(8)  # the outage itself: over several deadlines of the resting order's timer
    looks = len(await world.looks((await order_of(world, limit))["order_hash"]))
    os.kill(pid, signal.SIGCONT)
    await world.finish(*signals, token=token_of(taken))

    caught_up = len(await world.looks((await order_of(world, limit))["order_hash"])) - looks
    assert caught_up <= 4, "each missed deadline was caught up with"
    assert len(await world.orders_at_exchange(token_of(taken))) == 3
    await world.assert_account_agrees(token_of(taken))


async def test_d2_a_temporal_killed_and_started_on_its_file_goes_on_where_it_stood(
    world: Bench,
) -> None:
    market = await world.quiet_market("0.40", "0.60")
    signal_id = await world.send("BuyLimit", market, "d2", size="50", price="0.50")
    await world.stage.until("the order to rest", lambda: rests(world, signal_id))

    await world.restart_temporal(is_empty=False)
    await world.offer(token_of(market), bids=[["0.40", "500"]], asks=[["0.50", "50"]])
    await world.finish(signal_id, token=token_of(market))

    await world.assert_agreement(signal_id, token_of(market))


async def test_d3_a_temporal_that_lost_its_file_loses_no_order_and_doubles_none(
    world: Bench,
) -> None:
    market, doubtful = (
        await world.quiet_market("0.40", "0.60"),
        await world.quiet_market("0.40", "0.50"),
    )
    resting = await world.send("BuyLimit", market, "d3", size="50", price="0.50")
    await world.stage.until("the order to rest", lambda: rests(world, resting))
    lost = {"match": POST_ORDER, "when": "after", "do": {"drop": True}, "times": 1}
    await world.stage.admin("/faults", lost)
    sent = await world.send("BuyMarket", doubtful, "d3-sent", size="20")

    async def is_accepted() -> bool:
        return len(await world.orders_at_exchange(token_of(doubtful))) == 1

    await world.stage.until("the exchange to take it", is_accepted)
    await world.restart_temporal(is_empty=True)
    await world.offer(token_of(market), bids=[["0.40", "500"]], asks=[["0.50", "50"]])
    await world.finish(resting, token=token_of(market))
    await world.finish(sent, token=token_of(doubtful))

    assert len(await world.orders_at_exchange(token_of(doubtful))) == 1
    await world.assert_agreement(resting, token_of(market))
    await world.assert_agreement(sent, token_of(doubtful))
    after = await world.send("BuyMarket", doubtful, "d3-after", size="10")
    await world.finish(after, token=token_of(doubtful))


async def test_a_trade_that_fails_while_every_worker_is_down_is_taken_back_after_the_start(
    world: Bench,
) -> None:
    market = await world.quiet_market("0.40", "0.50")
    await world.stage.admin("/settlement", {"delay_s": 6, "fail_next": 1})
    signal_id = await world.send("BuyMarket", market, "failed-down", size="20")

    async def is_matched() -> bool:
        return await world.state(signal_id) == "FILLED"

    await world.stage.until("the match", is_matched)
    for role in world.roles:
        await role.kill()

    async def has_failed() -> bool:
        legs = await world.stage.ledger("trades", origin="api", token_id=token_of(market))
        return [leg["status"] for leg in legs] == ["FAILED"]

    await world.stage.until("the trade to fail", has_failed)
    [position] = await world.stage.rows("positions", token=token_of(market))
    assert position["size"] != "0"
    await asyncio.gather(world.start("d"), world.start("streams-again", "streams"))
    await world.finish(signal_id, token=token_of(market))

    [fill] = await world.stage.rows("fills", token=token_of(market))
    [position] = await world.stage.rows("positions", token=token_of(market))
    assert (fill["status"], position["size"], position["cash_usd"]) == ("FAILED", "0", "0")

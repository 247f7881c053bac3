"""What the exchange never says costs nothing: one order, one fill, one position."""

import pytest

from tests.e2e.conftest import World

pytestmark = [pytest.mark.services, pytest.mark.asyncio(loop_scope="session")]

POST_ORDER = {"method": "POST", "path": "/order"}


async def test_x1_x3_three_lost_answers_in_a_row_are_one_order_one_fill_one_position(
    world: World,
) -> None:
    market = await world.quiet_market("0.40", "0.50")
    token = str(market["tokens"][0]["token_id"])
    fault = {"match": POST_ORDER, "when": "after", "do": {"drop": True}, "times": 3}
    await world.stage.admin("/faults", fault)

    signal_id = await world.send("BuyMarket", market, "three-lost", size="20")
    await world.finish(signal_id, token=token)

    assert len(await world.orders_at_exchange(token)) == 1
    assert len(await world.stage.rows("fills", token=token)) == 1
    assert len(await world.stage.rows("positions", token=token)) == 1
    await world.assert_agreement(signal_id, token)
    await world.stage.forget_faults()


async def test_x4_an_order_that_lands_forty_seconds_late_is_one_order_and_its_fill_counts(
    world: World,
) -> None:
    market = await world.quiet_market("0.40", "0.50")
    token = str(market["tokens"][0]["token_id"])
    fault = {"match": POST_ORDER, "when": "before", "do": {"process_after_s": 40}, "times": 99}
    await world.stage.admin("/faults", fault)

    signal_id = await world.send("BuyMarket", market, "forty-seconds", size="20")
    await world.finish(signal_id, token=token)
    await world.stage.forget_faults()

    assert len(await world.orders_at_exchange(token)) == 1
    [order] = await world.stage.rows("orders", signal_id=signal_id)
    assert order["state"] == "FILLED"
    assert order["attempts"] > 1
    await world.assert_agreement(signal_id, token)


async def test_a_failed_trade_is_taken_back_and_the_books_agree(world: World) -> None:
    market = await world.quiet_market("0.40", "0.50")
    token = str(market["tokens"][0]["token_id"])
    await world.stage.admin("/settlement", {"fail_next": 1})

    signal_id = await world.send("BuyMarket", market, "failed-trade", size="20")
    await world.finish(signal_id, token=token)

    [fill] = await world.stage.rows("fills", token=token)
    [position] = await world.stage.rows("positions", token=token)
    assert fill["status"] == "FAILED"
    assert position["size"] == "0"
    assert position["cash_usd"] == "0"


async def test_an_order_refused_by_mistake_is_found_alive_and_worked_to_its_end(
    world: World,
) -> None:
    market = await world.quiet_market("0.40", "0.60")
    token = str(market["tokens"][0]["token_id"])
    lie = {"status": 400, "body": {"error": "something odd"}}
    await world.stage.admin("/faults", {"match": POST_ORDER, "when": "after", "do": lie})

    signal_id = await world.send("BuyLimit", market, "refused", size="50", price="0.50")
    await world.stage.until("the mistake to be noticed", lambda: _is(world, signal_id, "LIVE"))
    await world.offer(token, bids=[["0.40", "500"]], asks=[["0.50", "50"]])
    await world.stage.until("its end", lambda: _is(world, signal_id, "FILLED"))
    await world.finish(signal_id, token=token)

    await world.assert_agreement(signal_id, token)


async def _is(world: World, signal_id: str, state: str) -> bool:
    return [row["state"] for row in await world.stage.rows("orders", signal_id=signal_id)] == [
        state
    ]

"""Everything dies at once in the middle of an order, and it ends exactly right all the same.

One process at a time dies in tests/chaos.
"""

import pytest

from tests.e2e.conftest import World

pytestmark = [pytest.mark.services, pytest.mark.asyncio(loop_scope="session")]


async def test_everything_killed_at_once_continues_on_the_same_folder(world: World) -> None:
    market = await world.quiet_market("0.40", "0.60")
    token = str(market["tokens"][0]["token_id"])
    signal_id = await world.send("BuyLimit", market, "all-dead", size="50", price="0.50")
    await world.stage.until("the order to rest", lambda: _rests(world, signal_id))

    await world.stage.kill_everything()
    await world.stage.raise_again()
    await world.offer(token, bids=[["0.40", "500"]], asks=[["0.50", "50"]])
    await world.finish(signal_id, token=token)

    await world.assert_agreement(signal_id, token)


async def _rests(world: World, signal_id: str) -> bool:
    orders = await world.stage.rows("orders", signal_id=signal_id)
    return bool(orders) and orders[0]["state"] == "LIVE"

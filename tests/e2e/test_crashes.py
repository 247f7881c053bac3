"""Whatever dies in the middle of an order, it ends exactly right: compared with the ledger."""

from decimal import Decimal

import pytest
import pytest_asyncio

from tests.e2e.conftest import Row, World

pytestmark = [pytest.mark.services, pytest.mark.asyncio(loop_scope="session")]

# docs/architecture.md names each of these moments in its table of crash points.
MOMENTS = {
    "C1": "order.before_sign",
    "C1b": "order.after_row",
    "C2": "order.before_post",
    "C3": "order.after_send",
    "C4": "order.before_ack_commit",
    "C5": "order.after_ack_commit",
    "C6": "fill.mid_tx",
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def market(world: World) -> Row:
    """One market for all moments."""
    return await world.quiet_market("0.40", "0.50", "5000")


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_worker_killed_at_this_moment_leaves_one_order_and_every_fill(
    world: World, moment: str, market: Row
) -> None:
    token = str(market["tokens"][0]["token_id"])
    before = len(await world.orders_at_exchange(token))

    world.arm(f"{MOMENTS[moment]}=kill9")
    signal_id = await world.send("BuyMarket", market, f"crash-{moment}", size="20")
    await world.finish(signal_id, token=token)
    world.arm("")

    assert world.has_fired(MOMENTS[moment]), "the failpoint was never reached"
    assert len(await world.orders_at_exchange(token)) == before + 1
    [order] = await world.stage.rows("orders", signal_id=signal_id)
    assert order["state"] == "FILLED"
    fills = await world.stage.rows("fills", token=token)
    assert sum(Decimal(fill["size"]) for fill in fills) == await world.filled_at_exchange(token)
    await world.assert_account_agrees(token)


async def test_twenty_alerts_and_ten_kills_are_twenty_orders_worked_to_their_end(
    world: World,
) -> None:
    market = await world.quiet_market("0.40", "0.50", "5000")
    token = str(market["tokens"][0]["token_id"])
    signals: list[str] = []

    for round_number in range(10):
        since = world.stage.trading_worker_polls_since()
        for side in ("a", "b"):
            alert_id = f"storm-{round_number}{side}"
            signals.append(await world.send("BuyMarket", market, alert_id, size="10"))
        world.stage.kill_trading_worker()

        async def polls_again(since: float = since) -> bool:
            return world.stage.trading_worker_polls_since() > since

        await world.stage.until("the next trading worker", polls_again)
    await world.finish(*signals, token=token)

    assert len(set(signals)) == 20
    theirs = {order["order_hash"] for order in await world.orders_at_exchange(token)}
    ours: set[str] = set()
    for signal_id in signals:
        [order] = await world.stage.rows("orders", signal_id=signal_id)
        assert order["state"] == "FILLED"
        ours.add(order["order_hash"])
    assert len(theirs) == 20
    assert ours == theirs
    await world.assert_account_agrees(token)


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

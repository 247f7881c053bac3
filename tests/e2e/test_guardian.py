"""What the guardian does on a real stack, by real processes."""

import asyncio

import pytest
from temporalio.client import Client, WorkflowExecutionStatus

from tests.e2e.conftest import Row, World

pytestmark = [pytest.mark.services, pytest.mark.asyncio(loop_scope="session")]

GUARDIAN = "guardian-main"
TICK_AND_REPAIR_SECONDS = 12.0
ROOM = 5  # a busy machine is not a fault


async def resting(world: World, token: str) -> list[str]:
    """Return the sales of ours of a token that the exchange holds live."""
    rows = await world.orders_at_exchange(token)
    live = [row for row in rows if row["status"] == "LIVE" and row["side"] == "SELL"]
    return [row["order_hash"] for row in live]


async def test_i6_a_take_profit_cancelled_behind_our_back_is_back_within_a_tick(
    world: World,
) -> None:
    market = await world.quiet_market("0.40", "0.50")
    token = market["tokens"][0]["token_id"]
    await world.send("BuyMarket", market, "guarded", notional="10", PrixSL="0.20", PrixTP="0.80")

    async def is_protected() -> bool:
        return len(await resting(world, token)) == 1

    await world.stage.until("the take-profit", is_protected)
    (first,) = await resting(world, token)
    await world.stage.admin(f"/accounts/{world.stage.wallet}/orders", {"cancel": first})
    assert await resting(world, token) == []
    async with asyncio.timeout(TICK_AND_REPAIR_SECONDS * ROOM):
        await world.stage.until("the repair", is_protected)
    assert await resting(world, token) != [first]


async def test_o5_a_guardian_that_somebody_terminates_is_back_and_the_event_says_who(
    world: World,
) -> None:
    client = await Client.connect(world.stage.endpoints.temporal.address, identity="ann@desk")
    guardian = client.get_workflow_handle(GUARDIAN)
    before = (await guardian.describe()).run_id
    await guardian.terminate(reason="by mistake")

    async def is_back() -> bool:
        now = await guardian.describe()
        return now.status is WorkflowExecutionStatus.RUNNING and now.run_id != before

    await world.stage.until("the guardian", is_back)

    async def told() -> list[Row]:
        events = await world.stage.rows("events", account="main")
        return [event for event in events if event["kind"] == "guardian.restarted"]

    async def is_told() -> bool:
        return bool(await told())

    await world.stage.until("its event", is_told)
    event = (await told())[0]
    assert event["who"] == "ann@desk"
    assert event["detail"]["words"] == "terminated: by mistake"

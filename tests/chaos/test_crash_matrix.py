"""A process killed at each named instant: one order, every fill, and books that agree."""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Final

import pytest
import pytest_asyncio
from temporalio.client import Client, WorkflowExecutionStatus

from infra.failpoints import NAMES
from tests.chaos.checker import check, unsettled
from tests.e2e.conftest import Row, World

pytestmark = [pytest.mark.services, pytest.mark.asyncio(loop_scope="session")]

# The fault each instant is, in docs/architecture.md's table of crash points.
FAULTS: Final = {
    "api.after_insert": "A1",
    "api.before_start": "A2",
    "order.before_sign": "C1",
    "order.before_post": "C2",
    "order.after_send": "C3",
    "order.before_ack_commit": "C4",
    "order.after_ack_commit": "C5",
    "fill.mid_tx": "C6",
    "exit.after_tp_cancel": "C7",
    "stop.after_cancel_all": "C8",
}
FILLS: Final = sorted(name for name in NAMES if name.startswith("fill."))
HALTS: Final = sorted(name for name in NAMES if name.startswith("kill."))
EXITS: Final = sorted(name for name in NAMES if name.startswith("exit."))
STOPS: Final = sorted(name for name in NAMES if name.startswith("stop."))
COMPARISONS: Final = sorted(name for name in NAMES if name.startswith("recon."))
ORDERS: Final = sorted(NAMES - {*HALTS, *EXITS, *STOPS, *COMPARISONS})
FIRED: Final[set[str]] = set()


def named(point: str) -> str:
    """Return how a test of an instant is called."""
    return f"{FAULTS.get(point, '-')} {point}"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def deep(world: World) -> Row:
    """A market whose makers fill every market order at once."""
    return await world.quiet_market("0.40", "0.50", "5000")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def far(world: World) -> Row:
    """A market whose makers are out of reach until they are moved."""
    return await world.quiet_market("0.30", "0.60")


@pytest.mark.parametrize("point", ORDERS, ids=named)
async def test_a_market_order_survives_a_kill_at(world: World, point: str, deep: Row) -> None:
    token = str(deep["tokens"][0]["token_id"])
    before = len(await world.orders_at_exchange(token))
    world.arm_again(point)

    signal_id = await world.send("BuyMarket", deep, f"market {point}", size="20")
    await world.finish(signal_id, token=token)

    assert world.has_fired(point), "the instant was never reached"
    FIRED.add(point)
    assert len(await world.orders_at_exchange(token)) == before + 1
    [order] = await world.stage.rows("orders", signal_id=signal_id)
    assert (order["state"], order["filled_size"]) == ("FILLED", "20")
    await world.assert_account_agrees(token)


@pytest.mark.parametrize("point", FILLS, ids=named)
async def test_an_order_filled_in_parts_survives_a_kill_at(
    world: World, point: str, far: Row
) -> None:
    token = str(far["tokens"][0]["token_id"])
    signal_id = await world.send("BuyLimit", far, f"parts {point}", size="30", price="0.50")
    await world.stage.until("the order to rest", _is(world, signal_id, "LIVE"))
    world.arm_again(point)

    await world.offer(token, bids=[["0.30", "500"]], asks=[["0.50", "12"]])
    await world.stage.until("the first part", _is(world, signal_id, "PARTIAL"))
    await world.offer(token, bids=[["0.30", "500"]], asks=[["0.50", "18"]])
    await world.finish(signal_id, token=token)
    await world.offer(token, bids=[["0.30", "500"]], asks=[["0.60", "500"]])

    assert world.has_fired(point), "the instant was never reached"
    [order] = await world.stage.rows("orders", signal_id=signal_id)
    assert (order["state"], order["filled_size"]) == ("FILLED", "30")
    fills = [
        row for row in await world.stage.rows("fills") if row["order_hash"] == order["order_hash"]
    ]
    assert sorted(row["size"] for row in fills) == ["12", "18"]
    await world.assert_account_agrees(token)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sinking(world: World) -> Row:
    """A market whose makers are about to leave."""
    return await world.quiet_market("0.45", "0.50")


@pytest.mark.parametrize("point", EXITS, ids=named)
async def test_an_exit_survives_a_kill_at(world: World, point: str, sinking: Row) -> None:
    token = str(sinking["tokens"][0]["token_id"])
    await world.offer(token, bids=[["0.45", "500"]], asks=[["0.50", "500"]])
    wishes = {"size": "20", "prixSL": "0.30", "prixTP": "0.70"}
    signal_id = await world.send("BuyMarket", sinking, f"exit {point}", **wishes)
    await world.finish(signal_id, token=token)
    await world.stage.until("the target to rest", _rests(world, token))
    world.arm_again(point)

    await world.offer(token, bids=[["0.29", "500"]], asks=[["0.50", "500"]])
    await world.cross(token)
    await world.stage.until("the position to be left", _is_left(world, token))

    assert world.has_fired(point), "the instant was never reached"
    FIRED.add(point)
    bought, sold = await _traded(world, token)
    assert bought == sold
    assert "LIVE" not in {row["status"] for row in await world.orders_at_exchange(token)}
    await world.assert_account_agrees(token)


@pytest.mark.parametrize("point", HALTS, ids=named)
async def test_a_halt_survives_a_kill_at(world: World, point: str, far: Row) -> None:
    signal_id = await world.send("BuyLimit", far, f"halt {point}", size="30", price="0.50")
    await world.stage.until("the order to rest", _is(world, signal_id, "LIVE"))
    world.arm_again(point)

    await world.operate("kill")
    await world.stage.until("the halt", _stands(world, "halted"))
    await world.stage.until("the order's end", _is(world, signal_id, "CANCELLED"))

    assert world.has_fired(point), "the instant was never reached"
    FIRED.add(point)
    token = str(far["tokens"][0]["token_id"])
    assert "LIVE" not in {row["status"] for row in await world.orders_at_exchange(token)}
    await world.operate("resume")
    await world.stage.until("the account to trade again", _stands(world, "running"))


@pytest.mark.parametrize("point", STOPS, ids=named)
async def test_a_shutdown_survives_a_kill_at(world: World, point: str, far: Row) -> None:
    signal_id = await world.send("BuyLimit", far, f"stop {point}", size="30", price="0.50")
    await world.stage.until("the order to rest", _is(world, signal_id, "LIVE"))
    before = await _newest_snapshot(world)
    world.arm_again(point)

    await world.operate("shutdown")

    async def has_ended() -> bool:
        return await _newest_snapshot(world) > before

    await world.stage.until("the shutdown", has_ended)
    await world.stage.until("the order's end", _is(world, signal_id, "CANCELLED"))
    assert world.has_fired(point), "the instant was never reached"
    FIRED.add(point)
    token = str(far["tokens"][0]["token_id"])
    assert "LIVE" not in {row["status"] for row in await world.orders_at_exchange(token)}
    await world.stage.until("the end of its workflow", lambda: _is_closed(world, "shutdown-main"))
    await world.stage.until("the account to trade again", _resumed(world))


@pytest.mark.parametrize("point", COMPARISONS, ids=named)
async def test_a_comparison_survives_a_kill_at(world: World, point: str, far: Row) -> None:
    token = str(far["tokens"][0]["token_id"])
    before = len(await world.stage.rows("orders", source="manual"))
    world.arm_again(point)

    place = {"token_id": token, "side": "BUY", "price": "0.35", "size": "7"}
    order = await world.stage.admin(f"/accounts/{world.stage.wallet}/orders", {"place": place})
    await world.operate("reconcile")

    async def is_adopted() -> bool:
        return len(await world.stage.rows("orders", source="manual")) > before

    await world.stage.until("the order to be adopted", is_adopted)
    await world.stage.until("the account to trade again", _stands(world, "running"))
    assert world.has_fired(point), "the instant was never reached"
    FIRED.add(point)
    adopted = await world.stage.rows("orders", source="manual")
    assert len(adopted) == before + 1
    assert {row["state"] for row in adopted} <= {"LIVE", "CANCELLED"}
    cancel = {"cancel": order["order_hash"]}
    await world.stage.admin(f"/accounts/{world.stage.wallet}/orders", cancel)


async def test_after_all_kills_every_instant_was_hit_and_every_invariant_holds(
    world: World,
) -> None:
    world.arm("")

    async def has_settled() -> bool:
        return not unsettled(world.database_url, await world.evidence())

    await world.stage.until("nothing to be under way", has_settled)

    assert FIRED == NAMES
    assert [str(each) for each in check(world.database_url, await world.evidence())] == []


def _rests(world: World, token: str) -> Callable[[], Awaitable[bool]]:
    async def is_so() -> bool:
        orders = await world.orders_at_exchange(token)
        return [row["size"] for row in orders if row["status"] == "LIVE"] == ["20"]

    return is_so


def _is_left(world: World, token: str) -> Callable[[], Awaitable[bool]]:
    async def is_so() -> bool:
        [position] = await world.stage.rows("positions", token=token)
        is_flat = position["status"] == "flat" and position["current_sl"] is None
        return is_flat and await world.is_settled(token)

    return is_so


async def _traded(world: World, token: str) -> tuple[Decimal, Decimal]:
    """Return the shares bought and sold at the exchange."""
    sizes = {"BUY": Decimal(0), "SELL": Decimal(0)}
    for row in await world.orders_at_exchange(token):
        sizes[row["side"]] += Decimal(row["filled_size"])
    return sizes["BUY"], sizes["SELL"]


def _stands(world: World, state: str) -> Callable[[], Awaitable[bool]]:
    async def is_so() -> bool:
        return [row["state"] for row in await world.stage.rows("accounts")] == [state]

    return is_so


async def _is_closed(world: World, workflow_id: str) -> bool:
    """Tell whether a workflow is over, what came to it meanwhile included."""
    client = await Client.connect(world.stage.endpoints.temporal.address)
    described = await client.get_workflow_handle(workflow_id).describe()
    return described.status is not WorkflowExecutionStatus.RUNNING


async def _newest_snapshot(world: World) -> int:
    """Return which event tells of the last shutdown's end; 0 where none does."""
    events = await world.stage.rows("events")
    told = [int(row["seq"]) for row in events if row["kind"] == "account.snapshot"]
    return max(told, default=0)


def _resumed(world: World) -> Callable[[], Awaitable[bool]]:
    """Resume, unless a worker that started alone has lifted the stop by itself."""
    api = world.stage.endpoints.api
    url = f"{api.url}/api/v1/accounts/{world.stage.endpoints.accounts[0].id}/resume"

    async def is_so() -> bool:
        if await _stands(world, "running")():
            return True
        headers = {"Authorization": f"Bearer {api.key}"}
        await world.stage.http.post(url, headers=headers)
        return False

    return is_so


def _is(world: World, signal_id: str, state: str) -> Callable[[], Awaitable[bool]]:
    async def is_so() -> bool:
        rows = await world.stage.rows("orders", signal_id=signal_id)
        return [row["state"] for row in rows] == [state]

    return is_so

"""The kill switch on a real stack: nothing rests afterwards, whichever server is away."""

import asyncio
import json
import os
import signal
import sys
from typing import Any

import pytest

from infra.embedded.supervisor import clean_environment
from tests.e2e.conftest import Row, World

pytestmark = [pytest.mark.services, pytest.mark.asyncio(loop_scope="session")]


async def command(world: World, *argv: str) -> tuple[int, dict[str, Any]]:
    """Run the command as an operator would; return its exit code and its document."""
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "workers.cli",
        *argv,
        "--json",
        env=clean_environment() | {"HOLDFAST_DATA_DIR": str(world.stage.folder)},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await started.communicate()
    return started.returncode or 0, json.loads(out)


async def live(world: World) -> list[Row]:
    """Return our orders that the exchange holds live."""
    rows = await world.stage.ledger("orders", origin="api")
    return [row for row in rows if row["status"] == "LIVE"]


async def rest(world: World, name: str, count: int) -> None:
    """Let `count` buys of ours rest on the book."""
    market = await world.quiet_market("0.40", "0.60")
    before = len(await live(world))
    for number in range(count):
        wish = {"price": "0.41", "size": "5"}
        await world.send("BuyLimit", market, f"{name}-{number}", **wish)

    async def all_rest() -> bool:
        return len(await live(world)) == before + count

    await world.stage.until("resting orders", all_rest)


async def test_after_a_kill_nothing_rests_entries_are_refused_and_resume_lets_them_in(
    world: World,
) -> None:
    await rest(world, "killed", 8)
    code, told = await command(world, "kill", "--reason", "a drill")
    assert (code, told["status"]) == (0, "halted")
    assert await live(world) == []
    market = await world.quiet_market("0.40", "0.50")
    refused = await world.send("BuyMarket", market, "while-halted", size="10")

    async def is_denied() -> bool:
        return (await world.signal(refused))["status"] == "denied"

    await world.stage.until("the denial", is_denied)
    assert await world.orders_at_exchange(market["tokens"][0]["token_id"]) == []

    code, told = await command(world, "resume")
    assert (code, told["status"]) == (0, "running")
    token = market["tokens"][0]["token_id"]
    await world.finish(await world.send("BuyMarket", market, "after", size="10"), token=token)


async def test_a_kill_that_closes_leaves_no_position(world: World) -> None:
    market = await world.quiet_market("0.40", "0.50")
    token = market["tokens"][0]["token_id"]
    await world.finish(await world.send("BuyMarket", market, "held", size="20"), token=token)
    try:
        code, told = await command(world, "kill", "--close-positions")
        assert (code, told["status"]) == (0, "halted"), told
        await world.stage.until("settlement", lambda: world.is_settled(token))
        await world.assert_account_agrees(token)
    finally:
        await command(world, "resume")


async def test_o3_break_glass_empties_the_exchange_with_temporal_frozen(world: World) -> None:
    await rest(world, "direct", 3)
    temporal = world.stage.endpoints.processes["temporal"]
    os.kill(temporal, signal.SIGSTOP)
    try:
        code, told = await command(world, "kill", "--direct")
        assert (code, told["status"]) == (0, "halted"), told
        assert await live(world) == []
    finally:
        os.kill(temporal, signal.SIGCONT)
    code, told = await command(world, "resume")
    assert (code, told["status"]) == (0, "running")

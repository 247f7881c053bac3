"""No secret is anywhere but where it is kept: compared by search, after everything else ran."""

from pathlib import Path

import pytest

from tests.e2e.conftest import World

pytestmark = [pytest.mark.services, pytest.mark.asyncio(loop_scope="session")]


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_no_secret_is_in_a_log_or_a_workflows_history_or_a_span(world: World) -> None:
    market = await world.quiet_market("0.40", "0.50")
    token = str(market["tokens"][0]["token_id"])
    await world.finish(await world.send("BuyMarket", market, "secrets", size="20"), token=token)
    endpoints = world.stage.endpoints
    account = endpoints.accounts[0]
    secrets = {
        "private key": account.private_key,
        "private key without 0x": account.private_key.removeprefix("0x"),
        "exchange secret": account.secret,
        "exchange passphrase": account.passphrase,
        "webhook secret": endpoints.webhooks["tradingview"].secret,
        "API key": endpoints.api.key,
        "database password": endpoints.database.url.split(":")[2].split("@")[0],
    }

    folder = world.stage.folder
    searched = [*_files(folder / "logs"), *_files(folder / "temporal")]
    found = {
        (name, path.name)
        for path in searched
        for name, secret in secrets.items()
        if secret.encode() in path.read_bytes()
    }

    spans = b"".join(world.collector.bodies)
    found |= {(name, "spans") for name, secret in secrets.items() if secret.encode() in spans}

    assert b"exchange.posted" in spans
    assert len(searched) > 5
    assert not found


async def test_no_read_of_the_api_shows_the_secret_an_alert_carried(world: World) -> None:
    market = await world.quiet_market("0.40", "0.50")
    await world.send("BuyMarket", market, "with-a-secret", size="20")
    secret = world.stage.endpoints.webhooks["tradingview"].secret

    rows = await world.stage.rows("signals")

    assert any("with-a-secret" in str(row["raw_payload"]) for row in rows)
    assert secret not in str(rows)

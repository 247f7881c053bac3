"""One paper exchange for the whole contract suite, and one walk through it per client."""

# pyright: reportMissingTypeStubs=false

import asyncio
import dataclasses
from collections.abc import Generator

import pytest
from polymarket import AsyncPublicClient, AsyncSecureClient, PublicClient, SecureClient
from polymarket.environments import (
    PRODUCTION,
    Environment,
    _create_environment,  # pyright: ignore[reportPrivateUsage] - the SDK's only way to other addresses
)
from py_clob_client_v2 import ClobClient

from tests.contract.async_calls import ASYNC_PUBLIC, ASYNC_SECURE
from tests.contract.older_calls import OLDER
from tests.contract.public_calls import PUBLIC
from tests.contract.secure_calls import SECURE
from tests.contract.talk import Talk, Walk
from tests.contract.worlds import World, make_world
from tests.paper.conftest import Server, free_port


def environment_of(server: Server) -> Environment:
    """Return the addresses of an exchange as the SDK takes them."""
    url, stream = server.url, server.url.replace("http", "ws")
    config = dataclasses.replace(
        PRODUCTION._config,  # pyright: ignore[reportPrivateUsage] # noqa: SLF001 - as above
        clob_url=url + "/clob",
        gamma_url=url + "/gamma",
        data_url=url + "/data-api",
        relayer_url=url + "/relayer",
        rpc_url=url + "/rpc",
        rfq_url=url + "/rfq",
        builder_gateway_url=url + "/builder-gateway",
        collateral_return_url=url + "/collateral-return",
        perps_url=url + "/perps",
        clob_market_ws_url=stream + "/ws/market",
        clob_user_ws_url=stream + "/ws/user",
        rtds_ws_url=stream + "/rtds",
        sports_ws_url=stream + "/sports",
        realtime_ws_url=stream + "/realtime",
        perps_ws_url=stream + "/perps",
        rfq_quoter_ws_url=stream + "/rfq",
    )
    return _create_environment(name="paper", config=config)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    running = Server(tmp_path_factory.mktemp("contract"), free_port())
    running.start()
    running.admin("POST", "/settlement", {"delay_s": "0"})
    running.admin("POST", "/switches", {"signer_limits": "off", "address_limits": "off"})
    yield running
    running.stop()


@pytest.fixture(scope="session")
def walks(server: Server) -> dict[str, Walk]:
    """What each of the four official clients saw, by its name."""
    environment = environment_of(server)
    found = {name: Walk() for name in ("public", "async_public", "secure", "async_secure")}
    worlds = {name: make_world(server, name, 0xA1 + n) for n, name in enumerate(found)}
    with found["public"].listening(), PublicClient(environment=environment) as client:
        asyncio.run(found["public"].run(Talk(client), PUBLIC, worlds["public"]))
    with found["async_public"].listening():
        asyncio.run(_walk_async_public(found["async_public"], worlds["async_public"], environment))
    with found["secure"].listening():
        asyncio.run(_walk_secure(found["secure"], worlds["secure"], environment))
    with found["async_secure"].listening():
        asyncio.run(_walk_async_secure(found["async_secure"], worlds["async_secure"], environment))
    return found


@pytest.fixture(scope="session")
def older_walk(server: Server) -> Walk:
    """What the older client saw."""
    walk, world = Walk(), make_world(server, "older", 0xB1)
    with walk.listening():
        client = ClobClient(
            server.url + "/clob", 137, key=world.key, signature_type=3, funder=world.wallet
        )
        client.set_api_creds(client.create_or_derive_api_key())
        asyncio.run(walk.run(Talk(client), OLDER, world))
    return walk


async def _walk_async_public(walk: Walk, world: World, environment: Environment) -> None:
    async with AsyncPublicClient(environment=environment) as client:
        await walk.run(Talk(client), {**PUBLIC, **ASYNC_PUBLIC}, world)


async def _walk_secure(walk: Walk, world: World, environment: Environment) -> None:
    first = SecureClient.create(private_key=world.key, environment=environment)
    builder = first.create_builder_api_key()
    first.close()
    client = SecureClient.create(private_key=world.key, environment=environment, api_key=builder)
    await walk.run(Talk(client), {**PUBLIC, **SECURE}, world)


async def _walk_async_secure(walk: Walk, world: World, environment: Environment) -> None:
    first = await AsyncSecureClient.create(private_key=world.key, environment=environment)
    builder = await first.create_builder_api_key()
    await first.close()
    client = await AsyncSecureClient.create(
        private_key=world.key, environment=environment, api_key=builder
    )
    await walk.run(Talk(client), {**PUBLIC, **ASYNC_PUBLIC, **ASYNC_SECURE, **SECURE}, world)

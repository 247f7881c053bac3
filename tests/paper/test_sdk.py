"""The unchanged official client trades on the exchange; only addresses differ."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from eth_account import Account
from polymarket import AsyncSecureClient
from polymarket.environments import (
    PRODUCTION,
    Environment,
    _create_environment,  # pyright: ignore[reportPrivateUsage] - the SDK's only way to other addresses
)
from polymarket.errors import RateLimitError, RequestRejectedError, TransportError
from polymarket.models.clob import ApiKeyCreds, ClobTrade
from polymarket.models.clob.order_response import AcceptedOrder, OrderResponse, RejectedOrder
from polymarket.streams import MarketSpec, UserSpec

from tests.paper.conftest import Server

pytestmark = pytest.mark.services

KEY = "0x" + "44" * 32
ADDRESS = str(Account.from_key(KEY).address)


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the client's own HTTP off any proxy."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def environment_of(server: Server) -> Environment:
    stream = server.url.replace("http", "ws")
    config = dataclasses.replace(
        PRODUCTION._config,  # pyright: ignore[reportPrivateUsage] # noqa: SLF001 - as above
        clob_url=server.url + "/clob",
        gamma_url=server.url + "/gamma",
        data_url=server.url + "/data-api",
        relayer_url=server.url + "/relayer",
        rpc_url=server.url + "/rpc",
        clob_market_ws_url=stream + "/ws/market",
        clob_user_ws_url=stream + "/ws/user",
    )
    return _create_environment(name="paper", config=config)


@pytest.fixture
async def client(server: Server) -> AsyncIterator[AsyncSecureClient]:
    body = {"wallet": ADDRESS, "signature_type": 0, "collateral": "100000"}
    funded = server.admin("POST", "/accounts", body)
    server.admin("POST", f"/accounts/{ADDRESS}/balances", {"collateral": "100000"})
    opened = await AsyncSecureClient.create(
        private_key=KEY,
        wallet=ADDRESS,
        environment=environment_of(server),
        credentials=ApiKeyCreds(
            key=funded["api_key"], secret=funded["secret"], passphrase=funded["passphrase"]
        ),
    )
    yield opened
    await opened.cancel_all()
    await opened.close()


def accepted(answer: OrderResponse) -> AcceptedOrder:
    assert isinstance(answer, AcceptedOrder), answer
    return answer


async def settled_trades(client: AsyncSecureClient, order_id: str) -> list[ClobTrade]:
    """Return an order's trades once all of them are confirmed."""
    for _ in range(200):
        page = await client.list_account_trades().first_page()
        trades = [trade for trade in page.items if trade.taker_order_id == order_id]
        if trades and all(trade.status == "CONFIRMED" for trade in trades):
            return trades
        await asyncio.sleep(0.05)
    raise AssertionError("the trades were not confirmed")


async def token_of(client: AsyncSecureClient, place: int = 0) -> str:
    page = await client.list_markets().first_page()
    token_id = page.items[place].outcomes.yes.token_id
    assert token_id is not None
    return str(token_id)


async def test_the_sdk_posts_finds_lists_and_cancels_an_order(client: AsyncSecureClient) -> None:
    token_id = await token_of(client)
    signed = await client.create_limit_order(
        token_id=token_id, side="BUY", price=Decimal("0.02"), size=Decimal(10)
    )

    answer = accepted(await client.post_order(signed))

    assert answer.status == "live"
    found = await client.get_order(order_id=answer.order_id)
    assert (found.price, found.original_size, found.size_matched) == (Decimal("0.02"), 10, 0)
    with pytest.raises(RequestRejectedError, match="Duplicated") as refusal:
        await client.post_order(signed)
    assert refusal.value.status == 400
    listed = [order.id async for page in client.list_open_orders() for order in page.items]
    assert listed == [answer.order_id]
    gone = await client.cancel_order(order_id=answer.order_id)
    assert gone.canceled == (answer.order_id,)
    with pytest.raises(RequestRejectedError, match="Order not found"):
        await client.get_order(order_id=answer.order_id)


async def test_the_sdk_buys_at_the_market_and_sees_its_trade_settle(
    client: AsyncSecureClient,
) -> None:
    token_id = await token_of(client, 5)
    signed = await client.create_market_order(
        token_id=token_id, side="BUY", amount=Decimal(100), order_type="FOK"
    )

    answer = accepted(await client.post_order(signed))

    assert answer.status == "matched"
    assert Decimal(95) < answer.making_amount <= Decimal(100)
    trades = await settled_trades(client, answer.order_id)
    assert {trade.id for trade in trades} == set(answer.trade_ids)
    assert sum(trade.size for trade in trades) == answer.taking_amount
    held = await client.get_balance_allowance(asset_type="CONDITIONAL", token_id=token_id)
    assert held.balance >= answer.taking_amount * 1_000_000
    positions = (await client.list_positions().first_page()).items
    mine = next(position for position in positions if position.asset_id == token_id)
    assert mine.current_size >= answer.taking_amount
    assert await client.get_portfolio_value()


async def test_a_batch_of_orders_and_cancels_goes_through_the_sdk(
    client: AsyncSecureClient,
) -> None:
    token_id = await token_of(client)
    orders = [
        await client.create_limit_order(
            token_id=token_id, side="BUY", price=Decimal("0.02"), size=Decimal(size)
        )
        for size in (10, 99_000_000)
    ]

    good, bad = await client.post_orders(orders)

    assert isinstance(bad, RejectedOrder)
    assert bad.code == "not_enough_balance"
    gone = await client.cancel_market_orders(token_id=token_id)
    assert gone.canceled == (accepted(good).order_id,)
    again = await client.cancel_orders(order_ids=[accepted(good).order_id])
    assert again.canceled == ()


async def test_a_deposit_wallet_trades_with_its_owners_signature(server: Server) -> None:
    key = "0x" + "55" * 32
    environment = environment_of(server)
    client = await AsyncSecureClient.create(private_key=key, environment=environment)
    body = {
        "wallet": client.wallet,
        "signer": str(Account.from_key(key).address),
        "signature_type": 3,
        "collateral": "500",
    }
    server.admin("POST", "/accounts", body)
    signed = await client.create_limit_order(
        token_id=await token_of(client), side="BUY", price=Decimal("0.02"), size=Decimal(10)
    )

    answer = accepted(await client.post_order(signed))

    assert signed.signature_type == 3
    assert (await client.get_balance_allowance(asset_type="COLLATERAL")).balance == 500_000_000
    assert (await client.cancel_all()).canceled == (answer.order_id,)
    await client.close()
    again = await AsyncSecureClient.create(private_key=key, environment=environment)
    assert again.credentials == client.credentials
    await again.close()


async def test_the_sdk_reads_books_prices_markets_and_events(
    client: AsyncSecureClient, server: Server
) -> None:
    token_id = await token_of(client, 2)
    levels = {"bids": [["0.40", "50"], ["0.41", "60"]], "asks": [["0.45", "70"], ["0.44", "80"]]}
    server.admin("POST", "/book", {"token_id": token_id, **levels})

    book = await client.get_order_book(token_id=token_id)
    assert (book.bids[-1].price, book.asks[-1].price) == (Decimal("0.41"), Decimal("0.44"))
    assert await client.get_midpoint(token_id=token_id) == Decimal("0.425")
    assert await client.get_price(token_id=token_id, side="BUY") == Decimal("0.41")
    assert await client.get_spread(token_id=token_id) == Decimal("0.03")
    assert await client.get_last_trade_price(token_id=token_id) is None
    market = await client.get_market(slug="will-bitcoin-reach-200k-in-2027")
    assert market.trading.fee_schedule is not None
    assert market.trading.fee_schedule.rate == Decimal("0.07")
    assert market.trading.minimum_order_size == 5
    page = await client.list_markets(condition_ids=[str(market.condition_id)]).first_page()
    assert [found.slug for found in page.items] == [market.slug]
    events = (await client.list_events().first_page()).items
    fed = next(event for event in events if event.slug == "fed-decision-in-december-2027")
    assert len(fed.markets) == 3
    assert (await client.get_event(slug="fed-decision-in-december-2027")).id == fed.id
    server.admin("DELETE", f"/book/{token_id}")


async def test_the_sdks_heartbeat_is_answered(client: AsyncSecureClient) -> None:
    first = await client.send_order_heartbeat(heartbeat_id="")
    second = await client.send_order_heartbeat(heartbeat_id=first.heartbeat_id)

    assert first.heartbeat_id != second.heartbeat_id
    assert await client.get_closed_only_mode() is False


async def test_the_sdks_user_stream_tells_every_step_of_an_order(
    client: AsyncSecureClient, server: Server
) -> None:
    token_id = await token_of(client, 2)
    server.admin("POST", "/book", {"token_id": token_id, "asks": [["0.50", "100"]]})
    told: list[tuple[Any, ...]] = []
    async with await client.subscribe(UserSpec()) as events:
        await asyncio.sleep(0.2)
        signed = await client.create_limit_order(
            token_id=token_id, side="BUY", price=Decimal("0.50"), size=Decimal(10)
        )
        accepted(await client.post_order(signed))
        async with asyncio.timeout(10):
            async for event in events:
                payload: Any = event.payload
                kind = getattr(payload, "order_event_type", payload.status)
                told.append((event.type, kind))
                if kind == "CONFIRMED":
                    break

    assert told == [
        ("order", "PLACEMENT"),
        ("order", "UPDATE"),
        ("trade", "MATCHED"),
        ("trade", "MINED"),
        ("trade", "CONFIRMED"),
    ]
    server.admin("DELETE", f"/book/{token_id}")


async def test_the_sdks_market_stream_tells_books_changes_and_trades(
    client: AsyncSecureClient, server: Server
) -> None:
    token_id = await token_of(client, 4)
    server.admin("POST", "/book", {"token_id": token_id, "asks": [["0.50", "100"]]})
    spec = MarketSpec(token_ids=[token_id], custom_feature_enabled=True)
    kinds: list[str] = []
    async with await client.subscribe(spec) as events:
        async with asyncio.timeout(10):
            async for event in events:
                kinds.append(event.type)
                if len(kinds) == 1:
                    signed = await client.create_limit_order(
                        token_id=token_id, side="BUY", price=Decimal("0.50"), size=Decimal(10)
                    )
                    await client.post_order(signed)
                if event.type == "best_bid_ask":
                    break

    assert kinds[:4] == ["book", "book", "last_trade_price", "price_change"]
    server.admin("DELETE", f"/book/{token_id}")


async def test_faults_reach_the_sdk_as_production_ones_do(
    client: AsyncSecureClient, server: Server
) -> None:
    token_id = await token_of(client)

    async def post_under(do: dict[str, Any], when: str = "before") -> Any:
        match = {"method": "POST", "path": "/order"}
        server.admin("POST", "/faults", {"match": match, "when": when, "do": do})
        signed = await client.create_limit_order(
            token_id=token_id, side="BUY", price=Decimal("0.02"), size=Decimal(10)
        )
        return await client.post_order(signed)

    with pytest.raises(RateLimitError) as limited:
        await post_under({"status": 429, "headers": {"Retry-After": "3"}})
    assert limited.value.retry_after == 3
    with pytest.raises(RequestRejectedError) as broken:
        await post_under({"status": 502, "body": "<html>Bad Gateway</html>"})
    assert broken.value.status == 502
    with pytest.raises(TransportError):
        await post_under({"drop": True})
    assert [o async for page in client.list_open_orders() for o in page.items] == []
    with pytest.raises(TransportError):
        await post_under({"drop": True}, when="after")
    assert len([o async for page in client.list_open_orders() for o in page.items]) == 1

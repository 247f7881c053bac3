"""Both stream channels, frame by frame, and what can go wrong with them."""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.paper.conftest import Server
from tests.paper.test_faults import FarTrader

pytestmark = pytest.mark.services


@pytest.fixture
def trader(server: Server) -> Iterator[FarTrader]:
    far = FarTrader(server)
    yield far
    server.admin("DELETE", "/ws-faults")
    far.send("DELETE", "/cancel-all")


@asynccontextmanager
async def joined(
    server: Server, channel: str, hello: dict[str, Any]
) -> AsyncGenerator[ClientConnection]:
    url = server.url.replace("http", "ws") + f"/ws/{channel}"
    async with connect(url, proxy=None) as socket:
        await socket.send(json.dumps(hello))
        yield socket


def user_hello(trader: FarTrader, **extra: Any) -> dict[str, Any]:
    auth = {
        "apiKey": trader.api_key,
        "secret": trader.secret,
        "passphrase": trader.passphrase,
    }
    return {"type": "user", "auth": auth, **extra}


def market_hello(*tokens: str, **extra: Any) -> dict[str, Any]:
    return {"type": "market", "assets_ids": list(tokens), **extra}


async def heard(socket: ClientConnection, seconds: float = 5) -> Any:
    """Return the next frame, parsed unless it is a PONG."""
    async with asyncio.timeout(seconds):
        text = str(await socket.recv())
    return text if text == "PONG" else json.loads(text)


async def settled(socket: ClientConnection) -> None:
    """Wait until the server has read everything sent so far."""
    await socket.send("PING")
    while await heard(socket) != "PONG":
        pass


async def silent(socket: ClientConnection, seconds: float = 0.3) -> bool:
    try:
        await heard(socket, seconds)
    except TimeoutError:
        return True
    return False


async def post(trader: FarTrader) -> str:
    answer = await asyncio.to_thread(trader.send, "POST", "/order", trader.buys())
    return answer.json()["orderID"]


async def test_the_user_channel_sends_one_object_per_frame_to_its_owner_only(
    server: Server, trader: FarTrader
) -> None:
    async with (
        joined(server, "user", user_hello(trader)) as mine,
        joined(server, "user", user_hello(trader, markets=["0x" + "00" * 32])) as elsewhere,
    ):
        await settled(mine)
        await settled(elsewhere)
        order_id = await post(trader)

        frame = await heard(mine)

        assert (frame["event_type"], frame["type"], frame["id"]) == ("order", "PLACEMENT", order_id)
        assert frame["timestamp"].isdecimal()
        assert frame["created_at"].isdecimal()
        assert (frame["original_size"], frame["size_matched"]) == ("10", "0")
        assert await silent(elsewhere)


async def test_markets_can_be_added_to_a_user_connection(server: Server, trader: FarTrader) -> None:
    token = f"{server.url}/clob/markets-by-token/{trader.token_id}"
    condition = (await asyncio.to_thread(_json, token))["condition_id"]
    hello = user_hello(trader, markets=["0x" + "00" * 32])
    async with joined(server, "user", hello) as socket:
        await socket.send(json.dumps({"operation": "subscribe", "markets": [condition]}))
        await settled(socket)
        await post(trader)
        assert (await heard(socket))["market"] == condition

        await socket.send(json.dumps({"operation": "unsubscribe", "markets": [condition]}))
        await settled(socket)
        await post(trader)
        assert await silent(socket)


def _json(url: str) -> Any:
    return httpx.get(url, trust_env=False).json()


async def test_a_wrong_secret_closes_the_user_channel(server: Server, trader: FarTrader) -> None:
    hello = user_hello(trader)
    hello["auth"]["secret"] = "d3Jvbmc="
    async with joined(server, "user", hello) as socket:
        with pytest.raises(ConnectionClosed):
            await heard(socket)


async def test_the_market_channel_opens_with_an_array_of_books(
    server: Server, trader: FarTrader
) -> None:
    levels = {"bids": [["0.30", "5"], ["0.20", "7"]], "asks": [["0.60", "9"]]}
    server.admin("POST", "/book", {"token_id": trader.token_id, **levels})
    async with joined(server, "market", market_hello(trader.token_id)) as socket:
        (book,) = await heard(socket)

        assert book["event_type"] == "book"
        assert book["bids"] == [{"price": "0.2", "size": "7"}, {"price": "0.3", "size": "5"}]
        assert len(book["hash"]) == 40
        await post(trader)
        change = await heard(socket)
        assert change["event_type"] == "price_change"
        first, second = change["price_changes"]
        assert (first["side"], first["price"], first["size"]) == ("BUY", "0.02", "10")
        assert (second["side"], second["price"]) == ("SELL", "0.98")
        assert (first["best_bid"], first["best_ask"]) == ("0.3", "0.6")
    server.admin("DELETE", f"/book/{trader.token_id}")


async def test_only_flagged_connections_hear_of_new_and_resolved_markets(
    server: Server,
) -> None:
    made = server.admin("POST", "/markets", {"slug": "flagged"})
    token_id, condition = made["token_ids"][0], made["condition_id"]
    server.admin("POST", "/book", {"token_id": token_id})
    flagged = market_hello(token_id, custom_feature_enabled=True)
    async with (
        joined(server, "market", flagged) as special,
        joined(server, "market", market_hello(token_id)) as plain,
    ):
        await settled(special)
        await settled(plain)
        fresh = server.admin("POST", "/markets", {"slug": "flagged-too"})["condition_id"]
        server.admin("POST", f"/markets/{condition}/tick-size", {"tick_size": "0.001"})
        server.admin("POST", f"/markets/{condition}/resolve", {"payouts": ["0", "1"]})

        told = [await heard(special) for _ in range(4)]
        assert [frame["event_type"] for frame in told] == [
            "new_market",
            "tick_size_change",
            "tick_size_change",
            "market_resolved",
        ]
        assert (told[0]["market"], told[3]["winning_outcome"]) == (fresh, "No")
        assert [(await heard(plain))["event_type"] for _ in range(2)] == ["tick_size_change"] * 2
        assert await silent(plain)


async def test_assets_come_and_go_and_the_flag_can_be_turned_on(
    server: Server,
) -> None:
    made = server.admin("POST", "/markets", {"slug": "comes-and-goes"})
    first, second = made["token_ids"]
    server.admin("POST", "/book", {"token_id": first, "bids": [["0.30", "5"]]})
    async with joined(server, "market", market_hello(first)) as socket:
        await settled(socket)
        await socket.send(json.dumps({"operation": "subscribe", "assets_ids": [second]}))
        (book,) = await heard(socket)
        assert book["asset_id"] == second

        frame = {"operation": "subscribe", "assets_ids": [first], "custom_feature_enabled": True}
        await socket.send(json.dumps(frame))
        await socket.send(json.dumps({"operation": "unsubscribe", "assets_ids": [second]}))
        await settled(socket)
        server.admin("POST", "/book", {"token_id": first, "bids": [["0.35", "5"]]})
        assert (await heard(socket))["event_type"] == "price_change"
        best = await heard(socket)
        assert (best["event_type"], best["asset_id"]) == ("best_bid_ask", first)
        assert (best["best_bid"], best["best_ask"]) == ("0.35", "1")
        assert await silent(socket)


async def test_protocol_pings_are_answered_too(server: Server, trader: FarTrader) -> None:
    async with joined(server, "user", user_hello(trader)) as socket, asyncio.timeout(5):
        await (await socket.ping())


async def test_a_stalled_stream_answers_pings_and_delivers_late(
    server: Server, trader: FarTrader
) -> None:
    async with joined(server, "user", user_hello(trader)) as socket:
        await settled(socket)
        server.admin("POST", "/ws-faults", {"channel": "user", "do": "stall", "seconds": 0.6})
        order_id = await post(trader)

        await socket.send("PING")
        assert await heard(socket) == "PONG"
        assert (await heard(socket))["id"] == order_id


async def test_a_muted_stream_loses_what_was_said(server: Server, trader: FarTrader) -> None:
    async with joined(server, "user", user_hello(trader)) as socket:
        await settled(socket)
        server.admin("POST", "/ws-faults", {"channel": "user", "do": "mute"})
        await post(trader)
        await settled(socket)
        server.admin("DELETE", "/ws-faults")
        second = await post(trader)

        assert (await heard(socket))["id"] == second


async def test_a_closed_stream_refuses_newcomers_for_a_while(
    server: Server, trader: FarTrader
) -> None:
    async with joined(server, "user", user_hello(trader)) as socket:
        await settled(socket)
        server.admin("POST", "/ws-faults", {"channel": "user", "do": "close", "seconds": 0.5})
        with pytest.raises(ConnectionClosed):
            await heard(socket)
    with pytest.raises(ConnectionClosed):
        async with joined(server, "user", user_hello(trader)) as socket:
            await heard(socket)
    await asyncio.sleep(0.6)
    async with joined(server, "user", user_hello(trader)) as socket:
        await settled(socket)


async def test_single_frames_are_dropped_doubled_and_swapped(
    server: Server, trader: FarTrader
) -> None:
    async with joined(server, "user", user_hello(trader)) as socket:
        await settled(socket)
        server.admin("POST", "/ws-faults", {"channel": "user", "do": "drop", "nth": 2})
        first, _, third = [await post(trader) for _ in range(3)]
        assert [(await heard(socket))["id"] for _ in range(2)] == [first, third]

        server.admin("POST", "/ws-faults", {"channel": "user", "do": "duplicate"})
        doubled, single = [await post(trader) for _ in range(2)]
        assert [(await heard(socket))["id"] for _ in range(3)] == [doubled, doubled, single]

        server.admin("POST", "/ws-faults", {"channel": "user", "do": "reorder"})
        late, early = [await post(trader) for _ in range(2)]
        assert [(await heard(socket))["id"] for _ in range(2)] == [early, late]

"""The user channel loses nothing quietly: every gap is told, every message read or counted."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from json import dumps, loads
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from domain.errors import UnavailableError
from domain.fill import FillStatus
from domain.market import Market
from domain.ports import Connected, Disconnected, FillSeen, OrderSeen, StreamItem
from infra.exchanges.polymarket import user_stream
from infra.exchanges.polymarket.parsing import MarketLookup
from infra.exchanges.polymarket.user_stream import PolymarketUserStream
from tests.exchanges.scripted import KEYS, ME, known_market
from tests.exchanges.twins import a_trade, an_order_event

Script = Callable[[ServerConnection], Awaitable[None]]

MINE = {"owner": KEYS.key, "maker_address": ME.wallet}


@asynccontextmanager
async def stream_of(
    *scripts: Script, markets: MarketLookup = known_market
) -> AsyncGenerator[tuple[PolymarketUserStream, list[Any]], None]:
    """A channel whose n-th connection follows the n-th script; later ones stay silent."""
    waiting, opened = list(scripts), list[Any]()

    async def accept(socket: ServerConnection) -> None:
        opened.append(loads(await socket.recv()))
        if waiting:
            await waiting.pop(0)(socket)
        else:
            await socket.wait_closed()

    async with serve(accept, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        stream = PolymarketUserStream(f"ws://127.0.0.1:{port}", KEYS, ME, markets)
        yield stream, opened


async def first(stream: PolymarketUserStream, count: int) -> list[StreamItem]:
    """Return the first `count` items, or fail after a while."""
    items: list[StreamItem] = []
    async with asyncio.timeout(20), aclosing(stream.follow()) as following:
        async for item in following:
            items.append(item)
            if len(items) == count:
                break
    return items


def says(*frames: object) -> Script:
    """Send frames, each text as it is and anything else as JSON, then keep the line open."""

    async def script(socket: ServerConnection) -> None:
        for frame in frames:
            await socket.send(frame if isinstance(frame, str) else dumps(frame))
        await socket.wait_closed()

    return script


def then_closes(*frames: object) -> Script:
    """Send frames and close."""

    async def script(socket: ServerConnection) -> None:
        for frame in frames:
            await socket.send(dumps(frame))

    return script


def trade(status: str, trade_id: str = "t-1") -> dict[str, Any]:
    return a_trade("25.0", status, id=trade_id, event_type="trade", type="TRADE", **MINE)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_stream, "FIRST_DELAY_SECONDS", 0.01)
    monkeypatch.setattr(user_stream, "LONGEST_DELAY_SECONDS", 0.05)


async def test_it_says_when_it_listens_and_shows_its_keys_to_the_exchange() -> None:
    async with stream_of(says(trade("MATCHED"))) as (stream, opened):
        assert (await first(stream, 2))[0] == Connected()
    auth = {"apiKey": KEYS.key, "secret": KEYS.secret, "passphrase": KEYS.passphrase}
    assert opened == [{"type": "user", "auth": auth}]


async def test_a_trade_is_told_at_every_status() -> None:
    statuses = ["MATCHED", "MINED", "CONFIRMED"]
    async with stream_of(says(*(trade(status) for status in statuses))) as (stream, _):
        items = await first(stream, 4)
    fills = [item.fill for item in items if isinstance(item, FillSeen)]
    assert [fill.status for fill in fills] == [FillStatus(status) for status in statuses]
    assert {fill.trade_id for fill in fills} == {"t-1"}


async def test_s8_arrays_and_single_objects_are_the_same_news() -> None:
    order = an_order_event("UPDATE", "LIVE", "25.0", event_type="order")
    async with stream_of(says([trade("MATCHED"), order], order)) as (stream, _):
        items = await first(stream, 4)
    assert [type(item) for item in items] == [Connected, FillSeen, OrderSeen, OrderSeen]


async def test_s8_what_is_not_understood_is_counted_and_the_line_is_kept() -> None:
    odd = ["not json", "[" * 100_000, "7", [7, {"event_type": "weather"}], {}, trade("PONDERED")]
    good = trade("MATCHED")
    async with stream_of(says(*odd, "PONG", good)) as (stream, opened):
        items = await first(stream, 2)
        assert len(opened) == 1
    assert isinstance(items[1], FillSeen)
    assert stream.unreadable == 7


async def test_s8_a_large_frame_is_read() -> None:
    many = [trade("MATCHED", trade_id=f"t-{n}") for n in range(4000)]
    assert len(dumps(many)) > 1024 * 1024
    async with stream_of(says(many)) as (stream, _):
        items = await first(stream, 4001)
    assert isinstance(items[-1], FillSeen)
    assert items[-1].fill.trade_id == "t-3999"


async def test_s2_a_closed_line_is_a_gap_that_is_told_and_mended() -> None:
    script = [then_closes(trade("MATCHED")), says(trade("CONFIRMED"))]
    async with stream_of(*script) as (stream, _):
        items = await first(stream, 5)
    kinds = [type(item) for item in items]
    assert kinds == [Connected, FillSeen, Disconnected, Connected, FillSeen]
    assert isinstance(items[2], Disconnected)
    assert "closed" in items[2].why


async def test_s2_an_exchange_that_cannot_be_reached_is_tried_again_and_again() -> None:
    stream = PolymarketUserStream("ws://127.0.0.1:9", KEYS, ME, known_market)
    items = await first(stream, 3)
    assert all(isinstance(item, Disconnected) for item in items)


async def test_pings_go_out_and_silence_after_them_is_a_lost_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(user_stream, "PING_SECONDS", 0.02)
    monkeypatch.setattr(user_stream, "STALE_SECONDS", 0.2)
    heard: list[str | bytes] = []

    async def mute(socket: ServerConnection) -> None:
        heard.extend([await socket.recv(), await socket.recv()])
        await socket.wait_closed()

    async with stream_of(mute) as (stream, _):
        items = await first(stream, 3)
    assert [type(item) for item in items] == [Connected, Disconnected, Connected]
    assert isinstance(items[1], Disconnected)
    assert "PONG" in items[1].why
    assert heard == ["PING", "PING"]


async def test_s7_a_slow_consumer_loses_nothing_and_its_line_stays_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(user_stream, "PING_SECONDS", 0.02)
    monkeypatch.setattr(user_stream, "STALE_SECONDS", 0.2)

    async def patient(socket: ServerConnection) -> None:
        for n in range(500):
            await socket.send(dumps(trade("MATCHED", trade_id=f"t-{n}")))
        async for _ in socket:
            await socket.send("PONG")

    async with stream_of(patient) as (stream, opened):
        async with aclosing(stream.follow()) as following:
            assert await anext(following) == Connected()
            await asyncio.sleep(0.5)  # longer than the silence that counts as lost
            items = [await anext(following) for _ in range(500)]
        assert len(opened) == 1
    assert [item.fill.trade_id for item in items if isinstance(item, FillSeen)] == [
        f"t-{n}" for n in range(500)
    ]


async def test_s7_a_consumer_too_far_behind_is_told_of_a_gap_and_hears_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(user_stream, "MOST_FRAMES", 50)
    closed = asyncio.Event()

    async def flood(socket: ServerConnection) -> None:
        for n in range(60):
            await socket.send(dumps(trade("MATCHED", trade_id=f"t-{n}")))
        await socket.wait_closed()
        closed.set()

    async with stream_of(flood, says(trade("CONFIRMED"))) as (stream, opened):
        async with asyncio.timeout(20), aclosing(stream.follow()) as following:
            assert await anext(following) == Connected()
            await closed.wait()
            items = [await anext(following)]
            while not isinstance(items[-1], Connected):
                items.append(await anext(following))
            assert isinstance(await anext(following), FillSeen)
        assert len(opened) == 2
    [gap] = [item for item in items if isinstance(item, Disconnected)]
    assert "50 frames behind" in gap.why


async def test_s8_a_frame_beyond_all_measure_is_a_gap_and_the_line_is_opened_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(user_stream, "LARGEST_FRAME", 1024)
    script = [says("x" * 4096), says(trade("CONFIRMED"))]
    async with stream_of(*script) as (stream, opened):
        items = await first(stream, 4)
        assert len(opened) == 2
    kinds = [type(item) for item in items]
    assert kinds == [Connected, Disconnected, Connected, FillSeen]


async def test_s2_a_line_that_breaks_without_a_word_is_a_gap() -> None:
    async def breaks(socket: ServerConnection) -> None:
        await socket.send(dumps(trade("MATCHED")))
        socket.transport.abort()

    async with stream_of(breaks, says(trade("CONFIRMED"))) as (stream, _):
        items = await first(stream, 5)
    kinds = [type(item) for item in items]
    assert kinds == [Connected, FillSeen, Disconnected, Connected, FillSeen]


async def test_a_fill_whose_market_cannot_be_read_is_a_gap_and_not_a_loss() -> None:
    failures = [UnavailableError("the registry is away")]

    async def lookup(condition_id: str) -> Market:
        if failures:
            raise failures.pop()
        return await known_market(condition_id)

    script = [says(trade("MATCHED")), says(trade("MATCHED"))]
    async with stream_of(*script, markets=lookup) as (stream, _):
        items = await first(stream, 4)
    assert [type(item) for item in items] == [Connected, Disconnected, Connected, FillSeen]


async def test_leaving_the_stream_closes_its_line() -> None:
    closed = asyncio.Event()

    async def watch(socket: ServerConnection) -> None:
        await socket.wait_closed()
        closed.set()

    async with stream_of(watch) as (stream, _):
        await first(stream, 1)
        async with asyncio.timeout(5):
            await closed.wait()


async def test_attempts_spread_out_and_never_come_in_a_rush(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(user_stream, "FIRST_DELAY_SECONDS", 0.25)
    monkeypatch.setattr(user_stream, "LONGEST_DELAY_SECONDS", 30.0)
    waits: list[float] = []
    mine = asyncio.current_task()
    pause = asyncio.sleep

    async def note(seconds: float) -> None:
        if asyncio.current_task() is not mine:  # an earlier test's task, on its way out
            await pause(seconds)
            return
        waits.append(seconds)

    monkeypatch.setattr(user_stream.asyncio, "sleep", note)
    stream = PolymarketUserStream("ws://127.0.0.1:9", KEYS, ME, known_market)
    await first(stream, 12)
    assert len(waits) > 8
    for place, wait in enumerate(waits):
        longest = min(30.0, 0.25 * 2**place)
        assert longest / 2 <= wait <= longest

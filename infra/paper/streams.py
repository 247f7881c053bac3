"""The two WebSocket channels: who listens to what, and what they are sent."""

import asyncio
import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, cast

import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from infra.paper.catalogue import Market
from infra.paper.exchange import Exchange
from infra.paper.market_events import book_event, market_frames
from infra.paper.news import MarketNews, News, UserNews
from infra.paper.oddities import NOVEL_EVENT, event
from infra.paper.stream_faults import StreamFaults
from infra.paper.wire import Json, encode

MOST_FRAME_BYTES: Final = 1_000_000  # clients close the socket on frames above 1 MiB
MOST_ASSETS: Final = 500
_BACKLOG: Final = 20_000
_UNAUTHORIZED: Final = 1008
_FLOODED: Final = 1013


@dataclass(eq=False, slots=True)
class Connection:
    """One socket: its channel, what it subscribed to, and the frames on their way to it."""

    socket: WebSocket
    channel: str
    address: str = ""
    markets: set[str] = field(default_factory=set[str])
    all_markets: bool = False
    assets: set[str] = field(default_factory=set[str])
    flagged: bool = False
    queue: asyncio.Queue[bytes | int] = field(
        default_factory=lambda: asyncio.Queue[bytes | int](_BACKLOG)
    )

    def send(self, frame: bytes) -> None:
        """Queue a frame; a reader that falls too far behind is cut off."""
        if self.queue.full():
            self.close(_FLOODED)
            return
        self.queue.put_nowait(frame)

    def close(self, code: int) -> None:
        """Close the socket after dropping what was queued."""
        while not self.queue.empty():
            self.queue.get_nowait()
        self.queue.put_nowait(code)


class Streams:
    """All open connections of both channels.

    Args:
        exchange: whose news they are told.
        faults: what goes wrong on the way.
    """

    def __init__(self, exchange: Exchange, faults: StreamFaults) -> None:
        self._exchange = exchange
        self._faults = faults
        self._open: set[Connection] = set()
        faults.attach(lambda channel: [c for c in self._open if c.channel == channel])

    async def market(self, socket: WebSocket) -> None:
        """Serve a connection of the market channel."""
        await self._serve(Connection(socket, "market"))

    async def user(self, socket: WebSocket) -> None:
        """Serve a connection of the user channel."""
        await self._serve(Connection(socket, "user"))

    async def _serve(self, connection: Connection) -> None:
        await connection.socket.accept()
        self._open.add(connection)
        self._faults.greet(connection)
        writer = asyncio.create_task(self._write(connection))
        try:
            while True:
                self._hear(connection, await connection.socket.receive_text())
        except (WebSocketDisconnect, RuntimeError):
            pass  # the peer is gone, or the writer closed the socket
        finally:
            self._open.discard(connection)
            writer.cancel()

    async def _write(self, connection: Connection) -> None:
        while True:
            item = await connection.queue.get()
            if isinstance(item, int):
                with contextlib.suppress(RuntimeError):
                    await connection.socket.close(item)
                return
            if connection.socket.application_state is not WebSocketState.CONNECTED:
                return
            await connection.socket.send_text(item.decode())

    def _hear(self, connection: Connection, text: str) -> None:
        if text == "PING":
            connection.send(b"PONG")
            return
        try:
            frame = cast("object", orjson.loads(text))
        except orjson.JSONDecodeError:
            return
        if not isinstance(frame, dict):
            return
        if connection.channel == "market":
            self._hear_market(connection, cast("Json", frame))
        else:
            self._hear_user(connection, cast("Json", frame))

    def _hear_market(self, connection: Connection, frame: Json) -> None:
        assets = _texts(frame, "assets_ids") or _texts(frame, "asset_ids")
        if frame.get("operation") == "unsubscribe":
            connection.assets.difference_update(assets)
            return
        if "custom_feature_enabled" in frame:
            connection.flagged = frame["custom_feature_enabled"] is True
        fresh = [asset for asset in dict.fromkeys(assets) if asset not in connection.assets]
        connection.assets.update(fresh)
        if len(connection.assets) <= MOST_ASSETS and frame.get("initial_dump") is not False:
            self._send_books(connection, fresh)

    def _send_books(self, connection: Connection, assets: list[str]) -> None:
        books = [book for asset in assets if (book := book_event(self._exchange, asset))]
        if not books:
            return
        for chunk in _chunks([encode(event(self._exchange.switches, book)) for book in books]):
            self._faults.deliver(connection, b"[" + b",".join(chunk) + b"]")

    def _hear_user(self, connection: Connection, frame: Json) -> None:
        markets = _texts(frame, "markets")
        if frame.get("operation") == "unsubscribe":
            connection.markets.difference_update(markets)
            return
        if frame.get("operation") != "subscribe" and not self._log_in(connection, frame):
            connection.close(_UNAUTHORIZED)
            return
        connection.markets.update(markets)
        if frame.get("operation") != "subscribe":
            connection.all_markets = not markets

    def _log_in(self, connection: Connection, frame: Json) -> bool:
        auth = frame.get("auth")
        given = cast("Json", auth) if isinstance(auth, dict) else {}
        key = self._exchange.engine.accounts.key(str(given.get("apiKey", "")))
        if key is None or (given.get("secret"), given.get("passphrase")) != (
            key.secret,
            key.passphrase,
        ):
            return False
        connection.address = key.address
        return True

    def publish(self, news: News) -> None:
        """Send a commit's news to whom they concern."""
        if not self._open:
            return
        switches = self._exchange.switches
        user = sorted(news.user, key=_is_order) if switches.trades_first else news.user
        for told in user:
            frame = encode(event(switches, told.frame))
            for connection in self._open:
                if connection.address == told.address and (
                    connection.all_markets or told.condition_id in connection.markets
                ):
                    if switches.unknown_fields:
                        self._faults.deliver(connection, NOVEL_EVENT)
                    self._faults.deliver(connection, frame)
        for condition_id, change in news.markets.items():
            self._publish_market(self._exchange.engine.markets[condition_id], change)

    def _publish_market(self, market: Market, news: MarketNews) -> None:
        tokens = set(market.token_ids)
        listening = [
            connection
            for connection in self._open
            if connection.channel == "market"
            and (not tokens.isdisjoint(connection.assets) or (news.special and connection.flagged))
        ]
        if not listening:
            return
        frames = [
            (frame, encode(event(self._exchange.switches, frame.body)))
            for frame in market_frames(self._exchange, market, news)
        ]
        for connection in listening:
            for frame, sent in frames:
                if frame.reaches(connection.assets, is_flagged=connection.flagged):
                    self._faults.deliver(connection, sent)


def _is_order(told: UserNews) -> bool:
    return told.frame["event_type"] == "order"


def _texts(frame: Json, key: str) -> list[str]:
    value = frame.get(key)
    return [str(item) for item in cast("list[object]", value)] if isinstance(value, list) else []


def _chunks(parts: Iterable[bytes]) -> list[list[bytes]]:
    """Return encoded books grouped so that no frame grows past what clients accept."""
    chunks: list[list[bytes]] = [[]]
    size = 0
    for part in parts:
        if chunks[-1] and size + len(part) > MOST_FRAME_BYTES:
            chunks.append([])
            size = 0
        chunks[-1].append(part)
        size += len(part) + 1
    return chunks

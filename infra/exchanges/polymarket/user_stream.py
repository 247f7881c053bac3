"""The user channel of one account: everything it says, and when it could not be heard.

The SDK's own stream reconnects without a word and drops what it cannot parse; both would hide
fills. Here a gap is an item like any other, and the consumer fills it by reading.
"""

import asyncio
import logging
from asyncio import Queue
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from json import dumps
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from domain.errors import HoldfastError, InvalidInputError
from domain.ids import digest
from domain.ports import Connected, Disconnected, FillSeen, StreamItem
from infra.clock import monotonic_seconds
from infra.exchanges.polymarket import parsing, wire
from infra.exchanges.polymarket.connection import ApiKeys
from infra.exchanges.polymarket.parsing import Identity, MarketLookup

log = logging.getLogger(__name__)

OPEN_SECONDS: Final = 5.0
PING_SECONDS: Final = 10.0  # what the exchange asks for
STALE_SECONDS: Final = 30.0  # three pings without a PONG
FIRST_DELAY_SECONDS: Final = 0.25
LONGEST_DELAY_SECONDS: Final = 30.0
LIVED_SECONDS: Final = 60.0  # an exchange that accepts and closes at once is not called at once
CLOSE_SECONDS: Final = 1.0
LARGEST_FRAME: Final = 16 * 1024 * 1024
MOST_FRAMES: Final = 10_000  # waiting to be taken in; hours of news, and some megabytes
ORDER_TYPES: Final = frozenset({"PLACEMENT", "UPDATE", "CANCELLATION"})


class LostError(HoldfastError):
    """The channel is closed, or silent for too long."""


class PolymarketUserStream:
    """The live news of one account.

    Args:
        markets: prices the fee of what we took; asked for taker legs only.

    Attributes:
        unreadable: frames and events that could not be understood so far.
    """

    def __init__(self, url: str, keys: ApiKeys, who: Identity, markets: MarketLookup) -> None:
        self._url = url
        self._keys = keys
        self._who = who
        self._markets = markets
        self._attempts = 0
        self.unreadable = 0

    async def follow(self) -> AsyncGenerator[StreamItem, None]:
        """Yield everything the exchange says, from now on; never ends by itself.

        An event whose market cannot be read closes the channel: the gap that follows is one that
        the consumer fills, while a fill passed over would be lost.
        """
        while True:
            began_at = monotonic_seconds()
            try:
                async with self._channel() as channel:
                    yield Connected()
                    while True:
                        for item in await self._items(await channel.next_frame()):
                            yield item
            except (HoldfastError, WebSocketException, OSError, TimeoutError) as error:
                why = f"{type(error).__name__}: {error}"
                log.warning("user_stream.lost", extra={"account": self._who.account_id, "why": why})
                yield Disconnected(why=why)
            if monotonic_seconds() - began_at > LIVED_SECONDS:
                self._attempts = 0
            await asyncio.sleep(self._delay())
            self._attempts += 1

    def _delay(self) -> float:
        """Return the pause before the next attempt: doubling, and different for each account.

        Spread by a hash and not by chance, so that accounts do not come back all at once.
        """
        longest = min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2 ** min(self._attempts, 10))
        spread = int(digest(self._who.account_id, str(self._attempts), length=4), 16) / 0xFFFF
        return longest * (1 + spread) / 2

    @asynccontextmanager
    async def _channel(self) -> AsyncGenerator["_Channel", None]:
        """Open and subscribe one connection; on leaving, nothing of it is left."""
        async with connect(
            self._url,
            open_timeout=OPEN_SECONDS,
            close_timeout=CLOSE_SECONDS,
            max_size=LARGEST_FRAME,
            proxy=None,
        ) as socket:
            auth = {
                "apiKey": self._keys.key,
                "secret": self._keys.secret,
                "passphrase": self._keys.passphrase,
            }
            await socket.send(dumps({"type": "user", "auth": auth}))
            channel = _Channel(socket)
            tasks = [asyncio.create_task(channel.listen()), asyncio.create_task(channel.ping())]
            try:
                yield channel
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)

    async def _items(self, frame: str | bytes) -> list[StreamItem]:
        """Return what one frame says; what cannot be understood is logged and counted."""
        try:
            raw = wire.decoded(frame)
        except InvalidInputError as error:
            self._note_unreadable(error)
            return []
        items: list[StreamItem] = []
        for event in raw if wire.is_list(raw) else [raw]:
            try:
                items += await self._event(event)
            except InvalidInputError as error:
                self._note_unreadable(error)
        return items

    async def _event(self, raw: object) -> list[StreamItem]:
        """Return what one event says."""
        event = wire.record(raw, "event")
        kind = wire.optional_text(event, "event_type")
        form = (wire.optional_text(event, "type") or "").upper()
        if kind == "trade" or form == "TRADE":
            fills = await parsing.fills_of(event, self._who, self._markets)
            return [FillSeen(fill=fill) for fill in fills]
        if kind == "order" or form in ORDER_TYPES:
            return [parsing.order_seen(event)]
        raise InvalidInputError("event_type", f"unknown event: {wire.shown(kind or form)}")

    def _note_unreadable(self, error: InvalidInputError) -> None:
        """Log and count something that could not be understood."""
        self.unreadable += 1
        account = self._who.account_id
        log.warning("user_stream.unreadable", extra={"account": account, "why": str(error)})


class _Channel:
    """One open connection, read by a task of its own.

    However long the consumer takes, the socket is read and PINGs go out. One that falls too far
    behind is told of a gap, which it fills by reading, and never loses a frame without a word.
    """

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._frames: Queue[str | bytes | None] = Queue()
        self._why = ""
        self._heard_at = monotonic_seconds()

    async def next_frame(self) -> str | bytes:
        """Return the next frame.

        Raises:
            LostError: the connection is gone, and every frame that came before was returned.
        """
        frame = await self._frames.get()
        if frame is None:
            raise LostError(self._why)
        return frame

    async def listen(self) -> None:
        """Take every frame off the socket until it closes."""
        try:
            async for frame in self._socket:
                if frame == "PONG":
                    self._heard_at = monotonic_seconds()
                    continue
                if self._frames.qsize() >= MOST_FRAMES:
                    self._drop_all()
                    await self._socket.close()
                    return
                self._frames.put_nowait(frame)
        except (WebSocketException, OSError) as error:
            self._end(f"{type(error).__name__}: {error}")
        finally:
            self._end(f"closed by the exchange ({self._socket.close_code})")

    async def ping(self) -> None:
        """Ask for a PONG again and again; give up where none comes."""
        try:
            while True:
                await self._socket.send("PING")
                await asyncio.sleep(PING_SECONDS)
                silent = monotonic_seconds() - self._heard_at
                if silent > STALE_SECONDS:
                    self._end(f"no PONG for {silent:.0f} s")
                    return
        except (WebSocketException, OSError) as error:
            self._end(f"{type(error).__name__}: {error}")

    def _drop_all(self) -> None:
        """Give up what waits: reading what was missed is quicker than taking all of it in."""
        waiting = self._frames.qsize()
        self._frames = Queue()
        self._end(f"{waiting} frames behind")

    def _end(self, why: str) -> None:
        """Let the consumer know, after the last frame."""
        self._why = self._why or why
        self._frames.put_nowait(None)

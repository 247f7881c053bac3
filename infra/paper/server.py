"""The server: every base path on one origin, HTTP faults, the clockwork, and both streams."""

import argparse
import asyncio
import logging
import signal
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount, WebSocketRoute

from infra.paper.door import Door
from infra.paper.exchange import Exchange
from infra.paper.protocol import DroppableProtocol
from infra.paper.stream_faults import StreamFaults
from infra.paper.streams import Streams

_TICK_SECONDS: Final = 0.02
_PATIENCE_SECONDS: Final = 2
_MOST_FRAME: Final = 1_048_576
log = logging.getLogger(__name__)


def create_app(exchange: Exchange) -> Starlette:
    """Return the ASGI application of an exchange; its clockwork runs while it is served."""
    stream_faults = StreamFaults(exchange.ledger, exchange.now)
    streams = Streams(exchange, stream_faults)
    door = Door(exchange, stream_faults, streams.publish)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        ticking = asyncio.create_task(_tick(exchange, door, streams, stream_faults))
        ticking.add_done_callback(_stopped)
        yield
        ticking.cancel()
        exchange.ledger.close()

    return Starlette(
        routes=[
            WebSocketRoute("/ws/market", streams.market),
            WebSocketRoute("/ws/user", streams.user),
            Mount("/", app=door),
        ],
        lifespan=lifespan,
    )


async def _tick(
    exchange: Exchange, door: Door, streams: Streams, stream_faults: StreamFaults
) -> None:
    while True:
        exchange.advance()
        streams.publish(exchange.engine.take_news())
        door.advance()
        stream_faults.advance()
        await asyncio.sleep(_TICK_SECONDS)


def _stopped(ticking: asyncio.Task[None]) -> None:
    """End the process when its clockwork broke: a restart continues from the ledger."""
    if not ticking.cancelled():
        log.critical("clockwork.broken", exc_info=ticking.exception())
        signal.raise_signal(signal.SIGTERM)


def serve(
    *,
    port: int,
    data_dir: Path,
    host: str = "127.0.0.1",
    switches: Mapping[str, object] | None = None,
) -> None:
    """Serve one exchange until it is told to stop.

    Args:
        port: TCP port of every base path and both streams.
        data_dir: folder of the ledger; an exchange that was here before continues.
        host: address to listen on; the admin has no key, so loopback.
        switches: switches to turn at the start; the others stay as they were.
    """
    exchange = Exchange(data_dir, switches=switches)
    config = uvicorn.Config(
        create_app(exchange),
        host=host,
        port=port,
        loop="uvloop",
        http=DroppableProtocol,
        ws="websockets-sansio",
        ws_max_size=_MOST_FRAME,
        ws_per_message_deflate=False,
        lifespan="on",
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=_PATIENCE_SECONDS,
    )
    log.info("paper.started", extra={"port": port, "data_dir": str(data_dir)})
    uvicorn.Server(config).run()


def main() -> None:
    """Serve from the command line."""
    parser = argparse.ArgumentParser(description="Serve the paper exchange")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument(
        "--switch",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a way of production to turn on, or preset=strict for all of them",
    )
    arguments = parser.parse_args()
    switches = dict(switch.partition("=")[::2] for switch in arguments.switch)
    serve(port=arguments.port, data_dir=arguments.data_dir, switches=switches)


if __name__ == "__main__":
    main()

"""The API as a process."""

import asyncio
import os
import resource
from typing import Any, Final

import uvicorn
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.app import create
from infra.exporting import configure_tracing
from infra.settings import Settings
from infra.telemetry import configure_logging

HEAD_SECONDS: Final = 5.0  # a request's head is one packet; who needs longer holds the door open
IDLE_SECONDS: Final = 30  # alert senders come seldom, operators' screens every second
MOST_FILES: Final = 65_536  # connections, nearly all; whoever opens more is cut off at the door
GRACE_SECONDS: Final = 10  # for requests in flight when the process is told to stop


class PunctualProtocol(HttpToolsProtocol):
    """HTTP that closes a connection whose request head is not whole in time."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._watch: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait_for_head()

    @override
    def on_message_begin(self) -> None:
        """Begin to wait for the rest of a request's head."""
        super().on_message_begin()
        self._wait_for_head()

    @override
    def on_headers_complete(self) -> None:
        """Stop waiting: the body has a limit of its own."""
        self._stop_waiting()
        super().on_headers_complete()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        self._stop_waiting()
        self._watch = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None


def hold_many() -> None:
    """Let this process hold many connections: the usual 1,024 is what one stranger can use up."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def serve(settings: Settings) -> None:
    """Answer requests until SIGTERM or SIGINT; requests in flight are finished first."""
    configure_logging(settings.log_format, "api")
    configure_tracing(os.environ, "api")
    hold_many()
    uvicorn.run(
        create(settings),
        host=settings.api.host,
        port=settings.api.port,
        loop="uvloop",
        http=PunctualProtocol,
        ws="none",
        log_config=None,
        access_log=False,  # paths may carry a token
        server_header=False,
        proxy_headers=False,  # whom to believe is ours to say: api.trusted_proxies
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )

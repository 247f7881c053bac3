"""Thirty ports in a row: chosen once for a folder, moved only when somebody took them."""

import json
import socket
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from domain.errors import HoldfastError
from infra.embedded.loopback import HOST

FIRST_BASE: Final = 7400
STEP: Final = 30
HIGHEST: Final = 32_000  # above begin the ports the kernel hands out by itself


@dataclass(frozen=True)
class Ports:
    """Which port each part listens on, counted from `base`."""

    base: int

    @property
    def api(self) -> int:
        """The HTTP API."""
        return self.base

    @property
    def temporal(self) -> int:
        """The Temporal server's gRPC frontend."""
        return self.base + 1

    @property
    def temporal_ui(self) -> int:
        """The Temporal server's web interface."""
        return self.base + 2

    @property
    def temporal_http(self) -> int:
        """The Temporal server's HTTP API."""
        return self.base + 3

    @property
    def temporal_metrics(self) -> int:
        """The Temporal server's own metrics."""
        return self.base + 4

    @property
    def postgres(self) -> int:
        """PostgreSQL."""
        return self.base + 5

    @property
    def paper(self) -> int:
        """The paper exchange."""
        return self.base + 6

    @property
    def guard(self) -> int:
        """Held by `up` itself: two starts at the same moment cannot choose the same thirty."""
        return self.base + STEP - 1


@contextmanager
def reserved(memory: Path, wanted: int | None) -> Generator[Ports]:
    """Hold a free range of ports until the block ends, the one of last time if it can be.

    Args:
        memory: file that remembers the range of this folder.
        wanted: where to begin looking; None is where it was last time.

    Raises:
        HoldfastError: no range is free.
    """
    base = wanted or _remembered(memory) or FIRST_BASE
    while base + STEP <= HIGHEST:
        guard = _guarded(Ports(base))
        if guard is not None:
            with closing(guard):
                memory.write_text(json.dumps({"base": base}))
                yield Ports(base)
            return
        base += STEP
    raise HoldfastError(f"no {STEP} free ports in a row below {HIGHEST}: pass --port-base")


def _remembered(memory: Path) -> int | None:
    """Return the base of last time, None if there was none or the file is damaged."""
    try:
        base = json.loads(memory.read_text())["base"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return base if isinstance(base, int) else None


def _guarded(ports: Ports) -> socket.socket | None:
    """Return the socket that holds the range, None if any port of it is taken."""
    guard = _bound(ports.guard)
    if guard is None:
        return None
    for port in range(ports.base, ports.paper + 1):
        taken = _bound(port)
        if taken is None:
            guard.close()
            return None
        taken.close()
    return guard


def _bound(port: int) -> socket.socket | None:
    """Return a socket listening on `port`, None if it is taken."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(1)
    except OSError:
        listener.close()
        return None
    return listener

"""Client heartbeats: once armed, an API key that falls silent loses its open orders."""

import hashlib
from collections.abc import Callable
from typing import Final

from infra.paper.wire import MICRO, RefusedError

SILENCE_US: Final = 10 * MICRO


class Heartbeats:
    """The heartbeat chain of every armed API key.

    Args:
        now: the moment now, in microseconds.
    """

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._chains: dict[str, tuple[str, int]] = {}

    def beat(self, api_key: str, heartbeat_id: str) -> str:
        """Return the next id of the chain. Raises RefusedError naming the expected one."""
        known = self._chains.get(api_key)
        if known is not None and heartbeat_id != known[0]:
            text = "Invalid Heartbeat ID"
            raise RefusedError(400, text, extra={"error_msg": text, "heartbeat_id": known[0]})
        return self.revive(api_key)

    def revive(self, api_key: str) -> str:
        """Return the next id of the chain, whatever the client knew (the legacy call)."""
        now = self._now()
        digest = hashlib.sha256(f"heartbeat/{api_key}/{now}".encode()).hexdigest()
        fresh = f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-8{digest[17:20]}-{digest[20:32]}"
        self._chains[api_key] = (fresh, now)
        return fresh

    def silent(self) -> list[str]:
        """Return the armed keys that missed their time, and forget them until they beat again."""
        limit = self._now() - SILENCE_US
        gone = [key for key, (_, at) in self._chains.items() if at <= limit]
        for key in gone:
            del self._chains[key]
        return gone

"""Client heartbeats: once armed, an API key that falls silent loses its open orders."""

import hashlib
from collections.abc import Callable
from typing import Final, cast

from infra.paper.ledger import Ledger
from infra.paper.wire import MICRO, RefusedError

SILENCE_US: Final = 10 * MICRO
_META: Final = "heartbeats"


class Heartbeats:
    """The heartbeat chain of every armed API key; an exchange that restarts remembers them.

    Args:
        ledger: where they are kept.
        now: the moment now, in microseconds.
    """

    def __init__(self, ledger: Ledger, now: Callable[[], int]) -> None:
        self._ledger = ledger
        self._now = now
        kept = cast("dict[str, tuple[str, int]]", ledger.meta(_META) or {})
        self._chains = {key: (str(last), at) for key, (last, at) in kept.items()}

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
        self._ledger.set_meta(_META, self._chains)
        return fresh

    def silent(self) -> list[str]:
        """Return the armed keys that missed their time."""
        limit = self._now() - SILENCE_US
        return [key for key, (_, at) in self._chains.items() if at <= limit]

    def disarm(self, api_keys: list[str]) -> None:
        """Forget keys until they beat again."""
        for api_key in api_keys:
            del self._chains[api_key]
        self._ledger.set_meta(_META, self._chains)

"""The engine's modes, with production's answers while it does not trade normally."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final, cast

from infra.paper.ledger import Ledger
from infra.paper.wire import MICRO, Json, RefusedError, text_of

MODES: Final = ("normal", "restarting", "post_only", "cancel_only", "disabled")
POST_ONLY_TEXT: Final = "post-only mode: only post-only orders and cancels are allowed"
_META: Final = "mode"
_DEFAULT_RETRY: Final = 60


@dataclass(frozen=True, slots=True)
class _Phase:
    """What was asked for: a mode, when it ends (0 for never), and when what follows it ends."""

    name: str = "normal"
    until: int = 0
    post_only_until: int = 0


class Mode:
    """The mode now; it survives a restart of the exchange.

    Args:
        ledger: where it is kept.
        now: the moment now, in microseconds.
    """

    def __init__(self, ledger: Ledger, now: Callable[[], int]) -> None:
        self._ledger = ledger
        self._now = now
        kept = ledger.meta(_META)
        self._phase = _Phase() if kept is None else _Phase(**cast("dict[str, Any]", kept))

    def change(self, name: str, seconds_us: int, post_only_us: int) -> None:
        """Enter a mode, for a time or for good; after a restart comes a time of post-only.

        Raises RefusedError for an unknown name.
        """
        if name not in MODES:
            raise RefusedError(400, f"unknown mode: {name}")
        until = self._now() + seconds_us if seconds_us else 0
        follows = name == "restarting" and until
        self._phase = _Phase(name, until, until + post_only_us if follows else 0)
        self._ledger.set_meta(_META, asdict(self._phase))

    def current(self) -> str:
        """Return the mode that holds now."""
        return self._now_and_end()[0]

    def shown(self) -> Json:
        """Return the mode and the unix seconds at which it ends, None where it does not."""
        name, until = self._now_and_end()
        return {"mode": name, "ends_at": text_of(until) if until else None}

    def _now_and_end(self) -> tuple[str, int]:
        phase, now = self._phase, self._now()
        if not phase.until or now < phase.until:
            return phase.name, phase.until
        if now < phase.post_only_until:
            return "post_only", phase.post_only_until
        return "normal", 0

    def check_orders(self) -> None:
        """Refuse a request to place orders while none are taken."""
        self.check_cancels()
        if self.current() == "cancel_only":
            raise RefusedError(
                503,
                "Trading is currently cancel-only. New orders are not accepted, "
                "but cancels are allowed.",
            )

    def check_cancels(self) -> None:
        """Refuse any order request while the engine restarts or is disabled."""
        match self.current():
            case "restarting":
                raise RefusedError(425, "Too Early", headers={"Retry-After": self._retry()})
            case "disabled":
                raise RefusedError(
                    503, "Trading is currently disabled. Check polymarket.com for updates"
                )
            case _:
                return

    def check_post_only(self, *, is_post_only: bool) -> None:
        """Refuse an order that may take, while only post-only ones are accepted."""
        if is_post_only or self.current() != "post_only":
            return
        seconds = self._retry()
        raise RefusedError(
            503,
            POST_ONLY_TEXT,
            extra={"code": "post_only_mode", "retry_after_seconds": int(seconds)},
            headers={"Retry-After": seconds},
        )

    def _retry(self) -> str:
        until = self._now_and_end()[1]
        left = (until - self._now() + MICRO - 1) // MICRO if until else _DEFAULT_RETRY
        return str(max(1, left))

"""The engine's modes, with production's answers while it does not trade normally."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from infra.paper.wire import MICRO, RefusedError

MODES: Final = ("normal", "restarting", "post_only", "cancel_only", "disabled")
POST_ONLY_TEXT: Final = "post-only mode: only post-only orders and cancels are allowed"
_DEFAULT_RETRY: Final = 60


@dataclass(slots=True)
class Mode:
    """The mode now, and when it ends by itself (microseconds, 0 for never)."""

    now: Callable[[], int]
    name: str = "normal"
    until: int = 0

    def change(self, name: str, seconds_us: int) -> None:
        """Enter a mode, for a time or for good. Raises RefusedError for an unknown name."""
        if name not in MODES:
            raise RefusedError(400, f"unknown mode: {name}")
        self.name = name
        self.until = self.now() + seconds_us if seconds_us else 0

    def current(self) -> str:
        """Return the mode that holds now."""
        if self.until and self.until <= self.now():
            self.name, self.until = "normal", 0
        return self.name

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
        left = (self.until - self.now() + MICRO - 1) // MICRO if self.until else _DEFAULT_RETRY
        return str(max(1, left))

"""Named instants at which a test may stop this process: no-ops unless the environment names them.

`HOLDFAST_FAILPOINT="name[@nth]=kill9|raise|sleep:SECONDS|hang"`, several separated by commas.
A value `@FILE` is read from that file at every pass, so that a test can arm one point after the
other. With `HOLDFAST_FAILPOINT_DIR` each fires once over all processes and restarts, and leaves a
file named after itself there, so that a test can prove that it was reached.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from domain.errors import UnavailableError

log = logging.getLogger(__name__)

NAMES = frozenset(
    {
        "api.before_insert",
        "api.after_insert",
        "api.before_start",
        "order.before_sign",
        "order.after_row",
        "order.before_post",
        "order.after_send",
        "order.before_ack_commit",
        "order.after_ack_commit",
        "fill.before_tx",
        "fill.mid_tx",
        "fill.after_tx",
        "exit.claimed",
        "exit.after_tp_cancel",
        "exit.after_fill_read",
        "exit.before_sell",
        "exit.after_sell",
        "kill.gate",
        "kill.cancel",
        "kill.confirm",
        "recon.before_diff",
        "recon.mid_apply",
        "stop.gate",
        "stop.after_cancel_all",
        "stop.confirmed",
    }
)


Armed = Mapping[str, tuple[int, str]]  # name: the pass at which it fires, and what it does


@dataclass
class Failpoints:
    """The failpoints of this process.

    Args:
        value: what the environment says; empty arms none.
        marks: folder where a fired failpoint leaves its name; None fires every time.
    """

    value: str
    marks: Path | None
    _passes: dict[str, int] = field(default_factory=dict[str, int])

    def __post_init__(self) -> None:
        """Refuse a misspelling at once: a test must not pass by one."""
        self._armed = None if self.value.startswith("@") else armed(self.value)

    async def __call__(self, name: str) -> None:
        """Pass, or do what the environment asked for at this point."""
        if not self.value:
            return
        points = self._armed
        if points is None:
            points = armed(await asyncio.to_thread(Path(self.value[1:]).read_text))
        if name not in points:
            return
        nth, action = points[name]
        self._passes[name] = self._passes.get(name, 0) + 1
        if self._passes[name] < nth or not self._claims(name, nth):
            return
        log.warning("failpoint.fired", extra={"failpoint": name, "action": action})
        await _act(action)

    def _claims(self, name: str, nth: int) -> bool:
        """Tell whether `name` has not fired yet, in this process or with marks in any."""
        if self.marks is None:
            return self._passes[name] == nth
        try:
            (self.marks / name).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


async def _act(action: str) -> None:
    """Do one failpoint's action."""
    if action == "kill9":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "raise":
        raise UnavailableError("failpoint")
    elif action == "hang":
        await asyncio.Event().wait()
    else:
        await asyncio.sleep(float(action.removeprefix("sleep:")))


def armed(value: str) -> Armed:
    """Return the failpoints that `value` arms.

    Raises:
        ValueError: a name or action that does not exist.
    """
    points: dict[str, tuple[int, str]] = {}
    for entry in filter(None, value.strip().split(",")):
        place, _, action = entry.partition("=")
        name, _, nth = place.strip().partition("@")
        if name not in NAMES:
            raise ValueError(f"HOLDFAST_FAILPOINT: {name!r} is not one of {sorted(NAMES)}")
        if action not in {"kill9", "raise", "hang"} and not action.startswith("sleep:"):
            raise ValueError(f"HOLDFAST_FAILPOINT: {action!r} is no kill9, raise, hang or sleep:S")
        points[name] = (int(nth or 1), action)
    return points


def from_environment(environment: Mapping[str, str]) -> Failpoints:
    """Return the failpoints of a process with this environment.

    Raises:
        ValueError: it names a failpoint or an action that does not exist.
    """
    folder = environment.get("HOLDFAST_FAILPOINT_DIR")
    value = environment.get("HOLDFAST_FAILPOINT", "")
    return Failpoints(value=value, marks=Path(folder) if folder else None)

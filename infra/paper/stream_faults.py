"""What can go wrong with a stream: stalled, closed, muted, or frames lost, twice, out of order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from infra.paper.wire import MICRO, Json, RefusedError, micro_of

KINDS: Final = ("stall", "close", "drop", "duplicate", "reorder", "mute")
_LASTING: Final = frozenset({"stall", "mute", "close"})
_GOING_AWAY: Final = 1001


class Receiver(Protocol):
    """A connection as far as faults know it."""

    @property
    def channel(self) -> str:
        """Return "user" or "market"."""
        ...

    def send(self, frame: bytes) -> None:
        """Queue a frame."""
        ...

    def close(self, code: int) -> None:
        """Close the socket."""
        ...


@dataclass(slots=True)
class StreamFault:
    """One rule. `until` is the moment it ends (0 for none); `nth` picks one frame from now on.

    Without a time a stall or mute holds for the connections open when it was made (`only`), and
    drop, duplicate and reorder concern one frame.
    """

    fault_id: int
    channel: str
    kind: str
    until: int
    nth: int
    only: Sequence[Receiver] | None
    counted: int = 0
    held: list[tuple[Receiver, bytes]] = field(default_factory=list[tuple[Receiver, bytes]])

    def is_over(self, now: int) -> bool:
        """Tell whether the rule has done its work."""
        if self.until:
            return self.until <= now
        if self.kind in _LASTING or self.held:
            return False
        return self.counted >= max(1, self.nth)

    def applies(self, receiver: Receiver) -> bool:
        """Tell whether this frame is the rule's, counting it."""
        if receiver.channel != self.channel:
            return False
        if self.only is not None and not any(receiver is known for known in self.only):
            return False
        self.counted += 1
        return self.counted == self.nth if self.nth else True


class StreamFaults:
    """The rules in force, through which every frame passes; PONGs do not.

    Args:
        now: the moment now, in microseconds.
    """

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._rules: list[StreamFault] = []
        self._count = 0
        self._open: Callable[[str], Sequence[Receiver]] = lambda _: ()

    def attach(self, connections: Callable[[str], Sequence[Receiver]]) -> None:
        """Say where the open connections of a channel are found."""
        self._open = connections

    def add(self, wanted: Json) -> int:
        """Add a rule and return its id. Raises RefusedError for an unknown channel or kind."""
        channel, kind = wanted.get("channel"), wanted.get("do")
        if channel not in ("user", "market") or kind not in KINDS:
            raise RefusedError(400, f"unknown stream fault: {channel} {kind}")
        seconds = micro_of(wanted.get("seconds") or 0)
        nth = micro_of(wanted.get("nth") or 0) // MICRO
        until = self._now() + seconds if seconds else 0
        here = self._open(str(channel))
        self._count += 1
        only = here if not until and kind in _LASTING else None
        rule = StreamFault(self._count, str(channel), str(kind), until, nth, only)
        if rule.kind == "close":
            for receiver in here:
                receiver.close(_GOING_AWAY)
        if rule.kind != "close" or until:
            self._rules.append(rule)
        return rule.fault_id

    def clear(self, fault_id: int | None = None) -> None:
        """End one rule or all of them; what a stall held is delivered."""
        for rule in [r for r in self._rules if fault_id in (None, r.fault_id)]:
            self._end(rule)

    def listed(self) -> list[Json]:
        """Return the rules in force."""
        return [
            {"id": rule.fault_id, "channel": rule.channel, "do": rule.kind, "nth": rule.nth}
            for rule in self._rules
        ]

    def advance(self) -> None:
        """End the rules whose time is over."""
        for rule in [r for r in self._rules if r.is_over(self._now())]:
            self._end(rule)

    def _end(self, rule: StreamFault) -> None:
        self._rules.remove(rule)
        for receiver, frame in rule.held:
            receiver.send(frame)

    def greet(self, receiver: Receiver) -> None:
        """Close a new connection while a close rule lasts."""
        for rule in self._rules:
            if rule.kind == "close" and rule.channel == receiver.channel:
                receiver.close(_GOING_AWAY)

    def deliver(self, receiver: Receiver, frame: bytes) -> None:
        """Send a frame through the rules."""
        for rule in self._rules:
            if rule.is_over(self._now()) or not rule.applies(receiver):
                continue
            match rule.kind:
                case "drop" | "mute" | "close":
                    return
                case "duplicate":
                    receiver.send(frame)
                case "reorder":
                    if self._swap(rule, receiver, frame):
                        return
                case _:
                    rule.held.append((receiver, frame))
                    return
        receiver.send(frame)
        self._release_swapped(receiver)

    def _swap(self, rule: StreamFault, receiver: Receiver, frame: bytes) -> bool:
        """Hold a frame back until its successor has gone; tell whether it was held."""
        if any(known is receiver for known, _ in rule.held):
            return False
        rule.held.append((receiver, frame))
        return True

    def _release_swapped(self, receiver: Receiver) -> None:
        for rule in [r for r in self._rules if r.kind == "reorder" and r.held]:
            mine = [frame for known, frame in rule.held if known is receiver]
            rule.held = [pair for pair in rule.held if pair[0] is not receiver]
            for frame in mine:
                receiver.send(frame)
            if not rule.held and rule.is_over(self._now()):
                self._rules.remove(rule)

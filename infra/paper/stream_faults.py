"""What can go wrong with a stream: stalled, closed, muted, or frames lost, twice, out of order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, cast

from infra.paper.ledger import Ledger
from infra.paper.wire import MICRO, Json, RefusedError, micro_of, text_of

KINDS: Final = ("stall", "close", "drop", "duplicate", "reorder", "mute")
_HOLDING: Final = frozenset({"stall", "mute"})
_META: Final = "stream_faults"
_GOING_AWAY: Final = 1001
_KEPT: Final = ("fault_id", "channel", "kind", "until", "nth", "counted")


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
    """One rule. `until` is the moment it ends (0 for none).

    `nth` counts the frames sent on the channel since the rule was made, from 1: drop, duplicate
    and reorder concern that frame alone, close closes the connection instead of sending it, stall
    and mute begin with it. Without a time a stall or mute holds for the connections open when it
    was made (`only`), and drop, duplicate and reorder without a number concern one frame.
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
        if self.kind in _HOLDING or self.held:
            return False
        return self.counted >= max(1, self.nth)

    def applies(self, receiver: Receiver) -> bool:
        """Tell whether this frame is the rule's, counting it."""
        if receiver.channel != self.channel:
            return False
        if self.only is not None and not any(receiver is known for known in self.only):
            return False
        self.counted += 1
        if self.kind in _HOLDING:
            return self.counted >= self.nth
        return self.counted == self.nth if self.nth else True


class StreamFaults:
    """The rules in force, through which every frame passes; PONGs do not.

    Rules with a time or a number outlive a restart of the exchange; those for the connections
    that were open end with them.

    Args:
        ledger: where they are kept, with what they have counted.
        now: the moment now, in microseconds.
    """

    def __init__(self, ledger: Ledger, now: Callable[[], int]) -> None:
        self._ledger = ledger
        self._now = now
        kept = cast("Json", ledger.meta(_META) or {"count": 0, "rules": []})
        self._count = cast("int", kept["count"])
        self._rules = [
            StreamFault(**rule, only=None) for rule in cast("list[dict[str, Any]]", kept["rules"])
        ]
        self._saved = self._document()
        self._open: Callable[[str], Sequence[Receiver]] = lambda _: ()

    def _document(self) -> Json:
        rules: list[Json] = [
            {name: getattr(rule, name) for name in _KEPT}
            for rule in self._rules
            if rule.only is None
        ]
        return {"count": self._count, "rules": rules}

    def attach(self, connections: Callable[[str], Sequence[Receiver]]) -> None:
        """Say where the open connections of a channel are found."""
        self._open = connections

    def add(self, wanted: Json) -> int:
        """Add a rule and return its id. Raises RefusedError for an unknown channel or kind."""
        channel, kind = wanted.get("channel"), wanted.get("do")
        unknown = sorted(wanted.keys() - {"channel", "do", "seconds", "nth"})
        if channel not in ("user", "market") or kind not in KINDS or unknown:
            raise RefusedError(400, f"unknown stream fault: {channel} {kind} {unknown or ''}")
        seconds = micro_of(wanted.get("seconds") or 0)
        nth = micro_of(wanted.get("nth") or 0) // MICRO
        until = self._now() + seconds if seconds else 0
        here = self._open(str(channel))
        self._count += 1
        only = here if not until and kind in _HOLDING else None
        rule = StreamFault(self._count, str(channel), str(kind), until, nth, only)
        if rule.kind == "close" and not nth:
            for receiver in here:
                receiver.close(_GOING_AWAY)
        if rule.kind != "close" or until or nth:
            self._rules.append(rule)
        self._save()
        return rule.fault_id

    def _save(self) -> None:
        self._saved = self._document()
        self._ledger.set_meta(_META, self._saved)

    def clear(self, fault_id: int | None = None) -> None:
        """End one rule or all of them; what a stall held is delivered."""
        for rule in [r for r in self._rules if fault_id in (None, r.fault_id)]:
            self._end(rule)
        self._save()

    def listed(self) -> list[Json]:
        """Return the rules in force."""
        return [
            {
                "id": rule.fault_id,
                "channel": rule.channel,
                "do": rule.kind,
                "nth": rule.nth,
                "until": text_of(rule.until) if rule.until else None,
                "counted": rule.counted,
            }
            for rule in self._rules
        ]

    def advance(self) -> None:
        """End the rules whose time is over, and write down what was counted."""
        for rule in [r for r in self._rules if r.is_over(self._now())]:
            self._end(rule)
        if self._document() != self._saved:
            with self._ledger.transaction():
                self._save()

    def _end(self, rule: StreamFault) -> None:
        self._rules.remove(rule)
        for receiver, frame in rule.held:
            receiver.send(frame)

    def greet(self, receiver: Receiver) -> None:
        """Close a new connection while a close rule lasts."""
        now = self._now()
        for rule in self._rules:
            is_on = rule.kind == "close" and rule.until > now and rule.counted >= rule.nth
            if is_on and rule.channel == receiver.channel:
                receiver.close(_GOING_AWAY)

    def deliver(self, receiver: Receiver, frame: bytes) -> None:
        """Send a frame through the rules, which add up: lost, closed, held, doubled, swapped."""
        now = self._now()
        hitting = [rule for rule in self._rules if not rule.is_over(now) and rule.applies(receiver)]
        kinds = {rule.kind for rule in hitting}
        if "close" in kinds:
            receiver.close(_GOING_AWAY)
            return
        if kinds & {"drop", "mute"}:
            return
        copies = [frame, frame] if "duplicate" in kinds else [frame]
        for rule in hitting:
            if rule.kind == "stall" or (rule.kind == "reorder" and not _holds(rule, receiver)):
                rule.held += [(receiver, copy) for copy in copies]
                return
        for copy in copies:
            receiver.send(copy)
        self._release_swapped(receiver)

    def _release_swapped(self, receiver: Receiver) -> None:
        """Send the frames that waited for their successor, which has gone now."""
        for rule in [r for r in self._rules if r.kind == "reorder" and r.held]:
            mine = [frame for known, frame in rule.held if known is receiver]
            rule.held = [pair for pair in rule.held if pair[0] is not receiver]
            for frame in mine:
                receiver.send(frame)
            if not rule.held and rule.is_over(self._now()):
                self._rules.remove(rule)


def _holds(rule: StreamFault, receiver: Receiver) -> bool:
    return any(known is receiver for known, _ in rule.held)

"""Every stream fault frame by frame, alone and together, and what a restart leaves of it."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from infra.paper.ledger import Ledger
from infra.paper.stream_faults import StreamFaults
from infra.paper.wire import RefusedError

SECOND = 1_000_000


@dataclass(eq=False)
class Line:
    """A connection that remembers."""

    channel: str = "user"
    heard: list[str] = field(default_factory=list[str])
    is_closed: bool = False

    def send(self, frame: bytes) -> None:
        self.heard.append(frame.decode())

    def close(self, code: int) -> None:
        self.is_closed = True


class Wire:
    """Stream faults with a clock, and the lines that are open."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 0
        self.lines: list[Line] = []
        self.start()

    def start(self) -> None:
        self.ledger = Ledger(self.folder / "ledger.sqlite3")
        self.faults = StreamFaults(self.ledger, lambda: self.now)
        self.faults.attach(lambda channel: [x for x in self.lines if x.channel == channel])

    def restart(self) -> None:
        self.faults.advance()
        self.ledger.close()
        self.lines = []
        self.start()

    def open(self, channel: str = "user") -> Line:
        line = Line(channel)
        self.lines.append(line)
        self.faults.greet(line)
        return line

    def add(self, do: str, **more: object) -> int:
        return self.faults.add({"channel": "user", "do": do, **more})

    def say(self, words: str, *lines: Line) -> None:
        for word in words:
            for line in lines or self.lines:
                if not line.is_closed:
                    self.faults.deliver(line, word.encode())
            self.faults.advance()

    def wait(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)
        self.faults.advance()


@pytest.fixture
def wire(tmp_path: Path) -> Wire:
    return Wire(tmp_path)


ALONE: list[tuple[str, dict[str, object], str]] = [
    ("drop", {}, "bcd"),
    ("drop", {"nth": 2}, "acd"),
    ("duplicate", {}, "aabcd"),
    ("duplicate", {"nth": 3}, "abccd"),
    ("reorder", {}, "bacd"),
    ("reorder", {"nth": 2}, "acbd"),
    ("mute", {}, ""),
    ("mute", {"nth": 3}, "ab"),
    ("stall", {}, ""),
    ("stall", {"nth": 3}, "ab"),
    ("close", {"nth": 3}, "ab"),
]


@pytest.mark.parametrize(("do", "more", "heard"), ALONE)
def test_a_stream_fault_touches_the_frames_it_names(
    wire: Wire, do: str, more: dict[str, object], heard: str
) -> None:
    line = wire.open()
    wire.add(do, **more)
    wire.say("abcd")
    assert "".join(line.heard) == heard
    assert line.is_closed is (do == "close")


LASTING = [
    ("drop", "de"),
    ("mute", "de"),
    ("stall", "abcde"),
    ("duplicate", "aabbccde"),
    ("reorder", "bacde"),
]


@pytest.mark.parametrize(("do", "heard"), LASTING)
def test_a_stream_fault_with_a_time_holds_for_new_connections_too_and_ends(
    wire: Wire, do: str, heard: str
) -> None:
    old = wire.open()
    wire.add(do, seconds=5)
    new = wire.open()
    wire.say("abc", old)
    wire.say("abc", new)
    wire.wait(5)
    wire.say("de")
    assert ("".join(old.heard), "".join(new.heard)) == (heard, heard)
    assert wire.faults.listed() == []


def test_a_stall_without_a_time_concerns_the_open_connections_until_it_is_removed(
    wire: Wire,
) -> None:
    old = wire.open()
    rule = wire.add("stall")
    new = wire.open()
    wire.say("ab")
    assert (old.heard, new.heard) == ([], ["a", "b"])
    wire.faults.clear(rule)
    wire.say("c")
    assert old.heard == new.heard == ["a", "b", "c"]


def test_a_closed_channel_refuses_newcomers_for_its_time_and_the_other_is_untouched(
    wire: Wire,
) -> None:
    old, market = wire.open(), wire.open("market")
    wire.add("close", seconds=5)
    assert (old.is_closed, market.is_closed) == (True, False)
    assert wire.open().is_closed
    assert not wire.open("market").is_closed
    wire.wait(5)
    assert not wire.open().is_closed


TOGETHER: list[tuple[list[tuple[str, dict[str, object]]], str]] = [
    ([("duplicate", {}), ("stall", {"seconds": 5})], "aabcd"),
    ([("stall", {"seconds": 5}), ("duplicate", {})], "aabcd"),
    ([("drop", {"nth": 1}), ("duplicate", {"nth": 2})], "bbcd"),
    ([("drop", {}), ("duplicate", {})], "bcd"),
    ([("reorder", {}), ("duplicate", {})], "baacd"),
    ([("drop", {"nth": 2}), ("reorder", {"nth": 1})], "cad"),
]


@pytest.mark.parametrize(("rules", "heard"), TOGETHER)
def test_stream_faults_add_up_in_any_order(
    wire: Wire, rules: list[tuple[str, dict[str, object]]], heard: str
) -> None:
    line = wire.open()
    for do, more in rules:
        wire.add(do, **more)
    wire.say("abcd")
    wire.wait(5)
    assert "".join(line.heard) == heard


def test_rules_with_a_time_or_a_number_outlive_a_restart(wire: Wire) -> None:
    wire.open()
    wire.add("mute", seconds=10)
    wire.add("drop", nth=3)
    wire.add("stall")
    wire.say("a")

    wire.restart()

    assert [rule["do"] for rule in wire.faults.listed()] == ["mute", "drop"]
    line = wire.open()
    wire.wait(10)
    wire.say("bcd")
    assert "".join(line.heard) == "bd"


@pytest.mark.parametrize(
    "rule",
    [
        {"channel": "users", "do": "drop"},
        {"channel": "user", "do": "explode"},
        {"channel": "user", "do": "drop", "times": 3},
    ],
)
def test_a_stream_fault_nobody_knows_is_refused(wire: Wire, rule: dict[str, object]) -> None:
    with pytest.raises(RefusedError):
        wire.faults.add(rule)

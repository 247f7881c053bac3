"""The ports of a stack: kept for its folder, moved when somebody else took one."""

import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from domain.errors import HoldfastError
from infra.embedded.ports import Ports, reserved

NEEDED = 120  # ports in a row that the tests move about in


@contextmanager
def taken(port: int) -> Generator[None]:
    with socket.create_server(("127.0.0.1", port)):
        yield


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


# Whatever else runs on this machine, these are free.
BASE = next(
    base
    for base in range(21_000, 60_000, NEEDED)
    if all(_is_free(port) for port in range(base, base + NEEDED))
)


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    return tmp_path / "ports.json"


def test_the_ports_of_last_time_are_kept(memory: Path) -> None:
    with reserved(memory, BASE + 60) as first:
        pass
    with reserved(memory, None) as second:
        assert second == first == Ports(BASE + 60)


@pytest.mark.parametrize("part", ["api", "temporal", "temporal_ui", "postgres", "paper"])
def test_the_range_moves_when_one_of_its_ports_is_taken(memory: Path, part: str) -> None:
    with taken(getattr(Ports(BASE), part)), reserved(memory, BASE) as ports:
        assert ports == Ports(BASE + 30)


def test_two_starts_at_once_choose_different_ranges(memory: Path, tmp_path: Path) -> None:
    with reserved(memory, BASE) as one, reserved(tmp_path / "other.json", BASE) as other:
        assert (one.base, other.base) == (BASE, BASE + 30)


def test_a_port_taken_since_last_time_moves_the_range_for_good(memory: Path) -> None:
    with reserved(memory, BASE):
        pass
    with taken(Ports(BASE).api), reserved(memory, None):
        pass
    with reserved(memory, None) as ports:
        assert ports == Ports(BASE + 30)


def test_no_free_range_is_an_error_that_says_what_to_pass(memory: Path) -> None:
    with pytest.raises(HoldfastError, match="--port-base"), reserved(memory, 31_990):
        pass


def test_a_damaged_memory_is_no_obstacle(memory: Path) -> None:
    memory.write_text("{")

    with reserved(memory, None) as ports:
        assert ports.base % 10 == 0


def test_every_port_lies_in_the_thirty() -> None:
    parts = [name for name in vars(Ports) if isinstance(getattr(Ports, name), property)]

    offsets = [getattr(Ports(BASE), part) - BASE for part in parts]

    assert len(set(offsets)) == len(parts) == 8
    assert all(0 <= offset < 30 for offset in offsets)

"""Workflows are begun off the door's way: soon at rest, slowly in a crowd, never twice."""

import asyncio

import pytest

from api.pace import CROWD_A_SECOND, CROWDED_GAP_SECONDS, Pace
from api.starts import AT_ONCE, LONGEST_LINE, OUTAGE_AFTER, Starts
from domain.errors import UnavailableError


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_at_rest_a_start_waits_for_nothing() -> None:
    clock = Clock()
    pace = Pace(clock)
    for _ in range(100):  # fifty a second
        pace.arrived()
        clock.now += 0.02
        await pace.turn()
    assert pace.rate < CROWD_A_SECOND


async def test_in_a_crowd_starts_pass_one_by_one_and_afterwards_freely() -> None:
    clock = Clock()
    pace = Pace(clock)
    for _ in range(500):
        pace.arrived()
        clock.now += 0.002
    await pace.turn()
    second = asyncio.create_task(pace.turn())
    await asyncio.sleep(0.05)
    assert not second.done()
    for _ in range(int(CROWDED_GAP_SECONDS / 0.002) + 1):  # the crowd stays
        pace.arrived()
        clock.now += 0.002
    await second
    third = asyncio.create_task(pace.turn())
    clock.now += 1
    await third
    await pace.turn()


async def test_starts_run_a_few_at_a_time_in_order() -> None:
    starts, gate, began = Starts(Pace()), asyncio.Event(), list[str]()

    async def start(name: str) -> None:
        began.append(name)
        await gate.wait()

    names = [str(n) for n in range(AT_ONCE + 5)]
    for name in names:
        starts.put(name, lambda name=name: start(name))
    await asyncio.sleep(0.02)
    assert began == names[:AT_ONCE]
    assert starts.held == set(names)
    gate.set()
    await starts.finished()
    assert began == names


async def test_a_full_line_leaves_the_rest_to_the_sweep() -> None:
    starts, gate = Starts(Pace()), asyncio.Event()
    for n in range(LONGEST_LINE + 50):
        starts.put(str(n), gate.wait)
    assert len(starts.held) == LONGEST_LINE
    await starts.close(0)


async def test_an_outage_leaves_everything_to_the_sweep(caplog: pytest.LogCaptureFixture) -> None:
    starts, tried = Starts(Pace()), list[int]()

    async def fail() -> None:
        tried.append(1)
        raise UnavailableError("away")

    for n in range(50):
        starts.put(str(n), fail)
    await starts.finished()
    assert OUTAGE_AFTER <= len(tried) <= OUTAGE_AFTER + AT_ONCE
    assert "signal.waits" in caplog.text

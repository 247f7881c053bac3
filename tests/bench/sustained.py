"""Throughput: so many signals under way at all times, counted when all about them is over."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from infra.clock import monotonic_seconds
from tests.bench.loader import Loader
from tests.bench.measures import wish
from tests.bench.stage import Stage

CONCURRENCY: Final = 50
WARM_SECONDS: Final = 3.0
GLANCE_SECONDS: Final = 0.03
DRAIN_SECONDS: Final = 60.0
UNDONE: Final = (
    "SELECT id FROM holdfast.signals WHERE id = ANY(%s) AND status IN ('received', 'processing')"
)
ANY_UNDONE: Final = (
    "SELECT id FROM holdfast.signals WHERE status IN ('received', 'processing') LIMIT 1"
)


@dataclass(frozen=True, kw_only=True)
class Rate:
    """What a closed loop reached.

    Attributes:
        per_second: signals finished, of the time after the warming up.
        cpu_milliseconds: processor time for each finished signal, by process.
    """

    per_second: float
    cpu_milliseconds: dict[str, float]


@dataclass
class Window:
    """Counts what is finished after the warming up."""

    seconds: float
    began_at: float
    finished: int = 0

    @property
    def is_open(self) -> bool:
        """Tell whether new signals are still to be sent."""
        return monotonic_seconds() < self.began_at + WARM_SECONDS + self.seconds

    def count(self, number: int = 1) -> None:
        """Count what finishes now."""
        if self.began_at + WARM_SECONDS <= monotonic_seconds() and self.is_open:
            self.finished += number

    @property
    def per_second(self) -> float:
        """The rate."""
        return self.finished / self.seconds


async def product(stage: Stage, seconds: float, tag: str) -> Rate:
    """Keep the product busy: a signal is over once its order and every fill is recorded."""
    loader = Loader(stage.webhook)
    await loader.open(CONCURRENCY)
    window = Window(seconds=seconds, began_at=monotonic_seconds())
    going, sending, number = set[str](), set[asyncio.Task[None]](), 0

    async def send(number: int) -> None:
        answer = await loader.send(number, monotonic_seconds(), wish(tag)(number))
        if "signal_id" in answer.document:
            going.add(str(answer.document["signal_id"]))

    before = stage.cpu_seconds()
    while window.is_open:
        for _ in range(CONCURRENCY - len(going) - len(sending)):
            task = asyncio.create_task(send(number))
            sending.add(task)
            task.add_done_callback(sending.discard)
            number += 1
        await asyncio.sleep(GLANCE_SECONDS)
        asked = list(going)
        left = {str(row[0]) for row in await stage.rows(UNDONE, asked)}
        window.count(len(asked) - len(left))
        going.difference_update(set(asked) - left)
    after = stage.cpu_seconds()
    loader.close()
    whole = max(number - len(going), 1)
    spent = {name: (after[name] - before.get(name, 0)) * 1000 / whole for name in after}
    return Rate(per_second=window.per_second, cpu_milliseconds=spent)


async def drained(stage: Stage) -> None:
    """Wait until what was begun is over: the next measurement is to begin on a quiet stack."""
    for _ in range(int(DRAIN_SECONDS / 0.2)):
        if not await stage.rows(ANY_UNDONE):
            return
        await asyncio.sleep(0.2)


async def closed(
    run_one: Callable[[int], Awaitable[Any]], seconds: float, concurrency: int = CONCURRENCY
) -> float:
    """Return how many of `run_one` end in a second, so many at once."""
    window = Window(seconds=seconds, began_at=monotonic_seconds())
    numbers = iter(range(10**9))

    async def again() -> None:
        while window.is_open:
            await run_one(next(numbers))
            window.count()

    working = [asyncio.create_task(again()) for _ in range(concurrency)]
    whole = WARM_SECONDS + seconds
    # What is under way when the window closes counts for nothing, and may take for ever.
    done, _ = await asyncio.wait(working, timeout=whole, return_when=asyncio.FIRST_EXCEPTION)
    for one in working:
        one.cancel()
    await asyncio.gather(*working, return_exceptions=True)
    for one in done:
        one.result()
    return window.per_second

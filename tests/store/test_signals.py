"""What the engine, and the sweep behind the door, may rely on of the inbox."""

import pytest

from domain.signal import SignalStatus
from infra.store.inbox import Inbox
from infra.store.signals import Signals
from tests.store.making import kinds, later
from tests.store.test_inbox import arrival

pytestmark = pytest.mark.services

S = SignalStatus


async def _arrive(inbox: Inbox, body: bytes = b"{}", seconds: float = 0) -> str:
    return (await inbox.take(arrival(body, later(seconds)))).signal_id


async def _status(signals: Signals, signal_id: str) -> tuple[SignalStatus, str | None]:
    stored = await signals.by_id(signal_id)
    assert stored is not None
    return stored.status, stored.reason


@pytest.mark.parametrize("outcome", [S.PROCESSED, S.DENIED, S.EXPIRED, S.ERROR])
async def test_an_outcome_once_written_stays(inbox: Inbox, signals: Signals, outcome: S) -> None:
    first = await _arrive(inbox)
    await inbox.started(first)
    assert await _status(signals, first) == (S.PROCESSING, None)
    await signals.settle(first, outcome, "why")
    for _ in range(2):
        await signals.settle(first, S.PROCESSED, "another reason")
        await inbox.started(first)
    assert await _status(signals, first) == (outcome, "why")
    told = await kinds(signals.engine)
    assert told == [
        "signal.received",
        "signal.understood",
        "signal.processing",
        f"signal.{outcome}",
    ]


async def test_the_sweep_finds_what_was_received_and_not_started(
    inbox: Inbox, signals: Signals
) -> None:
    old, started, done, young = [
        await _arrive(inbox, name.encode(), seconds)
        for name, seconds in (("old", 0), ("started", 1), ("done", 2), ("young", 9))
    ]
    await inbox.started(started)
    await signals.settle(done, S.DENIED, "limit")
    waiting = await signals.waiting(later(10), 2, 100)
    assert [signal.id for signal in waiting] == [old]
    assert waiting[0].raw_payload == b"old"
    everything = await signals.waiting(later(10), 0, 100)
    assert [signal.id for signal in everything] == [old, young]
    assert [signal.id for signal in await signals.waiting(later(10), 0, 1)] == [old]
    assert await signals.waiting(later(10), 2, 100, held=[old]) == []

"""What a sender, and the sweep behind it, may rely on once bytes have arrived."""

import asyncio
from datetime import datetime
from decimal import Decimal

import pytest

from domain.ids import trace_id
from domain.signal import Action, SignalStatus
from infra.store.signals import Signals, Understanding, Verdict
from tests.store.making import ACCOUNT, NOW, kinds, later, one, rows

pytestmark = pytest.mark.services

BODY = b'{"action": "BuyMarket"}\xff\x00'
S = SignalStatus


def _meaning(external_id: str | None = "a1", **fields: Decimal) -> Understanding:
    return Understanding(
        external_id=external_id,
        action=Action.BUY_MARKET,
        account_id=ACCOUNT,
        workflow_id="order-1",
        **fields,
    )


async def _arrive(signals: Signals, body: bytes = BODY, at: datetime = NOW) -> str:
    return (await signals.receive("tradingview", body, at)).signal_id


async def _status(signals: Signals, signal_id: str) -> tuple[SignalStatus, str | None]:
    stored = await signals.by_id(signal_id)
    assert stored is not None
    return stored.status, stored.reason


async def test_an_arrival_is_stored_byte_for_byte(signals: Signals) -> None:
    receipt = await signals.receive("tradingview", BODY, NOW)
    assert not receipt.is_repeat
    assert not receipt.is_understood
    (row,) = await rows(signals.engine, "SELECT * FROM webhooks")
    assert (row["id"], row["status"], row["received_at"]) == (receipt.signal_id, "received", NOW)
    assert bytes(row["raw_payload"]) == BODY
    assert row["trace_id"] == trace_id(receipt.signal_id)
    assert await kinds(signals.engine) == ["signal.received"]


async def test_the_same_body_within_a_minute_is_the_same_signal(signals: Signals) -> None:
    first = await _arrive(signals)
    await signals.settle(first, S.PROCESSED, "done")
    receipt = await signals.receive("tradingview", BODY, later(59.9))
    assert (receipt.signal_id, receipt.is_repeat) == (first, True)
    assert (receipt.status, receipt.reason) == (S.PROCESSED, "done")
    assert receipt.is_understood
    # The window began with the first arrival, whatever came in between.
    assert await _arrive(signals, at=later(60)) != first
    assert await one(signals.engine, "SELECT max(repeats) FROM signals") == 1


async def test_other_bodies_sources_and_keys_are_other_signals(signals: Signals) -> None:
    ids = {
        await _arrive(signals),
        await _arrive(signals, BODY + b" "),
        (await signals.receive("other", BODY, NOW)).signal_id,
        (await signals.receive("tradingview", BODY, NOW, key="k1")).signal_id,
        (await signals.receive("tradingview", BODY, NOW, key="k2")).signal_id,
    }
    assert len(ids) == 5


async def test_one_body_arriving_many_times_at_once_is_one_signal(signals: Signals) -> None:
    arrivals = await asyncio.gather(
        *(signals.receive("tradingview", BODY, later(n / 100)) for n in range(50))
    )
    assert len({receipt.signal_id for receipt in arrivals}) == 1
    assert sum(not receipt.is_repeat for receipt in arrivals) == 1
    assert await one(signals.engine, "SELECT repeats FROM signals") == 49


async def test_a_body_too_long_is_cut_and_says_so(signals: Signals) -> None:
    receipt = await signals.receive("tradingview", b"x" * 100_000, NOW, refusal="body too large")
    assert receipt.status is S.ERROR
    assert await _status(signals, receipt.signal_id) == (S.ERROR, "body too large")
    assert await one(signals.engine, "SELECT length(raw_payload) FROM signals") == 65_536


async def test_one_who_cannot_prove_himself_does_not_silence_one_who_can(
    signals: Signals,
) -> None:
    stranger = await _arrive(signals)
    await signals.refused(stranger, S.ERROR, "unauthorised", is_unproven=True)
    owner = await signals.receive("tradingview", BODY, later(1))
    assert not owner.is_repeat
    assert owner.signal_id != stranger


async def test_an_understood_signal_shows_what_it_asks_for(signals: Signals) -> None:
    first = await _arrive(signals)
    meaning = _meaning(prix_sl=Decimal("0.35"), prix_tp=Decimal("0.8"))
    for _ in range(2):
        judged = await signals.understood(first, meaning)
        assert (judged.verdict, judged.signal_id) == (Verdict.FIRST, first)
        assert judged.status is S.RECEIVED
    (row,) = await rows(signals.engine, "SELECT * FROM signals")
    assert (row["action"], row["external_id"]) == ("BuyMarket", "a1")
    assert (row["prix_sl"], row["prix_tp"]) == (Decimal("0.35"), Decimal("0.8"))
    assert (row["account_id"], row["workflow_id"]) == (ACCOUNT, "order-1")
    assert (await signals.receive("tradingview", BODY, later(1))).is_understood


async def test_a_late_repeat_of_a_senders_id_points_at_the_first(signals: Signals) -> None:
    first = await _arrive(signals)
    await signals.understood(first, _meaning())
    await signals.settle(first, S.PROCESSED, "filled")
    second = await _arrive(signals, at=later(3600))
    for _ in range(2):
        judged = await signals.understood(second, _meaning())
        assert (judged.verdict, judged.signal_id) == (Verdict.REPEAT, first)
        assert (judged.status, judged.reason) == (S.PROCESSED, "filled")
    assert await _status(signals, second) == (S.PROCESSED, f"repeat of {first}")


async def test_another_body_under_a_senders_id_is_a_conflict(signals: Signals) -> None:
    first = await _arrive(signals)
    await signals.understood(first, _meaning())
    second = await _arrive(signals, b"another")
    for _ in range(2):
        judged = await signals.understood(second, _meaning())
        assert (judged.verdict, judged.signal_id) == (Verdict.CONFLICT, first)
    status, reason = await _status(signals, second)
    assert status is S.ERROR
    assert (reason or "").startswith(f"conflict: {first}")
    assert (await _status(signals, first))[0] is S.RECEIVED


async def test_the_same_id_from_another_source_is_another_signal(signals: Signals) -> None:
    first = await _arrive(signals)
    await signals.understood(first, _meaning())
    other = (await signals.receive("other", BODY, NOW)).signal_id
    assert (await signals.understood(other, _meaning())).verdict is Verdict.FIRST


async def test_signals_without_an_id_of_their_own_never_collide(signals: Signals) -> None:
    for body in (b"1", b"2"):
        judged = await signals.understood(await _arrive(signals, body), _meaning(None))
        assert judged.verdict is Verdict.FIRST


async def test_one_id_understood_many_times_at_once_has_one_first(signals: Signals) -> None:
    ids = [await _arrive(signals, str(n).encode()) for n in range(20)]
    judged = await asyncio.gather(*(signals.understood(each, _meaning()) for each in ids))
    assert [one.verdict for one in judged].count(Verdict.FIRST) == 1
    assert len({one.signal_id for one in judged}) == 1


@pytest.mark.parametrize("outcome", [S.PROCESSED, S.DENIED, S.EXPIRED, S.ERROR])
async def test_an_outcome_once_written_stays(signals: Signals, outcome: S) -> None:
    first = await _arrive(signals)
    await signals.started(first)
    assert await _status(signals, first) == (S.PROCESSING, None)
    await signals.settle(first, outcome, "why")
    for _ in range(2):
        await signals.settle(first, S.PROCESSED, "another reason")
        await signals.refused(first, S.ERROR, "another reason")
        await signals.started(first)
    assert await _status(signals, first) == (outcome, "why")
    told = await kinds(signals.engine)
    assert told == ["signal.received", "signal.processing", f"signal.{outcome}"]


async def test_the_sweep_finds_what_was_received_and_not_started(signals: Signals) -> None:
    old, started, done, young = [
        await _arrive(signals, name.encode(), later(seconds))
        for name, seconds in (("old", 0), ("started", 1), ("done", 2), ("young", 9))
    ]
    await signals.started(started)
    await signals.settle(done, S.DENIED, "limit")
    waiting = await signals.waiting(later(10), 2, 100)
    assert [signal.id for signal in waiting] == [old]
    assert waiting[0].raw_payload == b"old"
    everything = await signals.waiting(later(10), 0, 100)
    assert [signal.id for signal in everything] == [old, young]
    assert [signal.id for signal in await signals.waiting(later(10), 0, 1)] == [old]


async def test_words_that_a_database_cannot_keep_are_kept_as_far_as_possible(
    signals: Signals,
) -> None:
    odd = await signals.receive("a\0b", BODY, NOW, key="\ud800", refusal="nul \0")
    assert await _status(signals, odd.signal_id) == (S.ERROR, "nul \ufffd")
    first = await _arrive(signals)
    wild = _meaning("id\0\ud800", prix_sl=Decimal("1e400"), prix_tp=Decimal("NaN"))
    assert (await signals.understood(first, wild)).verdict is Verdict.FIRST
    again = await _arrive(signals, b"again")
    assert (await signals.understood(again, wild)).verdict is Verdict.CONFLICT
    await signals.settle(first, S.ERROR, "nul \0")
    assert await _status(signals, first) == (S.ERROR, "nul \ufffd")
    assert await one(signals.engine, "SELECT count(*) FROM signals WHERE prix_sl > 0") == 0

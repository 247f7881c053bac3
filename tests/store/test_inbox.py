"""What a sender may rely on once bytes have arrived at the door."""

import asyncio
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.errors import InvariantError
from domain.ids import trace_id
from domain.signal import Action, SignalStatus
from infra.store.arrivals import Arrival, Meaning, Taken, Verdict
from infra.store.inbox import Inbox
from infra.store.signals import Signals
from tests.store.making import ACCOUNT, NOW, kinds, later, one, rows

pytestmark = pytest.mark.services

BODY = b'{"action": "BuyMarket"}\xff\x00'
S = SignalStatus
REFUSE_BAD = text("ALTER TABLE signals ADD CONSTRAINT no_evil CHECK (raw_payload <> 'bad')")
ALLOW_BAD = text("ALTER TABLE signals DROP CONSTRAINT no_evil")
BUY = Meaning(action=Action.BUY_MARKET, account_id=ACCOUNT, workflow_of="order-{}-0".format)


def arrival(body: bytes = BODY, at: datetime = NOW, **fields: object) -> Arrival:
    plain = Arrival(source="tradingview", body=body, received_at=at, status=S.RECEIVED, meaning=BUY)
    return replace(plain, **fields)  # pyright: ignore[reportArgumentType]  # a test's fields


def stranger(body: bytes = BODY, at: datetime = NOW) -> Arrival:
    return arrival(body, at, status=S.ERROR, reason="unauthorised", meaning=None, is_unproven=True)


async def _arrive(inbox: Inbox, body: bytes = BODY, at: datetime = NOW) -> str:
    return (await inbox.take(arrival(body, at))).signal_id


async def _status(signals: Signals, signal_id: str) -> tuple[SignalStatus, str | None]:
    stored = await signals.by_id(signal_id)
    assert stored is not None
    return stored.status, stored.reason


async def test_an_arrival_is_stored_byte_for_byte_with_what_it_means(
    inbox: Inbox, database: AsyncEngine
) -> None:
    meaning = replace(BUY, prix_sl=Decimal("0.35"), prix_tp=Decimal("0.8"))
    taken = await inbox.take(arrival(meaning=meaning, external_id="a1"))
    assert taken.is_new
    (row,) = await rows(database, "SELECT * FROM signals")
    assert (row["id"], row["status"], row["received_at"]) == (taken.signal_id, "received", NOW)
    assert bytes(row["raw_payload"]) == BODY
    assert row["trace_id"] == trace_id(taken.signal_id)
    assert (row["action"], row["external_id"]) == ("BuyMarket", "a1")
    assert (row["prix_sl"], row["prix_tp"]) == (Decimal("0.35"), Decimal("0.8"))
    assert (row["account_id"], row["workflow_id"]) == (ACCOUNT, f"order-{taken.signal_id}-0")
    assert await kinds(database) == ["signal.received", "signal.understood"]


async def test_what_is_over_at_once_is_stored_so_in_the_same_commit(
    inbox: Inbox, database: AsyncEngine
) -> None:
    taken = await inbox.take(arrival(status=S.EXPIRED, reason="too old"))
    assert (taken.status, taken.reason) == (S.EXPIRED, "too old")
    told = ["signal.received", "signal.understood", "signal.expired"]
    assert await kinds(database) == told


async def test_the_same_body_within_a_minute_is_the_same_signal(
    inbox: Inbox, signals: Signals
) -> None:
    first = await _arrive(inbox)
    await signals.settle(first, S.PROCESSED, "done")
    again = await inbox.take(arrival(at=later(59.9)))
    assert (again.signal_id, again.is_new) == (first, False)
    assert (again.status, again.reason) == (S.PROCESSED, "done")
    # The window began with the first arrival, whatever came in between.
    assert await _arrive(inbox, at=later(60)) != first
    assert await one(signals.engine, "SELECT max(repeats) FROM signals") == 1


async def test_other_bodies_and_sources_are_other_signals(inbox: Inbox) -> None:
    ids = {
        await _arrive(inbox),
        await _arrive(inbox, BODY + b" "),
        (await inbox.take(arrival(source="other"))).signal_id,
    }
    assert len(ids) == 3


async def test_one_body_arriving_many_times_at_once_is_one_signal(
    inbox: Inbox, database: AsyncEngine
) -> None:
    taken = await asyncio.gather(*(inbox.take(arrival(at=later(n / 100))) for n in range(50)))
    assert len({each.signal_id for each in taken}) == 1
    assert [each.is_new for each in taken].count(True) == 1
    assert await one(database, "SELECT repeats FROM signals") == 49


async def test_two_processes_take_one_body_as_one_signal(
    inbox: Inbox, database: AsyncEngine, database_url: str
) -> None:
    other = Inbox(database, database_url)
    bodies = [str(n).encode() for n in range(20)]
    doors = [(inbox, NOW), (other, later(0.001))]
    taken = await asyncio.gather(
        *(door.take(arrival(body, at)) for body in bodies for door, at in doors)
    )
    await other.close()
    assert [each.is_new for each in taken].count(True) == 20
    assert await one(database, "SELECT count(*) FROM signals") == 20


async def test_a_body_too_long_is_cut(inbox: Inbox, database: AsyncEngine) -> None:
    long = arrival(b"x" * 100_000, status=S.ERROR, reason="too large", meaning=None)
    assert (await inbox.take(long)).status is S.ERROR
    assert await one(database, "SELECT length(raw_payload) FROM signals") == 65_536


async def test_one_who_cannot_prove_himself_does_not_silence_one_who_can(
    inbox: Inbox, database: AsyncEngine
) -> None:
    turned_away = await inbox.take(stranger())
    owner = await inbox.take(arrival(at=later(1)))
    assert owner.is_new
    assert owner.signal_id != turned_away.signal_id
    again = await inbox.take(stranger(at=later(2)))
    assert (again.signal_id, again.is_new) == (turned_away.signal_id, False)
    assert await one(database, "SELECT count(*) FROM signals") == 2


async def test_a_stranger_leaves_nothing_that_cannot_be_removed(
    inbox: Inbox, database: AsyncEngine
) -> None:
    await inbox.take(stranger())
    assert await kinds(database) == []


async def test_what_strangers_sent_is_forgotten_beyond_age_number_and_size(
    inbox: Inbox, signals: Signals
) -> None:
    await inbox.take(arrival(b"owner's"))
    for n in range(6):
        await inbox.take(stranger(b"%d" % n * 10, later(n)))

    async def forget(before: datetime, most: int, most_bytes: int) -> list[bytes]:
        await signals.forget_strangers(before, most, most_bytes)
        query = "SELECT raw_payload FROM signals WHERE is_unproven ORDER BY received_at"
        return [bytes(row["raw_payload"])[:1] for row in await rows(signals.engine, query)]

    assert await forget(later(1), 100, 1000) == [b"1", b"2", b"3", b"4", b"5"]
    assert await forget(later(0), 4, 1000) == [b"2", b"3", b"4", b"5"]
    assert await forget(later(0), 100, 29) == [b"4", b"5"]
    assert await one(signals.engine, "SELECT count(*) FROM signals WHERE NOT is_unproven") == 1


async def test_a_late_repeat_of_a_senders_id_points_at_the_first(
    inbox: Inbox, signals: Signals
) -> None:
    named = arrival(external_id="a1")
    first = (await inbox.take(named)).signal_id
    await signals.settle(first, S.PROCESSED, "filled")
    for seconds in (3600, 3601):
        second = await inbox.take(replace(named, received_at=later(seconds)))
        assert (second.verdict, second.signal_id) == (Verdict.REPEAT, first)
        assert (second.status, second.reason, second.is_new) == (S.PROCESSED, "filled", False)
        assert second.own_id != first
        assert await _status(signals, second.own_id) == (S.PROCESSED, f"repeat of {first}")


async def test_b2_another_body_under_a_senders_id_is_a_conflict(
    inbox: Inbox, signals: Signals
) -> None:
    first = (await inbox.take(arrival(external_id="a1"))).signal_id
    for seconds in (1, 2):
        second = await inbox.take(arrival(b"another", later(seconds), external_id="a1"))
        assert (second.verdict, second.signal_id) == (Verdict.CONFLICT, first)
        status, reason = await _status(signals, second.own_id)
        assert status is S.ERROR
        assert (reason or "").startswith(f"conflict: {first}")
    assert (await _status(signals, first))[0] is S.RECEIVED


async def test_a_refused_message_keeps_its_senders_id_and_does_not_hold_it(
    inbox: Inbox, database: AsyncEngine
) -> None:
    refused = arrival(b"bad", status=S.ERROR, reason="no", meaning=None, external_id="a1")
    await inbox.take(refused)
    mended = await inbox.take(arrival(b"good", external_id="a1"))
    assert (mended.verdict, mended.is_new) == (Verdict.FIRST, True)
    await inbox.take(replace(refused, body=b"bad again"))
    query = "SELECT external_id FROM signals"
    assert [row["external_id"] for row in await rows(database, query)] == ["a1"] * 3


async def test_the_same_id_from_another_source_is_another_signal(inbox: Inbox) -> None:
    await inbox.take(arrival(external_id="a1"))
    other = await inbox.take(arrival(source="other", external_id="a1"))
    assert (other.verdict, other.is_new) == (Verdict.FIRST, True)


async def test_one_id_taken_many_times_at_once_has_one_first(inbox: Inbox) -> None:
    taken = await asyncio.gather(
        *(inbox.take(arrival(str(n).encode(), external_id="a1")) for n in range(20))
    )
    assert [each.verdict for each in taken].count(Verdict.FIRST) == 1
    assert len({each.signal_id for each in taken}) == 1


async def test_words_that_a_database_cannot_keep_are_kept_as_far_as_possible(
    inbox: Inbox, signals: Signals
) -> None:
    odd = arrival(source="a\0b", status=S.ERROR, reason="nul \0", meaning=None)
    taken = await inbox.take(odd)
    assert await _status(signals, taken.signal_id) == (S.ERROR, "nul \ufffd")
    wild = replace(BUY, prix_sl=Decimal("1e400"), prix_tp=Decimal("NaN"))
    first = await inbox.take(arrival(meaning=wild, external_id="id\0\ud800"))
    assert first.verdict is Verdict.FIRST
    again = await inbox.take(arrival(b"again", external_id="id\0\ud800"))
    assert again.verdict is Verdict.CONFLICT
    await signals.settle(first.signal_id, S.ERROR, "nul \0")
    assert await _status(signals, first.signal_id) == (S.ERROR, "nul \ufffd")
    assert await one(signals.engine, "SELECT count(*) FROM signals WHERE prix_sl > 0") == 0


async def test_a_row_that_the_tables_refuse_harms_itself_alone(
    inbox: Inbox, database: AsyncEngine
) -> None:
    bad = arrival(b"bad")
    good = [arrival(str(n).encode()) for n in range(5)]
    async with database.begin() as connection:
        await connection.execute(REFUSE_BAD)
    taken = await asyncio.gather(
        *(inbox.take(each) for each in (*good, bad)), return_exceptions=True
    )
    async with database.begin() as connection:
        await connection.execute(ALLOW_BAD)
    assert all(isinstance(each, Taken) and each.is_new for each in taken[:5])
    assert isinstance(taken[5], InvariantError)
    assert "Failing row" not in str(taken[5])

"""What senders who prove nothing may have stored, and that they harm nobody else."""

import logging

import pytest

from api.strangers import (
    MOST_ADDRESSES,
    ONE_AT_ONCE,
    REPORT_SECONDS,
    STRANGERS_A_SECOND,
    STRANGERS_AT_ONCE,
    Budget,
    Room,
    Strangers,
)
from tests.api.conftest import Stack

BUY = {"action": "BuyMarket", "market": "rain", "outcome": "Yes", "PourCent": 10}


def test_strangers_are_stored_up_to_a_burst_and_then_at_a_rate() -> None:
    strangers = Strangers()
    rooms = [strangers.room_for(f"10.0.{n // 50}.0", 100.0) for n in range(STRANGERS_AT_ONCE)]
    assert set(rooms) == {Room.STORED}
    for at in (100.0, 101.0):
        for _ in range(STRANGERS_A_SECOND if at > 100 else 0):
            assert strangers.room_for("10.9.0.0", at) is Room.STORED
        assert strangers.room_for("10.9.0.0", at) is Room.FULL
    assert (strangers.stored, strangers.turned_away) == (
        STRANGERS_AT_ONCE + STRANGERS_A_SECOND,
        2,
    )


def test_one_stranger_cannot_use_up_the_room_of_the_others() -> None:
    strangers = Strangers()
    rooms = [strangers.room_for("10.0.0.1", 100.0) for _ in range(ONE_AT_ONCE + 1)]
    assert rooms == [Room.STORED] * ONE_AT_ONCE + [Room.ONE_TOO_MANY]
    assert strangers.room_for("10.0.0.2", 100.0) is Room.STORED


def test_a_long_silence_earns_no_more_than_one_burst() -> None:
    budget = Budget(at_once=3, a_second=1, left=0)
    assert [budget.take(1_000_000.0) for _ in range(4)] == [True, True, True, False]


def test_only_so_many_addresses_are_remembered() -> None:
    strangers = Strangers(together=Budget(10**6, 0, 10**6))
    for n in range(MOST_ADDRESSES + 5):
        strangers.room_for(str(n), 1.0)
    assert strangers.senders == MOST_ADDRESSES


def test_what_was_turned_away_is_told_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    strangers = Strangers(together=Budget(0, 0, 0))
    for at in (1.0, 2.0, 30.0, 1 + REPORT_SECONDS, 90.0):
        strangers.room_for("10.0.0.1", at)
        strangers.report(at)
    strangers.report(500.0)
    strangers.report(600.0)
    told = [vars(record)["not_stored"] for record in caplog.records]
    assert told == [1, 3, 1]


@pytest.mark.services
async def test_when_strangers_flood_only_they_are_turned_away_unstored(stack: Stack) -> None:
    stack.parts.strangers.together.left = -1e12
    told = [
        (await stack.post(body, "tradingview/wrong")).json()
        for body in (stack.body(BUY), '{"action": "PING"}')
    ]
    assert {one["error"]["code"] for one in told} == {"unauthorized"}
    assert stack.signals() == []
    assert (await stack.post({"action": "PING"})).status_code == 202
    metrics = (await stack.http.get("/metrics")).text
    assert "holdfast_strangers_not_stored_total 2" in metrics


@pytest.mark.services
async def test_one_stranger_s_flood_is_refused_as_such_and_others_are_not(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.strangers.ONE_AT_ONCE", 3)
    monkeypatch.setattr("api.strangers.ONE_A_SECOND", 0)
    answers = [await stack.post(stack.body(BUY, n=n)) for n in range(4)]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert len(stack.signals()) == 3
    assert (await stack.post({"action": "PING"})).status_code == 202  # the same address, proven

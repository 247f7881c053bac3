"""Too much at once is refused in words a sender understands, and harms nobody else."""

import asyncio

import pytest

from api.strangers import STRANGERS_A_SECOND, STRANGERS_AT_ONCE, Strangers
from api.turns import AT_ONCE, LONGEST_LINE, Turns
from domain.errors import UnavailableError
from tests.api.conftest import Stack


def test_strangers_are_stored_up_to_a_burst_and_then_at_a_rate() -> None:
    strangers = Strangers()
    for _ in range(STRANGERS_AT_ONCE):
        assert not strangers.are_spent(100.0)
        strangers.count(100.0)
    assert strangers.are_spent(100.0)
    for _ in range(STRANGERS_A_SECOND):
        assert not strangers.are_spent(101.0)
        strangers.count(101.0)
    assert strangers.are_spent(101.0)


def test_a_long_silence_earns_strangers_no_more_than_one_burst() -> None:
    strangers = Strangers()
    strangers.count(1_000_000.0)
    assert strangers.left == STRANGERS_AT_ONCE - 1


async def test_turns_are_given_in_order_and_a_full_line_is_refused() -> None:
    turns, order = Turns(), list[int]()
    full, gate = asyncio.Event(), asyncio.Event()

    async def take(number: int) -> None:
        async with turns.one():
            order.append(number)
            if len(order) == AT_ONCE:
                full.set()
            await gate.wait()

    waiting = [asyncio.create_task(take(number)) for number in range(AT_ONCE + LONGEST_LINE)]
    await full.wait()
    with pytest.raises(UnavailableError):
        await take(-1)
    gate.set()
    await asyncio.gather(*waiting)
    assert order == list(range(AT_ONCE + LONGEST_LINE))


@pytest.mark.services
async def test_when_strangers_flood_only_they_are_turned_away_unstored(stack: Stack) -> None:
    stack.parts.strangers.left = -1e12
    answer = await stack.post('{"action": "PING"}', "tradingview/wrong")
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "too_many")
    assert stack.signals() == []
    assert (await stack.post({"action": "PING"})).status_code == 202

"""What a send does when its process was held up: by an exchange and a store in memory."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from temporalio.testing import ActivityEnvironment

import activities.orders
from activities.orders import Desk, OrderActivities
from domain.answer import Answer
from domain.order import Order, OrderState
from tests.workflows.calls import Calls
from tests.workflows.memory import LIMITS, Ledger, ServerClock, Venue, a_wish


async def now() -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC)


def some_activities(
    venue: Venue, ledger: Ledger, *, held_up_seconds: float = 0, exits: Venue | None = None
) -> OrderActivities:
    """Return the activities of an order, held up for so long between permit and send."""

    async def hold_up(name: str) -> None:
        if name == "order.before_post":
            await asyncio.sleep(held_up_seconds)

    return OrderActivities(
        desks={"main": Desk(exchange=venue, exits=exits or venue, limits=LIMITS)},
        orders=ledger,
        fills=ledger,
        markets=ledger,
        signals=ledger,
        days=ledger,
        workflows=Calls(),
        clock=venue.clock,
        failpoint=hold_up,
    )


async def prepared(doing: OrderActivities) -> Order:
    order = (await doing.prepare(a_wish())).order
    assert order is not None
    return order


async def test_c13_a_send_held_up_since_its_permit_sends_nothing_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(activities.orders, "PERMIT_SECONDS", 0.01)
    venue = Venue(clock=ServerClock(read=now))
    doing = some_activities(venue, Ledger(), held_up_seconds=0.02)

    answer = await ActivityEnvironment().run(doing.submit, await prepared(doing))

    assert answer.answer is Answer.BUSY, "it is certain that nothing left: it may be sent again"
    assert venue.sends == []


async def test_a_send_that_was_not_held_up_leaves_once() -> None:
    venue = Venue(clock=ServerClock(read=now))
    doing = some_activities(venue, Ledger())

    answer = await ActivityEnvironment().run(doing.submit, await prepared(doing))

    assert answer.answer is Answer.LIVE
    assert len(venue.sends) == 1


async def test_an_entry_in_doubt_is_asked_for_as_urgently_as_an_exit_and_a_resting_one_is_not() -> (
    None
):
    entries, exits = (Venue(clock=ServerClock(read=now)) for _ in range(2))
    asked: list[str] = []
    for name, venue in {"entries": entries, "exits": exits}.items():
        venue.when_absent = [lambda _, name=name: asked.append(name)]
    doing = some_activities(entries, Ledger(), exits=exits)
    in_doubt = await prepared(doing)

    await doing.look(in_doubt)
    assert asked == ["exits"], "a breaker that holds entries back for a minute must not decide"
    await doing.look(replace(in_doubt, state=OrderState.LIVE))
    assert asked == ["exits", "entries"]

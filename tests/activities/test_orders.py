"""What a send does when its process was held up: by an exchange and a store in memory."""

import asyncio
from datetime import UTC, datetime

import pytest
from temporalio.testing import ActivityEnvironment

import activities.orders
from activities.orders import Desk, OrderActivities
from domain.answer import Answer
from domain.order import Order
from tests.workflows.memory import LIMITS, Calls, Ledger, ServerClock, Venue, a_wish


async def now() -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC)


def some_activities(venue: Venue, ledger: Ledger, *, held_up_seconds: float) -> OrderActivities:
    """Return the activities of an order, held up for so long between permit and send."""

    async def hold_up(name: str) -> None:
        if name == "order.before_post":
            await asyncio.sleep(held_up_seconds)

    return OrderActivities(
        desks={"main": Desk(exchange=venue, exits=venue, limits=LIMITS)},
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
    doing = some_activities(venue, Ledger(), held_up_seconds=0)

    answer = await ActivityEnvironment().run(doing.submit, await prepared(doing))

    assert answer.answer is Answer.LIVE
    assert len(venue.sends) == 1

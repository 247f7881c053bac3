"""What a user may rely on of the eyes that follow an account."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from temporalio.testing import ActivityEnvironment

from activities.streams import Feed, StreamActivities
from activities.trades import Recorder
from domain.errors import UnavailableError
from domain.market import Listing
from domain.order import Order, OrderSource, OrderState, OrderType, Side, Sighting, TimeInForce
from domain.ports import Connected, OrderSeen, StreamItem
from domain.sizing import Terms
from tests.workflows.calls import Calls
from tests.workflows.memory import MARKET, YES, Ledger, ServerClock, Venue

NOW = datetime(2026, 11, 21, tzinfo=UTC)
DEAD = Order(
    order_hash="0xdead",
    intent_id="s1-0",
    account_id="main",
    token_id=YES,
    condition_id=MARKET.condition_id,
    side=Side.BUY,
    type=OrderType.LIMIT,
    time_in_force=TimeInForce.GTC,
    post_only=False,
    source=OrderSource.WEBHOOK,
    state=OrderState.CANCELLED,
    price=Decimal("0.50"),
    size=Decimal(40),
    signal_id="s1",
    workflow_id="order-s1-0",
    trace_id="t",
    reason="no longer on the exchange",
    created_at=NOW,
)


class Channel:
    """A user channel that says `items`, and nothing more."""

    def __init__(self, *items: StreamItem) -> None:
        self._items = items
        self.is_heard = asyncio.Event()

    async def follow(self) -> AsyncIterator[StreamItem]:
        for item in self._items:
            yield item
        self.is_heard.set()
        await asyncio.Event().wait()


class OneMarket:
    """A list of markets with one in it."""

    async def listing(self) -> Listing:
        return Listing(markets=(MARKET,))


class Eyes:
    """The activities with everything outside in memory."""

    def __init__(self, *items: StreamItem) -> None:
        async def now() -> datetime:
            return NOW

        self.venue = Venue(clock=ServerClock(read=now, now=NOW))
        self.ledger, self.calls = Ledger(), Calls()
        self.channel = Channel(*items)
        self.activities = StreamActivities(
            feeds={"main": Feed(exchange=self.venue, stream=self.channel)},
            orders=self.ledger,
            fills=self.ledger,
            markets=self.ledger,
            market_source=OneMarket(),
            workflows=self.calls,
            clock=self.venue.clock,
        )

    def lists(self, order: Order) -> None:
        """Have the engine think `order` dead and the exchange list it as alive."""
        self.ledger.rows[order.order_hash] = order
        self.venue.sized[order.order_hash] = order.size
        self.venue.rest(order.order_hash, order.token_id)


async def test_an_order_thought_dead_that_the_exchange_lists_is_worked_again() -> None:
    eyes = Eyes()
    eyes.lists(DEAD)

    await eyes.activities.revive("main")

    assert eyes.ledger.rows["0xdead"].state is OrderState.LIVE
    assert [order.order_hash for order in eyes.calls.resumed] == ["0xdead"]


async def test_an_order_that_is_really_dead_stays_dead_whatever_the_channel_repeats() -> None:
    old_news = OrderSeen(order_hash="0xdead", sighting=Sighting(is_active=True))
    eyes = Eyes(Connected(), old_news)
    eyes.ledger.rows["0xdead"] = replace(DEAD)
    environment = ActivityEnvironment()

    following = asyncio.create_task(environment.run(eyes.activities.follow_account, "main"))
    await asyncio.sleep(0.3)
    environment.worker_shutdown()
    with pytest.raises(UnavailableError):
        await following

    assert eyes.ledger.rows["0xdead"].state is OrderState.CANCELLED
    assert not eyes.calls.resumed


async def test_a_worker_that_ends_lets_go_of_the_account_at_once() -> None:
    eyes = Eyes(Connected())
    environment = ActivityEnvironment()
    following = asyncio.create_task(environment.run(eyes.activities.follow_account, "main"))
    await asyncio.sleep(0)

    environment.worker_shutdown()

    async with asyncio.timeout(5):
        with pytest.raises(UnavailableError, match="another one follows"):
            await following


async def test_a_trade_that_cannot_be_read_does_not_hide_what_became_of_the_others() -> None:
    eyes = Eyes()
    eyes.lists(replace(DEAD, state=OrderState.LIVE))
    eyes.venue.signed["0xdead"] = Terms(
        side=DEAD.side, time_in_force=DEAD.time_in_force, price=DEAD.price, size=DEAD.size
    )
    good = eyes.venue.match("0xdead", Decimal(5))
    eyes.ledger.unsettled_trades = ["unreadable", good.trade_id]
    eyes.venue.unreadable_trades = {"unreadable"}
    recorder = Recorder(
        account_id="main",
        exchange=eyes.venue,
        fills=eyes.ledger,
        workflows=eyes.calls,
        clock=eyes.venue.clock,
    )

    await recorder.read_unsettled()

    assert list(eyes.ledger.recorded) == [(good.trade_id, "0xdead")]


@pytest.mark.parametrize(
    ("state", "matched", "is_told"),
    [
        pytest.param(OrderState.SENT, 0, False, id="that it rests, while it is being sent"),
        pytest.param(OrderState.SENT, 5, True, id="a match, while it is being sent"),
        pytest.param(OrderState.LIVE, 5, True, id="a match of what rests"),
        pytest.param(OrderState.LIVE, 0, False, id="nothing new"),
    ],
)
async def test_an_order_is_told_what_it_would_not_read_by_itself(
    state: OrderState, matched: int, *, is_told: bool
) -> None:
    news = Sighting(is_active=True, matched_size=Decimal(matched))
    eyes = Eyes(OrderSeen(order_hash="0xdead", sighting=news))
    eyes.ledger.rows["0xdead"] = replace(DEAD, state=state, reason=None)
    environment = ActivityEnvironment()

    following = asyncio.create_task(environment.run(eyes.activities.follow_account, "main"))
    await eyes.channel.is_heard.wait()
    environment.worker_shutdown()
    with pytest.raises(UnavailableError):
        await following

    assert eyes.ledger.rows["0xdead"].state is OrderState.LIVE
    assert bool(eyes.calls.told) == is_told

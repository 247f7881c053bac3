"""A guardian's look, on a real database and a real paper exchange."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from decimal import Decimal

import pytest
import pytest_asyncio
from temporalio.testing import ActivityEnvironment

from activities.orders import Desk as Means
from activities.streams import Feed
from activities.sweep import SweepActivities, SweepTask, Swept
from activities.trades import Recorder
from domain.errors import UnavailableError
from domain.order import Order, OrderType, Side, TimeInForce
from domain.protection import Crossing, Protection, Repair
from domain.stop import StopRule
from infra.clock import utc_now
from infra.store.accounts import Accounts
from infra.store.fills import Fills
from infra.store.guardians import Guardians
from infra.store.markets import Markets
from infra.store.orders import Orders
from infra.store.protections import Protections
from tests.activities.test_streams import Channel, Eyes
from tests.exchanges.desk import Desk, a_desk, eventually
from tests.exchanges.scripted import terms
from tests.paper.conftest import Server, free_port
from tests.store.conftest import accounts, database, fills, orders
from tests.store.making import NOW, WIDE, an_order, one
from tests.workflows.calls import Calls

__all__ = ("accounts", "database", "fills", "orders")  # the fixtures of the stores

pytestmark = pytest.mark.services

LIMITS = WIDE


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("paper"), free_port())
    running.start()
    running.admin("POST", "/settlement", {"delay_s": 0.05})
    yield running
    running.stop()


@pytest_asyncio.fixture
async def desk(exchange: Server, request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    async with a_desk(exchange, request.node.name, fee_rate="0") as opened:
        yield opened


async def no_limits(account_id: str) -> None:
    """Nothing trips."""
    del account_id


class Guardian:
    """The sweep with its real parts, and what it told positions."""

    def __init__(self, desk: Desk, orders: Orders, fills: Fills) -> None:
        self.desk, self.orders, self.fills = desk, orders, fills
        self.calls = Calls()
        self.protections = Protections(orders.engine)
        means = Means(exchange=desk.account, exits=desk.account.for_exits(), limits=LIMITS)
        self.sweeps = SweepActivities(
            desks={"main": means},
            stops={"main": StopRule()},
            accounts=Accounts(orders.engine),
            guardians=Guardians(orders.engine),
            workflows=self.calls,
            check_limits=no_limits,
            clock=utc_now,
        )

    async def look(self) -> Swept:
        self.calls.hints.clear()
        return await ActivityEnvironment().run(self.sweeps.sweep, SweepTask(account_id="main"))

    async def buy(self) -> None:
        """Buy 20 at 0.50, protected by a stop at 0.40 and a target at 0.80."""
        await Markets(self.orders.engine).replace([self.desk.market], NOW)
        self.desk.book([("0.48", "500")], [("0.50", "500")])
        await self.place(
            an_order(
                "entry",
                time_in_force=TimeInForce.FAK,
                type=OrderType.MARKET,
                price=Decimal("0.50"),
                size=Decimal(20),
                stop_loss=Decimal("0.40"),
                take_profit=Decimal("0.80"),
            )
        )
        books = Recorder(
            account_id="main",
            exchange=self.desk.account,
            fills=self.fills,
            workflows=self.calls,
            clock=utc_now,
        )

        async def settled() -> int:
            await books.catch_up()
            await books.read_unsettled()
            return len(await self.fills.unsettled("main"))

        await eventually(settled, lambda left: left == 0)

    async def rest(self) -> Order:
        """Have its take-profit rest."""
        claim = await self.protections.rest("main", self.desk.yes, Decimal(20), utc_now())
        assert isinstance(claim, Protection)
        return await self.place(
            an_order(
                "profit",
                intent_id=claim.id,
                side=Side.SELL,
                type=OrderType.TAKE_PROFIT,
                price=Decimal("0.80"),
                size=Decimal(20),
            )
        )

    async def place(self, draft: Order) -> Order:
        """Sign, admit and send, as the engine does."""
        market, account = self.desk.market, self.desk.account
        asked = terms(draft.side, draft.time_in_force, str(draft.price), str(draft.size))
        signed = await account.sign(asked, market, self.desk.yes, None)
        named = replace(
            draft,
            order_hash=signed.order_hash,
            token_id=self.desk.yes,
            condition_id=market.condition_id,
        )
        admitted = await self.orders.admit(named, signed.payload, WIDE)
        assert isinstance(admitted, Order)
        await self.orders.begin_send(admitted.order_hash, utc_now())
        answer = await account.submit(signed.payload)
        return await self.orders.answered(admitted.order_hash, answer, utc_now())

    def told(self) -> list[Repair | Crossing]:
        return [hint for _, hint in self.calls.hints]


@pytest.fixture
def guardian(desk: Desk, orders: Orders, fills: Fills) -> Guardian:
    return Guardian(desk, orders, fills)


async def test_what_is_lost_at_the_exchange_is_found_and_what_is_whole_is_left_alone(
    guardian: Guardian,
) -> None:
    await guardian.buy()
    swept = await guardian.look()
    assert guardian.told() == [Repair(why=("no take-profit rests",))]
    assert (swept.sweep.positions, swept.sweep.unprotected) == (1, 1)
    profit = await guardian.rest()
    swept = await guardian.look()
    assert (guardian.told(), swept.sweep.unprotected, swept.sweep.alarms) == ([], 0, ())

    guardian.desk.exchange.admin(
        "POST",
        f"/accounts/{guardian.desk.account.who.wallet}/orders",
        {"cancel": profit.order_hash},
    )
    swept = await guardian.look()
    assert guardian.told() == [Repair(why=("the exchange does not list its take-profit",))]
    assert "the exchange does not list its take-profit" in swept.page[0]
    assert await one(guardian.fills.engine, "SELECT unprotected_since FROM positions") is not None


async def test_a_price_beyond_the_stop_is_told_with_the_bid_that_was_seen(
    guardian: Guardian,
) -> None:
    await guardian.buy()
    await guardian.rest()
    guardian.desk.book([("0.39", "500")], [("0.60", "500")])
    await guardian.look()
    (crossing,) = guardian.told()
    assert isinstance(crossing, Crossing)
    assert (crossing.price, crossing.seen_by) == (Decimal("0.39"), "guardian")


@pytest.mark.parametrize(("method", "path"), [("GET", "/data/orders"), ("POST", "/books")])
async def test_a_look_that_cannot_be_made_whole_repairs_nothing(
    guardian: Guardian, method: str, path: str
) -> None:
    await guardian.buy()
    match = {"method": method, "path": path}
    fault = {"match": match, "when": "before", "do": {"status": 500}, "times": 9}
    guardian.desk.exchange.admin("POST", "/faults", fault)
    swept = await guardian.look()
    assert guardian.told() == []
    assert not swept.sweep.is_whole
    assert [alarm.name for alarm in swept.sweep.alarms] == ["sweep_incomplete"]
    assert swept.standing is not None
    guardian.desk.exchange.admin("DELETE", "/faults")
    swept = await guardian.look()
    assert (swept.sweep.is_whole, len(guardian.told())) == (True, 1)


async def test_an_order_at_the_exchange_that_we_do_not_know_is_an_alarm(
    guardian: Guardian,
) -> None:
    guardian.desk.book([("0.40", "500")], [("0.60", "500")])
    order_hash = await guardian.desk.send(Side.BUY, TimeInForce.GTC, "0.41", "20")
    swept = await guardian.look()
    assert [(alarm.name, alarm.about) for alarm in swept.sweep.alarms] == [
        ("order_unknown", order_hash)
    ]


async def test_the_exchange_hears_beats_for_as_long_as_an_eye_follows_and_no_longer(
    guardian: Guardian, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silent for ten seconds, it cancels everything; the next look finds what it took away."""
    await guardian.buy()
    profit = await guardian.rest()
    heard: list[int] = []
    beat = guardian.desk.account.beat

    async def counted() -> None:
        await beat()
        heard.append(1)

    monkeypatch.setattr(guardian.desk.account, "beat", counted)
    feed = Feed(exchange=guardian.desk.account, stream=Channel(), beat_seconds=0.5)
    following = replace(
        Eyes().activities,
        feeds={"main": feed},
        orders=guardian.orders,
        fills=guardian.fills,
        markets=Markets(guardian.orders.engine),
    )
    running = ActivityEnvironment()
    eye = asyncio.create_task(running.run(following.follow_account, "main"))

    async def count() -> int:
        return len(heard)

    await eventually(count, lambda beats: beats >= 2)
    running.worker_shutdown()
    with pytest.raises(UnavailableError):
        await eye

    async def listed() -> list[str]:
        return [order.order_hash for order in await guardian.desk.account.active_orders()]

    assert await listed() == [profit.order_hash]
    await eventually(listed, lambda hashes: not hashes)  # ten seconds of silence
    await guardian.look()
    assert guardian.told() == [Repair(why=("the exchange does not list its take-profit",))]

"""A position held for tests: the product's own stores on PostgreSQL, and an exchange to move.

The exchange refuses what the real one refuses: a sale of more than is there, counting what rests
and what is matched, and a sale at once that nobody takes.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker
from typing_extensions import override

from activities.failures import FailureTranslator
from activities.guard import GuardActivities
from activities.orders import Desk, OrderActivities
from activities.protection import ProtectionActivities
from activities.signals import SignalActivities
from activities.sweep import SweepActivities
from activities.trades import tell_of
from activities.wishes import WishActivities
from domain.answer import Answer, Submission
from domain.errors import UnavailableError
from domain.fill import Fill, FillStatus, SeenBy
from domain.guarded import Guarded
from domain.ids import position_workflow_id
from domain.market import Book, Level
from domain.order import Side, TimeInForce
from domain.ports import ActiveOrder, Cancelled, Failpoint
from domain.protection import Crossing
from domain.risk import AccountState
from domain.signal import PositionTask
from domain.stop import StopRule
from infra.store.accounts import Account, Accounts
from infra.store.days import Days
from infra.store.entry_plans import EntryPlans
from infra.store.fills import Fills
from infra.store.guardians import Guardians
from infra.store.orders import Orders
from infra.store.protections import Protections
from infra.store.sealing import Cipher
from infra.store.signals import Signals
from infra.temporal_workflows import TemporalWorkflows
from tests.store.making import KEY, WALLET, a_fill, an_order
from tests.workflows.memory import LIMITS, MARKET, YES, Ledger, Venue, no_failpoint
from workers.wiring import trading_activities
from workflows.hold_position import HoldPosition
from workflows.options import TRADING
from workflows.registry import RUNNER, WORKFLOWS

TICK = timedelta(seconds=0.2)
HERE = PositionTask(account_id="main", token_id=YES)
CROSSED = Crossing(
    price=Decimal("0.29"), seen_at=datetime(2026, 1, 1, tzinfo=UTC), seen_by="guardian"
)
NO_MATCH = Submission(answer=Answer.REJECTED, words="no orders found to match with FAK order")
TOO_MUCH = Submission(answer=Answer.REJECTED, words="not enough balance / allowance")


@dataclass
class Bourse(Venue):
    """An exchange with one book, which matches a sale at once with whoever bids.

    Attributes:
        bids, asks: makers, best first.
        owned: settled shares of the account.
        sold: shares that left it.
        status: of the trades it makes.
        is_hiding: its trades are not listed yet.
        lag: shares that its balances still count and it knows to be sold.
        busy: answers in a row that say "not now", in these words.
        refused: sales of more than was there.
        posts_only: of each order that may rest, whether it may only rest.
        is_unreadable: nothing can be read of it: neither orders, nor trades, nor books.
        unread_orders: looks at an order that failed for that.
    """

    bids: list[tuple[str, int]] = field(default_factory=lambda: [("0.45", 1000)])
    asks: list[tuple[str, int]] = field(default_factory=lambda: [("0.55", 1000)])
    owned: Decimal = Decimal(0)
    sold: Decimal = Decimal(0)
    status: FillStatus = FillStatus.CONFIRMED
    is_hiding: bool = False
    lag: Decimal = Decimal(0)
    busy: list[str] = field(default_factory=list[str])
    refused: list[str] = field(default_factory=list[str])
    before_cancel: Callable[[str], object] | None = None
    posts_only: list[bool] = field(default_factory=list[bool])
    is_unreadable: bool = False
    unread_orders: int = 0

    @override
    async def submit(self, payload: bytes) -> Submission:
        order_hash = str(json.loads(payload)["hash"])
        terms = self.signed[order_hash]
        if terms.side is Side.BUY:
            return await self._give(payload, order_hash)
        if self.busy:
            await self.clock.refresh()
            return Submission(answer=Answer.BUSY, words=self.busy.pop(0), retry_after_seconds=1)
        if self.on_sale + terms.size > self.owned - self.sold:
            self.refused.append(order_hash)
            return TOO_MUCH
        if terms.time_in_force is not TimeInForce.FAK:
            self.posts_only.append(terms.post_only)
            return await super().submit(payload)
        return await self._take(payload, order_hash)

    @property
    def on_sale(self) -> Decimal:
        """Shares that resting sales may still take."""
        return sum((each.size - each.matched_size for each in self.active.values()), Decimal(0))

    async def _give(self, payload: bytes, order_hash: str) -> Submission:
        """Match a purchase with whoever offers."""
        size = self.signed[order_hash].size
        await super().submit(payload)
        self.sold -= size  # what `match` counts as gone
        self.match(order_hash, size)
        self.owned += size
        return Submission(answer=Answer.MATCHED, matched_size=size)

    async def _take(self, payload: bytes, order_hash: str) -> Submission:
        """Match a sale with whoever bids enough."""
        terms = self.signed[order_hash]
        if not self.bids or Decimal(self.bids[0][0]) < terms.price:
            self.sends.append(order_hash)
            return NO_MATCH
        price, depth = self.bids[0]
        size = min(terms.size, Decimal(depth))
        await super().submit(payload)
        fill = self.match(order_hash, size)
        self.trades[-1] = replace(fill, price=Decimal(price))
        left = depth - int(size)
        self.bids[:1] = [(price, left)] if left else []
        return Submission(answer=Answer.MATCHED, matched_size=size)

    @override
    def match(self, order_hash: str, size: Decimal) -> Fill:
        fill = replace(super().match(order_hash, size), status=self.status)
        self.trades[-1] = fill
        self.sold += size
        return fill

    @override
    async def cancel(self, order_hash: str) -> Cancelled:
        if self.before_cancel is not None:
            happens, self.before_cancel = self.before_cancel, None
            happens(order_hash)
        return await super().cancel(order_hash)

    @override
    async def active_order(self, order_hash: str) -> ActiveOrder | None:
        self.unread_orders += self.is_unreadable
        self._be_readable()
        return await super().active_order(order_hash)

    @override
    async def fills(self, **_: object) -> list[Fill]:
        self._be_readable()
        return [] if self.is_hiding else list(self.trades)

    @override
    async def shares(self, token_id: str) -> Decimal:
        return self.owned - self.sold + self.lag

    @override
    async def book(self, token_id: str) -> Book:
        self._be_readable()
        return Book(token_id=token_id, bids=_levels(self.bids), asks=_levels(self.asks))

    def _be_readable(self) -> None:
        if self.is_unreadable:
            raise UnavailableError("the exchange does not answer")

    def fail(self, trade: Fill) -> Fill:
        """Have a trade fail: its shares come back."""
        failed = replace(trade, status=FillStatus.FAILED)
        self.trades[self.trades.index(trade)] = failed
        self.sold -= trade.size
        return failed

    def resting(self) -> list[ActiveOrder]:
        return list(self.active.values())


def _levels(makers: list[tuple[str, int]]) -> tuple[Level, ...]:
    return tuple(Level(price=Decimal(price), size=Decimal(size)) for price, size in makers)


@dataclass
class Held:
    """One account, one market, and a worker."""

    environment: WorkflowEnvironment
    engine: AsyncEngine
    venue: Bourse
    failpoint: Failpoint = no_failpoint

    def __post_init__(self) -> None:
        self.client = self.environment.client
        self.orders = Orders(self.engine, Cipher(KEY))
        self.fills = Fills(self.engine, no_failpoint)
        self.protections = Protections(self.engine)
        self.days = Days(self.engine)
        self.accounts = Accounts(self.engine)
        self.workflows = TemporalWorkflows(self.client)
        self.memory = Ledger()
        self.entries = 0

    @property
    def handle(self) -> WorkflowHandle[HoldPosition, None]:
        """The position's workflow."""
        return self.client.get_workflow_handle_for(
            HoldPosition.run, position_workflow_id("main", YES)
        )

    async def open(self) -> None:
        """Write the account's row."""
        now = self.venue.clock()
        await self.accounts.ensure(Account(id="main", wallet=WALLET, signature_type=0), now)
        await self.stand("running")

    async def stand(self, state: str) -> None:
        await self.accounts.set_state("main", AccountState(state), reason="a test")

    def worker(self) -> Worker:
        """Run the product's workflows and activities on the product's own queue."""
        desks = {"main": Desk(exchange=self.venue, exits=self.venue, limits=LIMITS)}
        wishes = WishActivities(
            entries=EntryPlans(self.orders.engine),
            markets=self.memory,
            protections=self.protections,
            workflows=self.workflows,
        )
        signals = SignalActivities(
            wishes=wishes,
            orders=self.orders,
            fills=self.fills,
            markets=self.memory,
            workflows=self.workflows,
        )
        guard = self._guard(desks)
        sweeps = SweepActivities(
            desks=desks,
            stops={"main": StopRule()},
            accounts=self.accounts,
            guardians=Guardians(self.engine),
            workflows=self.workflows,
            check_limits=guard.check_limits,
            clock=self.venue.clock,
        )
        activities = trading_activities(
            self._order_activities(desks), signals, guard, sweeps, self._protection(desks)
        )
        return Worker(
            self.client,
            task_queue=TRADING,
            workflows=WORKFLOWS[TRADING],
            workflow_runner=RUNNER,
            activities=activities,
            interceptors=[FailureTranslator()],
        )

    def _order_activities(self, desks: dict[str, Desk]) -> OrderActivities:
        return OrderActivities(
            desks=desks,
            orders=self.orders,
            fills=self.fills,
            markets=self.memory,
            signals=Signals(self.engine),
            days=self.days,
            workflows=self.workflows,
            clock=self.venue.clock,
            failpoint=no_failpoint,
        )

    def _protection(self, desks: dict[str, Desk]) -> ProtectionActivities:
        return ProtectionActivities(
            desks=desks,
            floors={"main": Decimal("0.5")},
            protections=self.protections,
            markets=self.memory,
            clock=self.venue.clock,
            failpoint=self.failpoint,
        )

    def _guard(self, desks: dict[str, Desk]) -> GuardActivities:
        return GuardActivities(
            desks=desks,
            cooldowns={"main": timedelta(seconds=60)},
            accounts=self.memory,
            orders=self.orders,
            fills=self.fills,
            days=self.days,
            workflows=self.workflows,
            clock=self.venue.clock,
            failpoint=no_failpoint,
        )

    async def buy(
        self,
        size: int,
        *,
        stop: str | None = "0.30",
        target: str | None = "0.60",
        status: FillStatus = FillStatus.CONFIRMED,
    ) -> Fill:
        """Have an entry filled, recorded, and its position told."""
        self.entries += 1
        await self.venue.clock.refresh()
        entry = an_order(
            f"e{self.entries}",
            token_id=YES,
            condition_id=MARKET.condition_id,
            size=Decimal(size),
            price=Decimal("0.40"),
            stop_loss=Decimal(stop) if stop else None,
            take_profit=Decimal(target) if target else None,
            created_at=self.venue.clock(),
        )
        await self.days.begin("main", Decimal(1000), "a test", self.venue.clock())
        admitted = await self.orders.admit(entry, b"signed", LIMITS)
        assert admitted == entry, admitted
        fill = a_fill(f"b{self.entries}", entry, size=Decimal(size), status=status)
        await self.tell(fill)
        if status not in {FillStatus.MATCHED, FillStatus.RETRYING}:
            self.venue.owned += size
        return fill

    async def tell(self, fill: Fill) -> None:
        """Record a fill, and tell whom it concerns, as the recorder does."""
        recorded = await self.fills.record(fill, SeenBy.STREAM, self.venue.clock())
        await tell_of(recorded, fill, self.workflows)

    async def timers(self) -> list[timedelta]:
        """Return how long the workflow's timers were to run, in order."""
        events = (await self.handle.fetch_history()).events
        return [
            event.timer_started_event_attributes.start_to_fire_timeout.ToTimedelta()
            for event in events
            if event.HasField("timer_started_event_attributes")
        ]

    async def known(self) -> Guarded:
        """Return what the rows say."""
        guarded = await self.protections.guarded("main", YES)
        assert guarded is not None
        return guarded

    async def until(self, holds: Callable[[Guarded], bool], what: str) -> Guarded:
        """Wait until the rows say so; the server's clock goes faster than ours."""
        for _ in range(300):
            now = await self.known()
            if holds(now):
                return now
            await asyncio.sleep(0.01)
            await self.environment.sleep(TICK)
        raise AssertionError(f"never: {what}; {await self.known()}; {self.venue.active}")

    async def rests(self, size: int, price: str) -> Guarded:
        """Wait until one take-profit rests, of this size and at this price."""

        def is_so(now: Guarded) -> bool:
            order = now.order_of(now.take_profit)
            return (
                order is not None
                and order.state in {"LIVE", "PARTIAL"}
                and (order.remaining, order.price) == (size, Decimal(price))
                and [each.order_hash for each in self.venue.resting()] == [order.order_hash]
            )

        return await self.until(is_so, f"{size} resting at {price}")

    async def flat(self) -> Guarded:
        """Wait until nothing is held, nothing rests and nothing protects it any more."""

        def is_so(now: Guarded) -> bool:
            is_clear = now.plan.is_empty and now.exit is None and now.stop is None
            return now.position.size == 0 and is_clear and not now.resting

        return await self.until(is_so, "flat")

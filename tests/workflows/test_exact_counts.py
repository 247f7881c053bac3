"""What one alert costs, counted and not timed: commits, statements, POSTs, events of history."""

from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from itertools import count
from typing import Any

import psycopg
import pytest
import pytest_asyncio
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker
from typing_extensions import override

from activities.failures import FailureTranslator
from activities.orders import Desk, OrderActivities
from domain.answer import Answer, Submission
from domain.ids import digest
from domain.order import OrderState, OrderType, TimeInForce
from domain.risk import AccountState
from domain.signal import Action, SignalStatus
from infra.store.accounts import Account, Accounts
from infra.store.arrivals import Arrival, Meaning
from infra.store.database import open_database
from infra.store.days import Days
from infra.store.fills import Fills
from infra.store.inbox import Inbox
from infra.store.markets import Markets
from infra.store.orders import Orders
from infra.store.sealing import Cipher
from infra.store.signals import Signals
from tests.store.making import KEY, NOW, WALLET, later
from tests.workflows.calls import Calls
from tests.workflows.memory import LIMITS, MARKET, ServerClock, Venue, a_wish, no_failpoint
from workflows.options import TRADING
from workflows.registry import RUNNER, WORKFLOWS
from workflows.work_order import OrderStatus, WorkOrder

pytestmark = [pytest.mark.services, pytest.mark.asyncio(loop_scope="session")]

TRIES = 3  # the server's own vacuum takes a transaction now and then, but not in every try
MOST_COMMITS_BEFORE_POST = 4
MOST_STATEMENTS = 26
MOST_EVENTS = 25


def transactions(url: str) -> int:
    """Return how many transactions that wrote something the server has ever counted."""
    with psycopg.connect(url, autocommit=True) as connection:
        asked = "SELECT CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint)"
        row = connection.execute(asked).fetchone()
    assert row is not None
    return int(row[0])


@dataclass
class CountingVenue(Venue):
    """An exchange that notes, at each POST, how many transactions there were by then."""

    url: str = ""
    at_posts: list[int] = field(default_factory=list[int])

    @override
    async def submit(self, payload: bytes) -> Submission:
        self.at_posts.append(transactions(self.url))
        return await super().submit(payload)


@dataclass
class Desks:
    """The door and the worker on a real database, and what it is asked."""

    url: str
    engine: AsyncEngine
    inbox: Inbox
    venue: CountingVenue
    environment: WorkflowEnvironment
    statements: list[str] = field(default_factory=list[str])

    def worker(self, queue: str) -> Worker:
        """Return a worker whose rows are real."""
        activities = OrderActivities(
            desks={"main": Desk(exchange=self.venue, exits=self.venue, limits=LIMITS)},
            orders=Orders(self.engine, Cipher(KEY)),
            fills=Fills(self.engine, no_failpoint),
            markets=Markets(self.engine),
            signals=Signals(self.engine),
            days=Days(self.engine),
            workflows=Calls(),
            clock=self.venue.clock,
            failpoint=no_failpoint,
        )
        steps = (activities.prepare, activities.submit, activities.record_answer)
        return Worker(
            self.environment.client,
            task_queue=queue,
            workflows=WORKFLOWS[TRADING],
            workflow_runner=RUNNER,
            activities=[*steps, activities.look, activities.settle_signal],
            interceptors=[FailureTranslator()],
        )

    async def alert(self, number: int) -> str:
        """Take an alert in, and note that its workflow runs."""
        await self.venue.clock.refresh()
        arrival = Arrival(
            source="tradingview",
            body=f"alert {number}".encode(),
            received_at=self.venue.clock.now,
            status=SignalStatus.RECEIVED,
            meaning=Meaning(action=Action.BUY_MARKET, account_id="main"),
        )
        taken = await self.inbox.take(arrival)
        await self.inbox.started(taken.signal_id)
        return taken.signal_id

    async def trade(self, number: int) -> tuple[int, WorkflowHandle[WorkOrder, OrderStatus]]:
        """Fill one market order at once; return its commits before the POST, and its workflow."""
        self.venue.answers = [Submission(answer=Answer.MATCHED, matched_size=Decimal(40))]
        self.venue.at_look = self.venue.pieces(40)
        before = transactions(self.url)
        signal_id = await self.alert(number)
        wish = a_wish(f"{signal_id}-0", type=OrderType.MARKET, time_in_force=TimeInForce.FAK)
        queue = f"counts-{digest(signal_id)}"
        async with self.worker(queue):
            handle = await self.environment.client.start_workflow(
                WorkOrder.run,
                replace(wish, signal_id=signal_id),
                id=f"{queue}-order",
                task_queue=queue,
            )
            await handle.result()
        return self.venue.at_posts[-1] - before, handle


def _one_day() -> Callable[[], Coroutine[Any, Any, datetime]]:
    seconds = count(1)

    async def read() -> datetime:
        return later(next(seconds))

    return read


@pytest_asyncio.fixture(loop_scope="session")
async def desks(skipping: WorkflowEnvironment, database_url: str) -> AsyncGenerator[Desks]:
    engine = open_database(database_url)
    clock = ServerClock(read=_one_day(), now=NOW)  # the server's may skip a day, to be begun anew
    accounts = Accounts(engine)
    await accounts.ensure(Account(id="main", wallet=WALLET, signature_type=0), clock.now)
    await accounts.set_state("main", AccountState.RUNNING, reason="test")
    await Markets(engine).replace([MARKET], clock.now)
    inbox = Inbox(engine, database_url)
    venue = CountingVenue(clock=clock, url=database_url)
    made = Desks(database_url, engine, inbox, venue, skipping)

    def hear(*arguments: object) -> None:
        made.statements.append(str(arguments[2]))

    event.listen(engine.sync_engine, "before_cursor_execute", hear)
    yield made
    await inbox.close()
    await engine.dispose()


async def test_a_market_order_filled_at_once_costs_so_much_and_no_more(desks: Desks) -> None:
    commits: list[int] = []
    statements: list[int] = []
    for number in range(TRIES):
        desks.statements.clear()
        before_post, handle = await desks.trade(number)
        commits.append(before_post)
        status = (await handle.result()).order
        history = await handle.fetch_history()

        assert status is not None
        assert status.state is OrderState.FILLED
        assert len(desks.venue.sends) == number + 1
        assert len(history.events) <= MOST_EVENTS
        statements.append(len(desks.statements))
    # The alert, that its workflow runs, the order, and the count of the send.
    # The first order of a day takes down what the day began with, too.
    assert 3 <= min(commits) <= MOST_COMMITS_BEFORE_POST, commits
    assert min(statements) <= MOST_STATEMENTS, statements

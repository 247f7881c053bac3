"""Whatever the user channel does, our books end where the exchange's ledger does.

The real adapter, eyes and store against the paper exchange, whose channel is told to fail; the
eyes catch up by reading, as they do in production.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.testing import ActivityEnvironment

from activities import streams
from activities.streams import Feed, StreamActivities
from domain.market import Listing
from domain.order import Side, TimeInForce
from infra.clock import utc_now
from infra.exchanges.polymarket import user_stream as channel
from infra.exchanges.polymarket.accounts import user_stream
from infra.failpoints import from_environment
from infra.store.accounts import Account, Accounts
from infra.store.database import open_database
from infra.store.fills import Fills
from infra.store.markets import Markets
from infra.store.orders import Orders
from tests.exchanges.desk import Desk, a_desk, eventually
from tests.paper.conftest import Server, free_port
from tests.store.making import ACCOUNT, rows
from tests.workflows.calls import Calls

pytestmark = pytest.mark.services

BUY, FAK = Side.BUY, TimeInForce.FAK


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("paper"), free_port())
    running.start()
    running.admin("POST", "/settlement", {"delay_s": 0.1})
    yield running
    running.stop()


@dataclass
class Watched:
    """An account that is followed, and its books."""

    desk: Desk
    engine: AsyncEngine

    def fault(self, kind: str, **more: object) -> None:
        self.desk.exchange.admin("POST", "/ws-faults", {"channel": "user", "do": kind, **more})

    async def buy(self, size: str) -> None:
        await self.desk.send(BUY, FAK, "0.50", size)

    async def is_agreed(self, count: int) -> None:
        """Wait until both sides hold the same `count` final trades, then compare the position."""

        async def ours() -> list[tuple[Any, ...]]:
            found = await rows(self.engine, "SELECT trade_id, order_hash, size, status FROM fills")
            return sorted(tuple(str(one) for one in row.values()) for row in found)

        def agree(found: list[tuple[Any, ...]]) -> bool:
            legs = self.desk.ledger("trades")
            final = all(leg["status"] in {"CONFIRMED", "FAILED"} for leg in legs)
            theirs = {(leg["trade_id"], leg["status"]) for leg in legs}
            return (
                final
                and len(found) == len(legs) == count
                and {(row[0], row[3]) for row in found} == theirs
            )

        await eventually(ours, agree)
        counted = (
            "SELECT coalesce(sum(CASE WHEN status = 'FAILED' THEN 0 ELSE size END), 0) AS size,"
            " coalesce(sum(CASE WHEN status = 'FAILED' OR fee_asset <> 'SHARES' THEN 0"
            " ELSE fee END), 0) AS fee FROM fills"
        )
        [sums] = await rows(self.engine, counted)
        [held] = await rows(self.engine, "SELECT size FROM positions")
        assert Decimal(held["size"]) == sums["size"] - sums["fee"]


@pytest_asyncio.fixture
async def watched(
    exchange: Server,
    database_url: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Watched]:
    """Follow a new account until the test is over."""
    monkeypatch.setattr(channel, "FIRST_DELAY_SECONDS", 0.05)
    monkeypatch.setattr(streams, "CATCH_UP_SECONDS", 0.5)
    monkeypatch.setattr(streams, "UNSETTLED_SECONDS", 0.5)
    engine = open_database(database_url)
    async with a_desk(exchange, request.node.name) as desk:
        desk.book([("0.40", "5000")], [("0.50", "5000")])
        who = desk.settings.accounts[ACCOUNT]
        row = Account(id=ACCOUNT, wallet=who.wallet, signature_type=who.signature_type)
        await Accounts(engine).ensure(row, utc_now())
        markets = Markets(engine)
        await markets.replace([desk.market], utc_now())
        eyes = StreamActivities(
            feeds={
                ACCOUNT: Feed(
                    exchange=desk.account, stream=user_stream(desk.settings.exchange, desk.account)
                )
            },
            orders=Orders(engine, None),
            fills=Fills(engine, from_environment({})),
            markets=markets,
            market_source=NoSource(),
            workflows=Calls(),
            clock=utc_now,
        )
        following = asyncio.create_task(ActivityEnvironment().run(eyes.follow_account, ACCOUNT))
        yield Watched(desk, engine)
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following
        exchange.admin("DELETE", "/ws-faults")
    await engine.dispose()


class NoSource:
    """A list of markets that nobody reads here."""

    async def listing(self) -> Listing:
        return Listing(markets=())


async def test_s2_fills_made_while_the_channel_is_closed_and_refused_are_recorded(
    watched: Watched,
) -> None:
    await watched.buy("10")
    await watched.is_agreed(1)
    watched.fault("close", seconds=1.5)
    await watched.buy("20")
    await watched.is_agreed(2)


async def test_s3_news_told_twice_and_out_of_order_is_recorded_once(watched: Watched) -> None:
    for nth in range(1, 4):
        watched.fault("duplicate", nth=nth)
        watched.fault("reorder", nth=nth)
    await watched.buy("10")
    await watched.buy("20")
    await watched.is_agreed(2)


async def test_s4_a_trade_the_channel_never_told_is_found_by_reading(watched: Watched) -> None:
    watched.fault("mute", seconds=30)
    await watched.buy("10")
    await watched.is_agreed(1)


async def test_s1_a_channel_that_answers_pings_and_says_nothing_is_made_up_by_reading(
    watched: Watched,
) -> None:
    watched.fault("stall", seconds=30)
    await watched.buy("10")
    await watched.is_agreed(1)


async def test_s5_a_trade_that_fails_after_its_match_is_taken_back_from_the_position(
    watched: Watched,
) -> None:
    watched.desk.exchange.admin("POST", "/settlement", {"delay_s": 0.1, "fail_next": 1})
    await watched.buy("10")
    await watched.is_agreed(1)
    [fill] = await rows(watched.engine, "SELECT status FROM fills")
    [held] = await rows(watched.engine, "SELECT size, cost_usd, cash_usd FROM positions")
    assert fill["status"] == "FAILED"
    assert set(held.values()) == {Decimal(0)}

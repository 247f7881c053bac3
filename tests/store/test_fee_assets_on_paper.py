"""Bought, counted and sold on a real paper exchange, whichever asset its markets charge in."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal

import pytest
import pytest_asyncio

from activities.trades import Recorder
from domain.answer import Answer
from domain.fill import FeeAsset
from domain.order import Side, TimeInForce
from domain.position import Position
from infra.store.fills import Fills
from infra.store.orders import Orders
from infra.store.rows import read
from tests.exchanges.desk import Desk, a_desk
from tests.exchanges.scripted import terms
from tests.paper.conftest import Server, free_port
from tests.store.making import later, rows
from tests.workflows.calls import Calls

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("paper"), free_port())
    running.start()
    running.admin("POST", "/settlement", {"delay_s": 0.05})
    yield running
    running.stop()


@pytest.fixture(params=["collateral", "shares"])
def asset(request: pytest.FixtureRequest) -> FeeAsset:
    return FeeAsset(request.param)


@pytest_asyncio.fixture
async def desk(
    exchange: Server, asset: FeeAsset, request: pytest.FixtureRequest
) -> AsyncIterator[Desk]:
    async with a_desk(exchange, request.node.name, fee_asset=asset.value) as opened:
        yield opened


def recorder(desk: Desk, fills: Fills) -> Recorder:
    return Recorder(
        account_id="main",
        exchange=desk.account,
        fills=fills,
        workflows=Calls(),
        clock=lambda: later(0),
    )


async def settled(books: Recorder, fills: Fills) -> None:
    """Record until every trade is final and nothing is in doubt."""
    async with asyncio.timeout(20):
        while True:
            await books.catch_up()
            await books.read_unsettled()
            await books.prove_fee_assets()
            if not await fills.unsettled("main") and not await fills.fee_doubts("main"):
                return
            await asyncio.sleep(0.05)


async def test_g1_all_that_is_held_can_be_sold_and_the_books_agree_to_the_micro_unit(
    desk: Desk, asset: FeeAsset, fills: Fills, orders: Orders
) -> None:
    books, account = recorder(desk, fills), desk.account
    before = await account.collateral_usd()
    desk.book([("0.40", "500")], [("0.47", "7.5"), ("0.50", "500")])
    await desk.send(Side.BUY, TimeInForce.FAK, "0.55", "33.40")
    await settled(books, fills)

    (row,) = await rows(fills.engine, "SELECT * FROM positions")
    held = read(Position, row)
    assert held.size == await account.shares(desk.yes)
    assert (held.size < Decimal("33.40")) == (asset is FeeAsset.SHARES)
    free = (await orders.funds("main", desk.yes, Decimal(0))).free_shares
    assert free == held.size

    size = free // Decimal("0.01") * Decimal("0.01")
    signed = await account.sign(
        terms(Side.SELL, TimeInForce.FAK, "0.40", str(size)), desk.market, desk.yes, None
    )
    assert (await account.submit(signed.payload)).answer is Answer.MATCHED
    await settled(books, fills)

    (row,) = await rows(fills.engine, "SELECT * FROM positions")
    left = read(Position, row)
    assert left.size == await account.shares(desk.yes) < Decimal("0.01")
    assert left.cash_usd == await account.collateral_usd() - before
    assert left.cash_usd + left.cost_usd + left.fees_usd - left.realised_pnl_average == 0
    sold = [Decimal(leg["fee"]) for leg in desk.ledger("trades") if leg["side"] == "SELL"]
    assert (left.fees_usd == sum(sold)) is (asset is FeeAsset.SHARES)

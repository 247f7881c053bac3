"""The adapter on an exchange that does whatever production was ever seen to do."""

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from decimal import Decimal

import pytest
import pytest_asyncio

from domain.answer import Answer
from domain.fill import FillStatus
from domain.order import Side, TimeInForce
from domain.ports import Connected, OrderSeen
from infra.exchanges.polymarket.accounts import user_stream
from tests.exchanges.desk import Desk, Ear, a_desk, eventually
from tests.exchanges.scripted import terms
from tests.exchanges.test_paper_round_trip import confirmed
from tests.paper.conftest import Server, free_port

pytestmark = pytest.mark.services

BUY, GTC, FAK, FOK = Side.BUY, TimeInForce.GTC, TimeInForce.FAK, TimeInForce.FOK


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("paper"), free_port())
    running.start()
    running.admin("POST", "/settlement", {"delay_s": 0.1})
    yield running
    running.stop()


SETS: dict[str, dict[str, object]] = {
    "strict": {"preset": "strict"},
    "success false": {"preset": "strict", "refusals": "success_false", "order_status": "lower"},
    "plain": {"preset": "plain"},
}


@pytest_asyncio.fixture(params=SETS)
async def desk(exchange: Server, request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    async with a_desk(exchange, request.node.name) as opened:
        exchange.admin("POST", "/switches", SETS[request.param])
        opened.book([("0.40", "500")], [("0.50", "20"), ("0.52", "30"), ("0.53", "500")])
        yield opened


async def test_a_resting_order_is_sent_once_found_and_cancelled(desk: Desk) -> None:
    account = desk.account
    signed = await account.sign(terms(BUY, GTC, "0.30", "20"), desk.market, desk.yes, None)
    assert (await account.submit(signed.payload)).answer is Answer.LIVE

    async def look() -> object:
        return await account.active_order(signed.order_hash)

    assert await eventually(look, bool)
    assert (await account.submit(signed.payload)).answer is Answer.DUPLICATE
    assert (await account.cancel(signed.order_hash)).is_cancelled
    assert await account.active_order(signed.order_hash) is None
    assert len(desk.ledger("orders")) == 1


async def test_a_refusal_is_understood_as_one(desk: Desk) -> None:
    account = desk.account
    dear = await account.sign(terms(BUY, GTC, "0.30", "90000"), desk.market, desk.yes, None)
    refused = await account.submit(dear.payload)
    assert refused.answer is Answer.REJECTED
    assert "not enough balance" in (refused.words or "")
    greedy = await account.sign(terms(BUY, FOK, "0.50", "40"), desk.market, desk.yes, None)
    killed = await account.submit(greedy.payload)
    assert killed.answer is Answer.REJECTED
    assert "FOK" in (killed.words or "")


async def test_g3_every_share_and_cent_of_a_take_is_found_whatever_form_it_is_told_in(
    desk: Desk,
) -> None:
    before = await desk.account.collateral_usd()
    order_hash = await desk.send(BUY, FAK, "0.55", "100")
    fills = await eventually(desk.account.fills, confirmed)

    legs = desk.ledger("trades")
    assert {fill.order_hash for fill in fills} == {order_hash}
    assert sum(fill.size for fill in fills) == sum(Decimal(leg["size"]) for leg in legs) >= 100
    assert sum(fill.fee for fill in fills) == sum(Decimal(leg["fee"]) for leg in legs)
    spent = before - await desk.account.collateral_usd()
    assert abs(spent + sum(fill.cash_usd for fill in fills)) < Decimal("1e-12")
    assert await desk.account.shares(desk.yes) == sum(fill.size for fill in fills)


async def test_the_stream_tells_every_status_and_every_end(desk: Desk) -> None:
    stream = user_stream(desk.settings.exchange, desk.account)
    async with aclosing(stream.follow()) as following:
        ear = Ear(following)
        await ear.until(lambda items: Connected() in items)
        resting = await desk.send(BUY, GTC, "0.30", "20")
        await desk.account.cancel(resting)
        await desk.send(BUY, FAK, "0.55", "40")
        await ear.until(lambda _: confirmed_size(ear) >= 40)
    seen = [item for item in ear.items if isinstance(item, OrderSeen)]
    mine = [item.sighting for item in seen if item.order_hash == resting]
    assert [sighting.is_cancelled for sighting in mine] == [False, True]
    assert mine[0].is_active
    told = {fill.status for fill in ear.fills}
    assert told == {FillStatus.MATCHED, FillStatus.MINED, FillStatus.CONFIRMED}


def confirmed_size(ear: Ear) -> Decimal:
    ended = (fill.size for fill in ear.fills if fill.status is FillStatus.CONFIRMED)
    return sum(ended, Decimal(0))


@pytest.mark.parametrize("market_buys", ["dollars", "shares"])
async def test_a_market_buy_is_whole_whether_the_exchange_counts_its_dollars_or_its_shares(
    desk: Desk, market_buys: str
) -> None:
    desk.exchange.admin("POST", "/switches", {"market_buys": market_buys})
    before = await desk.account.collateral_usd()
    asked = terms(BUY, FOK, "0.55", "40")
    signed = await desk.account.sign(asked, desk.market, desk.yes, None)

    answered = await desk.account.submit(signed.payload)

    assert answered.answer is Answer.MATCHED
    fills = await eventually(desk.account.fills, confirmed)
    bought = sum((fill.size for fill in fills), Decimal(0))
    paid = -sum((fill.cash_usd + fill.fee for fill in fills), Decimal(0))
    assert answered.matched_size is not None
    assert abs(answered.matched_size - bought) <= Decimal("0.01")
    assert asked.notional_usd - Decimal("0.01") <= paid <= asked.notional_usd or (
        market_buys == "shares" and bought == asked.size
    )
    assert (bought > asked.size) == (market_buys == "dollars")
    fees = sum((fill.fee for fill in fills), Decimal(0))
    spent = before - await desk.account.collateral_usd()
    assert abs(spent - paid - fees) < Decimal("0.00001")

"""The adapter against the paper exchange: signed here, sent there, followed to the end."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal

import pytest
import pytest_asyncio

from domain.answer import Answer
from domain.fill import Fill, FillStatus
from domain.market import Level, Market
from domain.order import Side, TimeInForce
from domain.ports import Connected, Disconnected, FillSeen, OrderSeen
from infra.exchanges.polymarket.accounts import open_accounts
from tests.exchanges.desk import Desk, a_desk, eventually, listening, told_settings
from tests.exchanges.scripted import terms
from tests.paper.conftest import Server, free_port

pytestmark = pytest.mark.services

BUY, GTC, FAK = Side.BUY, TimeInForce.GTC, TimeInForce.FAK
SEND_ELSEWHERE = """
import asyncio, sys
from infra.exchanges.polymarket.accounts import open_accounts
from infra.settings import Settings

async def lookup(condition_id):
    raise AssertionError(condition_id)

async def main():
    settings = Settings.model_validate_json(sys.stdin.readline())
    account = open_accounts(settings, lookup)["main"]
    submission = await account.submit(sys.stdin.readline().encode())
    sys.stdout.write(submission.answer)
    await account.close()

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("paper"), free_port())
    running.start()
    running.admin("POST", "/settlement", {"delay_s": 0.2})
    yield running
    running.stop()


@pytest_asyncio.fixture
async def desk(exchange: Server, request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    async with a_desk(exchange, request.node.name) as opened:
        yield opened


async def test_an_order_signed_here_and_sent_elsewhere_is_found_and_cancelled(desk: Desk) -> None:
    desk.book([("0.40", "500")], [("0.60", "500")])
    account = desk.account
    signed = await account.sign(terms(BUY, GTC, "0.50", "20"), desk.market, desk.yes, None)
    assert await account.active_order(signed.order_hash) is None

    told = f"{told_settings(desk)}\n{signed.payload.decode()}"
    elsewhere = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", SEND_ELSEWHERE], input=told, text=True,
        capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert elsewhere.stdout == "live", elsewhere.stderr

    order = await account.active_order(signed.order_hash)
    assert order is not None
    assert (order.token_id, order.size, order.matched_size) == (desk.yes, Decimal(20), 0)
    assert await account.active_orders() == [order]
    assert (await account.submit(signed.payload)).answer is Answer.DUPLICATE
    assert (await account.cancel(signed.order_hash)).is_cancelled
    again = await account.cancel(signed.order_hash)
    assert not again.is_cancelled
    assert again.words
    assert await account.active_order(signed.order_hash) is None
    assert await account.active_orders() == []


@pytest.mark.parametrize("kind", [0, 1, 2, 3])
@pytest.mark.parametrize("neg_risk", [False, True], ids=["plain", "neg-risk"])
async def test_every_wallet_type_trades_on_both_exchanges(
    exchange: Server, kind: int, neg_risk: object
) -> None:
    async with a_desk(exchange, f"wallet {kind} {neg_risk}", kind, neg_risk=neg_risk) as desk:
        assert desk.market.neg_risk is neg_risk
        desk.book([("0.40", "500")], [("0.60", "500")])
        order_hash = await desk.send(BUY, GTC, "0.50", "20")
        assert [row["order_hash"] for row in desk.ledger("orders")] == [order_hash]


async def test_a_take_over_several_prices_costs_what_the_exchange_charged(desk: Desk) -> None:
    desk.book([("0.40", "500")], [("0.50", "20"), ("0.52", "30"), ("0.53", "500")])
    before = await desk.account.collateral_usd()
    order_hash = await desk.send(BUY, FAK, "0.55", "100")
    fills = await eventually(desk.account.fills, confirmed)

    assert {fill.order_hash for fill in fills} == {order_hash}
    legs = {row["trade_id"]: row for row in desk.ledger("trades")}
    assert {fill.trade_id for fill in fills} == legs.keys()
    for fill in fills:
        leg = legs[fill.trade_id]
        assert (fill.price, fill.size) == (Decimal(leg["price"]), Decimal(leg["size"]))
        assert fill.fee == Decimal(leg["fee"]) > 0
    spent = before - await desk.account.collateral_usd()
    assert spent == -sum(fill.cash_usd for fill in fills)
    assert await desk.account.shares(desk.yes) == sum(fill.size for fill in fills)


def confirmed(fills: list[Fill]) -> bool:
    return bool(fills) and all(fill.status is FillStatus.CONFIRMED for fill in fills)


async def test_a_take_from_the_other_token_is_priced_as_the_rest_of_the_dollar(desk: Desk) -> None:
    bids = {"token_id": desk.no, "bids": [["0.45", "50"]], "asks": []}
    desk.exchange.admin("POST", "/book", bids)
    await desk.send(BUY, FAK, "0.60", "20")
    (fill,) = await eventually(desk.account.fills, bool)
    assert (fill.token_id, fill.side) == (desk.yes, BUY)
    assert (fill.price, fill.size) == (Decimal("0.55"), Decimal(20))


async def test_a_resting_order_is_filled_at_its_own_price_and_free_of_fees(desk: Desk) -> None:
    desk.book([("0.40", "500")], [("0.60", "500")])
    order_hash = await desk.send(BUY, GTC, "0.50", "20")
    async with listening(desk) as ear:
        desk.book([("0.40", "500")], [("0.45", "8")])
        await ear.until_status(FillStatus.MATCHED)
        await ear.until(lambda items: any(isinstance(item, OrderSeen) for item in items))
    (fill,) = await desk.account.fills()
    assert (fill.order_hash, fill.side, fill.token_id) == (order_hash, BUY, desk.yes)
    assert (fill.price, fill.size, fill.fee) == (Decimal("0.50"), Decimal(8), Decimal(0))
    order = await desk.account.active_order(order_hash)
    assert order is not None
    assert order.matched_size == Decimal(8)
    seen = [item for item in ear.items if isinstance(item, OrderSeen)]
    assert seen[-1].order_hash == order_hash
    assert (seen[-1].sighting.is_active, seen[-1].sighting.matched_size) == (True, Decimal(8))


async def test_the_stream_and_the_reads_tell_the_same_of_every_fill(desk: Desk) -> None:
    desk.book([("0.40", "500")], [("0.50", "500")])
    async with listening(desk) as ear:
        await desk.send(BUY, FAK, "0.55", "40")
        await ear.until_status(FillStatus.MATCHED, FillStatus.MINED, FillStatus.CONFIRMED)
    assert [fill.status for fill in ear.fills] == ["MATCHED", "MINED", "CONFIRMED"]
    (read,) = await desk.account.fills_of_trade(ear.fills[-1].trade_id)
    assert read == ear.fills[-1]


async def test_a_trade_that_fails_is_told_as_failed(desk: Desk) -> None:
    desk.book([("0.40", "500")], [("0.50", "500")])
    desk.exchange.admin("POST", "/settlement", {"delay_s": 0.2, "fail_next": 1})
    async with listening(desk) as ear:
        await desk.send(BUY, FAK, "0.55", "40")
        await ear.until_status(FillStatus.RETRYING, FillStatus.FAILED)
    (read,) = await desk.account.fills_of_trade(ear.fills[-1].trade_id)
    assert read.status is FillStatus.FAILED


async def test_a_lost_stream_says_so_and_the_fill_of_the_gap_is_read(desk: Desk) -> None:
    desk.book([("0.40", "500")], [("0.50", "500")])
    async with listening(desk) as ear:
        lost = {"channel": "user", "do": "close", "seconds": 0.5}
        desk.exchange.admin("POST", "/ws-faults", lost)
        await desk.send(BUY, FAK, "0.55", "40")
        await ear.until(lambda items: any(isinstance(item, Disconnected) for item in items))
        gap = len(ear.items)
        await ear.until(lambda items: Connected() in items[gap:])
        assert len(await eventually(desk.account.fills, bool)) == 1
        await desk.send(BUY, FAK, "0.55", "40")
        await ear.until(lambda items: any(isinstance(item, FillSeen) for item in items[gap:]))


@pytest.mark.parametrize("mode", ["restarting", "cancel_only", "disabled", "post_only"])
async def test_x6_x8_an_exchange_that_takes_no_orders_now_is_busy(desk: Desk, mode: str) -> None:
    signed = await desk.account.sign(terms(BUY, GTC, "0.50", "20"), desk.market, desk.yes, None)
    try:
        desk.exchange.admin("POST", "/mode", {"mode": mode, "seconds": 60})
        submission = await desk.account.submit(signed.payload)
    finally:
        desk.exchange.admin("POST", "/mode", {"mode": "normal", "seconds": 0})
    assert submission.answer is Answer.BUSY, submission
    assert submission.retry_after_seconds is not None
    assert (await desk.account.submit(signed.payload)).answer in {Answer.LIVE, Answer.MATCHED}


async def test_a_book_and_a_midpoint_are_read_best_first(desk: Desk) -> None:
    desk.book([("0.40", "5"), ("0.30", "7")], [("0.50", "9"), ("0.60", "11")])
    book = await desk.account.book(desk.yes)
    assert book.bids[0] == Level(price=Decimal("0.40"), size=Decimal(5))
    assert book.asks[0] == Level(price=Decimal("0.50"), size=Decimal(9))
    other = await desk.account.book(desk.no)
    assert (other.best_bid, other.best_ask) == (Decimal("0.50"), Decimal("0.60"))
    middles = await desk.account.midpoints([desk.yes, desk.no])
    assert middles == {desk.yes: Decimal("0.45"), desk.no: Decimal("0.55")}
    tops = await desk.account.quotes([desk.yes, desk.no, "999"])
    assert {one: (top.best_bid, top.best_ask) for one, top in tops.items()} == {
        desk.yes: (Decimal("0.40"), Decimal("0.50")),
        desk.no: (Decimal("0.50"), Decimal("0.60")),
    }


async def test_a_process_without_the_private_key_follows_and_cancels(desk: Desk) -> None:
    desk.book([("0.40", "500")], [("0.60", "500")])
    order_hash = await desk.send(BUY, GTC, "0.50", "20")
    account = desk.settings.accounts["main"].model_copy(update={"private_key": None})
    settings = desk.settings.model_copy(update={"accounts": {"main": account}})

    async def lookup(condition_id: str) -> Market:
        raise AssertionError(condition_id)

    reader = open_accounts(settings, lookup)["main"]
    assert [order.order_hash for order in await reader.active_orders()] == [order_hash]
    assert (await reader.cancel(order_hash)).is_cancelled
    assert await reader.collateral_usd() == Decimal(10_000)
    await reader.close()

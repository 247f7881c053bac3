"""A buyer's fee in collateral or in shares: assumed, proved by a balance, and counted exactly."""

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from activities.orders import Desk, OrderActivities, Preparation
from domain.errors import UnavailableError
from domain.fill import (
    FeeAsset,
    FeeDoubt,
    Fill,
    FillStatus,
    SeenBy,
    taker_fee,
    taker_share_fee,
)
from domain.order import Side
from domain.position import Holding, Lot, Position, empty, rebuilt
from domain.signal import SizeKind, Sizing
from domain.sizing import UNSETTLED
from infra.store.fills import Fills
from infra.store.orders import Orders
from infra.store.rows import read
from tests.store.making import NOW, WIDE, YES, a_fill, a_market, an_order, rows
from tests.workflows.calls import Calls
from tests.workflows.memory import YES as WET
from tests.workflows.memory import Ledger, ServerClock, Venue, a_wish, no_failpoint

pytestmark = pytest.mark.services

F = FillStatus
MARKET = a_market(fee_rate=Decimal("0.05"))


def taken(trade: str, account: str = "main", **fields: object) -> Fill:
    """Return a take as the adapter tells it: its fee in collateral, and what that is in shares."""
    side = Side(str(fields.get("side", "BUY")))
    fill = a_fill(trade, an_order(trade, side=side), account_id=account, **fields)
    share_fee = taker_share_fee(MARKET, fill.price, fill.size)
    return replace(
        fill,
        fee=taker_fee(MARKET, fill.price, fill.size),
        share_fee=share_fee if side is Side.BUY else Decimal(0),
    )


async def stored(fills: Fills, account: str = "main") -> Holding:
    mine = f"WHERE account_id = '{account}'"
    (row,) = await rows(fills.engine, f"SELECT * FROM positions {mine}")  # noqa: S608
    position = read(Position, row)
    query = f"SELECT * FROM lots WHERE position_id = '{position.id}' ORDER BY number"  # noqa: S608
    lots = tuple(read(Lot, lot) for lot in await rows(fills.engine, query))
    return Holding(position=position, lots=lots)


async def buy(fills: Fills, trade: str, size: str, price: str, status: F = F.MINED) -> Fill:
    fill = taken(trade, size=Decimal(size), price=Decimal(price), status=status)
    await fills.record(fill, SeenBy.POLL, NOW)
    return fill


async def doubt_of(fills: Fills) -> FeeDoubt:
    (doubt,) = await fills.fee_doubts("main")
    return doubt


async def test_g1_a_fee_found_to_be_taken_in_shares_leaves_fewer_to_hold_and_to_sell(
    fills: Fills, orders: Orders
) -> None:
    await buy(fills, "t1", "100", "0.50")
    held = (await stored(fills)).position
    assert (held.size, held.fees_usd) == (Decimal(100), Decimal("1.25"))
    funds = await orders.funds("main", YES, Decimal(0))
    assert (funds.free_shares, funds.unsettled_shares) == (Decimal("97.5"), Decimal("2.5"))

    await fills.prove_fee_asset(await doubt_of(fills), FeeAsset.SHARES, Decimal("97.5"))

    held = (await stored(fills)).position
    assert (held.size, held.cost_usd, held.cash_usd) == (Decimal("97.5"), 50, -50)
    assert held.fees_usd == 0
    funds = await orders.funds("main", YES, Decimal(0))
    assert (funds.free_shares, funds.unsettled_shares) == (Decimal("97.5"), 0)
    assert await fills.fee_doubts("main") == []
    (row,) = await rows(fills.engine, "SELECT fee, fee_asset FROM fills")
    assert (row["fee"], row["fee_asset"]) == (Decimal("2.5"), "shares")
    told = await rows(fills.engine, "SELECT detail FROM events WHERE kind = 'fill.charged'")
    assert told[0]["detail"]["after"]["size"] == "97.5"


async def test_a_fee_found_to_be_taken_in_collateral_sets_every_share_free(
    fills: Fills, orders: Orders
) -> None:
    await buy(fills, "t1", "100", "0.50")
    before = await stored(fills)

    await fills.prove_fee_asset(await doubt_of(fills), FeeAsset.COLLATERAL, Decimal(100))

    assert await stored(fills) == before
    funds = await orders.funds("main", YES, Decimal(0))
    assert (funds.free_shares, funds.unsettled_shares) == (Decimal(100), 0)


async def test_what_is_bought_after_the_proof_is_counted_by_it_at_once(fills: Fills) -> None:
    await buy(fills, "t1", "100", "0.50")
    await fills.prove_fee_asset(await doubt_of(fills), FeeAsset.SHARES, Decimal("97.5"))

    later = await buy(fills, "t2", "10", "0.50", F.MATCHED)
    await fills.record(replace(later, status=F.CONFIRMED), SeenBy.POLL, NOW)

    assert (await stored(fills)).position.size == Decimal("107.25")
    assert await fills.fee_doubts("main") == []


async def test_a_trade_that_fails_after_the_proof_takes_its_fee_back_with_it(fills: Fills) -> None:
    await buy(fills, "t1", "100", "0.50")
    doomed = await buy(fills, "t2", "10", "0.40")
    await fills.prove_fee_asset(await doubt_of(fills), FeeAsset.SHARES, Decimal("107.2"))
    assert (await stored(fills)).position.size == Decimal("107.2")

    await fills.record(replace(doomed, status=F.FAILED), SeenBy.POLL, NOW)

    held = (await stored(fills)).position
    assert (held.size, held.cash_usd, held.cost_usd) == (Decimal("97.5"), -50, 50)


async def test_nothing_is_in_doubt_while_a_trade_is_unsettled_or_after_it_failed(
    fills: Fills,
) -> None:
    first = await buy(fills, "t1", "100", "0.50", F.MATCHED)
    assert await fills.fee_doubts("main") == []
    await fills.record(replace(first, status=F.FAILED), SeenBy.POLL, NOW)
    assert await fills.fee_doubts("main") == []
    await fills.record(a_fill("free"), SeenBy.POLL, NOW)
    assert await fills.fee_doubts("main") == []


async def test_a_proof_about_fills_that_are_no_longer_all_proves_nothing(fills: Fills) -> None:
    await buy(fills, "t1", "100", "0.50")
    old = await doubt_of(fills)
    await buy(fills, "t2", "10", "0.50")

    await fills.prove_fee_asset(old, FeeAsset.SHARES, Decimal("97.5"))

    assert (await stored(fills)).position.size == Decimal(110)
    assert (await doubt_of(fills)).held_shares == Decimal(110)


async def test_fills_recorded_while_their_market_is_proved_are_all_counted_by_the_proof(
    fills: Fills,
) -> None:
    await buy(fills, "t0", "100", "0.50")
    doubt = await doubt_of(fills)
    others = [
        taken(f"o{n}", f"other-{n}", size=Decimal(10), price=Decimal("0.50")) for n in range(9)
    ]
    proof = fills.prove_fee_asset(doubt, FeeAsset.SHARES, Decimal("97.5"))

    await asyncio.gather(proof, *(fills.record(fill, SeenBy.STREAM, NOW) for fill in others))

    sizes = await rows(fills.engine, "SELECT size FROM positions ORDER BY size")
    assert [row["size"] for row in sizes] == [Decimal("9.75")] * 9 + [Decimal("97.5")]
    assets = await rows(fills.engine, "SELECT DISTINCT fee_asset FROM fills")
    assert [row["fee_asset"] for row in assets] == ["shares"]


sizes = st.integers(1, 300_000).map(lambda n: n * Decimal("0.01"))
prices = st.integers(1, 99).map(lambda n: n * Decimal("0.01"))
legs = st.lists(
    st.tuples(st.sampled_from(["BUY", "BUY", "SELL"]), sizes, prices, st.booleans()),
    min_size=1,
    max_size=8,
)
runs = iter(range(1_000_000))


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)
@given(legs=legs, proved_after=st.integers(0, 8), asset=st.sampled_from(list(FeeAsset)))
async def test_whenever_the_proof_comes_the_books_are_those_of_the_asset_it_proves(
    fills: Fills,
    legs: list[tuple[str, Decimal, Decimal, bool]],
    proved_after: int,
    asset: FeeAsset,
) -> None:
    run = next(runs)
    account, market = f"run-{run}", f"0x{run:x}"
    history: list[Fill] = []
    known: FeeAsset | None = None
    for number, (side, size, price, fails) in enumerate(legs):
        if number == proved_after:
            known = known or await _prove(fills, account, asset)
        fill = replace(
            taken(f"{run}-{number}", account, side=Side(side), size=size, price=price),
            condition_id=market,
            status=F.MINED,
        )
        await fills.record(fill, SeenBy.POLL, NOW)
        if fails:
            fill = replace(fill, status=F.FAILED)
            await fills.record(fill, SeenBy.POLL, NOW)
        history.append(fill)
    known = known or await _prove(fills, account, asset)
    if known is FeeAsset.SHARES:
        history = [fill.with_fee_in_shares() for fill in history]
    _check_books(await stored(fills, account), history)


def _check_books(holding: Holding, history: list[Fill]) -> None:
    held = holding.position
    expected = rebuilt(empty(held.account_id, YES, held.condition_id), history).position
    # A purchase that failed before it was counted again had opened a lot of its own.
    assert replace(held, lots_opened=0) == replace(expected, lots_opened=0)
    assert held.cash_usd + held.cost_usd + held.fees_usd - held.realised_pnl_average == 0
    alive = [fill for fill in history if fill.status is not F.FAILED]
    assert held.size == sum((fill.shares for fill in alive), Decimal(0))
    assert held.size == sum((lot.size for lot in holding.lots), Decimal(0))


async def _prove(fills: Fills, account: str, asset: FeeAsset) -> FeeAsset | None:
    """Prove what is in doubt by the balance such an exchange would show."""
    for doubt in await fills.fee_doubts(account):
        taken_off = doubt.fee_shares if asset is FeeAsset.SHARES else Decimal(0)
        balance = doubt.held_shares - taken_off
        assert doubt.settled_by(balance) is asset
        await fills.prove_fee_asset(doubt, asset, balance)
        return asset
    return None


@dataclass
class Counter(Venue):
    """An exchange that tells a balance, or does not answer."""

    balance: Decimal | None = None
    asked: int = 0

    async def shares(self, token_id: str) -> Decimal:
        self.asked += 1
        if self.balance is None:
            raise UnavailableError("no answer")
        return self.balance


async def sale(fills: Fills, orders: Orders, venue: Counter, *, waits: bool = True) -> Preparation:
    """Prepare the sale of all of what was bought: 100 shares, 2.5 of them perhaps a fee."""
    bought = replace(taken("t1", size=Decimal(100), price=Decimal("0.50")), token_id=WET)
    await fills.record(replace(bought, status=F.MINED), SeenBy.POLL, NOW)
    memory = Ledger()
    activities = OrderActivities(
        desks={"main": Desk(exchange=venue, exits=venue, limits=WIDE)},
        orders=orders,
        fills=fills,
        markets=memory,
        signals=memory,
        days=memory,
        workflows=Calls(),
        clock=venue.clock,
        failpoint=no_failpoint,
    )
    everything = Sizing(kind=SizeKind.PERCENT, value=Decimal(100))
    wish = a_wish(side=Side.SELL, sizing=everything, waits_for_settlement=waits)
    return await activities.prepare(wish)


@pytest.fixture
def counter() -> Counter:
    async def read() -> datetime:
        await asyncio.sleep(0)
        return NOW

    return Counter(clock=ServerClock(read=read))


@pytest.mark.parametrize(("balance", "size"), [("97.5", "97.5"), ("100", "100")])
async def test_g1_a_sale_asks_what_the_fee_took_before_it_is_sized(
    fills: Fills, orders: Orders, counter: Counter, balance: str, size: str
) -> None:
    counter.balance = Decimal(balance)
    prepared = await sale(fills, orders, counter)
    assert prepared.order is not None, prepared.denied
    assert (prepared.order.size, counter.asked) == (Decimal(size), 1)


@pytest.mark.parametrize("balance", [None, Decimal(0), Decimal(50)])
async def test_g2_a_sale_whose_balance_says_nothing_waits_and_then_leaves_the_doubtful_part(
    fills: Fills, orders: Orders, counter: Counter, balance: Decimal | None
) -> None:
    counter.balance = balance
    waiting = await sale(fills, orders, counter)
    assert waiting.denied is not None
    assert waiting.denied.rule == UNSETTLED

    prepared = await sale(fills, orders, counter, waits=False)
    assert prepared.order is not None, prepared.denied
    assert prepared.order.size == Decimal("97.5")

"""What a user may rely on while a position is left: all of it, once, whatever happens meanwhile."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from domain.fill import FillStatus, SeenBy
from domain.guarded import Guarded
from domain.order import OrderState
from domain.position import PositionStatus
from domain.protection import Exit, ProtectionStatus, Repair
from domain.signal import OrderRequest
from tests.store.making import kinds as kinds_of
from tests.workflows.held import CROSSED, HERE, Held
from tests.workflows.memory import YES
from tests.workflows.test_hold_position import a_sale

pytestmark = [pytest.mark.services, pytest.mark.asyncio(loop_scope="session")]

LOOK = Repair(why=("a look",))


async def fire(held: Held, *bids: tuple[str, int]) -> None:
    """Have the bids fall below the stop, and the position told."""
    held.venue.bids = list(bids) or [("0.29", 1000)]
    await held.workflows.price_crossed(HERE, CROSSED)


async def protected(held: Held, size: int = 40) -> None:
    await held.buy(size)
    await held.rests(size, "0.60")


def is_blocked(now: Guarded) -> bool:
    return now.exit is not None and now.exit.status is ProtectionStatus.BLOCKED


async def kinds(held: Held) -> list[str]:
    return await kinds_of(held.engine)


async def test_x12_a_falling_book_is_walked_down_in_recorded_steps(held: Held) -> None:
    await protected(held)

    await fire(held, ("0.29", 10), ("0.26", 10), ("0.22", 100))

    await held.flat()
    steps = [fill for fill in held.venue.trades if fill.order_hash in held.venue.sends[1:]]
    assert [(fill.price, fill.size) for fill in steps] == [
        (Decimal("0.29"), 10),
        (Decimal("0.26"), 10),
        (Decimal("0.22"), 20),
    ]
    assert (await kinds(held)).count("protection.firing") >= 3


async def test_m4_below_the_hard_floor_nothing_is_sold_and_somebody_is_called(held: Held) -> None:
    await protected(held)

    await fire(held, ("0.10", 1000))
    await held.until(is_blocked, "blocked")
    assert held.venue.sold == 0
    assert "exit.blocked" in await kinds(held)

    held.venue.bids = [("0.28", 1000)]
    await held.flat()
    assert {fill.price for fill in held.venue.trades} == {Decimal("0.28")}


async def test_m4_an_empty_book_is_no_price_and_sells_nothing(held: Held) -> None:
    await protected(held)
    held.venue.bids = []

    await held.workflows.price_crossed(HERE, CROSSED)
    await held.workflows.repair(HERE, LOOK)

    assert (await held.rests(40, "0.60")).exit is None


async def test_x6_in_post_only_mode_the_stop_is_an_alarm_and_fires_when_the_mode_ends(
    held: Held,
) -> None:
    await protected(held)
    held.venue.busy = ["post-only mode: only post-only orders and cancels are allowed"] * 4

    await fire(held)

    await held.flat()
    assert held.venue.busy == []
    assert "exit.blocked" in await kinds(held)
    assert held.venue.sold == 40


async def test_m5_a_target_that_fills_while_it_is_cancelled_is_counted_first(held: Held) -> None:
    await protected(held)
    held.venue.before_cancel = lambda order: held.venue.match(order, Decimal(15))

    await fire(held)

    await held.flat()
    assert held.venue.sold == 40
    assert held.venue.refused == []


async def test_x14_a_target_that_was_reached_before_its_cancel_leaves_nothing_to_sell(
    held: Held,
) -> None:
    await protected(held)
    held.venue.before_cancel = lambda order: held.venue.match(order, Decimal(40))

    await fire(held)

    await held.flat()
    assert held.venue.sold == 40
    assert len(held.venue.sends) == 1


@pytest.mark.parametrize("lag", [0, 15], ids=["balance knows", "balance lags"])
async def test_a_target_whose_last_trade_is_not_listed_yet_is_not_sold_twice(
    held: Held, lag: int
) -> None:
    await protected(held)
    venue = held.venue

    def partly(order: str) -> None:
        venue.match(order, Decimal(15))
        venue.is_hiding, venue.lag = True, Decimal(lag)

    venue.before_cancel = partly
    await fire(held)
    await held.until(lambda now: now.exit is not None and now.exit.n >= 1, "the exit to begin")
    await held.until(lambda _: venue.sold == 40 or bool(venue.refused), "a sale")
    venue.is_hiding, venue.lag = False, Decimal(0)
    # Nobody tells the workflow: it looks again by itself, and the test server cannot cancel the
    # pause it is in once that has begun to end.
    await held.fills.record(venue.trades[0], SeenBy.POLL, venue.clock())

    await held.flat()
    assert venue.sold == 40


async def test_b1_a_sale_that_fails_after_flat_is_protected_again_and_sold_again(
    held: Held,
) -> None:
    await protected(held)
    held.venue.status = FillStatus.MATCHED
    await fire(held)
    await held.until(lambda now: now.position.size == 0 and now.exit is None, "flat for now")
    assert not (await held.known()).plan.is_empty
    held.venue.bids = [("0.45", 1000)]

    await held.tell(held.venue.fail(held.venue.trades[-1]))

    now = await held.rests(40, "0.60")
    assert now.stop is not None
    assert now.stop.status is ProtectionStatus.ARMED
    assert now.position.status is PositionStatus.OPEN
    held.venue.status = FillStatus.CONFIRMED
    await fire(held)
    await held.flat()


async def test_a_kill_during_the_repair_of_a_target_leaves_none_and_the_stop_armed(
    held: Held,
) -> None:
    held.venue.busy = ["restarting"] * 3_000
    await held.buy(40)
    await held.until(_in_doubt, "a target on its way")

    await held.stand("halting")
    await held.workflows.repair(HERE, LOOK)

    now = await held.until(lambda now: not now.resting and now.take_profit is None, "no target")
    assert now.stop is not None
    assert now.stop.status is ProtectionStatus.ARMED
    held.venue.busy = []
    await held.stand("halted")
    await fire(held)
    await held.flat()


def _in_doubt(now: Guarded) -> bool:
    order = now.order_of(now.take_profit)
    return order is not None and order.state is OrderState.SENT


async def test_after_a_resume_the_target_returns(held: Held) -> None:
    await protected(held)
    await held.stand("halted")
    await held.workflows.repair(HERE, LOOK)
    await held.until(lambda now: not now.resting, "no target")

    await held.stand("running")
    await held.workflows.repair(HERE, LOOK)

    await held.rests(40, "0.60")


async def test_an_entry_that_fills_during_an_exit_is_sold_with_it(held: Held) -> None:
    await protected(held)
    await fire(held, ("0.10", 1000))
    await held.until(is_blocked, "blocked")

    await held.buy(10, stop=None, target=None)
    held.venue.bids = [("0.29", 1000)]

    await held.flat()
    assert held.venue.sold == 50


async def test_c6_stop_target_exit_and_sales_at_once_sell_what_is_held_and_no_more(
    held: Held,
) -> None:
    await protected(held)
    (resting,) = held.venue.resting()
    partial = held.venue.match(resting.order_hash, Decimal(10))
    held.venue.bids = [("0.29", 12), ("0.28", 1000)]

    await asyncio.gather(
        fire(held, ("0.29", 12), ("0.28", 1000)),
        held.workflows.exit(HERE, Exit(reason="now")),
        held.workflows.sell(HERE, manual("m1", 25)),
        held.workflows.sell(HERE, manual("m2", 40)),
        held.tell(partial),
    )

    await held.flat()
    assert held.venue.sold == 40
    assert held.venue.refused == []


def manual(intent: str, shares: int) -> OrderRequest:
    return replace(a_sale(intent, shares), signal_id=None, workflow_id=f"position-main-{YES}")


async def test_a_limit_sale_takes_its_shares_from_the_target(held: Held) -> None:
    await protected(held)

    await held.workflows.sell(HERE, manual("m1", 15))

    def is_shared(_: Guarded) -> bool:
        return sorted(each.size for each in held.venue.resting()) == [15, 25]

    now = await held.until(is_shared, "15 on sale, 25 as the target")
    assert now.promised_size == 15
    assert held.venue.refused == []


async def test_m6_shares_that_cannot_be_sold_are_dust_and_the_exit_ends(held: Held) -> None:
    await protected(held)
    held.venue.before_cancel = lambda order: held.venue.match(order, Decimal("39.996"))

    await fire(held)

    now = await held.until(lambda now: now.position.status is PositionStatus.DUST, "dust")
    await held.until(lambda now: now.plan.is_empty and now.exit is None, "an end")
    assert now.position.size == Decimal("0.004")


async def test_shares_that_are_not_settled_are_waited_for_and_sold(held: Held) -> None:
    bought = await held.buy(40, status=FillStatus.MATCHED)
    held.venue.bids = [("0.29", 1000)]
    await held.workflows.exit(HERE, Exit(reason="now"))
    await held.until(lambda now: now.exit is not None, "an exit")
    assert held.venue.sold == 0

    held.venue.owned += 40
    await held.tell(replace(bought, status=FillStatus.CONFIRMED))

    await held.flat()


async def test_a_stop_whose_book_cannot_be_read_is_judged_again_each_second_and_not_faster(
    held: Held,
) -> None:
    await protected(held)
    held.venue.is_unreadable = True
    await held.workflows.price_crossed(HERE, CROSSED)
    before = len((await held.handle.fetch_history()).events)
    for _ in range(20):
        await held.environment.sleep(timedelta(seconds=1))
        await asyncio.sleep(0.02)
    events = len((await held.handle.fetch_history()).events) - before
    assert 20 <= events <= 200, "two looks at most a second, and no fewer than one in two"

    held.venue.bids = [("0.28", 100)]
    held.venue.is_unreadable = False
    await held.flat()
    assert held.venue.sold == 40

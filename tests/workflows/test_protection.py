"""What a user may rely on once a position is held: it is protected, and left when it has to be."""

import asyncio
from datetime import timedelta
from decimal import Decimal

import pytest

from domain.answer import Answer, Submission
from domain.errors import RejectedError
from domain.protection import Exit, Protect, Repair
from tests.workflows.held import CROSSED, HERE, Held

FIRST_RETRY = timedelta(milliseconds=50)
pytestmark = [pytest.mark.services, pytest.mark.asyncio(loop_scope="session")]


async def test_a_filled_entry_has_its_target_resting_and_its_stop_armed(held: Held) -> None:
    await held.buy(40)

    now = await held.rests(40, "0.60")

    assert now.stop is not None
    assert (now.stop.status, now.stop.price, now.stop.size) == ("armed", Decimal("0.30"), 40)
    assert held.venue.posts_only == [True]


async def test_further_entries_enlarge_the_target_and_a_partial_one_shrinks(held: Held) -> None:
    await held.buy(40)
    await held.rests(40, "0.60")
    await held.buy(20, stop=None, target=None)
    await held.rests(60, "0.60")
    (resting,) = held.venue.resting()

    await held.tell(held.venue.match(resting.order_hash, Decimal(25)))

    now = await held.rests(35, "0.60")
    assert now.stop is not None
    assert now.stop.size == 35
    assert len(held.venue.sends) == 2


async def test_a_reached_target_leaves_nothing_behind(held: Held) -> None:
    await held.buy(40)
    await held.rests(40, "0.60")
    (resting,) = held.venue.resting()

    await held.tell(held.venue.match(resting.order_hash, Decimal(40)))

    await held.flat()
    await asyncio.wait_for(held.handle.result(), 20)


async def test_a_stop_that_is_reached_sells_everything_once(held: Held) -> None:
    await held.buy(40)
    await held.rests(40, "0.60")
    held.venue.bids = [("0.29", 1000)]

    await held.workflows.price_crossed(HERE, CROSSED)

    await held.flat()
    assert held.venue.sold == 40
    assert held.venue.refused == []


async def test_a_price_that_has_come_back_sells_nothing(held: Held) -> None:
    await held.buy(40)
    await held.rests(40, "0.60")

    await held.workflows.price_crossed(HERE, CROSSED)
    await held.workflows.repair(HERE, Repair(why=("a look",)))

    now = await held.rests(40, "0.60")
    assert now.exit is None
    assert held.venue.sold == 0


async def test_i6_a_target_that_the_exchange_lost_in_silence_rests_again_once_it_is_doubted(
    held: Held,
) -> None:
    await held.buy(40)
    await held.rests(40, "0.60")
    held.venue.active.clear()  # and nobody is told: our rows say that it rests

    await held.workflows.repair(HERE, Repair(why=("the exchange does not list it",)))

    await held.rests(40, "0.60")
    assert len(held.venue.sends) == 2


async def test_a_change_of_plan_moves_stop_and_target(held: Held) -> None:
    await held.buy(40)
    await held.rests(40, "0.60")

    await held.workflows.protect(
        HERE, Protect(stop_loss=Decimal("0.35"), take_profit=Decimal("0.70"))
    )

    now = await held.rests(40, "0.70")
    assert now.stop is not None
    assert (now.stop.status, now.stop.price) == ("armed", Decimal("0.35"))


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (Protect(stop_loss=Decimal("0.50")), "best bid 0.45"),
        (Protect(take_profit=Decimal("0.50")), "best ask 0.55"),
        (Protect(stop_loss=Decimal("0.333")), "grid of 0.01"),
        (Protect(stop_loss=Decimal("0.40"), take_profit=Decimal("0.40")), "not below take_profit"),
        (Protect(), "name a stop_loss"),
    ],
    ids=["above the bid", "below the ask", "off tick", "crossed", "empty"],
)
async def test_a_plan_that_makes_no_sense_is_refused_with_words(
    held: Held, wish: Protect, words: str
) -> None:
    await held.buy(40)
    before = await held.rests(40, "0.60")

    with pytest.raises(RejectedError, match=words):
        await held.workflows.protect(HERE, wish)

    assert (await held.known()).plan == before.plan


async def test_without_a_position_a_plan_and_an_exit_are_refused(held: Held) -> None:
    with pytest.raises(RejectedError, match="no position is held"):
        await held.workflows.protect(HERE, Protect(stop_loss=Decimal("0.30")))
    with pytest.raises(RejectedError, match="no position is held"):
        await held.workflows.exit(HERE, Exit())


async def test_an_exit_that_is_asked_for_sells_everything(held: Held) -> None:
    await held.buy(40)
    await held.rests(40, "0.60")

    await held.workflows.exit(HERE, Exit(reason="enough"))

    await held.flat()
    assert held.venue.sold == 40


async def test_a_plan_changes_at_once_while_nobody_knows_what_became_of_the_target(
    held: Held,
) -> None:
    held.venue.answers = [Submission(answer=Answer.UNKNOWN, words="no answer")]
    held.venue.is_unreadable = True
    await held.buy(40)
    await held.until(lambda _: held.venue.unread_orders >= 1, "a first look that fails")

    wish = Protect(stop_loss=Decimal("0.35"), take_profit=Decimal("0.70"))
    await asyncio.wait_for(held.workflows.protect(HERE, wish), 10)

    stop = (await held.known()).stop
    assert stop is not None
    assert (stop.status, stop.price) == ("armed", Decimal("0.35"))
    assert len(held.venue.sends) == 1
    assert FIRST_RETRY in await held.timers(), "the failed look held the workflow's task open"
    held.venue.is_unreadable = False
    await held.rests(40, "0.70")

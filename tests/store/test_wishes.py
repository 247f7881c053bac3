"""MAJ and an operator's exit, on the real database: what is done, and what is said of it."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities import wishes
from activities.orders import Outcome
from activities.wishes import WishActivities
from api.commands import Command
from domain.answer import Answer, Submission
from domain.errors import RejectedError
from domain.fill import FillStatus, SeenBy
from domain.ids import position_id, position_workflow_id
from domain.order import Order, OrderSource, OrderType, Side, TimeInForce
from domain.protection import Exit, Firing, Plan, Protect
from domain.signal import Action, Instruction, PositionTask, SignalStatus, SignalTask
from infra.store.entry_plans import EntryPlans
from infra.store.fills import Fills
from infra.store.inbox import Inbox
from infra.store.markets import Markets
from infra.store.orders import Orders
from infra.store.protections import Protections
from infra.store.reads import Reads
from infra.store.stories import why
from tests.store.making import ACCOUNT, NOW, WIDE, YES, a_fill, a_market, an_order, kinds, later
from tests.workflows.calls import Calls

pytestmark = pytest.mark.services

TASK = PositionTask(account_id=ACCOUNT, token_id=YES)
LOW, HIGH = Decimal("0.30"), Decimal("0.60")


@dataclass
class Writer(Calls):
    """A position's writer as it is told of wishes: it keeps the plan, or says no.

    Attributes:
        refusal: its words, if it refuses.
        rests: whether it brings the take-profit to the exchange.
    """

    protections: Protections | None = None
    orders: Orders | None = None
    refusal: str = ""
    rests: bool = True
    steps: list[str] = field(default_factory=list[str])

    async def protect(self, task: PositionTask, wish: Protect) -> None:
        if self.refusal:
            raise RejectedError(self.refusal)
        assert self.protections is not None
        await super().protect(task, wish)
        await self.protections.plan(task.account_id, task.token_id, wish, later(5))
        if self.rests:
            await self._rest()

    async def exit(self, task: PositionTask, wish: Exit) -> None:
        if self.refusal:
            raise RejectedError(self.refusal)
        assert self.protections is not None
        await super().exit(task, wish)
        firing = Firing(reason=wish.reason, floor=None, by=wish.by, signal_id=wish.signal_id)
        await self.protections.fire(task.account_id, task.token_id, firing, later(5))

    async def _rest(self) -> None:
        assert self.protections is not None
        assert self.orders is not None
        claim = await self.protections.rest(ACCOUNT, YES, Decimal(10), later(6))
        if claim is None:
            return
        sale = an_order(
            "tp",
            intent_id=claim.id,
            side=Side.SELL,
            type=OrderType.TAKE_PROFIT,
            time_in_force=TimeInForce.GTC,
            price=claim.price,
            size=claim.size,
            workflow_id=position_workflow_id(ACCOUNT, YES),
        )
        assert isinstance(await self.orders.admit(sale, b"signed", WIDE), Order)
        await self.orders.begin_send(sale.order_hash, later(6))
        await self.orders.answered(sale.order_hash, Submission(answer=Answer.LIVE), later(6))


@pytest.fixture
def writer(protections: Protections, orders: Orders) -> Writer:
    return Writer(protections=protections, orders=orders)


@pytest.fixture
async def acts(
    protections: Protections, orders: Orders, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> WishActivities:
    monkeypatch.setattr(wishes, "LOOKS", 3)
    monkeypatch.setattr(wishes, "LOOK_SECONDS", 0.01)
    markets = Markets(orders.engine)
    await markets.replace([a_market()], NOW)
    return WishActivities(
        entries=EntryPlans(orders.engine),
        markets=markets,
        protections=protections,
        workflows=writer,
    )


def a_wish(action: Action = Action.MAJ, by: str | None = None, **wish: Any) -> SignalTask:
    fields: dict[str, Any] = {"market": YES} | wish
    return SignalTask(
        signal_id="s9",
        account_id=ACCOUNT,
        source=OrderSource.WEBHOOK,
        instruction=Instruction(action=action, **fields),
        by=by,
    )


async def maj(acts: WishActivities, by: str | None = None, **wish: Any) -> Outcome:
    return await ActivityEnvironment().run(acts.deliver_protection, a_wish(by=by, **wish))


async def leave(acts: WishActivities) -> Outcome | None:
    task = a_wish(Action.CLOSE, by="ann", reason="news")
    return await ActivityEnvironment().run(acts.deliver_exit, task)


async def bought(orders: Orders, fills: Fills, **plan: Any) -> Order:
    """Have an entry of ten shares filled."""
    entry = an_order(**plan)
    await orders.admit(entry, b"signed", WIDE)
    await filled(fills, entry)
    return entry


async def filled(fills: Fills, entry: Order, trade: str = "t1") -> None:
    fill = a_fill(trade, entry, size=Decimal(10), status=FillStatus.MINED)
    await fills.record(fill, SeenBy.STREAM, later(1))


async def plan_now(protections: Protections) -> Plan | None:
    now = await protections.guarded(ACCOUNT, YES)
    return now.plan if now is not None else None


async def test_maj_moves_the_plan_and_says_what_protects_now(
    acts: WishActivities, orders: Orders, fills: Fills, writer: Writer
) -> None:
    await bought(orders, fills)

    outcome = await maj(acts, stop_loss=LOW, take_profit=HIGH)

    assert outcome.status is SignalStatus.PROCESSED
    assert outcome.reason == "stop-loss 0.3 armed for 10; take-profit 0.6 rests for 10 (0xtp)"
    [(task, wish)] = writer.wishes
    assert task == TASK
    assert wish == Protect(stop_loss=LOW, take_profit=HIGH, by="signal s9", signal_id="s9")


async def test_maj_without_a_position_is_processed_with_a_message_and_nothing_is_done(
    acts: WishActivities, writer: Writer
) -> None:
    outcome = await maj(acts, stop_loss=LOW)

    assert outcome.status is SignalStatus.PROCESSED
    assert "no open position" in (outcome.reason or "")
    assert writer.wishes == []


async def test_an_operator_who_names_what_is_not_held_is_refused(acts: WishActivities) -> None:
    assert (await maj(acts, stop_loss=LOW, by="ann")).status is SignalStatus.DENIED
    outcome = await leave(acts)
    assert outcome is not None
    assert outcome.status is SignalStatus.DENIED


async def test_maj_that_makes_no_sense_is_denied_with_the_words_of_the_positions_writer(
    acts: WishActivities, orders: Orders, fills: Fills, writer: Writer
) -> None:
    await bought(orders, fills)
    writer.refusal = "stop-loss 0.60 is not below the best bid 0.52"

    outcome = await maj(acts, stop_loss=HIGH)

    assert outcome == Outcome(signal_id="s9", status=SignalStatus.DENIED, reason=writer.refusal)


async def test_maj_whose_take_profit_is_not_created_is_an_error_in_the_log_and_rolls_nothing_back(
    acts: WishActivities,
    orders: Orders,
    fills: Fills,
    writer: Writer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await bought(orders, fills)
    writer.rests = False

    outcome = await maj(acts, stop_loss=LOW, take_profit=HIGH)

    assert outcome.status is SignalStatus.PROCESSED
    assert "take-profit 0.6 does not rest yet: the guardian sees to it" in (outcome.reason or "")
    assert "protection.not_created" in caplog.messages
    assert await plan_now(Protections(orders.engine)) == Plan(stop_loss=LOW, take_profit=HIGH)


async def test_maj_before_its_entry_fills_is_the_plan_that_the_fill_brings(
    acts: WishActivities, orders: Orders, fills: Fills, protections: Protections
) -> None:
    """A trader who moves the stop of an order still waiting expects it on what the order buys."""
    entry = an_order(stop_loss=Decimal("0.20"), take_profit=Decimal("0.90"))
    await orders.admit(entry, b"signed", WIDE)
    over = an_order("2", created_at=NOW)
    await orders.admit(over, b"signed", WIDE)

    outcome = await maj(acts, stop_loss=LOW, take_profit=Decimal(0))

    assert outcome.status is SignalStatus.PROCESSED
    assert "the plan comes with the fills of 0x1, 0x2" in (outcome.reason or "")
    assert "order.planned" in await kinds(orders.engine)
    await filled(fills, entry)
    assert await plan_now(protections) == Plan(stop_loss=LOW)


async def test_maj_of_a_market_nobody_knows_is_denied(acts: WishActivities) -> None:
    outcome = await maj(acts, stop_loss=LOW, market="rian", outcome="Yes")
    assert outcome.status is SignalStatus.DENIED
    assert "rain" in (outcome.reason or "")


async def test_an_exit_is_handed_over_once_and_followed_until_the_position_is_flat(
    acts: WishActivities, orders: Orders, fills: Fills, writer: Writer, protections: Protections
) -> None:
    await bought(orders, fills)

    assert await leave(acts) is None
    look = a_wish(Action.CLOSE, by="ann")
    assert await ActivityEnvironment().run(acts.look_at_exit, look) is None
    sale = an_order("s", side=Side.SELL)
    await orders.admit(sale, b"signed", WIDE)
    await filled(fills, sale, "t2")
    await protections.close(ACCOUNT, YES, is_dust=False)
    outcome = await ActivityEnvironment().run(acts.look_at_exit, look)

    assert [wish for _, wish in writer.wishes] == [Exit(reason="news", by="ann", signal_id="s9")]
    assert outcome == Outcome(signal_id="s9", status=SignalStatus.PROCESSED, reason="flat")


async def test_the_story_of_a_position_tells_who_moved_its_plan(
    acts: WishActivities, orders: Orders, fills: Fills, inbox: Inbox
) -> None:
    await bought(orders, fills)
    wish = Command(
        action=Action.MAJ, account_id=ACCOUNT, by="ann", key="k", token_id=YES, stop_loss=LOW
    )
    taken = await inbox.take(wish.arrival(NOW))

    task = wish.task(taken.signal_id, NOW)
    await ActivityEnvironment().run(acts.deliver_protection, task)

    told = await why(Reads(orders.engine), position_id(ACCOUNT, YES))
    assert told is not None
    assert taken.signal_id in [row["id"] for row in told.signals]
    [planned] = [row for row in told.events if row["kind"] == "position.planned"]
    assert (planned["signal_id"], planned["detail"]["by"]) == (taken.signal_id, "ann")

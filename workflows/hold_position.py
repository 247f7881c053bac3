"""The one writer of a position's protection and sales: `position-{account}-{token_id}`.

Whatever happens (a signal, a fill, a wish, a while of silence) it reads the rows, asks
domain/protection_steps.py for the next step, takes it, and reads again. With nothing held, nothing
planned and nothing to do it ends, and whoever needs it next starts it again.
"""

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from temporalio import workflow

from domain.guarded import Guarded
from domain.order import Order
from domain.position import Position
from domain.protection import Crossing, Exit, Plan, Protect, Protection, Repair, changed
from domain.protection_exit import Verdict, nonsense
from domain.protection_steps import PROTECTIVE, Act, Situation, Step, next_step
from domain.signal import CancelRequest, OrderRequest, PositionTask
from workflows import options
from workflows.order_steps import STEP_FAILED
from workflows.order_story import story
from workflows.position_orders import PositionOrders
from workflows.position_story import position_story

with workflow.unsafe.imports_passed_through():
    from activities.protection import (
        Block,
        Ending,
        Looked,
        ProtectionActivities,
        Target,
        Wanted,
    )

IDLE_SECONDS: Final = 300.0  # the guardian looks every ten; this is for when it does not
UNSURE_SECONDS: Final = 2.0  # between two looks at what is not known to rest
UNCONFIRMED_SECONDS: Final = 60.0  # whoever records the last trade tells; this is for when not
SETTLING_SECONDS: Final = 1.0  # shares settle and balances follow within seconds
BLOCKED_SECONDS: Final = 2.0  # how soon an exit that cannot go on is tried again

Subject = TypeVar("Subject")
Answer = TypeVar("Answer")


@dataclass(frozen=True, kw_only=True)
class PositionStatus:
    """What the query `status` answers.

    Attributes:
        words: what is under way.
        waiting: sales that wait for their turn.
        orders: what is being worked, and what was lately.
    """

    account_id: str
    token_id: str
    waiting: int
    orders: tuple[Order, ...]
    words: str = ""
    position: Position | None = None
    plan: Plan | None = None
    stop: Protection | None = None
    take_profit: Protection | None = None
    exit: Protection | None = None


@workflow.defn(name="HoldPosition")
class HoldPosition:
    """Protects one position, leaves it, and sells of it."""

    @workflow.init
    def __init__(self, task: PositionTask) -> None:
        self._here = PositionTask(account_id=task.account_id, token_id=task.token_id)
        self._queue: list[OrderRequest] = list(task.requests)
        self._orders = PositionOrders(self._show, self._tell)
        self._looked: Looked | None = None
        self._has_news = True
        self._is_crossed = task.is_crossed
        self._is_doubted = False
        self._words = ""

    @workflow.run
    async def run(self, task: PositionTask) -> None:
        """Look, take the next step, and again, until there is nothing left to do."""
        del task
        while True:
            if self._orders.fault is not None:
                raise self._orders.fault
            if workflow.info().is_continue_as_new_suggested() and self._orders.is_idle:
                await self._continue()
            step = await self._next()
            self._words = f"{step.act}: {step.why}" if step.why else step.act.value
            self._show()
            if step.act not in {Act.WAIT, Act.END}:
                await self._take(step)
            elif step.act is Act.END and self._orders.is_idle:
                await workflow.wait_condition(workflow.all_handlers_finished)
                if not self._has_news and not self._queue:
                    return
            else:
                await self._rest_a_while()

    async def _continue(self) -> None:
        """Go on with a new history; what is under way is found by its rows, the rest goes along."""
        await workflow.wait_condition(workflow.all_handlers_finished)
        requests = (*self._orders.unfinished, *self._queue)
        workflow.continue_as_new(
            replace(self._here, requests=requests, is_crossed=self._is_crossed)
        )

    async def _next(self) -> Step:
        """Return the next step by what the rows say now."""
        if self._is_crossed:
            self._is_crossed = self._has_news = False
            words = "is the stop reached?"
            looked = await self._ask(ProtectionActivities.judge_stop, self._here, words)
            if looked is not None and looked.is_blind:
                await workflow.sleep(SETTLING_SECONDS)  # asked again, at no faster pace
                self._is_crossed = True
            self._looked = looked or self._looked
        elif self._has_news or self._looked is None:
            self._has_news = False
            words = "read the position"
            looked = await self._ask(ProtectionActivities.look_at_position, self._here, words)
            self._looked = looked or self._looked
        if self._looked is None:
            return Step(act=Act.WAIT, why="the position could not be read")
        waits = bool(self._queue) and self._orders.placing is None
        now = self._looked.guarded
        self._orders.is_leaving = now is not None and now.exit is not None
        if now is None:
            return Step(act=Act.BEGIN if waits else Act.END)
        return next_step(now, self._looked.market, self._around(waits=waits))

    def _around(self, *, waits: bool) -> Situation:
        """Return what the rows do not say."""
        orders = self._orders
        may_rest = orders.placing is None and not orders.targets.seconds_left
        return Situation(sale_waits=waits, may_rest=may_rest, overdue=orders.overdue)

    async def _take(self, step: Step) -> None:
        """Take one step."""
        if step.act is Act.ARM:
            words = "have the stop armed as planned"
            self._looked = await self._ask(ProtectionActivities.arm_stop, self._here, words)
        elif step.act is Act.RETIRE:
            words = "the take-profit is over"
            self._looked = await self._ask(ProtectionActivities.retire_target, self._here, words)
        elif step.act is Act.CLOSE:
            await self._close()
        elif step.act is Act.REST and step.size is not None:
            await self._place_target(Target(task=self._here, size=step.size))
        elif step.act is Act.BEGIN:
            self._orders.start(self._queue.pop(0))
            await self._pause(UNSURE_SECONDS)
        elif step.act is Act.SELL:
            await self._sell()
        elif step.order is not None:
            await self._attend(step, step.order)

    async def _place_target(self, target: Target) -> None:
        """Claim a take-profit, and have it placed."""
        words = f"claim a take-profit of {target.size:f}"
        request = await self._ask(ProtectionActivities.claim_target, target, words)
        self._has_news = True
        if request is not None:
            self._start(request)
            await self._pause(UNSURE_SECONDS)

    async def _sell(self) -> None:
        """Have the next sale of the exit made, or wait for what it waits for."""
        tries = self._orders.exits
        if tries.words is not None:
            await self._block(f"the last sale came to nothing: {tries.words}")
        await self._pause(tries.seconds_left)
        following = await self._ask(ProtectionActivities.next_sale, self._here, "the next sale")
        self._has_news = True
        if following is None:
            return
        sale = following.sale
        if following.request is not None:
            self._start(following.request)
            await self._pause(UNSURE_SECONDS)
        elif sale.verdict is Verdict.DUST:
            await self._close(is_dust=True)
        elif sale.verdict is Verdict.BLOCKED:
            await self._block(sale.words)
            await self._pause(BLOCKED_SECONDS)
        else:
            await self._pause(SETTLING_SECONDS)

    def _start(self, request: OrderRequest) -> None:
        """Have an order of ours worked, and hear of its end."""
        self._has_news = False
        self._orders.start(request)

    async def _attend(self, step: Step, order: Order) -> None:
        """Bring an order on, or out of the way."""
        orders = self._orders
        if orders.is_worked(order.intent_id):
            await self._watch(step, order)
        elif order.is_in_doubt:
            self._has_news = False
            orders.resume(order)
            await self._watch(step, order)
        elif step.act is Act.WITHDRAW:
            is_reached = await orders.withdraw(order)
            if not is_reached and orders.is_leaving:
                await self._block("the exchange does not take the cancel of what rests")
            if not is_reached or order.absent_since is not None:
                await self._pause(UNSURE_SECONDS)
        else:
            orders.wait_for(order)
            await orders.look(order)
            await self._pause(SETTLING_SECONDS)
        self._has_news = True

    async def _watch(self, step: Step, order: Order) -> None:
        """Wait for an order that is being worked; one that an exit waits for is an alarm."""
        if step.act is Act.WITHDRAW:
            self._orders.ask_cancel(order.intent_id, step.why)
        held_up = self._orders.held_up(order.intent_id)
        if held_up is not None and self._orders.is_leaving:
            await self._block(held_up)
        await self._pause(UNSURE_SECONDS)

    async def _close(self, *, is_dust: bool = False) -> None:
        """End the exit of what is flat or dust."""
        now = self._looked.guarded if self._looked is not None else None
        is_known = now is not None and now.is_dust
        ending = Ending(task=self._here, is_dust=is_dust or is_known)
        words = "write the end down"
        self._looked = await self._ask(ProtectionActivities.close_position, ending, words)
        self._orders.exits.note(None)

    async def _block(self, words: str) -> None:
        """Have an alarm written: the exit cannot go on now."""
        block = Block(task=self._here, words=words)
        await self._ask(ProtectionActivities.block_exit, block, "alarm: the exit is blocked")

    async def _rest_a_while(self) -> None:
        """Wait for news; after a while of silence, look by ourselves."""
        now = self._looked.guarded if self._looked is not None else None
        if self._is_doubted:
            self._is_doubted = False
            await self._look_at_target(now)
            return
        seconds = self._orders.targets.seconds_left or IDLE_SECONDS
        if now is not None and now.position.size <= 0:
            seconds = UNCONFIRMED_SECONDS
        if not await self._pause(seconds):
            self._has_news = True
            self._is_crossed = now is not None and now.stop is not None

    async def _look_at_target(self, now: Guarded | None) -> None:
        """Ask the exchange for a take-profit that rests by our rows alone.

        Its end may have been told to nobody: the live channel is silent, or was away.
        """
        order = now.order_of(now.take_profit) if now is not None else None
        if order is not None and not order.is_over and not self._orders.is_worked(order.intent_id):
            await self._orders.look(order)
            self._has_news = True

    async def _pause(self, seconds: float) -> bool:
        """Wait, at most so long, for news; tell whether there was any."""
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                await workflow.wait_condition(
                    lambda: self._has_news or self._is_crossed, timeout=seconds
                )
        return self._has_news or self._is_crossed

    async def _ask(
        self,
        step: Callable[[ProtectionActivities, Subject], Awaitable[Answer]],
        subject: Subject,
        words: str,
    ) -> Answer | None:
        """Run one local step; None where it is refused: what the rows say by now is read again."""
        try:
            return await workflow.execute_local_activity_method(
                step, subject, **options.LOCAL, summary=words
            )
        except STEP_FAILED as error:
            workflow.logger.warning("position.step_refused", exc_info=error)
            await workflow.sleep(SETTLING_SECONDS)
            self._has_news = True
            return None

    def _tell(self) -> None:
        """Note that something has changed."""
        self._has_news = True

    @workflow.signal(description="Sell; the same intent twice is one sale.")
    def sell(self, request: OrderRequest) -> None:
        """Queue a sale; one that protects is no wish of anybody's and is found by its row."""
        self._has_news = True
        known = self._orders.known | {waiting.intent_id for waiting in self._queue}
        if request.intent_id not in known and request.type not in PROTECTIVE:
            self._queue.append(request)

    @workflow.signal(description="An order's row has changed; sent by whoever recorded it.")
    def order_changed(self, order_hash: str) -> None:
        """Tell the sale whose order it is, and look."""
        life = self._orders.of(order_hash)
        if life is not None:
            life.tell()
        self._has_news = True

    @workflow.signal(description="Wanted and actual seem to differ; it is looked at again.")
    def repair(self, hint: Repair) -> None:
        """Look again, at the exchange as well."""
        del hint
        self._has_news = self._is_doubted = True

    @workflow.signal(description="A price beyond the stop was seen; the book is read to make sure.")
    def price_crossed(self, crossing: Crossing) -> None:
        """Judge the stop by the book as it is now."""
        del crossing
        self._is_crossed = True

    @workflow.update(description="Change the stop and the target; answers once the stop is armed.")
    async def protect(self, wish: Protect) -> PositionStatus:
        """Change the plan, or say why it makes no sense."""
        wanted = Wanted(task=self._here, protect=wish)
        return await self._granted(ProtectionActivities.grant_plan, wanted, "change the plan")

    @protect.validator
    def _check_protect(self, wish: Protect) -> None:
        """Refuse what makes no sense whatever the book says."""
        looked = self._looked
        now = looked.guarded if looked is not None else None
        plan = changed(now.plan if now is not None else Plan(), wish)
        words = nonsense(plan, looked.market if looked is not None else None)
        if wish.stop_loss is None and wish.take_profit is None:
            words = "name a stop_loss, a take_profit, or both; 0 takes one away"
        if words is not None:
            raise ValueError(words)

    @workflow.update(description="Leave the position now; answers once that is written down.")
    async def exit(self, wish: Exit) -> PositionStatus:
        """Claim the exit; the sales follow."""
        wanted = Wanted(task=self._here, exit=wish)
        return await self._granted(ProtectionActivities.claim_exit, wanted, "claim the exit")

    async def _granted(
        self,
        step: Callable[[ProtectionActivities, Wanted], Awaitable[Looked]],
        wanted: Wanted,
        words: str,
    ) -> PositionStatus:
        """Have a wish written, and look at what it asks for; a refusal is the caller's answer."""
        looked = await workflow.execute_local_activity_method(
            step, wanted, **options.LOCAL, summary=words
        )
        self._looked = looked
        self._has_news = True
        return self.status()

    @workflow.update(description="Cancel what is left of one sale.")
    async def cancel(self, request: CancelRequest) -> PositionStatus:
        """Cancel one sale's order, and answer once it is over."""
        await self._orders.end(request, self._looked.guarded if self._looked else None)
        self._has_news = True
        return self.status()

    @cancel.validator
    def _check_cancel(self, request: CancelRequest) -> None:
        """Refuse to cancel what is not ours or over."""
        self._orders.check(request, self._looked.guarded if self._looked else None)

    @workflow.query(description="What is held, what protects it, and what is under way.")
    def status(self) -> PositionStatus:
        """Return how the position stands."""
        now = self._looked.guarded if self._looked is not None else None
        orders = [life.order for life in self._orders.lives if life.order is not None]
        return PositionStatus(
            account_id=self._here.account_id,
            token_id=self._here.token_id,
            waiting=len(self._queue),
            orders=tuple(orders),
            words=self._words,
            position=now.position if now is not None else None,
            plan=now.plan if now is not None else None,
            stop=now.stop if now is not None else None,
            take_profit=now.take_profit if now is not None else None,
            exit=now.exit if now is not None else None,
        )

    def _show(self) -> None:
        """Show operators the position, what is under way, and its sales."""
        now = self._looked.guarded if self._looked is not None else None
        told = position_story(now, self._words, len(self._queue))
        sales = [story(life.request, life.order, life.denied) for life in self._orders.lives]
        workflow.set_current_details("\n\n---\n\n".join([told, *sales]))

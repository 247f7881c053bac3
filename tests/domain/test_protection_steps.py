"""What holds of a position's steps whatever its rows say: nothing is promised twice, all ends."""

from dataclasses import dataclass, field, replace
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.guarded import Guarded
from domain.market import Book, Level
from domain.order import TERMINAL, Order, OrderState, OrderType, Side, TimeInForce
from domain.position import Position, PositionStatus
from domain.protection import Plan, Protection, ProtectionKind, ProtectionStatus
from domain.protection_exit import Facts, Verdict, next_sale
from domain.protection_steps import Act, Situation, Step, next_step, on_grid
from domain.risk import AccountState
from tests.domain.making import a_market, an_order

K, S = ProtectionKind, ProtectionStatus
MARKET = a_market()
BOOK = Book(token_id="111", bids=(Level(price=Decimal("0.3"), size=Decimal(1000)),), asks=())
MOST_STEPS = 60
SHARES = st.integers(0, 100).map(Decimal)
PRICES = st.sampled_from([None, Decimal("0.2"), Decimal("0.6"), Decimal("0.7")])
LIVING = [OrderState.SENT, OrderState.UNKNOWN, OrderState.LIVE, OrderState.PARTIAL]


@dataclass
class World:
    """An exchange and our rows, moved by the steps that the rules name.

    Attributes:
        fates: how much of what is asked for happens, of four, in order; afterwards all.
    """

    now: Guarded
    around: Situation
    fates: list[int] = field(default_factory=list[int])

    def take(self, step: Step) -> None:
        """Do what a step says."""
        order = step.order
        if step.act is Act.ARM:
            self.now = replace(self.now, stop=_row(K.STOP_LOSS, self.now, self.now.plan.stop_loss))
        elif step.act is Act.REST:
            assert step.size is not None
            self._rest(step.size)
        elif step.act is Act.RETIRE:
            self.now = replace(self.now, take_profit=None)
        elif step.act is Act.CLOSE:
            self._close(is_dust=False)
        elif step.act is Act.SELL:
            self._sell()
        elif step.act is Act.BEGIN:
            self.around = replace(self.around, sale_waits=False)
        elif order is not None:
            self._end(order, is_cancelled=step.act is Act.WITHDRAW)

    def _rest(self, size: Decimal) -> None:
        """Place a take-profit: nothing else of ours may be on its way out."""
        target = self.now.plan.take_profit
        assert target is not None
        assert self.now.exit is None
        assert not any(_is_protective(each) for each in self.now.resting)
        assert self.now.promised_size + size <= self.now.settled_size
        n = self.now.take_profit.n + 1 if self.now.take_profit is not None else 1
        row = replace(_row(K.TAKE_PROFIT, self.now, target, n) or _exit(), size=size)
        price = on_grid(target, MARKET.tick_size)
        order = _sale(row.id, OrderType.TAKE_PROFIT, OrderState.LIVE, size, price)
        self.now = replace(self.now, take_profit=row, orders=(*self.now.resting, order))

    def _sell(self) -> None:
        """Sell one step of an exit: no take-profit may match beside it."""
        assert not any(each.state not in TERMINAL for each in self.now.resting)
        sale = next_sale(self.now, MARKET, Facts(balance=None, book=BOOK, floor=None))
        if sale.verdict is Verdict.DUST:
            self._close(is_dust=True)
        elif sale.verdict is Verdict.WAIT:
            self.now = replace(self.now, unsettled_size=Decimal(0))
            for each in self.now.resting:
                self._end(each, is_cancelled=False)
        else:
            assert sale.verdict is Verdict.SELL
            assert self.now.taken_size + sale.size <= self.now.settled_size
            self._lose(self._part(sale.size))

    def _end(self, order: Order, *, is_cancelled: bool) -> None:
        """Have an order's fate known: what matched is recorded, what is left is dead or rests."""
        if order.state not in TERMINAL and not is_cancelled:
            known = replace(order, state=OrderState.LIVE)
        else:
            left = order.size if order.state not in TERMINAL else order.matched_size
            taken = self._part(left - order.filled_size) if is_cancelled else left
            taken = min(taken, self.now.settled_size)
            known = replace(
                order, state=OrderState.CANCELLED, filled_size=taken, matched_size=taken
            )
            self._lose(taken)
        others = tuple(each for each in self.now.orders if each.order_hash != order.order_hash)
        self.now = replace(self.now, orders=(*others, known))

    def _part(self, size: Decimal) -> Decimal:
        fate = self.fates.pop(0) if self.fates else 4
        return min(size * fate // 4, size)

    def _lose(self, size: Decimal) -> None:
        held = self.now.position
        self.now = replace(self.now, position=replace(held, size=held.size - size))

    def _close(self, *, is_dust: bool) -> None:
        status = PositionStatus.DUST if is_dust else PositionStatus.FLAT
        self.now = replace(
            self.now,
            position=replace(self.now.position, status=status),
            plan=Plan(),
            stop=None,
            take_profit=None,
            exit=None,
        )


def _is_protective(order: Order) -> bool:
    return order.type in {OrderType.TAKE_PROFIT, OrderType.STOP_LOSS}


def _row(
    kind: ProtectionKind, now: Guarded, price: Decimal | None, n: int = 1
) -> Protection | None:
    if price is None:
        return None
    status = S.ARMED if kind is K.STOP_LOSS else S.RESTING
    size = now.position.size
    return Protection(
        id=f"p:{kind}:{n}", position_id="p", kind=kind, price=price, size=size, n=n, status=status
    )


def _exit() -> Protection:
    return Protection(
        id="p:exit:1",
        position_id="p",
        kind=K.EXIT,
        price=None,
        size=Decimal(1),
        n=1,
        status=S.FIRING,
    )


def _sale(intent: str, kind: OrderType, state: OrderState, size: Decimal, price: Decimal) -> Order:
    return an_order(
        state,
        order_hash=f"0x{intent}",
        intent_id=intent,
        side=Side.SELL,
        type=kind,
        time_in_force=TimeInForce.GTC,
        size=size,
        price=price,
    )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Return a position half way through anything, whose plan may have changed since."""
    held = draw(SHARES)
    plan = Plan(stop_loss=draw(PRICES), take_profit=draw(PRICES))
    now = Guarded(
        position=Position(
            id="p",
            account_id="main",
            token_id="111",
            condition_id="0xc0",
            size=held,
            status=PositionStatus.OPEN,
        ),
        plan=plan,
        stop=None,
        take_profit=None,
        exit=_exit() if draw(st.booleans()) else None,
        orders=(),
        unsettled_size=min(draw(st.sampled_from([Decimal(0), Decimal(7)])), held),
        unconfirmed=0,
        account=draw(st.sampled_from([AccountState.RUNNING, AccountState.HALTED])),
    )
    size = min(draw(SHARES), now.settled_size)
    if size > 0:
        row = _row(K.TAKE_PROFIT, now, Decimal("0.6"))
        state = draw(st.sampled_from(LIVING))
        order = _sale("p:take_profit:1", OrderType.TAKE_PROFIT, state, size, Decimal("0.6"))
        now = replace(now, take_profit=row if draw(st.booleans()) else None, orders=(order,))
    fates = draw(st.lists(st.integers(0, 4), max_size=4))
    return World(now, Situation(sale_waits=draw(st.booleans())), fates)


@settings(max_examples=300)
@given(worlds())
def test_no_step_promises_a_share_twice_and_the_steps_come_to_an_end(world: World) -> None:
    for _ in range(MOST_STEPS):
        step = next_step(world.now, MARKET, world.around)
        if step.act in {Act.WAIT, Act.END}:
            break
        world.take(step)
    else:
        raise AssertionError(f"it never ends: {world}")

    assert world.now.exit is None
    if world.now.position.size > 0 and not world.now.is_dust:
        stop = world.now.stop.price if world.now.stop is not None else None
        assert stop == world.now.plan.stop_loss

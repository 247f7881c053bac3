"""One account's books beside its paper exchange, compared at moments that a test chooses."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from activities.orders import Desk as Behind
from activities.orders import OrderActivities
from activities.reconcile import Ended, Policy, ReconcileActivities, Turn
from domain.fill import Fill, FillStatus
from domain.halt import Reconcile
from domain.ids import digest
from domain.order import Order, OrderEvent, OrderState, Side, TimeInForce
from domain.ports import Clock
from domain.reconciliation import Kind, Outcome, Report, UnknownOrders, result_of
from infra.clock import utc_now
from infra.failpoints import from_environment
from infra.store.accounts import Accounts
from infra.store.amends import Amends
from infra.store.days import Days
from infra.store.fills import Fills
from infra.store.markets import Markets
from infra.store.orders import Orders
from infra.store.reconciliations import Books
from infra.store.signals import Signals
from tests.exchanges.desk import Desk, a_desk, eventually
from tests.paper.conftest import Server
from tests.store.making import WIDE, an_order, rows
from tests.workflows.calls import Calls

EVERYTHING = ("orders", "fills", "positions", "lots", "events", "outbox", "gaps", "baselines")


@dataclass
class Compared:
    """One account's books beside its exchange, with a clock that can be moved."""

    desk: Desk
    engine: AsyncEngine
    activities: ReconcileActivities
    calls: Calls
    ahead: timedelta = field(default=timedelta(0))

    def now(self) -> datetime:
        return utc_now() + self.ahead

    async def report(self, *, is_report_only: bool = False, opens: bool = False) -> Report:
        """Compare once, as the workflow does."""
        wish = Reconcile(is_report_only=is_report_only, opens=opens)
        turn = Turn(account_id="main", wish=wish, begun_at=self.now())
        steps = self.activities
        sections = [
            await steps.reconcile_trades(turn),
            await steps.reconcile_orders(turn),
            await steps.reconcile_rows(turn),
            await steps.reconcile_balances(turn),
        ]
        findings = tuple(each for section in sections for each in section.findings)
        warnings = tuple(each for section in sections for each in section.warnings)
        report = Report(
            id=digest(turn.begun_at.isoformat()),
            account_id="main",
            reason="a test",
            asked_by="a test",
            is_report_only=is_report_only,
            result=result_of(findings, warnings),
            findings=findings,
            warnings=warnings,
            begun_at=turn.begun_at,
            ended_at=self.now(),
        )
        is_heavy = any(section.is_heavy for section in sections)
        await steps.conclude_reconciliation(Ended(turn=turn, report=report, is_heavy=is_heavy))
        return report

    async def found(self) -> list[tuple[Kind, Outcome]]:
        return [(each.kind, each.outcome) for each in (await self.report()).findings]

    def by_hand(self, **wish: str) -> str:
        """Place an order as the account's owner does on the exchange's own page."""
        wallet = self.desk.account.who.wallet
        place = {"token_id": self.desk.yes, **wish}
        answer = self.desk.exchange.admin("POST", f"/accounts/{wallet}/orders", {"place": place})
        return str(answer["order_hash"])

    def moved(self, **balances: object) -> None:
        """Change balances outside every trade."""
        wallet = self.desk.account.who.wallet
        self.desk.exchange.admin("POST", f"/accounts/{wallet}/balances", balances)

    async def bought(self, size: str = "20", *, by_hand: bool = False) -> None:
        """Buy at the market, and have it settled at the exchange; nothing is recorded."""
        self.desk.book([("0.40", "500")], [("0.50", "500")])
        if by_hand:
            self.by_hand(side="BUY", price="0.50", size=size, type="FAK")
        else:
            await self.desk.send(Side.BUY, TimeInForce.FAK, "0.50", size)
        await self.settled()

    async def settled(self) -> None:
        def final(fills: list[Fill]) -> bool:
            over = {FillStatus.CONFIRMED, FillStatus.FAILED}
            return bool(fills) and all(fill.status in over for fill in fills)

        await eventually(self.desk.account.fills, final)

    async def held(self) -> Decimal:
        found = await rows(self.engine, "SELECT token_id, size FROM positions")
        mine = [Decimal(row["size"]) for row in found if row["token_id"] == self.desk.yes]
        return sum(mine, Decimal(0))

    async def everything(self) -> list[list[dict[str, Any]]]:
        return [await rows(self.engine, f"TABLE {each} ORDER BY 1, 2") for each in EVERYTHING]

    async def run(self, statement: str) -> None:
        async with self.engine.begin() as connection:
            await connection.execute(text(statement))

    async def ours(self, state: OrderState = OrderState.LIVE, **changes: Any) -> Order:
        """Return an order of ours that really rests, its row as it should be but for `changes`."""
        self.desk.book([("0.30", "500")], [("0.60", "500")])
        order_hash = await self.desk.send(Side.BUY, TimeInForce.GTC, "0.40", "10")
        order = an_order(
            order_hash=order_hash,
            token_id=self.desk.yes,
            condition_id=self.desk.market.condition_id,
            created_at=utc_now(),
        )
        admitted = await self.orders.admit(order, b"signed", WIDE)
        assert isinstance(admitted, Order)
        await self.orders.begin_send(order_hash, utc_now())
        await self.orders.learn(order_hash, OrderEvent.ACCEPT, None, utc_now())
        if state is not OrderState.LIVE:
            await self.run(f"UPDATE orders SET state = '{state}'")  # noqa: S608
        return replace(order, state=state, **changes)

    @property
    def orders(self) -> Orders:
        found = self.activities.orders
        assert isinstance(found, Orders)
        return found


@asynccontextmanager
async def beside(
    exchange: Server, accounts: Accounts, orders: Orders, fills: Fills, name: str
) -> AsyncGenerator[Compared]:
    """Open an account of its own, its books empty."""
    exchange.admin("POST", "/settlement", {"delay_s": 0.02})
    exchange.admin("POST", "/balances-lag", {"seconds": 0})
    engine, calls = accounts.engine, Calls()
    async with a_desk(exchange, name, fee_rate="0") as desk:
        await Markets(engine).replace([desk.market], utc_now())

        def now() -> datetime:
            return made.now()

        activities = _activities(desk, accounts, (orders, fills), calls, now)
        made = Compared(desk, engine, activities, calls)
        yield made


def _activities(
    desk: Desk, accounts: Accounts, stores: tuple[Orders, Fills], calls: Calls, now: Clock
) -> ReconcileActivities:
    """Return the product's own activities on these ports."""
    (orders, fills), engine = stores, accounts.engine
    behind = {"main": Behind(exchange=desk.account, exits=desk.account, limits=WIDE)}
    failpoint = from_environment({})
    work = OrderActivities(
        desks=behind,
        orders=orders,
        fills=fills,
        markets=Markets(engine),
        signals=Signals(engine),
        days=Days(engine),
        workflows=calls,
        clock=now,
        failpoint=failpoint,
    )
    return ReconcileActivities(
        desks=behind,
        policies={"main": Policy(unknown_orders=UnknownOrders.ADOPT, halt_above_usd=Decimal(5))},
        orders=orders,
        fills=fills,
        books=Books(engine),
        amends=Amends(engine, failpoint),
        accounts=accounts,
        workflows=calls,
        look=work.look,
        clock=now,
        failpoint=failpoint,
    )

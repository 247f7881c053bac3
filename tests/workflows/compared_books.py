"""The ports of a comparison in memory, on the ledger that the other ports share."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from activities.guard import GuardActivities
from activities.orders import OrderActivities
from activities.reconcile import Policy, ReconcileActivities
from activities.shutdown import ShutdownActivities
from domain.fill import Fill, FillStatus
from domain.order import Order
from domain.ports import ActiveOrder
from domain.reconciliation import (
    COLLATERAL,
    Cash,
    EditedRow,
    Expected,
    Gap,
    Leg,
    Report,
    UnknownOrders,
    adjustment,
)
from tests.workflows.memory import MARKET, Ledger, no_failpoint
from workers.comparing import comparing_activities


@dataclass
class MemoryBooks:
    """Both ports of a comparison: what is read, and what is amended."""

    ledger: Ledger
    waiting: dict[str, Gap] = field(default_factory=dict[str, Gap])
    reports: list[Report] = field(default_factory=list[Report])
    adjusted: list[Fill] = field(default_factory=list[Fill])
    snapshots: list[Mapping[str, object]] = field(default_factory=list[Mapping[str, object]])
    baseline: tuple[Decimal, Decimal] | None = None

    async def known_fills(self, fills: Iterable[Fill]) -> dict[Leg, FillStatus]:
        told = {(fill.trade_id, fill.order_hash) for fill in fills}
        recorded = self.ledger.recorded
        return {leg: recorded[leg].status for leg in told if leg in recorded}

    async def orders_by_hash(self, hashes: Collection[str]) -> dict[str, Order]:
        return {one: row for one, row in self.ledger.rows.items() if one in hashes}

    async def edited_rows(self, account_id: str) -> list[EditedRow]:
        return []

    async def expected(self, account_id: str) -> list[Expected]:
        return [
            Expected(
                token_id=token_id,
                condition_id=MARKET.condition_id,
                settled=size,
                doubtful=Decimal(0),
                price=Decimal("0.5"),
                mark=len(self.ledger.recorded),
                marked_at=None,
            )
            for token_id, size in self.ledger.held.items()
        ]

    async def cash(self, account_id: str) -> Cash:
        return Cash(
            baseline_usd=self.baseline[0] if self.baseline else None,
            agreed_cash_usd=self.baseline[1] if self.baseline else Decimal(0),
            cash_usd=Decimal(0),
            doubtful_usd=Decimal(0),
            mark=0,
            marked_at=None,
        )

    async def gaps(self, account_id: str) -> dict[str, Gap]:
        return dict(self.waiting)

    async def keep_gap(self, gap: Gap) -> None:
        self.waiting[gap.token_id] = gap

    async def forget_gap(self, account_id: str, token_id: str) -> None:
        self.waiting.pop(token_id, None)

    async def agree(self, account_id: str, balance_usd: Decimal, cash_usd: Decimal) -> None:
        self.baseline = (balance_usd, cash_usd)
        self.waiting.pop(COLLATERAL, None)

    async def keep(self, report: Report) -> None:
        self.reports.append(report)

    async def latest(self, account_id: str, since: datetime) -> Report | None:
        found = [one for one in self.reports if one.begun_at >= since and not one.is_report_only]
        return found[-1] if found else None

    async def adopt(self, order: Order) -> bool:
        is_new = order.order_hash not in self.ledger.rows
        self.ledger.rows.setdefault(order.order_hash, order)
        return is_new

    async def count_again(self, edited: EditedRow, now: datetime) -> bool:
        raise AssertionError(edited)

    async def adjust(self, gap: Gap, condition_id: str, now: datetime) -> bool:
        fill = adjustment(gap, condition_id, now)
        self.adjusted.append(fill)
        self.ledger.held[gap.token_id] += fill.shares
        self.waiting.pop(gap.token_id, None)
        return True

    async def adjust_collateral(self, gap: Gap, cash: Cash) -> None:
        self.baseline = (gap.found, cash.cash_usd)
        self.waiting.pop(COLLATERAL, None)

    async def tell_cancelled(self, account_id: str, active: ActiveOrder) -> None:
        raise AssertionError(active)

    async def snapshot(self, account_id: str, by: str, found: Mapping[str, object]) -> None:
        self.snapshots.append(found)


def comparing(
    orders: OrderActivities, guard: GuardActivities, books: MemoryBooks
) -> list[Callable[..., Any]]:
    """Return the activities of comparisons and shutdowns, on the ports of the others."""
    compared = ReconcileActivities(
        desks=guard.desks,
        policies={"main": Policy(unknown_orders=UnknownOrders.ADOPT, halt_above_usd=Decimal(50))},
        orders=guard.orders,
        fills=guard.fills,
        books=books,
        amends=books,
        accounts=guard.accounts,
        workflows=guard.workflows,
        look=orders.look,
        clock=guard.clock,
        failpoint=no_failpoint,
    )
    shutdown = ShutdownActivities(
        accounts=guard.accounts,
        orders=guard.orders,
        books=books,
        amends=books,
        workflows=guard.workflows,
        guard=guard,
        failpoint=no_failpoint,
    )
    return comparing_activities(compared, shutdown)

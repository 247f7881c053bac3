"""Other workflows, for tests that only want to know what was asked of them."""

from dataclasses import dataclass, field

from domain.halt import Kill, Reconcile
from domain.order import Order
from domain.protection import Crossing, Exit, Protect, Repair
from domain.signal import CancelRequest, OrderRequest, PositionTask


@dataclass
class Calls:
    """What activities asked of other workflows."""

    sales: list[tuple[PositionTask, OrderRequest]] = field(
        default_factory=list[tuple[PositionTask, OrderRequest]]
    )
    cancels: list[str] = field(default_factory=list[str])
    gone: set[str] = field(default_factory=set[str])  # workflows that no longer run
    resumed: list[Order] = field(default_factory=list[Order])
    told: list[str] = field(default_factory=list[str])
    kills: list[Kill] = field(default_factory=list[Kill])
    wishes: list[tuple[PositionTask, Protect | Exit]] = field(
        default_factory=list[tuple[PositionTask, Protect | Exit]]
    )
    hints: list[tuple[PositionTask, Repair | Crossing]] = field(
        default_factory=list[tuple[PositionTask, Repair | Crossing]]
    )
    compared: list[Reconcile] = field(default_factory=list[Reconcile])

    async def kill(self, account_id: str, wish: Kill) -> None:
        self.kills.append(wish)

    async def reconcile(self, account_id: str, wish: Reconcile) -> None:
        self.compared.append(wish)

    async def sell(self, task: PositionTask, request: OrderRequest) -> None:
        self.sales.append((task, request))

    async def protect(self, task: PositionTask, wish: Protect) -> None:
        self.wishes.append((task, wish))

    async def exit(self, task: PositionTask, wish: Exit) -> None:
        self.wishes.append((task, wish))

    async def repair(self, task: PositionTask, hint: Repair) -> None:
        self.hints.append((task, hint))

    async def price_crossed(self, task: PositionTask, crossing: Crossing) -> None:
        self.hints.append((task, crossing))

    async def resume(self, order: Order) -> None:
        self.resumed.append(order)

    async def cancel_order(self, workflow_id: str, request: CancelRequest) -> bool:
        self.cancels.append(workflow_id)
        return workflow_id not in self.gone

    async def order_changed(self, workflow_id: str, order_hash: str) -> None:
        self.told.append(order_hash)

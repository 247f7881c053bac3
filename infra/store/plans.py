"""How a fill changes what protects its position: in the transaction that records it."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from domain.fill import Fill, FillStatus
from domain.ids import position_workflow_id
from domain.order import Order, Side
from domain.position import Position, PositionStatus
from domain.protection import Plan, Protect, changed
from domain.signal import PositionTask
from infra.store.protection_rows import (
    Row,
    plan_of,
    position_row,
    set_position,
    sync_stop,
    tell,
)


@dataclass(frozen=True)
class Moved:
    """What recording a fill, or its news, did to its position.

    Attributes:
        is_first: the fill was not known before.
        order: ours; None for a fill of somebody else's order.
    """

    fill: Fill
    is_first: bool
    order: Order | None
    before: Position
    after: Position


async def protect_held(
    connection: AsyncConnection, moved: Moved, now: datetime
) -> PositionTask | None:
    """Write the plan an entry brings and keep the stop at the size held.

    Returns whose workflow has to look, where that is not the one that is told of its order anyway.
    """
    row = await position_row(connection, moved.after.id)
    if row is None:
        return None
    planned = await _planned(connection, row, moved)
    if moved.after.size != moved.before.size or planned is not row:
        await sync_stop(connection, planned, now)
    is_watched = not plan_of(planned).is_empty or row["status"] == PositionStatus.EXITING
    if not is_watched or not _is_worth_a_look(moved):
        return None
    task = PositionTask(account_id=row["account_id"], token_id=row["token_id"])
    owner = position_workflow_id(task.account_id, task.token_id)
    is_told_anyway = moved.is_first and moved.order is not None and moved.order.workflow_id == owner
    return None if is_told_anyway else task


async def _planned(connection: AsyncConnection, row: Row, moved: Moved) -> Row:
    """Return the position's row with the wish of a new entry written, if it is the newest."""
    order = moved.order
    is_entry = moved.is_first and order is not None and order.side is Side.BUY
    if not is_entry or order is None:
        return row
    asked = Protect(stop_loss=order.stop_loss, take_profit=order.take_profit)
    planned_at = row["planned_at"]
    is_older = planned_at is not None and order.created_at <= planned_at
    if is_older or (order.stop_loss is None and order.take_profit is None):
        return row
    before = plan_of(row)
    after: Plan = changed(before, asked)
    values = {
        "current_sl": after.stop_loss,
        "current_tp": after.take_profit,
        "planned_at": order.created_at,
    }
    await set_position(connection, row["id"], values)
    told = {"before": before, "after": after, "by": f"order {order.order_hash}"}
    await tell(connection, row, "position.planned", told, order.signal_id)
    return {**row, **values}


def _is_worth_a_look(moved: Moved) -> bool:
    """Tell whether a fill's news changes what can be protected, sold or closed."""
    fill = moved.fill
    if moved.is_first or fill.status is FillStatus.FAILED:
        return True
    if fill.status is FillStatus.MINED:
        return fill.side is Side.BUY  # its shares can be sold from now on
    return moved.after.size == 0  # the last confirmation ends what protected it

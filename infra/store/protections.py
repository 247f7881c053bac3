"""What protects a position: its plan, and one row per intent to leave.

Every method is one transaction that locks the position first, as recording a fill does, and
writes the events that tell of what it changed.
"""

import logging
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from domain.errors import RejectedError
from domain.guarded import Guarded
from domain.ids import position_id
from domain.position import PositionStatus
from domain.protection import (
    Firing,
    Protect,
    Protection,
    ProtectionKind,
    ProtectionStatus,
    changed,
)
from infra.store.database import rerun, transaction
from infra.store.events import announce
from infra.store.protection_rows import (
    Row,
    change_row,
    current,
    end_row,
    insert_row,
    is_told,
    order_of,
    plan_of,
    position_row,
    read_guarded,
    set_position,
    sync_stop,
    tell,
)
from infra.store.rows import shortest

log = logging.getLogger(__name__)

K, S = ProtectionKind, ProtectionStatus
NOTHING_HELD: Final = "no position is held here: there is nothing to protect or to leave"
LEAVING: Final = "the position is being left: its plan can no longer change"
CLOSED: Final = {
    "current_sl": None,
    "current_tp": None,
    "sl_order_id": None,
    "tp_order_id": None,
    "planned_at": None,
    "unprotected_since": None,
}


@dataclass(frozen=True)
class Protections:
    """The port ProtectionStore on PostgreSQL."""

    engine: AsyncEngine

    async def guarded(self, account_id: str, token_id: str) -> Guarded | None:
        """Return a position and what protects it; None where nothing was ever held."""
        identity = position_id(account_id, token_id)
        async with transaction(self.engine) as connection:
            row = await position_row(connection, identity, is_locking=False)
            return await read_guarded(connection, row) if row is not None else None

    @rerun
    async def plan(self, account_id: str, token_id: str, wish: Protect, now: datetime) -> Guarded:
        """Write what is wished and arm its stop; the same signal twice is one wish.

        Raises:
            RejectedError: nothing is held, or it is being left.
        """
        async with transaction(self.engine) as connection:
            row = await _held(connection, account_id, token_id)
            signal = wish.signal_id
            if signal is not None and await is_told(
                connection, "position.planned", signal, row["id"]
            ):
                return await _as_it_is(connection, row)
            if row["status"] == PositionStatus.EXITING:
                raise RejectedError(LEAVING)
            before = plan_of(row)
            after = changed(before, wish)
            values = {
                "current_sl": after.stop_loss,
                "current_tp": after.take_profit,
                "planned_at": now,
            }
            await set_position(connection, row["id"], values)
            await sync_stop(connection, {**row, **values}, now)
            told = {"before": before, "after": after, "by": wish.by}
            await tell(connection, row, "position.planned", told, signal)
            await announce(connection, "position.planned", {"position_id": row["id"], **told})
            return await _as_it_is(connection, row)

    @rerun
    async def arm(self, account_id: str, token_id: str, now: datetime) -> Guarded:
        """Have the stop's row say what the plan and the size held ask for.

        Raises:
            RejectedError: nothing is held.
        """
        async with transaction(self.engine) as connection:
            row = await _held(connection, account_id, token_id)
            await sync_stop(connection, row, now)
            return await _as_it_is(connection, row)

    @rerun
    async def rest(
        self, account_id: str, token_id: str, size: Decimal, now: datetime
    ) -> Protection | None:
        """Claim the next take-profit; None while the last one may live, or none is wished.

        A claim that never became an order is taken again.

        Raises:
            RejectedError: nothing is held.
        """
        async with transaction(self.engine) as connection:
            row = await _held(connection, account_id, token_id)
            price = plan_of(row).take_profit
            if price is None or row["status"] == PositionStatus.EXITING:
                return None
            last = await current(connection, row["id"], K.TAKE_PROFIT)
            if last is not None:
                order = await order_of(connection, last)
                if order is None:
                    again = replace(last, price=price, size=size)
                    return await change_row(connection, row, last, again)
                if not order.is_over:
                    return None
                await end_row(connection, row, last, order)
            draft = _draft(row, K.TAKE_PROFIT, S.RESTING, price, size)
            return await insert_row(connection, row, draft, now)

    @rerun
    async def rested(self, account_id: str, token_id: str) -> None:
        """Write that a take-profit is over, once its order is; a living one stays."""
        async with transaction(self.engine) as connection:
            row, last = await _last(connection, account_id, token_id, K.TAKE_PROFIT)
            if last is None:
                return
            order = await order_of(connection, last)
            if order is None or order.is_over:
                await end_row(connection, row, last, order)

    @rerun
    async def fire(
        self, account_id: str, token_id: str, firing: Firing, now: datetime
    ) -> Protection | None:
        """Claim the exit of a position; claimed twice, it is the first claim.

        None where the same signal was granted before: what was bought since is not its concern.

        Raises:
            RejectedError: nothing is held.
        """
        async with transaction(self.engine) as connection:
            if await _is_repeated(connection, position_id(account_id, token_id), firing.signal_id):
                return None
            row = await _held(connection, account_id, token_id)
            at_work = await current(connection, row["id"], K.EXIT)
            if at_work is not None:
                if firing.signal_id is not None:
                    told = {"exit": at_work, "firing": firing}
                    await tell(connection, row, "exit.joined", told, firing.signal_id)
                return at_work
            await set_position(connection, row["id"], {"status": PositionStatus.EXITING.value})
            stop = await current(connection, row["id"], K.STOP_LOSS)
            if stop is not None and firing.is_stop:
                await change_row(connection, row, stop, replace(stop, status=S.FIRING))
            draft = _draft(row, K.EXIT, S.FIRING, firing.floor, shortest(row["size"]))
            claimed = await insert_row(connection, row, replace(draft, reason=firing.reason), now)
            told = {"exit": claimed, "firing": firing, "plan": plan_of(row)}
            await tell(connection, row, "exit.claimed", told, firing.signal_id)
            await announce(connection, "exit.claimed", {"position_id": row["id"], **told})
            return claimed

    @rerun
    async def fire_again(self, account_id: str, token_id: str, now: datetime) -> Protection | None:
        """Claim the next sale of an exit; None while the last one may live, or nothing is left.

        A claim that never became an order is taken again.
        """
        async with transaction(self.engine) as connection:
            row, last = await _last(connection, account_id, token_id, K.EXIT)
            if last is None or row["size"] <= 0:
                return None
            order = await order_of(connection, last)
            fresh = replace(last, status=S.FIRING, size=shortest(row["size"]))
            if order is None:
                return await change_row(connection, row, last, fresh)
            if not order.is_over:
                return None
            await end_row(connection, row, last, order)
            return await insert_row(connection, row, replace(fresh, order_hash=None), now)

    @rerun
    async def block(self, account_id: str, token_id: str, words: str) -> None:
        """Write that an exit cannot go on now, with an alarm; the same words are told once."""
        async with transaction(self.engine) as connection:
            row, last = await _last(connection, account_id, token_id, K.EXIT)
            if last is None or (last.status is S.BLOCKED and last.reason == words):
                return
            blocked = replace(last, status=S.BLOCKED, reason=words)
            await change_row(connection, row, last, blocked)
            told = {"exit": blocked, "state": "SL_BLOCKED", "words": words}
            await tell(connection, row, "exit.blocked", told)
            await announce(connection, "exit.blocked", {"position_id": row["id"], **told})
        log.critical("exit.blocked", extra={"position_id": row["id"], "words": words})

    @rerun
    async def close(self, account_id: str, token_id: str, *, is_dust: bool) -> Guarded | None:
        """End the exit of what is flat or dust, and its plan once every trade of it is final.

        Where more is held by now, nothing changes.
        """
        async with transaction(self.engine) as connection:
            row = await position_row(connection, position_id(account_id, token_id))
            if row is None:
                return None
            if row["size"] == 0 or is_dust:
                await _close(connection, row)
            return await _as_it_is(connection, row)


async def _is_repeated(connection: AsyncConnection, identity: str, signal_id: str | None) -> bool:
    """Tell whether a signal's wish to leave this position was granted before; it is locked."""
    if signal_id is None:
        return False
    await position_row(connection, identity)
    kinds = ("exit.claimed", "exit.joined")
    told = [await is_told(connection, kind, signal_id, identity) for kind in kinds]
    return any(told)


async def _held(connection: AsyncConnection, account_id: str, token_id: str) -> Row:
    """Return a position's row, locked, of which something is held."""
    row = await position_row(connection, position_id(account_id, token_id))
    if row is None or row["size"] <= 0:
        raise RejectedError(NOTHING_HELD)
    return row


async def _last(
    connection: AsyncConnection, account_id: str, token_id: str, kind: ProtectionKind
) -> tuple[Row, Protection | None]:
    """Return a position's row, locked, and its row of one kind that is not over."""
    row = await position_row(connection, position_id(account_id, token_id))
    if row is None:
        return {}, None
    return row, await current(connection, row["id"], kind)


async def _as_it_is(connection: AsyncConnection, row: Row) -> Guarded:
    """Return what the rows say now; the position is locked."""
    now = await position_row(connection, row["id"])
    return await read_guarded(connection, now or row)


def _draft(
    row: Row, kind: ProtectionKind, status: ProtectionStatus, price: Decimal | None, size: Decimal
) -> Protection:
    """Return a row before it has a number."""
    return Protection(
        id="", position_id=row["id"], kind=kind, price=price, size=size, n=0, status=status
    )


async def _close(connection: AsyncConnection, row: Row) -> None:
    """Write the end of an exit, and of the plan where nothing can bring the position back."""
    now = await read_guarded(connection, row)
    if now.resting:
        return
    status = PositionStatus.DUST if row["size"] > 0 else PositionStatus.FLAT
    values: dict[str, object] = {"status": status.value}
    if now.exit is not None:
        await change_row(connection, row, now.exit, replace(now.exit, status=S.DONE))
    if now.take_profit is not None:
        await end_row(connection, row, now.take_profit, now.order_of(now.take_profit))
    if now.unconfirmed == 0:
        if now.stop is not None:
            is_fired = now.stop.status is S.FIRING
            over = replace(now.stop, status=S.DONE if is_fired else S.CANCELLED)
            await change_row(connection, row, now.stop, over)
        values |= CLOSED
    if status != row["status"] or (now.unconfirmed == 0 and not now.plan.is_empty):
        told = {"status": status, "plan": now.plan, "unconfirmed": now.unconfirmed}
        await tell(connection, row, f"position.{status}", told)
    await set_position(connection, row["id"], values)

"""Wishes about one position: handed to its workflow, the one writer, and followed to their end."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from temporalio import activity

from activities.orders import Outcome
from domain.errors import InvalidInputError, RejectedError
from domain.guarded import Guarded
from domain.order import OrderState
from domain.ports import EntryPlans, MarketStore, ProtectionStore, Workflows
from domain.position import PositionStatus
from domain.protection import Exit, Protect
from domain.signal import PositionTask, SignalStatus, SignalTask

log = logging.getLogger(__name__)

LOOKS: Final = 32
LOOK_SECONDS: Final = 0.25  # eight seconds in all: less than a guardian's tick
ON_BOOK: Final = frozenset({OrderState.LIVE, OrderState.PARTIAL})


@dataclass(frozen=True)
class WishActivities:
    """The activities of MAJ and of an operator's exit."""

    entries: EntryPlans
    markets: MarketStore
    protections: ProtectionStore
    workflows: Workflows

    @activity.defn
    async def deliver_protection(self, task: SignalTask) -> Outcome:
        """Have a position's plan changed, and say what is done about it by now."""
        place = await self._place(task)
        if isinstance(place, Outcome):
            return place
        wish = _protect(task)
        if not _is_held(await self._guarded(place)):
            entries = await self.entries.change(place, wish)
            # It may have filled in between: then its position is there by now.
            if not _is_held(await self._guarded(place)):
                return _not_held(task, entries)
        try:
            await self.workflows.protect(place, wish)
        except RejectedError as error:
            return _outcome(task, SignalStatus.DENIED, str(error))
        return _outcome(task, SignalStatus.PROCESSED, await self._carried_out(task, place))

    @activity.defn
    async def deliver_exit(self, task: SignalTask) -> Outcome | None:
        """Have a position left; None where that is under way."""
        place = await self._place(task)
        if isinstance(place, Outcome):
            return place
        if not _is_held(await self._guarded(place)):
            return _not_held(task, [])
        reason = task.instruction.reason or "by hand"
        wish = Exit(reason=reason, by=_by(task), signal_id=task.signal_id)
        try:
            await self.workflows.exit(place, wish)
        except RejectedError as error:
            return _outcome(task, SignalStatus.DENIED, str(error))
        return None

    @activity.defn
    async def look_at_exit(self, task: SignalTask) -> Outcome | None:
        """Follow an exit for some seconds; None where it is still under way."""
        place = await self._place(task)
        if isinstance(place, Outcome):
            return place
        now = await self._awaited(place, lambda found: not _is_leaving(found))
        if now is None or _is_leaving(now):
            return None
        size = now.position.size
        words = f"{now.position.status}: {size:f} shares left" if size else "flat"
        return _outcome(task, SignalStatus.PROCESSED, words)

    async def _place(self, task: SignalTask) -> PositionTask | Outcome:
        """Return which position is meant, or why none can be."""
        wish = task.instruction
        try:
            _, token_id = await self.markets.find(wish.market or "", wish.outcome)
        except InvalidInputError as error:
            return _outcome(task, SignalStatus.DENIED, f"unknown_market: {error}")
        return PositionTask(account_id=task.account_id, token_id=token_id)

    async def _guarded(self, place: PositionTask) -> Guarded | None:
        return await self.protections.guarded(place.account_id, place.token_id)

    async def _carried_out(self, task: SignalTask, place: PositionTask) -> str:
        """Return what protects the position now; what does not yet is an error that is logged."""
        now = await self._awaited(place, lambda found: not why_not_whole(found))
        if now is None:
            return "the position is gone"
        missing = why_not_whole(now)
        if missing and not now.is_halted:
            told = {"signal_id": task.signal_id, "position_id": now.position.id, "why": missing}
            log.error("protection.not_created", extra=told)
        return "; ".join(filter(None, (_standing(now), missing)))

    async def _awaited(
        self, place: PositionTask, is_so: Callable[[Guarded], bool]
    ) -> Guarded | None:
        """Return the position once something is so of it, or as it is when patience ends."""
        now = await self._guarded(place)
        for _ in range(LOOKS - 1):
            if now is None or is_so(now):
                break
            activity.heartbeat()
            await asyncio.sleep(LOOK_SECONDS)
            now = await self._guarded(place)
        return now


def why_not_whole(now: Guarded) -> str:
    """Return what of the plan is not in place yet, in words; empty where all is."""
    if not _is_held(now):
        return ""
    if _is_leaving(now):
        return "the position is being sold"
    if now.plan.stop_loss is not None and now.stop is None:
        return "the stop is not armed yet: the guardian sees to it"
    return _why_no_target(now)


def _why_no_target(now: Guarded) -> str:
    """Return why the wanted take-profit does not rest, or one that is not wanted may live."""
    wanted = now.plan.take_profit
    order = now.order_of(now.take_profit)
    if wanted is None:
        may_live = order is not None and not order.is_over
        return "the old take-profit is not known to be dead yet" if may_live else ""
    if order is not None and order.state in ON_BOOK and order.price == wanted:
        return ""
    if now.is_halted:
        return f"the account is {now.account}: the take-profit returns with `resume`"
    return f"take-profit {wanted:f} does not rest yet: the guardian sees to it"


def _standing(now: Guarded) -> str:
    """Return what protects a position, in words."""
    if not _is_held(now):
        return "the position is closed by now"
    parts: list[str] = []
    if now.stop is not None:
        parts.append(f"stop-loss {now.stop.price:f} armed for {now.stop.size:f}")
    order = now.order_of(now.take_profit)
    if order is not None and order.state in ON_BOOK:
        parts.append(f"take-profit {order.price:f} rests for {order.size:f} ({order.order_hash})")
    return "; ".join(parts) or "nothing protects the position"


def _protect(task: SignalTask) -> Protect:
    wish = task.instruction
    return Protect(
        stop_loss=wish.stop_loss,
        take_profit=wish.take_profit,
        by=_by(task),
        signal_id=task.signal_id,
    )


def _by(task: SignalTask) -> str:
    return task.by or f"signal {task.signal_id}"


def _is_held(now: Guarded | None) -> bool:
    """Tell whether anything is held."""
    return now is not None and now.position.size > 0


def _is_leaving(now: Guarded) -> bool:
    """Tell whether the position is being sold."""
    return now.exit is not None or now.position.status is PositionStatus.EXITING


def _not_held(task: SignalTask, entries: list[str]) -> Outcome:
    """Say that nothing is held; an operator who names a position expects that something is."""
    if entries:
        words = f"no open position yet; the plan comes with the fills of {', '.join(entries)}"
        return _outcome(task, SignalStatus.PROCESSED, words)
    status = SignalStatus.PROCESSED if task.by is None else SignalStatus.DENIED
    return _outcome(task, status, "no open position; nothing to protect or to sell")


def _outcome(task: SignalTask, status: SignalStatus, words: str) -> Outcome:
    return Outcome(signal_id=task.signal_id, status=status, reason=words)

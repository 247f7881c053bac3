"""What becomes of a stored signal: understood, recorded, and its workflow started."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from api.dispatch import start, workflow_of
from api.documents import FieldError
from api.parts import Parts
from api.problems import summary
from api.schemas import Misunderstood, dialect, understand
from domain.errors import UnavailableError
from domain.order import OrderSource
from domain.signal import Action, Instruction, SignalStatus, SignalTask, is_entry
from infra.settings import WebhookSettings
from infra.store.signals import REPEAT_OF, StoredSignal, Understanding, Understood, Verdict

log = logging.getLogger(__name__)

START_SECONDS: Final = 2.0  # a server that needs longer for a start is away
CLOCK_SKEW: Final = timedelta(seconds=60)  # how far a sender's clock may run ahead of ours


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A stored signal whose sender has proved itself."""

    signal_id: str
    source: str
    body: bytes
    received_at: datetime


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a signal's sender is told.

    Attributes:
        signal_id: of the signal that counts, the first with its external id.
        task: what is still to be started; None where nothing is.
        errors: why it is not carried out, field by field.
    """

    signal_id: str
    status: SignalStatus
    verdict: Verdict = Verdict.FIRST
    reason: str | None = None
    task: SignalTask | None = None
    errors: tuple[FieldError, ...] = ()


async def consider(parts: Parts, arrival: Arrival, now: datetime) -> Outcome:
    """Understand a stored signal and write what it is; the same again gives the same.

    Raises:
        UnavailableError: the database failed; considering it again is safe.
    """
    known = parts.settings.webhooks[arrival.source]
    read = understand(arrival.body, dialect(arrival.source, known.aliases))
    errors = read.errors if isinstance(read, Misunderstood) else _ahead(read.instruction, now)
    if isinstance(read, Misunderstood) or errors:
        await parts.signals.refused(arrival.signal_id, SignalStatus.ERROR, summary(errors))
        return Outcome(signal_id=arrival.signal_id, status=SignalStatus.ERROR, errors=errors)
    task = _task(arrival, known, read.instruction)
    found = await parts.signals.understood(
        arrival.signal_id, _understanding(task, read.external_id)
    )
    if found.verdict is Verdict.FIRST and found.status is SignalStatus.RECEIVED:
        return await _next_step(parts, task, now)
    return await _settled(parts, found)


async def launch(parts: Parts, task: SignalTask) -> SignalStatus:
    """Start the workflow of `task` and write that it runs.

    Raises:
        UnavailableError: not known to have started, or not written; the sweep does it again.
    """
    await parts.failpoint("api.before_start")
    workflow_id = await start(parts.temporal, task, START_SECONDS)
    await parts.signals.started(task.signal_id)
    log.info("signal.started", extra={"signal_id": task.signal_id, "workflow_id": workflow_id})
    return SignalStatus.PROCESSING


async def begun(parts: Parts, outcome: Outcome, within_seconds: float) -> Outcome:
    """Begin what `outcome` asks for and return how far that came in time.

    A start that takes longer goes on by itself; one that fails is left to the sweep.
    """
    if outcome.task is None:
        return outcome
    attempt = asyncio.create_task(launch(parts, outcome.task))
    parts.begun.add(attempt)
    attempt.add_done_callback(partial(_ended, parts, outcome.signal_id))
    await asyncio.wait({attempt}, timeout=within_seconds)
    if not attempt.done() or attempt.cancelled() or attempt.exception() is not None:
        return outcome
    return Outcome(signal_id=outcome.signal_id, status=attempt.result())


def _ended(parts: Parts, signal_id: str, attempt: asyncio.Task[SignalStatus]) -> None:
    """Let go of a start, and say so where it failed."""
    parts.begun.discard(attempt)
    error = None if attempt.cancelled() else attempt.exception()
    if isinstance(error, UnavailableError):
        log.warning("signal.waits", extra={"signal_id": signal_id, "why": str(error)})
    elif error is not None:
        log.error("signal.not_started", extra={"signal_id": signal_id}, exc_info=error)


async def _settled(parts: Parts, found: Understood) -> Outcome:
    """Return what there is to say of a signal that is over or on its way."""
    first, reason = None, found.reason or ""
    if reason.startswith(REPEAT_OF):
        first = await parts.signals.by_id(reason.removeprefix(REPEAT_OF))
    if first is not None:
        return Outcome(signal_id=first.id, status=first.status, reason=first.reason)
    return Outcome(
        signal_id=found.signal_id, status=found.status, verdict=found.verdict, reason=found.reason
    )


async def _next_step(parts: Parts, task: SignalTask, now: datetime) -> Outcome:
    """End a signal that needs no workflow, or say what is to be started."""
    if task.instruction.action is Action.PING:
        status, reason = SignalStatus.PROCESSED, None
    elif is_entry(task.instruction) and task.not_after is not None and now > task.not_after:
        status = SignalStatus.EXPIRED
        reason = f"an entry not started by {task.not_after.isoformat()} is too old to trade"
    else:
        return Outcome(signal_id=task.signal_id, status=SignalStatus.RECEIVED, task=task)
    await parts.signals.settle(task.signal_id, status, reason)
    return Outcome(signal_id=task.signal_id, status=status, reason=reason)


def _task(arrival: Arrival, known: WebhookSettings, wish: Instruction) -> SignalTask:
    begun = min(wish.sent_at or arrival.received_at, arrival.received_at)
    return SignalTask(
        signal_id=arrival.signal_id,
        account_id=known.account,
        source=OrderSource.WEBHOOK,
        instruction=wish,
        not_after=begun + timedelta(seconds=known.max_age_seconds) if is_entry(wish) else None,
    )


def task_of(parts: Parts, row: StoredSignal) -> SignalTask | None:
    """Return what a stored signal asks for, read again; None where it is not understood now."""
    known = parts.settings.webhooks.get(row.source)
    if known is None:
        return None
    read = understand(row.raw_payload, dialect(row.source, known.aliases))
    if isinstance(read, Misunderstood):
        return None
    arrival = Arrival(
        signal_id=row.id, source=row.source, body=row.raw_payload, received_at=row.received_at
    )
    return _task(arrival, known, read.instruction)


def _understanding(task: SignalTask, external_id: str | None) -> Understanding:
    wish = task.instruction
    return Understanding(
        external_id=external_id,
        action=wish.action,
        account_id=task.account_id,
        workflow_id=None if wish.action is Action.PING else workflow_of(task)[1],
        prix_sl=wish.stop_loss,
        prix_tp=wish.take_profit,
    )


def _ahead(wish: Instruction, now: datetime) -> tuple[FieldError, ...]:
    """Return the error of a signal that claims to come from the future."""
    if wish.sent_at is None or wish.sent_at <= now + CLOCK_SKEW:
        return ()
    remedy = "the moment of sending, in UTC"
    return (FieldError(field="sent_at", problem="in the future", remedy=remedy),)

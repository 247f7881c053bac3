"""What becomes of an alert: read once, judged, stored, and its workflow started."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from api.dispatch import start, workflow_of
from api.documents import FieldError
from api.parts import Parts
from api.problems import summary
from api.schemas import Misunderstood, Reading, Understood
from domain.order import OrderSource
from domain.signal import Action, Instruction, SignalStatus, SignalTask, is_entry
from infra.clock import utc_now
from infra.points import Point
from infra.settings import WebhookSettings
from infra.store.arrivals import Arrival, Meaning
from infra.telemetry import work_of
from infra.tracing import point

log = logging.getLogger(__name__)

START_SECONDS: Final = 2.0  # a server that needs longer for a start is away
CLOCK_SKEW: Final = timedelta(seconds=60)  # how far a sender's clock may run ahead of ours


@dataclass(frozen=True, kw_only=True)
class Judged:
    """An alert whose sender has proved itself, read and judged.

    Attributes:
        instruction: what it asks for; None where it is refused.
        errors: why it is not carried out, field by field.
    """

    source: str
    known: WebhookSettings
    received_at: datetime
    external_id: str | None
    instruction: Instruction | None
    errors: tuple[FieldError, ...] = ()

    @property
    def outcome(self) -> tuple[SignalStatus, str | None]:
        """What it is at once, and why: RECEIVED is still to be carried out."""
        if self.instruction is None:
            return SignalStatus.ERROR, summary(self.errors)
        if self.instruction.action is Action.PING:
            return SignalStatus.PROCESSED, None
        return standing(self.task(""), self.received_at)

    def arrival(self, body: bytes) -> Arrival:
        """Return what is to be stored of it."""
        status, reason = self.outcome
        return Arrival(
            source=self.source,
            body=body,
            received_at=self.received_at,
            status=status,
            reason=reason,
            external_id=self.external_id,
            meaning=self._meaning(self.instruction) if self.instruction else None,
        )

    def task(self, signal_id: str) -> SignalTask:
        """Return what is to be done, where it was understood."""
        assert self.instruction is not None  # noqa: S101  # who asks for it has looked
        return task_of(signal_id, self.known, self.instruction, self.received_at)

    def _meaning(self, wish: Instruction) -> Meaning:
        def named(signal_id: str) -> str:
            return workflow_of(self.task(signal_id))[1]

        return Meaning(
            action=wish.action,
            account_id=self.known.account,
            workflow_of=None if wish.action is Action.PING else named,
            prix_sl=wish.stop_loss,
            prix_tp=wish.take_profit,
        )


def judged(source: str, known: WebhookSettings, read: Reading, received_at: datetime) -> Judged:
    """Return what an alert comes to."""
    if isinstance(read, Understood) and (errors := _ahead(read, received_at)):
        read = Misunderstood(errors=errors, external_id=read.external_id)
    return Judged(
        source=source,
        known=known,
        received_at=received_at,
        external_id=read.external_id,
        instruction=read.instruction if isinstance(read, Understood) else None,
        errors=read.errors if isinstance(read, Misunderstood) else (),
    )


def task_of(
    signal_id: str, known: WebhookSettings, wish: Instruction, received_at: datetime
) -> SignalTask:
    """Return what is to be done for a signal."""
    begun = min(wish.sent_at or received_at, received_at)
    return SignalTask(
        signal_id=signal_id,
        account_id=known.account,
        source=OrderSource.WEBHOOK,
        instruction=wish,
        not_after=begun + timedelta(seconds=known.max_age_seconds) if is_entry(wish) else None,
        received_at=received_at,
    )


def standing(task: SignalTask, now: datetime) -> tuple[SignalStatus, str | None]:
    """Return whether a task may still be started, and why not."""
    if task.not_after is None or now <= task.not_after:
        return SignalStatus.RECEIVED, None
    words = f"an entry not started by {task.not_after.isoformat()} is too old to trade"
    return SignalStatus.EXPIRED, words


async def launch(parts: Parts, task: SignalTask) -> SignalStatus:
    """Start the workflow of `task` and write that it runs; an entry that is too old expires.

    Raises:
        UnavailableError: not known to have started, or not written; the sweep does it again.
    """
    status, reason = standing(task, utc_now())
    if status is SignalStatus.EXPIRED:
        await parts.signals.settle(task.signal_id, status, reason)
        return status
    with point(Point.SIGNAL_STARTED, work_of(task)) as here:
        await parts.failpoint("api.before_start")
        workflow_id = await start(parts.temporal, task, START_SECONDS)
        await parts.inbox.started(task.signal_id)
        here.note(workflow_id=workflow_id)
    return SignalStatus.PROCESSING


def _ahead(read: Understood, now: datetime) -> tuple[FieldError, ...]:
    """Return the error of a signal that claims to come from the future."""
    sent_at = read.instruction.sent_at
    if sent_at is None or sent_at <= now + CLOCK_SKEW:
        return ()
    remedy = "the moment of sending, in UTC"
    return (FieldError(field="sent_at", problem="in the future", remedy=remedy),)

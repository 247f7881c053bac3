"""What operators ask for: stored like any signal before anything else, then delivered.

A command is a row of the inbox from the source `api`; the caller's Idempotency-Key is its id
there. Whatever is away while it is asked, the sweep delivers it later from that row.
"""

import asyncio
import json
import logging
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Final

from fastapi import Header
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from temporalio.client import WorkflowFailureError
from temporalio.service import RPCError

from api.inbox import launch
from api.parts import Parts
from domain.errors import UnavailableError
from domain.halt import Kill, Resume
from domain.ids import digest, guardian_workflow_id, signal_workflow_id
from domain.order import OrderSource
from domain.risk import HALTS
from domain.signal import SWITCHES, Action, Instruction, SignalStatus, SignalTask
from infra.clock import utc_now
from infra.points import Point
from infra.settings import COMMANDS
from infra.store.accounts import Accounts
from infra.store.arrivals import Arrival, Meaning, Taken
from infra.store.signals import StoredSignal
from infra.telemetry import work_of
from infra.temporal_workflows import TemporalWorkflows
from infra.tracing import Origin, point

log = logging.getLogger(__name__)

DELIVERY_SECONDS: Final = 2.0  # afterwards the sweep sees to it
OUTCOME_SECONDS: Final = 1.0  # what is refused is mostly refused in milliseconds

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="the same key again is the same command; with another body it is refused",
    ),
]


class Command(BaseModel):
    """One operator's wish, as it is stored: everything that carries it out later.

    Attributes:
        key: the caller's Idempotency-Key, or one derived from the moment of asking.
        token_id: which position is meant.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: Action
    account_id: str
    by: str
    key: str
    token_id: str | None = None
    order_hash: str | None = None
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    reason: str | None = None
    close_positions: bool = False
    force: bool = False

    @property
    def body(self) -> bytes:
        """Return the bytes to store; the same wish under the same key gives the same."""
        fields = _FIELDS.dump_python(self, mode="json", exclude_defaults=True)
        return json.dumps(fields, sort_keys=True).encode()

    @property
    def is_switch(self) -> bool:
        """It is the guardian's to carry out, by a signal."""
        return self.action in SWITCHES

    def workflow_id(self, signal_id: str) -> str:
        """Return the workflow that carries it out."""
        if self.is_switch:
            return guardian_workflow_id(self.account_id)
        return signal_workflow_id(signal_id)

    @property
    def resume(self) -> Resume:
        """The wish of a resume."""
        return Resume(by=self.by, force=self.force)

    @property
    def wish(self) -> Kill | Resume:
        """What its guardian is told."""
        if self.action is Action.RESUME:
            return self.resume
        reason = self.reason or "by hand"
        return Kill(by=self.by, reason=reason, close_positions=self.close_positions)

    def task(self, signal_id: str, received_at: datetime) -> SignalTask:
        """Return what is to be done for it."""
        return SignalTask(
            signal_id=signal_id,
            account_id=self.account_id,
            source=OrderSource.API,
            instruction=Instruction(
                action=self.action,
                market=self.token_id,
                stop_loss=self.stop_loss,
                take_profit=self.take_profit,
                order_hash=self.order_hash,
                reason=self.reason,
            ),
            received_at=received_at,
            by=self.by,
        )

    def arrival(self, received_at: datetime) -> Arrival:
        """Return what is to be stored of it."""
        return Arrival(
            source=COMMANDS,
            body=self.body,
            received_at=received_at,
            status=SignalStatus.RECEIVED,
            external_id=self.key,
            meaning=Meaning(
                action=self.action,
                account_id=self.account_id,
                workflow_of=self.workflow_id,
                prix_sl=self.stop_loss,
                prix_tp=self.take_profit,
            ),
        )


_FIELDS: Final = TypeAdapter(Command)


def key_of(given: str | None, *about: str) -> str:
    """Return the key of a command; one asked without a key is asked anew each time."""
    return given or digest("command", *about, utc_now().isoformat())


def read_command(raw: bytes) -> Command | None:
    """Return the command that was stored so; None where today's words know no such one."""
    try:
        return Command.model_validate_json(raw)
    except ValidationError as error:
        log.error("command.not_read", extra={"why": str(error.errors(include_input=False))})  # noqa: TRY400
        return None


async def stored(parts: Parts, command: Command, received_at: datetime) -> Taken:
    """Store a command, in a commit of its own, before anything is done about it.

    Raises:
        UnavailableError: it is not stored, or nobody knows.
    """
    await parts.failpoint("api.before_insert")
    taken = await parts.inbox.take(command.arrival(received_at))
    origin = Origin(began_at=received_at, is_root=taken.is_new)
    with point(Point.SIGNAL_RECEIVED, work_of(taken), origin, source=COMMANDS):
        pass
    await parts.failpoint("api.after_insert")
    return taken


async def delivered(
    parts: Parts, command: Command, signal_id: str, received_at: datetime
) -> SignalStatus:
    """Deliver a stored command and return how it stands; left to the sweep where that fails."""
    try:
        if command.is_switch:
            await _switched(parts, command, signal_id)
            return SignalStatus.PROCESSED
        status = await launch(parts, command.task(signal_id, received_at))
    except UnavailableError as error:
        log.warning("command.waits", extra={"signal_id": signal_id, "why": str(error)})
        return SignalStatus.RECEIVED
    await _answered(parts, command.workflow_id(signal_id))
    return status


async def switched_again(parts: Parts, row: StoredSignal) -> int:
    """Deliver a kill or a resume that was stored and not delivered, if it still counts.

    Raises:
        UnavailableError: it could not be delivered this time either.
    """
    command = read_command(row.raw_payload)
    if command is None:
        await parts.signals.settle(row.id, SignalStatus.ERROR, "not understood any more")
        return 0
    stands = await Accounts(parts.database).standing(command.account_id)
    is_kill = command.action is Action.KILL
    is_late = stands.state not in HALTS if is_kill else stands.since > row.received_at
    if is_late:
        words = f"the account is {stands.state} since {stands.since.isoformat()}: not done late"
        log.warning("command.late", extra={"signal_id": row.id, "action": command.action})
        await parts.signals.settle(row.id, SignalStatus.EXPIRED, words)
        return 0
    with point(Point.SIGNAL_SWEPT, work_of(command.task(row.id, row.received_at))):
        await _switched(parts, command, row.id)
    return 1


async def _switched(parts: Parts, command: Command, signal_id: str) -> None:
    """Tell the guardian, and write that it was told."""
    await parts.failpoint("api.before_start")
    try:
        async with asyncio.timeout(DELIVERY_SECONDS):
            await TemporalWorkflows(parts.temporal).guard(command.account_id, command.wish)
    except TimeoutError as error:
        raise UnavailableError("Temporal did not answer in time") from error
    await parts.signals.settle(signal_id, SignalStatus.PROCESSED, "the guardian was told")


async def _answered(parts: Parts, workflow_id: str) -> None:
    """Wait a moment for the outcome, which the row tells."""
    try:
        async with asyncio.timeout(OUTCOME_SECONDS):
            await parts.temporal.get_workflow_handle(workflow_id).result()
    except (TimeoutError, RPCError, WorkflowFailureError) as error:
        log.info("command.under_way", extra={"workflow_id": workflow_id, "why": repr(error)})

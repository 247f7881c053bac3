"""Stopping an account in good order: the workflow `shutdown-{account}`.

Gate, cancel, confirm within half a minute or say what remains, compare with the exchange, write
down how things stand, stopped. Asked for again it does the same again, also while it is at work.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

from domain.halt import Clearance, Kill, Shutdown, Standing
from domain.reconciliation import Report
from domain.risk import AccountState
from workflows import options

with workflow.unsafe.imports_passed_through():
    from activities.guard import GuardActivities, Halt
    from activities.shutdown import Closed, Closing, Looked, ShutdownActivities

EMPTY_READINGS: Final = 2
PAUSE_SECONDS: Final = 1.0  # between two readings; an order in flight lands in between
CONFIRM_WITHIN: Final = timedelta(seconds=30)
COMPARED_WITHIN: Final = timedelta(seconds=60)
STEP_FAILED: Final = (ActivityError, ApplicationError)


@dataclass(frozen=True, kw_only=True)
class ShutdownTask:
    """Which account is shut down, and who asks: the input."""

    account_id: str
    wish: Shutdown = field(default_factory=Shutdown)


@dataclass(frozen=True, kw_only=True)
class ShutdownOutcome:
    """How a shutdown ended.

    Attributes:
        state: stopped; halted where a kill came first or in between.
        left: hashes of orders that could not be confirmed as cancelled.
        reconciled: how the comparison ended; None where it did not in time.
    """

    state: AccountState
    words: str
    left: tuple[str, ...] = ()
    reconciled: str | None = None


@workflow.defn(name="ShutdownAccount")
class ShutdownAccount:
    """Shuts one account down, once."""

    @workflow.init
    def __init__(self, task: ShutdownTask) -> None:
        self._closing = Closing(account_id=task.account_id, wish=task.wish)
        self._outcome: ShutdownOutcome | None = None
        self._done: list[str] = []
        self._is_asked_again = False

    @workflow.run
    async def run(self, task: ShutdownTask) -> ShutdownOutcome:
        """Shut down; once more for who asked meanwhile, for they may have traded in between."""
        while True:
            self._is_asked_again = False
            outcome = await self._shut_down(task)
            if not self._is_asked_again:
                return outcome

    @workflow.signal(description="Shut the account down, once more if that is at work.")
    def ask(self) -> None:
        """Take note of a wish."""
        self._is_asked_again = True

    async def _shut_down(self, task: ShutdownTask) -> ShutdownOutcome:
        """Take the steps in their order."""
        self._done = []
        begun_at = workflow.now()
        await self._close_gate(task)
        clearance = await self._confirmed_empty(begun_at + CONFIRM_WITHIN)
        self._tell(_of_clearance(clearance))
        report = await self._compared()
        words = report.result.value if report is not None else "not finished within a minute"
        self._tell(f"compared with the exchange: {words}")
        closed = Closed(
            account_id=task.account_id,
            by=task.wish.by,
            words="; ".join(self._done),
            left=_left(clearance),
        )
        standing: Standing = await workflow.execute_local_activity_method(
            ShutdownActivities.end_shutdown, closed, **options.LOCAL, summary="snapshot; stopped"
        )
        self._tell(f"the account is {standing.state}")
        self._outcome = ShutdownOutcome(
            state=standing.state,
            words="; ".join(self._done),
            left=closed.left,
            reconciled=report.result.value if report is not None else None,
        )
        return self._outcome

    @workflow.query(description="What the shutdown came to; nothing while it is at work.")
    def status(self) -> ShutdownOutcome | None:
        """Return the outcome."""
        return self._outcome

    async def _close_gate(self, task: ShutdownTask) -> None:
        """Close the gate, then end the work on every order that would rest or enter."""
        standing = await workflow.execute_local_activity_method(
            ShutdownActivities.begin_shutdown,
            self._closing,
            **options.LOCAL,
            summary="close the gate",
        )
        self._tell(f"no entry is sent any more: the account is {standing.state}")
        kill = Kill(by=task.wish.by, reason=task.wish.reason)
        halt = Halt(account_id=task.account_id, kill=kill, cause="shutdown")
        ended = await workflow.execute_activity_method(
            GuardActivities.tell_orders, halt, **options.ACT, summary="end the work on each order"
        )
        self._tell(f"{ended} orders told to end")

    async def _confirmed_empty(self, until: datetime) -> Clearance | None:
        """Cancel and list until two readings in a row are empty, or the time is over."""
        empty, last = 0, None
        while (left := until - workflow.now()) > timedelta(0):
            try:
                last = await workflow.execute_activity_method(
                    ShutdownActivities.empty_exchange,
                    self._closing.account_id,
                    **options.CLEAR,
                    schedule_to_close_timeout=left,
                    summary="cancel everything and list what is left",
                )
            except STEP_FAILED as error:
                workflow.logger.error("shutdown.not_confirmed", exc_info=error)
                return last
            empty = empty + 1 if last.is_empty and not last.in_doubt else 0
            if empty >= EMPTY_READINGS:
                return last
            await workflow.sleep(PAUSE_SECONDS)
        return last

    async def _compared(self) -> Report | None:
        """Have the account compared, and wait for the report."""
        asked_at = workflow.now()
        until = asked_at + COMPARED_WITHIN
        looked = Looked(account_id=self._closing.account_id, since=asked_at)
        await workflow.execute_local_activity_method(
            ShutdownActivities.ask_reconciliation,
            self._closing,
            **options.LOCAL,
            summary="have the account compared",
        )
        while workflow.now() < until:
            report = await workflow.execute_local_activity_method(
                ShutdownActivities.find_report, looked, **options.LOCAL, summary="is it done?"
            )
            if report is not None:
                return report
            await workflow.sleep(PAUSE_SECONDS)
        return None

    def _tell(self, words: str) -> None:
        """Show operators how far it is."""
        self._done.append(words)
        workflow.set_current_details(
            "\n".join(f"{n}. {one}" for n, one in enumerate(self._done, 1))
        )


def _left(clearance: Clearance | None) -> tuple[str, ...]:
    """Return the orders that may still match; of an exchange that did not answer, none is known."""
    return clearance.live if clearance is not None else ()


def _of_clearance(clearance: Clearance | None) -> str:
    if clearance is None:
        return "NOT CONFIRMED: the exchange did not answer within 30 s; what rests is not known"
    if clearance.live:
        return f"NOT CONFIRMED within 30 s: still listed {', '.join(clearance.live)}"
    if clearance.in_doubt:
        return f"nothing rests; {clearance.in_doubt} sends in doubt are watched by their workflows"
    return "nothing rests, seen twice"

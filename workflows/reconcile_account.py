"""An account compared with the exchange: the workflow `reconcile-{account}`, one at a time.

The order of reading is a rule: trades before orders, so that an order's end finds its fills; our
own rows before balances, so that balances are compared with what the rows should say. A wish that
comes while one comparison runs has another after it. What waits for a second read has it here.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

from domain.halt import Reconcile
from domain.ids import digest
from domain.reconciliation import (
    MOST_FINDINGS,
    Finding,
    Report,
    Result,
    Section,
    result_of,
)
from domain.risk import AccountState
from workflows import options
from workflows.reconcile_story import table

with workflow.unsafe.imports_passed_through():
    from activities.reconcile import Ended, ReconcileActivities, Turn

SECOND_READ_SECONDS: Final = 61.0  # a little more than the minute that proves a gap
RETRY_SECONDS: Final = 5.0  # while entries wait behind the gate
MOST_SECOND_READS: Final = 5  # the schedule goes on where these end
SECTIONS: Final = (
    ReconcileActivities.reconcile_trades,
    ReconcileActivities.reconcile_orders,
    ReconcileActivities.reconcile_rows,
    ReconcileActivities.reconcile_balances,
)


@dataclass(frozen=True, kw_only=True)
class ReconcileTask:
    """Which account is compared: the input.

    Attributes:
        wishes: what is still to be done, where a run continues another.
    """

    account_id: str
    wishes: tuple[Reconcile, ...] = ()


@workflow.defn(name="ReconcileAccount")
class ReconcileAccount:
    """Compares, mends, reports, and looks again at what waits for its proof."""

    @workflow.init
    def __init__(self, task: ReconcileTask) -> None:
        self._account_id = task.account_id
        self._wishes = list(task.wishes)
        self._report: Report | None = None
        self._second_reads = 0

    @workflow.run
    async def run(self, task: ReconcileTask) -> Report | None:
        """Compare for every wish; return the last report."""
        if not self._wishes:
            self._wishes.append(Reconcile())
        while self._wishes:
            pause = await self._compare(self._next_wish())
            if not self._wishes and pause is not None:
                await self._wait(pause)
            if workflow.info().is_continue_as_new_suggested() and self._wishes:
                workflow.continue_as_new(replace(task, wishes=tuple(self._wishes)))
        return self._report

    @workflow.signal(description="Compare the account with the exchange once more.")
    def ask(self, wish: Reconcile | None = None) -> None:
        """Take note of a wish."""
        self._wishes.append(wish or Reconcile())

    @workflow.query(description="The last report.")
    def status(self) -> Report | None:
        """Return the last report; None before there is one."""
        return self._report

    def _next_wish(self) -> Reconcile:
        """Return one wish for all that wait and ask for the same."""
        first = self._wishes[0]
        same = [each for each in self._wishes if each.is_report_only == first.is_report_only]
        self._wishes = [each for each in self._wishes if each not in same]
        return replace(first, opens=any(each.opens for each in same))

    async def _compare(self, wish: Reconcile) -> float | None:
        """Compare once; return after how many seconds to look again, None for not at all."""
        turn = Turn(account_id=self._account_id, wish=wish, begun_at=workflow.now())
        section, failure = await self._sections(turn)
        report = _report(turn, workflow.now(), section, failure)
        ended = Ended(turn=turn, report=report, is_heavy=section.is_heavy)
        standing = await workflow.execute_local_activity_method(
            ReconcileActivities.conclude_reconciliation,
            ended,
            **options.LOCAL,
            summary=f"keep the report: {report.result}",
        )
        self._report = report
        workflow.set_current_details(table(report, standing.state))
        if wish.is_report_only:
            return None
        if report.result is Result.FAILED:
            return RETRY_SECONDS if standing.state is AccountState.RECONCILING else None
        if report.result is Result.WAITING and self._second_reads < MOST_SECOND_READS:
            self._second_reads += 1
            return SECOND_READ_SECONDS
        return None

    async def _sections(self, turn: Turn) -> tuple[Section, str | None]:
        """Run the sections in their order; return all they found, and why one failed."""
        done: list[Section] = []
        failure: str | None = None
        try:
            for section in SECTIONS:
                found = await workflow.execute_activity_method(
                    section, turn, **options.COMPARE, summary=_words(section.__name__)
                )
                done.append(found)
        except (ActivityError, ApplicationError) as error:
            workflow.logger.error("reconciliation.failed", exc_info=error)
            failure = str(error.cause or error)
        return _joined(done), failure

    async def _wait(self, seconds: float) -> None:
        """Wait for a wish; look again by ourselves where none comes."""
        try:
            await workflow.wait_condition(
                lambda: bool(self._wishes),
                timeout=timedelta(seconds=seconds),
                timeout_summary="next comparison",
            )
        except TimeoutError:
            self._wishes.append(Reconcile(by="holdfast", reason="looked again"))


def _words(name: str) -> str:
    return name.replace("reconcile_", "compare ")


def _joined(parts: list[Section]) -> Section:
    findings: list[Finding] = [each for part in parts for each in part.findings]
    warnings = [each for part in parts for each in part.warnings]
    if len(findings) > MOST_FINDINGS:
        warnings.append(f"{len(findings) - MOST_FINDINGS} more differences: see `holdfast events`")
    return Section(
        findings=tuple(findings[:MOST_FINDINGS]),
        warnings=tuple(warnings),
        is_heavy=any(part.is_heavy for part in parts),
    )


def _report(turn: Turn, now: datetime, section: Section, failure: str | None) -> Report:
    """Return what a comparison came to."""
    found = result_of(section.findings, section.warnings)
    return Report(
        id=digest("reconciliation", turn.account_id, turn.begun_at.isoformat()),
        account_id=turn.account_id,
        reason=turn.wish.reason,
        asked_by=turn.wish.by,
        is_report_only=turn.wish.is_report_only,
        result=found if failure is None else Result.FAILED,
        findings=section.findings,
        warnings=section.warnings if failure is None else (*section.warnings, failure),
        begun_at=turn.begun_at,
        ended_at=now,
    )

"""What runs again and again: Temporal Schedules and guardians, with their last and next turns."""

import asyncio
from typing import Any, Final

from temporalio.client import (
    ScheduleActionExecutionStartWorkflow,
    ScheduleActionStartWorkflow,
    ScheduleDescription,
    WorkflowExecutionStatus,
)
from temporalio.service import RPCError

from api.parts import Parts
from domain.ids import guardian_workflow_id

PATIENCE_SECONDS: Final = 2.0
GUARDIAN_EVERY: Final = "10 s"  # workflows/guard_account.py: its tick
WELL: Final = frozenset({WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.COMPLETED})

Job = dict[str, Any]


async def periodic_jobs(parts: Parts) -> list[Job]:
    """Return every periodic job; none where Temporal does not answer, which `parts` tells."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            names = [each.id async for each in await parts.temporal.list_schedules()]
            scheduled = await asyncio.gather(*(_scheduled(parts, name) for name in sorted(names)))
            guarded = await asyncio.gather(
                *(_guardian(parts, account) for account in sorted(parts.settings.accounts))
            )
    except (RPCError, RuntimeError, TimeoutError):
        return []
    return [*scheduled, *guarded]


async def _scheduled(parts: Parts, name: str) -> Job:
    """Return one schedule as it stands."""
    found = await parts.temporal.get_schedule_handle(name).describe()
    action = found.schedule.action
    kind = action.workflow if isinstance(action, ScheduleActionStartWorkflow) else "?"
    intervals = found.schedule.spec.intervals
    last = found.info.recent_actions[-1] if found.info.recent_actions else None
    upcoming = found.info.next_action_times
    return {
        "name": name,
        "kind": "schedule",
        "does": found.schedule.state.note or str(kind),
        "every": f"{intervals[0].every.total_seconds():g} s" if intervals else None,
        "overlap": found.schedule.policy.overlap.name.lower(),
        "paused": found.schedule.state.paused,
        "last_run": last.started_at.isoformat() if last is not None else None,
        "next_run": upcoming[0].isoformat() if upcoming else None,
        "last_error": await _last_error(parts, found),
    }


async def _last_error(parts: Parts, found: ScheduleDescription) -> str | None:
    """Return how the newest turn went wrong; None where it did not."""
    if not found.info.recent_actions:
        return None
    action = found.info.recent_actions[-1].action
    if not isinstance(action, ScheduleActionExecutionStartWorkflow):
        return None
    handle = parts.temporal.get_workflow_handle(
        action.workflow_id, run_id=action.first_execution_run_id
    )
    return _wrong((await handle.describe()).status)


async def _guardian(parts: Parts, account_id: str) -> Job:
    """Return one guardian's tick; it never ends, so its only fault is not to run."""
    name = guardian_workflow_id(account_id)
    try:
        status = (await parts.temporal.get_workflow_handle(name).describe()).status
        fault = None if status is WorkflowExecutionStatus.RUNNING else _wrong(status) or "ended"
    except RPCError as error:
        fault = f"not running: {error.message}"
    return {
        "name": name,
        "kind": "tick",
        "does": "watches over the account",
        "every": GUARDIAN_EVERY,
        "overlap": "none: one workflow, one tick after the other",
        "paused": False,
        "last_run": None,
        "next_run": None,
        "last_error": fault,
    }


def _wrong(status: WorkflowExecutionStatus | None) -> str | None:
    return None if status is None or status in WELL else status.name.lower().replace("_", " ")

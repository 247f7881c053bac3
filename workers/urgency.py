"""What may use the database connections that are kept back: everything that lowers a risk."""

from contextlib import nullcontext
from typing import Any, Final

from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor
from typing_extensions import override

from infra.store.database import urgently

ENTRY: Final = "WorkOrder"  # the one workflow that opens positions
CANCEL: Final = "cancel"  # takes an entry back


def is_urgent(workflow: str | None, step: str) -> bool:
    """Tell whether a step of a workflow is part of an exit or a cancel."""
    return workflow != ENTRY or step == CANCEL


class ExitsFirst(Interceptor):
    """Runs exits and cancels past entries that wait in line for the database."""

    @override
    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Return `next` with its place in the line."""
        return _Placed(next)


class _Placed(ActivityInboundInterceptor):
    """The part that stands around one activity."""

    @override
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        """Run the activity in its place."""
        info = activity.info()
        with urgently() if is_urgent(info.workflow_type, info.activity_type) else nullcontext():
            return await super().execute_activity(input)

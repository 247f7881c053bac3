"""Every workflow by task queue, and the sandbox they run in."""

from collections.abc import Mapping, Sequence
from typing import Final

from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from workflows.execute_signal import ExecuteSignal
from workflows.follow_account import FollowAccount, RefreshMarkets
from workflows.guard_account import GuardAccount
from workflows.hold_position import HoldPosition
from workflows.options import STREAMS, TRADING
from workflows.work_order import WorkOrder

WORKFLOWS: Final[Mapping[str, Sequence[type]]] = {
    TRADING: (WorkOrder, HoldPosition, ExecuteSignal, GuardAccount),
    STREAMS: (FollowAccount, RefreshMarkets),
}

# The rules are pure and the activities are only named: imported once for all runs. A second
# import would make a second `Answer.BUSY`, and `is` would tell them apart.
RUNNER: Final = SandboxedWorkflowRunner(
    restrictions=SandboxRestrictions.default.with_passthrough_modules(
        "domain", "activities", "pydantic", "pydantic_core"
    )
)

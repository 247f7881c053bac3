"""Every workflow by task queue, and how they are run."""

from collections.abc import Mapping, Sequence
from typing import Final

from temporalio.worker import UnsandboxedWorkflowRunner

from workflows.execute_signal import ExecuteSignal
from workflows.follow_account import FollowAccount, RefreshMarkets
from workflows.guard_account import GuardAccount
from workflows.hold_position import HoldPosition
from workflows.options import STREAMS, TRADING
from workflows.reconcile_account import ReconcileAccount
from workflows.reconcile_on_time import ReconcileOnTime
from workflows.shutdown_account import ShutdownAccount
from workflows.work_order import WorkOrder

WORKFLOWS: Final[Mapping[str, Sequence[type]]] = {
    TRADING: (
        WorkOrder,
        HoldPosition,
        ExecuteSignal,
        GuardAccount,
        ReconcileAccount,
        ReconcileOnTime,
        ShutdownAccount,
    ),
    STREAMS: (FollowAccount, RefreshMarkets),
}

# No sandbox: it imports every workflow's modules anew for every run, which costs a third of a
# worker's processor. What it would catch is refused by the linter (clocks, chance) and by the
# tests, which run the same workflows inside it.
RUNNER: Final = UnsandboxedWorkflowRunner()

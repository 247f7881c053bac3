"""Workflows that run while the code changes go on where they stood.

The histories are recorded by `HOLDFAST_TEST_RECORDINGS=tests/histories pytest tests/workflows`;
those of a release are kept when new ones are added.
"""

from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from infra.temporal import DATA_CONVERTER
from workflows.registry import RUNNER, WORKFLOWS

HISTORIES = sorted((Path(__file__).parent.parent / "histories").glob("*.json"))
SENDING = ("WorkOrder", "HoldPosition", "ExecuteSignal")
HISTORY_TEXTS = {path.stem: path.read_text() for path in HISTORIES}


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_a_recorded_history_replays_with_todays_code(path: Path) -> None:
    recorded = HISTORY_TEXTS[path.stem]
    replayer = Replayer(
        workflows=[workflow for queue in WORKFLOWS.values() for workflow in queue],
        data_converter=DATA_CONVERTER,
        workflow_runner=RUNNER,
    )

    await replayer.replay_workflow(WorkflowHistory.from_json(path.stem, recorded))


def test_every_workflow_that_trades_has_a_recorded_history() -> None:
    recorded = "".join(HISTORY_TEXTS.values())

    for name in (*SENDING, "ReconcileAccount", "ShutdownAccount"):
        assert f'"{name}"' in recorded

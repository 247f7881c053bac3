"""What the guardian does on a real stack, by real processes."""

import pytest
from temporalio.client import Client, WorkflowExecutionStatus

from tests.e2e.conftest import Row, World

pytestmark = [pytest.mark.services, pytest.mark.asyncio(loop_scope="session")]

GUARDIAN = "guardian-main"


async def test_o5_a_guardian_that_somebody_terminates_is_back_and_the_event_says_who(
    world: World,
) -> None:
    client = await Client.connect(world.stage.endpoints.temporal.address, identity="ann@desk")
    guardian = client.get_workflow_handle(GUARDIAN)
    before = (await guardian.describe()).run_id
    await guardian.terminate(reason="by mistake")

    async def is_back() -> bool:
        now = await guardian.describe()
        return now.status is WorkflowExecutionStatus.RUNNING and now.run_id != before

    await world.stage.until("the guardian", is_back)

    async def told() -> list[Row]:
        events = await world.stage.rows("events", account="main")
        return [event for event in events if event["kind"] == "guardian.restarted"]

    async def is_told() -> bool:
        return bool(await told())

    await world.stage.until("its event", is_told)
    event = (await told())[0]
    assert event["who"] == "ann@desk"
    assert event["detail"]["words"] == "terminated: by mistake"

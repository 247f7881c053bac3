"""An operator's wish reaches the workflow that owns the order, or is refused with the reason."""

from typing import Any

import httpx
import pytest
from temporalio.client import WorkflowHandle

from domain.order import OrderState
from domain.signal import CancelRequest
from infra.store.orders import Orders
from tests.api.conftest import Stack
from tests.store.making import WIDE, an_order
from workflows.options import TRADING

pytestmark = pytest.mark.services


async def cancel(stack: Stack, order: str, key: str = "operator", **more: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"}
    path = f"/api/v1/orders/{order}/cancel"
    return await stack.http.post(path, headers=headers, **more)


@pytest.fixture
async def worked(stack: Stack, orders: Orders) -> WorkflowHandle[Any, Any]:
    """Return the workflow of order 0x1."""
    workflow_id = f"order-{stack.salt}"
    await orders.admit(an_order(workflow_id=workflow_id), b"signed", WIDE)
    return await stack.parts.temporal.start_workflow(
        "WorkOrder", None, id=workflow_id, task_queue=TRADING, result_type=CancelRequest
    )


@pytest.mark.usefixtures("worker")
async def test_a_cancel_is_taken_by_the_workflow_of_the_order(
    stack: Stack, worked: WorkflowHandle[Any, Any]
) -> None:
    answer = await cancel(stack, "0x1", json={"reason": "too far"})
    assert answer.status_code == 202
    assert answer.json() == {"workflow_id": worked.id, "status": "accepted"}
    assert await worked.result() == CancelRequest(reason="too far (operator)", order_hash="0x1")


@pytest.mark.usefixtures("worker", "worked")
async def test_a_cancel_needs_no_body(stack: Stack) -> None:
    assert (await cancel(stack, "0x1")).status_code == 202


@pytest.mark.usefixtures("worked")
async def test_a_cancel_that_no_worker_takes_is_not_called_done(stack: Stack) -> None:
    answer = await cancel(stack, "0x1")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert "no worker" in answer.json()["error"]["message"]


@pytest.mark.usefixtures("worked")
async def test_a_cancel_is_refused_with_its_reason(stack: Stack) -> None:
    assert (await cancel(stack, "0x1", key="reader")).status_code == 403
    assert (await cancel(stack, "0x1", key="wrong")).status_code == 401
    assert (await cancel(stack, "0x2")).status_code == 404
    assert (await cancel(stack, "0x1", json={"why": "x"})).status_code == 422
    assert (await cancel(stack, "0x1", json={"reason": "a\nb"})).status_code == 422
    stack.run("UPDATE holdfast.orders SET workflow_id = 'order-nobody'")
    nobody = await cancel(stack, "0x1")
    assert (nobody.status_code, nobody.json()["error"]["code"]) == (409, "not_worked")
    stack.run("UPDATE holdfast.orders SET state = %s", OrderState.CANCELLED.value)
    over = await cancel(stack, "0x1")
    assert (over.status_code, over.json()["error"]["code"]) == (409, "order_over")

"""Every webhook is stored, answered exactly, and carried out at most once."""

import asyncio
from datetime import timedelta
from urllib.parse import quote

import pytest

from domain.ids import order_workflow_id, signal_workflow_id
from infra.clock import utc_now
from tests.api.conftest import SECRET, Stack, until

pytestmark = pytest.mark.services

BUY = {"action": "BuyMarket", "market": "rain", "outcome": "Yes", "PourCent": 10}


async def test_an_entry_is_stored_and_its_order_is_begun(stack: Stack) -> None:
    answer = await stack.post(BUY | {"PrixSL": "0.3", "PrixTP": 0.9, "id": "a-1"})
    signal_id = await stack.begun(answer)
    (row,) = stack.signals()
    workflow_id = order_workflow_id(f"{signal_id}-0")
    assert (row["id"], row["status"], row["action"]) == (signal_id, "processing", "BuyMarket")
    assert (row["external_id"], row["account_id"]) == ("a-1", "main")
    assert (float(row["prix_sl"]), float(row["prix_tp"])) == (0.3, 0.9)
    assert row["workflow_id"] == workflow_id
    assert row["raw_payload"] == stack.answers[0].request.content
    found = await stack.parts.temporal.get_workflow_handle(workflow_id).describe()
    assert found.workflow_type == "WorkOrder"
    assert found.task_queue == "trading"


async def test_other_actions_begin_the_workflow_of_their_signal(stack: Stack) -> None:
    answer = await stack.post({"action": "CLOSE", "market": "rain", "outcome": "Yes"})
    workflow_id = signal_workflow_id(await stack.begun(answer))
    handle = stack.parts.temporal.get_workflow_handle(workflow_id)
    assert (await handle.describe()).workflow_type == "ExecuteSignal"


async def test_a_ping_is_processed_at_once(stack: Stack) -> None:
    for body in ({"action": "PING"}, f"token={SECRET}&action=ping"):
        answer = await stack.post(body)
        assert (answer.status_code, answer.json()["status"]) == (202, "processed")
    assert [row["status"] for row in stack.signals()] == ["processed", "processed"]


WAYS: list[tuple[str, dict[str, str]]] = [
    (f"strategy/{quote(SECRET)}", {}),
    ("strategy", {"Authorization": f"Bearer {SECRET}"}),
    ("strategy", {"Authorization": "bearer sender"}),
    ("strategy", {"X-Holdfast-Token": SECRET}),
]


@pytest.mark.parametrize(("path", "headers"), WAYS, ids=["path", "bearer", "api key", "header"])
async def test_a_sender_may_prove_itself_outside_the_body(
    stack: Stack, path: str, headers: dict[str, str]
) -> None:
    answer = await stack.post('{"action": "PING"}', path, headers=headers)
    assert answer.status_code == 202


STRANGERS: list[tuple[str, dict[str, str]]] = [
    ("strategy", {}),
    ("strategy/wrong", {}),
    ("strategy", {"Authorization": "Bearer wrong"}),
    ("strategy", {"Authorization": "Bearer reader"}),
    ("strategy", {"X-Holdfast-Token": "wrong"}),
    ("nobody", {"X-Holdfast-Token": SECRET}),
    ("%00%0d%0a", {"X-Holdfast-Token": SECRET}),
]


@pytest.mark.parametrize(("path", "headers"), STRANGERS, ids=range(len(STRANGERS)))
async def test_a_stranger_learns_nothing_and_is_stored_as_an_error(
    stack: Stack, path: str, headers: dict[str, str]
) -> None:
    answer = await stack.post(stack.body(BUY), path, headers=headers)
    assert answer.status_code == 401
    assert answer.json() == {
        "error": {"code": "unauthorized", "message": "not accepted", "fields": []}
    }
    (row,) = stack.signals()
    assert (row["status"], row["is_unproven"]) == ("error", True)
    assert await stack.workflows(f"SignalId = '{row['id']}'") == 0


async def test_a_stranger_cannot_silence_the_same_bytes_of_the_true_sender(stack: Stack) -> None:
    body = stack.body(BUY)
    assert (await stack.post(body, "strategy")).status_code == 401
    answer = await stack.post(body, "strategy", headers={"X-Holdfast-Token": SECRET})
    await stack.begun(answer)
    assert (await stack.post(body, "strategy")).status_code == 401
    assert [row["status"] for row in stack.signals()] == ["error", "processing"]


async def test_a_bad_field_is_named_with_its_remedy_and_the_signal_is_kept(stack: Stack) -> None:
    answer = await stack.post(BUY | {"PourCent": 0, "PrixSL": 2})
    assert answer.status_code == 422
    told = answer.json()
    assert {one["field"] for one in told["error"]["fields"]} == {"PourCent", "PrixSL"}
    assert all(one["problem"] and one["remedy"] for one in told["error"]["fields"])
    (row,) = stack.signals()
    assert (row["id"], row["status"]) == (told["signal_id"], "error")
    assert "PourCent: out of range" in row["reason"]
    again = await stack.post(BUY | {"PourCent": 0, "PrixSL": 2})
    assert (again.status_code, again.json()) == (422, told)


async def test_b6_a_body_that_is_too_long_is_kept_cut(stack: Stack) -> None:
    answer = await stack.post(b"[" * 70_000)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
    (row,) = stack.signals()
    assert (row["status"], len(row["raw_payload"])) == ("error", 65_536)


async def test_b1_fifty_identical_posts_make_one_row_and_one_workflow(stack: Stack) -> None:
    answers = await asyncio.gather(*(stack.post(BUY | {"id": "once"}) for _ in range(50)))
    assert sorted(answer.status_code for answer in answers) == [200] * 49 + [202]
    (row,) = stack.signals()
    assert {answer.json()["signal_id"] for answer in answers} == {row["id"]}
    assert row["repeats"] == 49

    async def is_begun_once() -> bool:
        return await stack.workflows(f"SignalId = '{row['id']}'") == 1

    await until(is_begun_once)


async def test_b2_the_same_id_with_another_body_is_a_conflict(stack: Stack) -> None:
    first = await stack.post(BUY | {"id": "x"})
    await stack.begun(first)
    other = BUY | {"id": "x", "PourCent": 20}
    seconds = [await stack.post(other), await stack.post(other)]
    for second in seconds:
        assert (second.status_code, second.json()["error"]["code"]) == (409, "conflict")
        assert second.json()["signal_id"] != first.json()["signal_id"]
    kept, refused = stack.signals()
    assert (kept["status"], refused["status"]) == ("processing", "error")
    assert refused["reason"].startswith("conflict")


async def test_b1_the_same_id_and_body_much_later_is_still_the_first_signal(stack: Stack) -> None:
    first = await stack.post(BUY | {"id": "x"})
    stack.run("UPDATE holdfast.signals SET received_at = received_at - interval '1 hour'")
    for _ in range(2):
        later = await stack.post(BUY | {"id": "x"})
        assert await stack.begun(later, 200) == first.json()["signal_id"]


async def test_b3_the_same_body_without_an_id_is_a_new_signal_after_a_minute(stack: Stack) -> None:
    first = await stack.post(BUY)
    assert (await stack.post(BUY)).json()["signal_id"] == first.json()["signal_id"]
    stack.run("UPDATE holdfast.signals SET received_at = received_at - interval '61 seconds'")
    later = await stack.post(BUY)
    assert later.status_code == 202
    assert later.json()["signal_id"] != first.json()["signal_id"]


async def test_b5_a_stale_entry_expires_and_a_stale_exit_does_not(stack: Stack) -> None:
    sent_at = (utc_now() - timedelta(seconds=90)).isoformat()
    entry = await stack.post(BUY | {"sent_at": sent_at})
    assert (entry.status_code, entry.json()["status"]) == (202, "expired")
    leave = {"action": "CLOSE", "market": "rain", "outcome": "Yes", "sent_at": sent_at}
    await stack.begun(await stack.post(leave))


async def test_b5_a_signal_from_the_future_is_refused(stack: Stack) -> None:
    answer = await stack.post(BUY | {"sent_at": (utc_now() + timedelta(hours=1)).isoformat()})
    assert answer.status_code == 422
    assert answer.json()["error"]["fields"][0]["problem"] == "in the future"

"""The verbs that stop accounts and let them trade again."""

import pytest

from tests.cli.said import Command
from tests.cli.small_api import SmallApi, error_body

ACCOUNT = {"id": "main", "state": "running", "state_reason": None}


@pytest.fixture(autouse=True)
def account(api: SmallApi) -> None:
    api.rows["accounts"] = [dict(ACCOUNT)]


def test_kill_asks_for_every_account_and_ends_when_they_are_halted(
    holdfast: Command, api: SmallApi
) -> None:
    api.rows["accounts"].append(ACCOUNT | {"id": "second"})
    api.becomes = {"state": "halted", "state_reason": "hot (ann)"}
    said = holdfast("kill", "--reason", "hot", "--json")
    assert said.code == 0
    assert said.document == {
        "workflow_id": "guardian-main",
        "status": "halted",
        "detail": "hot (ann); hot (ann)",
    }
    assert api.posted == [{"reason": "hot", "close_positions": False}] * 2
    assert [path for path in api.paths if path.endswith("/kill")] == [
        "/api/v1/accounts/main/kill",
        "/api/v1/accounts/second/kill",
    ]


def test_a_kill_that_is_still_at_work_is_not_known_yet(holdfast: Command, api: SmallApi) -> None:
    api.becomes = {"state": "halting", "state_reason": "hot (ann)"}
    said = holdfast("kill", "--wait", "0.2", "--json")
    assert (said.code, said.document["status"]) == (4, "halting")


def test_a_kill_that_closes_waits_until_nothing_is_held(holdfast: Command, api: SmallApi) -> None:
    api.becomes = {"state": "halted", "state_reason": "hot (ann)"}
    api.rows["positions"] = [{"id": "p", "status": "open"}, {"id": "q", "status": "flat"}]
    said = holdfast("kill", "--close-positions", "--wait", "0.2", "--json")
    assert said.code == 4
    assert said.document["detail"] == "hot (ann); 1 positions still open"
    api.rows["positions"] = [{"id": "p", "status": "flat"}]
    assert holdfast("kill", "--close-positions", "--json").code == 0


def test_resume_ends_when_every_account_runs(holdfast: Command, api: SmallApi) -> None:
    api.becomes = {"state": "running", "state_reason": "resumed by up"}
    said = holdfast("resume", "--force", "--json")
    assert (said.code, said.document["status"]) == (0, "running")
    assert api.posted == [{"force": True}]


def test_a_resume_that_a_rule_forbids_says_the_rule_and_ends_with_3(
    holdfast: Command, api: SmallApi
) -> None:
    api.operate = (409, error_body("the cooldown lasts until 12:00:01 UTC"))
    said = holdfast("resume", "--json")
    assert said.code == 3
    assert "cooldown" in said.document["detail"]


def test_a_direct_kill_sends_no_orders_and_says_so(holdfast: Command) -> None:
    said = holdfast("kill", "--direct", "--close-positions")
    assert said.code == 1
    assert "--direct sends no orders" in said.err

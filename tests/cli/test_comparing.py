"""The verbs that compare with the exchange and that stop in good order."""

import pytest

from tests.cli.said import Command
from tests.cli.small_api import SmallApi

ACCOUNT = {"id": "main", "state": "running", "state_reason": None}
FINDING = {
    "kind": "order_unknown",
    "subject": "0xabc",
    "token_id": "1",
    "ours": "nothing",
    "theirs": "BUY 12 at 0.4",
    "outcome": "adopted",
    "words": "",
    "halts": False,
}
REPORT = {
    "id": "r1",
    "account_id": "main",
    "result": "mended",
    "is_report_only": False,
    "findings": [FINDING],
    "warnings": [],
}
ASKED = {"workflow_id": "reconcile-main", "status": "accepted", "asked_at": "2026-11-21T12:00:00Z"}


@pytest.fixture(autouse=True)
def account(api: SmallApi) -> None:
    api.rows["accounts"] = [dict(ACCOUNT)]
    api.rows["reconciliations"] = []
    api.operate = (202, dict(ASKED))


def test_reconcile_waits_for_the_report_and_prints_it(holdfast: Command, api: SmallApi) -> None:
    api.rows["reconciliations"] = [dict(REPORT)]
    said = holdfast("reconcile", "--json")
    assert said.code == 0
    assert said.document == {
        "workflow_id": "reconcile-main",
        "status": "mended",
        "detail": "main: mended\n"
        "order_unknown 0xabc: ours nothing, theirs BUY 12 at 0.4 -> adopted",
        "reports": [REPORT],
    }
    assert api.posted == [{"report_only": False}]
    assert any("since=2026-11-21" in path for path in api.paths)


def test_a_report_alone_is_asked_for_and_waited_for_as_such(
    holdfast: Command, api: SmallApi
) -> None:
    api.rows["reconciliations"] = [dict(REPORT)]
    assert holdfast("reconcile", "--report-only", "--wait", "0.2", "--json").code == 4
    api.rows["reconciliations"] = [REPORT | {"is_report_only": True, "result": "differs"}]
    said = holdfast("reconcile", "--report-only", "--json")
    assert (said.code, said.document["status"]) == (0, "differs")
    assert api.posted == [{"report_only": True}] * 2


@pytest.mark.parametrize(("result", "code"), [("failed", 1), ("incomplete", 1), ("waiting", 4)])
def test_a_comparison_that_did_not_mend_everything_does_not_end_with_0(
    holdfast: Command, api: SmallApi, result: str, code: int
) -> None:
    api.rows["reconciliations"] = [REPORT | {"result": result}]
    assert holdfast("reconcile", "--json").code == code


def test_shutdown_waits_for_a_new_snapshot_and_says_the_state(
    holdfast: Command, api: SmallApi
) -> None:
    api.rows["events"] = [{"seq": 7, "kind": "account.snapshot"}]
    api.becomes = {"state": "stopped", "state_reason": "shutdown: nothing rests, seen twice"}
    said = holdfast("shutdown", "--reason", "holidays", "--wait", "0.2", "--json")
    assert (said.code, said.document["status"]) == (4, "halting")
    assert api.posted == [{"reason": "holidays"}]
    api.rows_after_operating = {"events": [{"seq": 8, "kind": "account.snapshot"}]}
    said = holdfast("shutdown", "--json")
    assert (said.code, said.document["status"]) == (0, "stopped")


def test_a_shutdown_that_was_not_confirmed_ends_with_1_and_names_what_remains(
    holdfast: Command, api: SmallApi
) -> None:
    api.rows_after_operating = {"events": [{"seq": 8, "kind": "account.snapshot"}]}
    words = "shutdown: NOT CONFIRMED within 30 s: still listed 0xabc"
    api.becomes = {"state": "stopped", "state_reason": words}
    said = holdfast("shutdown", "--json")
    assert said.code == 1
    assert "0xabc" in said.document["detail"]

"""`holdfast doctor`: every finding has its colour, every fault its remedy."""

import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from starlette.responses import HTMLResponse

from infra.clock import utc_now
from tests.cli.rows import HASH, SIGNAL, a_market, a_signal, an_account, an_order
from tests.cli.said import Command
from tests.cli.small_api import SmallApi

GONE = 2**22 + 1  # no process has so high a number


class Disk(NamedTuple):
    total: int
    used: int
    free: int


def has_free(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    def usage(_: Path) -> Disk:
        return Disk(10**12, 0, free)

    monkeypatch.setattr(shutil, "disk_usage", usage)


@pytest.fixture(autouse=True)
def _a_large_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    has_free(monkeypatch, 10**12)


@pytest.fixture
def well(api: SmallApi) -> SmallApi:
    """Return a server with nothing to complain about."""
    api.rows["markets"] = [a_market()]
    api.rows["accounts"] = [an_account()]
    api.documents["status"] = {"exchange": {"circuits": []}, "guardians": [a_guardian()]}
    return api


def a_guardian(**fields: Any) -> dict[str, Any]:
    """Return the row of a guardian that does its work."""
    usual: dict[str, Any] = {
        "account_id": "main",
        "swept_at": "2026-11-21T12:00:00+00:00",
        "age_seconds": "4.0",
        "seconds": "0.08",
        "is_whole": True,
        "positions": 3,
        "unprotected": 0,
        "alarms": [],
        "alarm_count": 0,
    }
    return usual | fields


def levels(holdfast: Command) -> dict[str, str]:
    return {one["check"]: one["level"] for one in findings(holdfast)}


def findings(holdfast: Command) -> list[dict[str, Any]]:
    return holdfast("doctor", "--json").document["findings"]


def test_what_is_well_is_green(holdfast: Command, well: SmallApi) -> None:
    found = levels(holdfast)
    green = {"stack", "endpoints file", "processes", "API", "API: database", "exchange", "clock"}
    green |= {"markets", "account main", "waiting signals", "orders in doubt", "signing", "disk"}
    green |= {"calls to the exchange", "guardian main"}
    assert {check for check, level in found.items() if level == "green"} == green
    assert well.paths


def test_findings_are_numbered_from_one(holdfast: Command) -> None:
    document = holdfast("doctor", "--json").document
    numbers = [one["number"] for one in document["findings"]]
    assert numbers == list(range(1, len(numbers) + 1))
    assert document["red"] == sum(one["level"] == "red" for one in document["findings"])


def test_each_fault_has_its_remedy_and_the_exit_code_tells(
    holdfast: Command, well: SmallApi
) -> None:
    well.ready = (503, {"status": "not ready", "parts": {"migrations": "behind"}})
    said = holdfast("doctor")
    assert said.code == 1
    assert "API: migrations: behind" in said.out
    assert "holdfast migrate" in said.out
    assert all(one["remedy"] for one in findings(holdfast) if one["level"] != "green")


def test_without_temporal_the_doctor_says_so_and_goes_on(holdfast: Command, well: SmallApi) -> None:
    found = levels(holdfast)
    assert found["Temporal"] == "red"
    assert found["exchange"] == "green"
    assert well.paths


def test_without_a_stack_the_first_finding_says_how_to_start_one(
    holdfast: Command, folder: Path
) -> None:
    (folder / "endpoints.json").unlink()
    said = holdfast("doctor", "--json")
    assert said.code == 1
    first = said.document["findings"][0]
    assert (first["check"], first["level"]) == ("stack", "red")
    assert "holdfast up" in first["remedy"]


def test_keys_that_others_can_read_are_a_fault(holdfast: Command, folder: Path) -> None:
    (folder / "endpoints.json").chmod(0o644)
    assert levels(holdfast)["endpoints file"] == "red"


def test_a_process_that_is_gone_is_a_fault(holdfast: Command, folder: Path) -> None:
    rewrite(folder, "processes", {"api": GONE})
    assert levels(holdfast)["processes"] == "red"


def test_an_api_that_is_gone_is_the_fault_and_what_needs_it_is_not_looked_at(
    holdfast: Command, folder: Path
) -> None:
    rewrite(folder, "api", {"url": "http://127.0.0.1:1", "key": "x"})
    found = levels(holdfast)
    assert found["API"] == "red"
    assert found["registry"] == "yellow"
    assert found["exchange"] == "green"


@pytest.mark.parametrize(("seconds", "level"), [(0, "green"), (6, "yellow"), (30, "red")])
def test_a_clock_that_differs_from_the_exchanges_is_told(
    holdfast: Command, api: SmallApi, seconds: float, level: str
) -> None:
    api.clock_ahead_seconds = seconds
    assert levels(holdfast)["clock"] == level


@pytest.mark.parametrize("words", ["<html>maintenance</html>", '{"status": "ok"}', ""])
def test_an_exchange_that_answers_nonsense_is_a_fault(
    holdfast: Command, well: SmallApi, words: str
) -> None:
    well.exchange_ok = HTMLResponse(words)
    assert levels(holdfast)["exchange"] == "red"


def test_an_exchange_that_does_not_answer_is_a_fault(holdfast: Command, folder: Path) -> None:
    rewrite(folder, "exchange", {"clob_url": "http://127.0.0.1:1"})
    assert levels(holdfast)["exchange"] == "red"


@pytest.mark.parametrize(
    ("known", "level"),
    [
        ([], "red"),
        ([a_guardian(age_seconds="31.0")], "red"),
        ([a_guardian(unprotected=1)], "yellow"),
        ([a_guardian(age_seconds="29.0")], "green"),
    ],
)
def test_o5_a_guardian_that_does_not_look_is_a_fault_with_its_remedy(
    holdfast: Command, well: SmallApi, known: list[dict[str, Any]], level: str
) -> None:
    well.documents["status"] = {"exchange": {"circuits": []}, "guardians": known}
    [found] = [one for one in findings(holdfast) if one["check"] == "guardian main"]
    assert found["level"] == level
    assert bool(found["remedy"]) is (level != "green")


def test_an_alarm_of_a_guardian_is_told(holdfast: Command, well: SmallApi) -> None:
    alarm = {"name": "order_unknown", "about": "0x9", "words": "is not in our books"}
    guardian = a_guardian(alarms=[alarm], alarm_count=1)
    well.documents["status"] = {"exchange": {"circuits": []}, "guardians": [guardian]}
    [found] = [one for one in findings(holdfast) if one["check"] == "alarm order_unknown"]
    assert (found["level"], found["detail"]) == ("yellow", "0x9: is not in our books")
    well.documents["status"] = {"guardians": [guardian]}
    assert "order_unknown 0x9: is not in our books" in holdfast("status").out


def test_no_markets_is_a_fault(holdfast: Command) -> None:
    assert levels(holdfast)["markets"] == "red"


def test_an_account_that_may_not_enter_is_told_with_the_reason(
    holdfast: Command, well: SmallApi
) -> None:
    well.rows["accounts"] = [an_account(state="halted", state_reason="daily loss")]
    [found] = [one for one in findings(holdfast) if one["check"] == "account main"]
    assert found["level"] == "yellow"
    assert "daily loss" in found["detail"]


def of_limits(holdfast: Command) -> dict[str, Any] | None:
    told = [one for one in findings(holdfast) if one["check"] == "limits of main"]
    return told[0] if told else None


def test_o7_limits_for_real_money_that_nobody_confirmed_are_a_fault(
    holdfast: Command, well: SmallApi
) -> None:
    assert of_limits(holdfast) is None
    well.rows["accounts"] = [an_account(limits_confirmed=False)]
    found = of_limits(holdfast)
    assert found is not None
    assert found["level"] == "red"
    assert "write confirmed = true under [accounts.main.limits]" in found["remedy"]


def test_l2_a_day_nobody_has_begun_is_told_and_is_not_a_day_without_loss(
    holdfast: Command, well: SmallApi
) -> None:
    well.rows["accounts"] = [an_account(starting_equity_usd=None)]
    found = of_limits(holdfast)
    assert found is not None
    assert found["level"] == "yellow"
    assert "not known: entries are denied" in found["detail"]


def test_a_limit_with_nothing_left_is_told_by_name(holdfast: Command, well: SmallApi) -> None:
    full = {"max_open_orders": {"limit": "50", "used": "50", "left": "0", "of": None}}
    well.rows["accounts"] = [an_account(limits=full)]
    found = of_limits(holdfast)
    assert found is not None
    assert found["detail"] == "used up: max_open_orders"


def a_circuit(group: str) -> dict[str, Any]:
    return {
        "scope": "main",
        "call_group": group,
        "state": "open",
        "opened_at": "2026-11-21T12:00:00+00:00",
        "words": "HTTP 500",
    }


def test_calls_that_are_held_back_are_a_fault_with_the_words_of_the_last_failure(
    holdfast: Command, well: SmallApi
) -> None:
    well.documents["status"] = {"exchange": {"circuits": [a_circuit("entries")]}}
    [found] = [one for one in findings(holdfast) if one["check"] == "main entries"]
    assert found["level"] == "red"
    assert "HTTP 500" in found["detail"]


def test_x9_a_halt_for_refused_keys_says_how_to_mend_them(
    holdfast: Command, well: SmallApi
) -> None:
    well.rows["accounts"] = [an_account(state="halted", state_reason="access lost: HTTP 401")]
    [found] = [one for one in findings(holdfast) if one["check"] == "account main"]
    assert found["level"] == "red"
    assert "api_key, secret and passphrase" in found["remedy"]


@pytest.mark.parametrize(("age_seconds", "level"), [(5, "green"), (11, "red")])
def test_a_signal_that_waits_more_than_ten_seconds_is_a_fault(
    holdfast: Command, well: SmallApi, age_seconds: int, level: str
) -> None:
    at = (utc_now() - timedelta(seconds=age_seconds)).isoformat()
    well.rows["signals"] = [a_signal(status="received", received_at=at), a_signal(id="done")]
    [found] = [one for one in findings(holdfast) if one["check"] == "waiting signals"]
    assert found["level"] == level
    assert (SIGNAL in found["detail"]) == (level == "red")
    assert "done" not in found["detail"]


@pytest.mark.parametrize("state", ["SENT", "UNKNOWN"])
@pytest.mark.parametrize(("age_seconds", "level"), [(50, "green"), (61, "red")])
def test_an_order_in_doubt_for_more_than_a_minute_is_a_fault(
    holdfast: Command, well: SmallApi, state: str, age_seconds: int, level: str
) -> None:
    at = (utc_now() - timedelta(seconds=age_seconds)).isoformat()
    well.rows["orders"] = [an_order(state=state, last_sent_at=at), an_order(state="LIVE")]
    [found] = [one for one in findings(holdfast) if one["check"] == "orders in doubt"]
    assert found["level"] == level
    assert (HASH in found["detail"]) == (level == "red")


@pytest.mark.parametrize(("free", "level"), [(10**8, "red"), (2 * 10**9, "yellow")])
def test_a_disk_that_fills_up_is_told(
    holdfast: Command, monkeypatch: pytest.MonkeyPatch, free: int, level: str
) -> None:
    has_free(monkeypatch, free)
    assert levels(holdfast)["disk"] == level


def rewrite(folder: Path, part: str, value: dict[str, Any]) -> None:
    path = folder / "endpoints.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps(told | {part: value}))

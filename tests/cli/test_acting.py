"""The verbs that act: what they ask for, what they wait for, and how they end."""

from pathlib import Path

import pytest

from tests.cli.conftest import SECRET
from tests.cli.rows import HASH, OTHER_HASH, SIGNAL, a_signal, an_order
from tests.cli.said import Command
from tests.cli.small_api import SmallApi, error_body

BUY = ("send", "BuyMarket", "--market", "plain-1", "--percent", "10")
OUTCOME = {"workflow_id", "status", "detail"}


def settles(api: SmallApi, *statuses: str, **given: str | None) -> None:
    """Make the signal pass through `statuses`, one at each look."""
    api.looks[SIGNAL] = [a_signal(status=status, **given) for status in statuses]


def test_a_signal_is_posted_as_an_alert_sender_would(holdfast: Command, api: SmallApi) -> None:
    settles(api, "processed")
    holdfast(*BUY, "--sl", "0.3", "--tp", "0.90", "--price", "0.5", "--id", "alert-7")
    assert api.posted == [
        {
            "action": "BuyMarket",
            "market": "plain-1",
            "outcome": "Yes",
            "percent": "10",
            "price": "0.5",
            "stop_loss": "0.3",
            "take_profit": "0.90",
            "id": "alert-7",
            "secret": SECRET,
        }
    ]


@pytest.mark.parametrize(
    ("status", "code"),
    [("processed", 0), ("error", 1), ("expired", 1), ("denied", 3)],
)
def test_the_exit_code_of_send_is_the_signals_outcome(
    holdfast: Command, api: SmallApi, status: str, code: int
) -> None:
    settles(api, "received", "processing", status, reason="max_open_orders: 5 of 5")
    said = holdfast(*BUY, "--json")
    assert said.code == code
    assert said.document == {
        "workflow_id": f"order-{SIGNAL}-0",
        "status": status,
        "detail": "max_open_orders: 5 of 5",
    }


def test_an_outcome_that_does_not_come_in_time_is_not_known_yet(
    holdfast: Command, api: SmallApi
) -> None:
    settles(api, "processing")
    said = holdfast(*BUY, "--wait", "0.2", "--json")
    assert said.code == 4
    assert said.document["status"] == "processing"
    assert "0.2 s" in said.document["detail"]


def test_without_waiting_the_answer_is_that_of_the_first_look(
    holdfast: Command, api: SmallApi
) -> None:
    settles(api, "received", "processed")
    said = holdfast(*BUY, "--wait", "0", "--json")
    assert (said.code, said.document["status"]) == (4, "received")


@pytest.mark.parametrize(
    ("status", "code", "word"), [(401, 1, "error"), (409, 1, "conflict"), (422, 2, "error")]
)
def test_a_refused_webhook_says_why_in_the_apis_words(
    holdfast: Command, api: SmallApi, status: int, code: int, word: str
) -> None:
    api.hook = (status, error_body("action: unknown (one of BuyMarket, …)"))
    said = holdfast("send", "Foo", "--json")
    assert said.code == code
    assert said.document == {
        "workflow_id": None,
        "status": word,
        "detail": "action: unknown (one of BuyMarket, …)",
    }
    assert SECRET not in holdfast("send", "Foo").err


def test_a_cancel_waits_until_the_order_cannot_match_any_more(
    holdfast: Command, api: SmallApi
) -> None:
    api.rows["orders"] = [an_order()]
    api.looks[HASH] = [an_order(state="LIVE"), an_order(state="CANCELLED", reason="by hand")]
    said = holdfast("cancel", HASH, "--json")
    assert said.code == 0
    assert said.document == {
        "workflow_id": "order-x-0",
        "status": "CANCELLED",
        "detail": "by hand",
    }
    assert f"/api/v1/orders/{HASH}/cancel" in api.paths


def test_a_cancel_that_lost_against_a_fill_has_failed(holdfast: Command, api: SmallApi) -> None:
    api.looks[HASH] = [an_order(state="LIVE"), an_order(state="FILLED")]
    said = holdfast("cancel", HASH, "--json")
    assert (said.code, said.document["status"]) == (1, "FILLED")


def test_a_cancel_whose_outcome_does_not_come_is_not_known_yet(
    holdfast: Command, api: SmallApi
) -> None:
    api.looks[HASH] = [an_order(state="LIVE")]
    said = holdfast("cancel", HASH, "--wait", "0.1", "--json")
    assert (said.code, said.document["status"]) == (4, "LIVE")


@pytest.mark.parametrize(("state", "code"), [("CANCELLED", 0), ("FILLED", 1), ("LIVE", 1)])
def test_a_refused_cancel_is_judged_by_the_orders_state(
    holdfast: Command, api: SmallApi, state: str, code: int
) -> None:
    api.cancel = (409, error_body("nothing to cancel"))
    api.looks[HASH] = [an_order(state=state)]
    said = holdfast("cancel", HASH, "--json")
    assert (said.code, said.document["status"]) == (code, state)


@pytest.mark.parametrize("given", ["0x12ab", "0x12ab…9f", "0x12ab...9f"])
def test_an_order_is_named_by_enough_of_its_hash(
    holdfast: Command, api: SmallApi, given: str
) -> None:
    api.rows["orders"] = [an_order(), an_order(order_hash=OTHER_HASH)]
    api.looks[HASH] = [an_order(state="CANCELLED")]
    assert holdfast("cancel", given).code == 0
    assert f"/api/v1/orders/{HASH}/cancel" in api.paths


def test_a_prefix_of_two_live_orders_cancels_neither(holdfast: Command, api: SmallApi) -> None:
    twin = HASH[:10] + "f" * 56
    api.rows["orders"] = [an_order(), an_order(order_hash=twin)]
    said = holdfast("cancel", "0x12ab")
    assert said.code == 2
    assert HASH in said.err
    assert twin in said.err
    assert not any(path.endswith("/cancel") for path in api.paths)


def test_a_prefix_means_the_live_order_where_the_other_is_over(
    holdfast: Command, api: SmallApi
) -> None:
    over = HASH[:10] + "f" * 56
    api.rows["orders"] = [an_order(order_hash=over, state="FILLED"), an_order()]
    api.looks[HASH] = [an_order(state="CANCELLED")]
    assert holdfast("cancel", "0x12ab").code == 0
    assert f"/api/v1/orders/{HASH}/cancel" in api.paths


def test_too_short_a_prefix_is_wrong_use(holdfast: Command, api: SmallApi) -> None:
    api.rows["orders"] = [an_order()]
    assert holdfast("cancel", "0x1").code == 2


def test_an_order_that_does_not_exist_is_wrong_use(holdfast: Command, api: SmallApi) -> None:
    api.cancel = (404, error_body("there is no such order"))
    for given in (OTHER_HASH, "0x77cd"):
        said = holdfast("cancel", given, "--json")
        assert said.code == 2
        assert set(said.document) == OUTCOME


def test_an_act_without_a_stack_says_so_in_its_document_too(
    holdfast: Command, folder: Path
) -> None:
    (folder / "endpoints.json").unlink()
    for argv in (BUY, ("cancel", HASH)):
        said = holdfast(*argv, "--json")
        assert said.code == 1
        assert said.document["status"] == "failed"
        assert "holdfast up" in said.document["detail"]


def test_people_are_told_outcome_and_workflow_in_words(holdfast: Command, api: SmallApi) -> None:
    settles(api, "processed")
    said = holdfast(*BUY)
    assert "processed" in said.out
    assert f"order-{SIGNAL}-0" in said.out


def test_a_cancel_of_a_market_means_both_outcomes_unless_one_is_named(
    holdfast: Command, api: SmallApi
) -> None:
    settles(api, "processed")
    holdfast("send", "CANCEL", "--market", "plain-1")
    holdfast("send", "Cancel", "--market", "plain-1", "--outcome", "No")
    assert [alert.get("outcome") for alert in api.posted] == [None, "No"]


def test_a_stop_is_taken_away_by_zero(holdfast: Command, api: SmallApi) -> None:
    settles(api, "processed")
    holdfast("send", "MAJ", "--market", "plain-1", "--sl", "0", "--tp", "0.9")
    assert api.posted[0]["stop_loss"] == "0"

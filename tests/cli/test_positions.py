"""The verbs that act on a position: how it is named, what is asked for, and how they end."""

import pytest

from tests.cli.rows import POSITION, SIGNAL, TOKEN, a_position, a_signal
from tests.cli.said import Command
from tests.cli.small_api import SmallApi, error_body

OTHER = "ce" * 10
PATH = f"/api/v1/positions/{POSITION}"


@pytest.fixture(autouse=True)
def positions(api: SmallApi) -> None:
    api.rows["positions"] = [
        a_position(market_slug="rain"),
        a_position(id=OTHER, market_slug="rain", outcome="No", token_id="8" * 70),
        a_position(id="cf" * 10, market_slug="rain", status="flat", token_id="9" * 70),
    ]


def settles(api: SmallApi, *statuses: str, reason: str | None = None) -> None:
    api.looks[SIGNAL] = [a_signal(status=status, reason=reason) for status in statuses]


def test_protect_asks_for_the_new_prices_and_waits_for_the_outcome(
    holdfast: Command, api: SmallApi
) -> None:
    settles(api, "processing", "processed", reason="stop-loss 0.35 armed")
    said = holdfast("protect", POSITION, "--sl", "0.35", "--tp", "0", "--id", "mine", "--json")
    assert said.code == 0
    assert said.document == {
        "workflow_id": f"signal-{SIGNAL}",
        "status": "processed",
        "detail": "stop-loss 0.35 armed",
    }
    assert api.posted == [{"stop_loss": "0.35", "take_profit": "0"}]
    assert api.keys == ["mine"]
    assert f"{PATH}/protect" in api.paths


def test_exit_asks_with_its_reason_and_a_key_of_its_own_each_time(
    holdfast: Command, api: SmallApi
) -> None:
    settles(api, "processed")
    assert holdfast("exit", POSITION, "--reason", "news").code == 0
    assert holdfast("exit", POSITION).code == 0
    assert api.posted == [{"reason": "news"}, {"reason": "by hand"}]
    assert len(set(api.keys)) == 2
    assert None not in api.keys
    assert f"{PATH}/exit" in api.paths


@pytest.mark.parametrize(
    "given", [POSITION[:6], "cdcd…cd", "cdcd...cd", "rain:Yes", "rain:yes", TOKEN]
)
def test_a_position_is_named_by_its_id_its_market_or_its_token(
    holdfast: Command, api: SmallApi, given: str
) -> None:
    settles(api, "processed")
    assert holdfast("exit", given).code == 0
    assert f"{PATH}/exit" in api.paths


@pytest.mark.parametrize("given", ["snow", "rain:Maybe", "cd", "12345678"])
def test_what_names_no_position_is_wrong_use(holdfast: Command, api: SmallApi, given: str) -> None:
    said = holdfast("exit", given)
    assert said.code == 2
    assert given in said.err
    assert api.posted == []


def test_a_market_of_which_both_sides_are_held_does_not_name_one(
    holdfast: Command, api: SmallApi
) -> None:
    said = holdfast("protect", "rain", "--sl", "0.4")
    assert said.code == 2
    assert "rain:Yes" in said.err
    assert "rain:No" in said.err
    assert api.posted == []


def test_protect_needs_a_price(holdfast: Command, api: SmallApi) -> None:
    said = holdfast("protect", POSITION, "--json")
    assert (said.code, said.document["status"]) == (2, "failed")
    assert "--sl" in said.err
    assert api.posted == []


@pytest.mark.parametrize(
    ("status", "code"), [("processed", 0), ("denied", 3), ("error", 1), ("processing", 4)]
)
def test_the_exit_code_is_the_outcome(
    holdfast: Command, api: SmallApi, status: str, code: int
) -> None:
    settles(api, status, reason=None if status == "processing" else "words")
    said = holdfast("exit", POSITION, "--wait", "0.1", "--json")
    assert (said.code, said.document["status"]) == (code, status)


def test_a_wish_refused_at_once_says_the_words_of_the_refusal(
    holdfast: Command, api: SmallApi
) -> None:
    settles(api, "denied", reason="stop_loss 0.9 is not below the best bid 0.5")
    api.act = (409, error_body("refused") | {"signal_id": SIGNAL, "workflow_id": "signal-x"})
    said = holdfast("protect", POSITION, "--sl", "0.9", "--json")
    assert said.code == 3
    assert said.document == {
        "workflow_id": "signal-x",
        "status": "denied",
        "detail": "stop_loss 0.9 is not below the best bid 0.5",
    }


@pytest.mark.parametrize(
    ("status", "code", "word"), [(409, 1, "conflict"), (422, 2, "failed"), (503, 1, "failed")]
)
def test_a_wish_that_is_not_taken_says_why(
    holdfast: Command, api: SmallApi, status: int, code: int, word: str
) -> None:
    api.act = (status, error_body("stop_loss: not a price"))
    said = holdfast("protect", POSITION, "--sl", "0.9", "--json")
    assert (said.code, said.document["status"]) == (code, word)
    assert "not a price" in said.document["detail"]

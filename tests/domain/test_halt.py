"""When a stopped account may trade again, and what its exits are called."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.halt import Resume, Standing, exit_request, why_not_resumed
from domain.risk import AccountState

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
COOLDOWN = timedelta(seconds=60)
ANN = Resume(by="ann")


def stands(state: AccountState, seconds_ago: float = 3600) -> Standing:
    return Standing(state=state, reason=None, since=NOW - timedelta(seconds=seconds_ago))


@pytest.mark.parametrize("state", [AccountState.HALTED, AccountState.STOPPED])
def test_what_was_stopped_may_trade_again(state: AccountState) -> None:
    assert why_not_resumed(ANN, stands(state), NOW, COOLDOWN) is None


@pytest.mark.parametrize("force", [True, False])
def test_nothing_is_resumed_while_a_kill_is_at_work(force: bool) -> None:  # noqa: FBT001
    wish = Resume(by="ann", force=force)
    words = why_not_resumed(wish, stands(AccountState.HALTING), NOW, COOLDOWN)
    assert words is not None
    assert "a kill is at work" in words


@pytest.mark.parametrize("state", [AccountState.RUNNING, AccountState.RECONCILING])
def test_what_trades_cannot_be_resumed(state: AccountState) -> None:
    assert why_not_resumed(ANN, stands(state), NOW, COOLDOWN) is not None


def test_the_cooldown_holds_to_its_last_second_and_names_its_end() -> None:
    words = why_not_resumed(ANN, stands(AccountState.HALTED, 59), NOW, COOLDOWN)
    assert words is not None
    assert "12:00:01" in words
    assert why_not_resumed(ANN, stands(AccountState.HALTED, 60), NOW, COOLDOWN) is None
    forced = Resume(by="ann", force=True)
    assert why_not_resumed(forced, stands(AccountState.HALTED, 1), NOW, COOLDOWN) is None


def test_an_exit_of_the_same_kill_is_the_same_intent_and_of_another_is_not() -> None:
    first = exit_request("main", "1", NOW, 0)
    assert exit_request("main", "1", NOW, 0) == first
    others = [
        exit_request("main", "1", NOW, 1),
        exit_request("main", "2", NOW, 0),
        exit_request("main", "1", NOW + COOLDOWN, 0),
    ]
    assert len({first.intent_id, *(other.intent_id for other in others)}) == 4

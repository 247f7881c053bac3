"""The configuration as the command reads it."""

from pathlib import Path

import pytest

from infra.settings import LimitSettings
from tests.cli.said import Command

CONFIG = """
database_url = "postgresql://holdfast:hidden@127.0.0.1:5432/holdfast"
log_format = "json"
"""


@pytest.fixture
def config(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = folder / "own.toml"
    path.write_text(CONFIG)
    monkeypatch.setenv("HOLDFAST_CONFIG", str(path))
    return path


def test_a_good_configuration_is_called_complete(holdfast: Command, config: Path) -> None:
    assert config.is_file()
    said = holdfast("config", "check", "--json")
    assert (said.code, said.document["status"]) == (0, "ok")


def test_an_unknown_key_is_named_with_the_nearest_that_exists(
    holdfast: Command, config: Path
) -> None:
    config.write_text(CONFIG + 'log_fromat = "json"\n')
    said = holdfast("config", "check", "--json")
    assert said.code == 1
    assert "log_format" in said.document["detail"]
    assert "log_format" in holdfast("config", "check").err


LIVE = f"""
storage_key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
[accounts.main]
wallet = "0x{"ab" * 20}"
private_key = "0x{"01" * 32}"
"""
WRITE_IT = "then write confirmed = true under [accounts.main.limits]"


@pytest.mark.parametrize("argv", [("config", "check"), ("worker", "trading")])
def test_o7_limits_for_real_money_that_nobody_confirmed_are_refused_with_what_to_write(
    holdfast: Command, config: Path, argv: tuple[str, ...]
) -> None:
    config.write_text(CONFIG + LIVE)
    said = holdfast(*argv)
    assert said.code == 1
    assert "accounts.main.limits.confirmed: real money is at risk here" in said.err
    assert WRITE_IT in said.err


@pytest.mark.parametrize(
    "more",
    [
        "[accounts.main.limits]\nconfirmed = true\n",
        '[exchange]\nadmin_url = "http://127.0.0.1:1/_paper"\n',
    ],
)
def test_confirmed_limits_and_those_of_the_paper_exchange_are_taken(
    holdfast: Command, config: Path, more: str
) -> None:
    config.write_text(CONFIG + LIVE + more)
    assert holdfast("config", "check").code == 0


def test_every_limit_is_shown_with_its_value(holdfast: Command, config: Path) -> None:
    config.write_text(CONFIG + LIVE)
    shown = holdfast("config", "show").out
    missing = [name for name in LimitSettings.model_fields if f"limits.{name} = " not in shown]
    assert missing == []


def test_shown_configuration_holds_no_secret(holdfast: Command, config: Path) -> None:
    assert config.is_file()
    for argv in (("config", "show"), ("config", "show", "--json")):
        said = holdfast(*argv)
        assert said.code == 0
        assert "127.0.0.1:5432" in said.out
        assert "hidden" not in said.out


def test_where_the_environment_is_silent_the_running_stacks_configuration_holds(
    holdfast: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOLDFAST_CONFIG", raising=False)
    monkeypatch.delenv("HOLDFAST_SECRETS", raising=False)
    (folder / "config.toml").write_text(CONFIG.replace("5432", "5433"))
    assert "5433" in holdfast("config", "show").out


@pytest.mark.parametrize("argv", [("migrate",), ("api",), ("worker", "trading")])
def test_a_role_without_configuration_says_in_words_what_is_missing(
    holdfast: Command, monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...]
) -> None:
    monkeypatch.delenv("HOLDFAST_CONFIG", raising=False)
    said = holdfast(*argv)
    assert said.code == 1
    assert "database_url" in said.err
    assert "Traceback" not in said.err


def test_a_database_that_does_not_answer_is_told_in_one_line(
    holdfast: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOLDFAST_CONFIG", raising=False)
    monkeypatch.setenv("HOLDFAST_DATABASE_URL", "postgresql://a:hidden@127.0.0.1:1/b")
    said = holdfast("migrate")
    assert said.code == 1
    assert "database" in said.err
    assert "hidden" not in said.err
    assert "Traceback" not in said.err

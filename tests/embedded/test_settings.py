"""The configuration: where it comes from, what it refuses, what it never shows."""

import json
import os
from dataclasses import fields
from decimal import Decimal
from pathlib import Path

import pytest

from infra.settings import LimitSettings, Settings, SettingsError, load_settings, redacted

WALLET = "0x" + "ab" * 20
DIGEST = "0" * 64
CONFIG = f"""
database_url = "postgresql://holdfast:dbsecret@db:5432/holdfast"
[api]
keys = [{{ name = "console", sha256 = "{DIGEST}", scopes = ["read"] }}]
[accounts.main]
wallet = "{WALLET}"
api_key = "l2key"
[accounts.main.limits]
max_order_notional_usd = "12.5"
[webhooks.tradingview]
secret = "hooksecret"
account = "main"
aliases = {{ BTCUSD = "bitcoin-up:Yes" }}
"""
SECRETS = """
storage_key = "storagesecret"
[accounts.main]
private_key = "0xprivatesecret"
"""


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in os.environ if one.startswith("HOLDFAST_")]:
        monkeypatch.delenv(name)


def given(monkeypatch: pytest.MonkeyPatch, folder: Path, config: str, secrets: str = "") -> None:
    for variable, text in (("HOLDFAST_CONFIG", config), ("HOLDFAST_SECRETS", secrets)):
        path = folder / f"{variable}.toml"
        path.write_text(text)
        monkeypatch.setenv(variable, str(path))


def refusal() -> str:
    with pytest.raises(SettingsError) as refused:
        load_settings()
    return str(refused.value)


def test_the_files_are_merged_and_the_environment_overrules_both(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given(monkeypatch, tmp_path, CONFIG, SECRETS + "[accounts.main.limits]\nmax_open_orders = 7")
    monkeypatch.setenv("HOLDFAST_ACCOUNTS__MAIN__LIMITS__MAX_MARKET_EXPOSURE_USD", "99.5")
    monkeypatch.setenv("HOLDFAST_API__PORT", "9090")

    settings = load_settings()

    account = settings.accounts["main"]
    assert account.wallet == WALLET
    assert account.private_key is not None
    assert account.private_key.get_secret_value() == "0xprivatesecret"
    assert account.limits.max_order_notional_usd == Decimal("12.5")
    assert account.limits.max_open_orders == 7
    assert account.limits.max_market_exposure_usd == Decimal("99.5")
    assert settings.api.port == 9090
    assert settings.api.keys[0].scopes == ("read",)
    assert settings.exchange.clob_url == "https://clob.polymarket.com"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("prot = 1", "prot: unknown setting"),
        ("[api]\nprot = 1", "api.prot: unknown setting; the nearest is api.port"),
        (
            f'[accounts.main]\nwallet = "{WALLET}"\nwalet = "x"',
            "accounts.main.walet: unknown setting; the nearest is accounts.main.wallet",
        ),
        (
            f'[accounts.main]\nwallet = "{WALLET}"\n[accounts.main.limits]\nmax_open_order = 3',
            "limits.max_open_order: unknown setting; the nearest is accounts.main.limits.max_open_",
        ),
        (
            f'[api]\nkeys = [{{ name = "x", sha256 = "{DIGEST}", scopes = [], scope = [] }}]',
            "api.keys.0.scope: unknown setting; the nearest is api.keys.0.scopes",
        ),
    ],
)
def test_an_unknown_key_in_a_file_is_refused_with_the_nearest_known_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str, words: str
) -> None:
    given(monkeypatch, tmp_path, f'database_url = "postgresql://db/holdfast"\n{line}\n')

    assert words in refusal()


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        (
            "HOLDFAST_DATABSE_URL",
            "HOLDFAST_DATABSE_URL: unknown setting; the nearest is HOLDFAST_DATABASE_URL",
        ),
        ("HOLDFAST_CONFG", "the nearest is HOLDFAST_CONFIG"),
        ("HOLDFAST_TEMPORAL__ADRESS", "temporal.adress: unknown setting"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_known_one(
    monkeypatch: pytest.MonkeyPatch, variable: str, words: str
) -> None:
    monkeypatch.setenv("HOLDFAST_DATABASE_URL", "postgresql://db/holdfast")
    monkeypatch.setenv(variable, "x")

    assert words in refusal()


def test_variables_that_are_no_settings_are_let_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_DATABASE_URL", "postgresql://db/holdfast")
    for name in ("DATA_DIR", "FAILPOINT", "FAILPOINT_DIR", "UP"):
        monkeypatch.setenv(f"HOLDFAST_{name}", "x")

    assert load_settings().accounts == {}


def test_all_faults_are_named_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given(monkeypatch, tmp_path, '[api]\nport = 0\n[accounts.main]\nwallet = "0x1"')

    words = refusal().splitlines()

    assert [line.partition(":")[0] for line in words] == [
        "database_url",
        "api.port",
        "accounts.main.wallet",
    ]


def test_a_webhook_for_an_account_that_does_not_exist_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = CONFIG.replace('account = "main"', 'account = "mian"')
    given(monkeypatch, tmp_path, config)

    assert refusal() == "webhooks.tradingview.account: no account 'mian'"


def test_a_named_file_that_is_missing_or_no_toml_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOLDFAST_CONFIG", str(tmp_path / "none.toml"))
    assert "none.toml" in refusal()

    given(monkeypatch, tmp_path, "database_url postgresql")
    assert refusal().startswith("not TOML")


def test_secrets_are_never_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given(monkeypatch, tmp_path, CONFIG, SECRETS)

    settings = load_settings()

    secrets = ("dbsecret", "l2key", "hooksecret", "storagesecret", "privatesecret")
    for shown in (repr(settings), str(settings), json.dumps(redacted(settings))):
        assert not [one for one in secrets if one in shown]
    assert redacted(settings)["database_url"] == "postgresql://holdfast:***@db:5432/holdfast"


def test_a_refused_value_is_not_repeated_in_the_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wrong = CONFIG.replace("postgresql://", "mysql://").replace('secret = "', 'secret = 5 # "')
    given(monkeypatch, tmp_path, wrong)

    assert "dbsecret" not in refusal()


def test_settings_cannot_be_changed_after_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_DATABASE_URL", "postgresql://db/holdfast")
    settings: Settings = load_settings()

    with pytest.raises(ValueError, match="frozen"):
        settings.log_format = "console"


def test_every_limit_has_a_careful_default_and_reaches_the_rules() -> None:
    limits = LimitSettings().as_limits()
    left_out = [field.name for field in fields(limits) if getattr(limits, field.name) is None]
    assert left_out == []
    unlike = LimitSettings.model_validate(
        {
            "max_order_notional_usd": 1,
            "max_market_exposure_usd": 2,
            "max_event_exposure_usd": 3,
            "max_account_exposure_usd": 4,
            "max_open_orders": 5,
            "max_daily_loss_fraction": "0.06",
            "max_consecutive_failures": 7,
            "close_positions_on_trip": True,
        }
    ).as_limits()
    same = [
        field.name
        for field in fields(limits)
        if getattr(limits, field.name) == getattr(unlike, field.name)
    ]
    assert same == []


@pytest.mark.parametrize(
    "line",
    [
        "max_order_notional_usd = 0",
        "max_event_exposure_usd = -1",
        'max_account_exposure_usd = "much"',
        "max_open_orders = 0",
        "max_daily_loss_fraction = 0",
        'max_daily_loss_fraction = "1.01"',
        "max_consecutive_failures = 0",
        "cooldown_seconds = -1",
    ],
)
def test_o7_a_limit_that_limits_nothing_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str
) -> None:
    limits = f'[accounts.main]\nwallet = "{WALLET}"\n[accounts.main.limits]\n{line}\n'
    given(monkeypatch, tmp_path, f'database_url = "postgresql://db/holdfast"\n{limits}')
    assert f"accounts.main.limits.{line.split(maxsplit=1)[0]}: " in refusal()

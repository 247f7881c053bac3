"""`endpoints.json`: the names others rely on, whole, private, and found again."""

import json
from pathlib import Path

import pytest

from infra.embedded.endpoints import (
    AccountEndpoint,
    ApiEndpoint,
    DatabaseEndpoint,
    Endpoints,
    WebhookEndpoint,
    read_endpoints,
    remember_folder,
    running_folder,
    write_endpoints,
)
from infra.embedded.folder import Folder, FolderError
from infra.embedded.paper import Paper
from infra.settings import TemporalSettings

EXCHANGE = [
    "admin_url",
    "clob_url",
    "data_url",
    "gamma_url",
    "market_ws_url",
    "relayer_url",
    "rpc_url",
    "user_ws_url",
]
ACCOUNT = ["id", "wallet", "signature_type", "private_key", "api_key", "secret", "passphrase"]


def some_endpoints() -> Endpoints:
    return Endpoints(
        api=ApiEndpoint(url="http://127.0.0.1:7400", key="k-secret"),
        webhooks={"tradingview": WebhookEndpoint(url="http://x", secret="w-secret")},
        temporal=TemporalSettings(ui_url="http://127.0.0.1:7402"),
        database=DatabaseEndpoint(url="postgresql://holdfast:d-secret@127.0.0.1:7405/holdfast"),
        exchange=Paper(Path("unused"), 7406).addresses,
        accounts=(
            AccountEndpoint(
                id="main",
                wallet="0x" + "ab" * 20,
                signature_type=3,
                private_key="p-secret",
                api_key="a-secret",
                secret="s-secret",
                passphrase="h-secret",
            ),
        ),
        processes={"api": 1, "postgres": 2},
    )


def test_the_document_has_the_names_others_rely_on(folder: Folder) -> None:
    write_endpoints(folder.endpoints, some_endpoints())

    told = json.loads((folder.root / "endpoints.json").read_text())

    names = {part: sorted(told[part]) for part in ("api", "temporal", "database", "exchange")}
    assert names == {
        "api": ["key", "url"],
        "temporal": ["address", "namespace", "ui_url"],
        "database": ["url"],
        "exchange": EXCHANGE,
    }
    assert sorted(told) == sorted([*names, "webhooks", "accounts", "processes"])
    assert sorted(told["webhooks"]["tradingview"]) == ["secret", "url"]
    assert list(told["accounts"][0]) == ACCOUNT


def test_the_document_is_private_and_read_back_as_it_was(folder: Folder) -> None:
    write_endpoints(folder.endpoints, some_endpoints())

    assert folder.endpoints.stat().st_mode & 0o777 == 0o600
    assert read_endpoints(folder.root) == some_endpoints()


def test_no_key_is_shown_where_the_document_is_printed() -> None:
    assert "secret'" not in repr(some_endpoints())


def test_a_folder_where_nothing_runs_says_so(folder: Folder) -> None:
    with pytest.raises(FolderError, match="nothing runs there"):
        read_endpoints(folder.root)


def test_the_running_stack_is_the_one_named_else_that_of_the_last_up(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOLDFAST_DATA_DIR", raising=False)
    with pytest.raises(FolderError, match="HOLDFAST_DATA_DIR"):
        running_folder()

    remember_folder(root)
    assert running_folder() == root

    monkeypatch.setenv("HOLDFAST_DATA_DIR", str(root / "other"))
    assert running_folder() == root / "other"


def test_a_home_that_cannot_be_written_does_not_stop_up(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root.parent.joinpath("file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(root.parent / "file"))

    remember_folder(root)

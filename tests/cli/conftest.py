"""A small real server in a thread, a data folder that points to it, and the command."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.said import Command, Said
from tests.cli.small_api import KEY, Running, SmallApi
from workers.cli import main

SECRET = "webhook-secret"


@pytest.fixture(scope="session")
def running() -> Iterator[Running]:
    with Running() as server:
        yield server


@pytest.fixture
def folder(running: Running, tmp_path: Path) -> Path:
    """Return a data folder whose `endpoints.json` names the server, which knows nothing yet."""
    running.api = SmallApi()
    told: dict[str, object] = {
        "api": {"url": running.origin, "key": KEY},
        "webhooks": {
            "tradingview": {
                "url": f"{running.origin}/api/v1/webhooks/tradingview",
                "secret": SECRET,
            }
        },
        "temporal": {
            "address": "127.0.0.1:1",
            "namespace": "default",
            "ui_url": "http://127.0.0.1:2",
        },
        "database": {"url": "postgresql://holdfast:x@127.0.0.1:3/holdfast"},
        "exchange": {"clob_url": f"{running.origin}/clob"},
        "accounts": [],
        "processes": {"api": os.getpid()},
    }
    path = tmp_path / "endpoints.json"
    path.write_text(json.dumps(told))
    path.chmod(0o600)
    return tmp_path


@pytest.fixture
def api(folder: Path, running: Running) -> SmallApi:
    """Return what the server of `folder` knows."""
    assert folder.is_dir()
    return running.api


@pytest.fixture
def holdfast(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    """Return the command, run in this process against the server."""
    monkeypatch.setenv("HOLDFAST_DATA_DIR", str(folder))
    monkeypatch.setenv("COLUMNS", "100")

    def run(*argv: str) -> Said:
        try:
            code = main(argv)
        except SystemExit as ended:  # argparse: help, or wrong use
            code = int(ended.code or 0)
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return run

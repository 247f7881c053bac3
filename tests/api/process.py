"""The API as the process that production runs."""

import os
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from infra.settings import TemporalSettings
from tests.api.conftest import OWNER, free_port

CODE = (
    "from api.serve import serve; from infra.settings import load_settings; serve(load_settings())"
)
WAIT_SECONDS = 30


@pytest.fixture
def config(tmp_path: Path, database_url: str, temporal: TemporalSettings) -> Path:
    """Return the configuration file of one process."""
    path = tmp_path / "holdfast.toml"
    path.write_text(
        f"""
        database_url = "{database_url}"
        temporal.address = "{temporal.address}"
        api.port = {free_port()}
        [accounts.main]
        wallet = "{OWNER}"
        [webhooks.tradingview]
        secret = "hush"
        account = "main"
        """
    )
    return path


@contextmanager
def serving(config: Path, **more: str) -> Generator[tuple[subprocess.Popen[bytes], str]]:
    """Run the API; yield the process and its address once it answers."""
    environment = {"PATH": os.environ["PATH"], "HOLDFAST_CONFIG": str(config), **more}
    port = int(config.read_text().split("api.port = ")[1].split("\n")[0])
    url = f"http://127.0.0.1:{port}"
    log = config.with_suffix(".log")
    with log.open("ab") as output:
        process = subprocess.Popen([sys.executable, "-c", CODE], env=environment, stderr=output)  # noqa: S603
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                httpx.get(f"{url}/livez").raise_for_status()
            except httpx.HTTPError:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)
            else:
                break
        yield process, url
    finally:
        process.kill()
        process.wait()

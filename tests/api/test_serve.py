"""The API as the process that production runs, and what survives its death."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from infra.settings import TemporalSettings
from tests.api.conftest import OWNER, free_port

pytestmark = pytest.mark.services

CODE = (
    "from api.serve import serve; from infra.settings import load_settings; serve(load_settings())"
)
WAIT_SECONDS = 30
BUY = {"secret": "hush", "action": "BuyMarket", "market": "r:Yes", "percent": 1}


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


def statuses(database_url: str) -> list[str]:
    with psycopg.connect(database_url) as connection:
        query = "SELECT status FROM holdfast.signals ORDER BY received_at"
        return [row[0] for row in connection.execute(query)]


def settled(database_url: str, wanted: list[str]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while statuses(database_url) != wanted:
        assert time.monotonic() < deadline, statuses(database_url)
        time.sleep(0.05)


@pytest.mark.parametrize("place", ["api.after_insert", "api.before_start"])
def test_a_signal_outlives_the_process_that_took_it(
    config: Path, database_url: str, place: str
) -> None:
    body = BUY | {"id": f"{place}-{config}"}
    with serving(config, HOLDFAST_FAILPOINT=f"{place}=kill9") as (process, url):
        # The answer does not wait for the start: the sender may have it by then.
        with contextlib.suppress(httpx.RemoteProtocolError):
            answer = httpx.post(f"{url}/api/v1/webhooks/tradingview", json=body)
            assert (place, answer.status_code) == ("api.before_start", 202)
        assert process.wait(WAIT_SECONDS) == -signal.SIGKILL
    assert statuses(database_url) == ["received"]
    with serving(config) as (_, url):
        again = httpx.post(f"{url}/api/v1/webhooks/tradingview", json=body)
        assert again.status_code == 200
        settled(database_url, ["processing"])


def test_a_death_before_storing_leaves_nothing_and_promises_nothing(
    config: Path, database_url: str
) -> None:
    with (
        serving(config, HOLDFAST_FAILPOINT="api.before_insert=kill9") as (_, url),
        pytest.raises(httpx.RemoteProtocolError),
    ):
        httpx.post(f"{url}/api/v1/webhooks/tradingview", json=BUY)
    assert statuses(database_url) == []


def test_it_stops_when_told_and_its_log_has_no_secret(config: Path) -> None:
    with serving(config) as (process, url):
        httpx.post(f"{url}/api/v1/webhooks/tradingview/hush", json={"action": "PING"})
        assert httpx.post(f"{url}/api/v1/webhooks/tradingview", json=BUY).status_code == 202
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_SECONDS) in {0, -signal.SIGTERM}
    text = config.with_suffix(".log").read_text()
    assert "api.started" in text
    assert "hush" not in text


def test_b6_a_flood_of_bytes_is_refused_without_being_read(config: Path) -> None:
    with serving(config) as (_, url):

        def endless() -> Generator[bytes]:
            for _ in range(800):
                yield b"[" * 65_536

        try:
            answer = httpx.post(f"{url}/api/v1/webhooks/tradingview", content=endless())
        except httpx.WriteError:
            pass  # it was cut off while still sending
        else:
            assert answer.status_code == 413


def test_a6_silent_and_slow_connections_are_closed(config: Path) -> None:
    with serving(config) as (_, url):
        place = ("127.0.0.1", int(url.rpartition(":")[2]))
        silent, slow = socket.create_connection(place), socket.create_connection(place)
        slow.sendall(b"POST /api/v1/webhooks/tradingview HTTP/1.1\r\nHost: x\r\nX-")
        for connection in (silent, slow):
            connection.settimeout(WAIT_SECONDS)
            assert connection.recv(1) == b""
            connection.close()

"""The API as the process that production runs, and what survives its death."""

import contextlib
import signal
import time
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.api.process import WAIT_SECONDS, config, serving

__all__ = ["config"]
pytestmark = pytest.mark.services

BUY = {"secret": "hush", "action": "BuyMarket", "market": "r:Yes", "percent": 1}


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

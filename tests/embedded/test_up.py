"""`holdfast up`: comes up whole, mends itself, stops in order, and continues where it was.

The servers are real; the roles are stand-ins (`roles.py`), so that only `up` itself is at stake.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest

from infra.clock import monotonic_seconds
from infra.embedded.endpoints import Endpoints, read_endpoints
from infra.embedded.folder import claimed
from infra.embedded.keys import kept_keys

pytestmark = pytest.mark.services

DRIVER = """
import asyncio, sys
from pathlib import Path
from workers.up import UpOptions, run_up
root, fresh, exchange, *command = sys.argv[1:]
options = UpOptions(
    data_dir=Path(root), fresh=fresh == "fresh", exchange=exchange == "paper",
    port_base=24000, command=tuple(command),
)
sys.exit(asyncio.run(run_up(options)))
"""
ROLES = (sys.executable, str(Path(__file__).with_name("roles.py")))
CHILDREN = ["api", "paper", "postgres", "temporal", "worker-streams", "worker-trading"]
WALLET = "0x" + "ab" * 20


@dataclass(frozen=True)
class Up:
    """A running `up`."""

    root: Path
    process: subprocess.Popen[str]

    def endpoints(self) -> Endpoints:
        return read_endpoints(self.root)

    def ended(self) -> tuple[int, str]:
        told, _ = self.process.communicate(timeout=60)
        return self.process.returncode, told


def start(root: Path, *, fresh: bool = False, paper: bool = True, **variables: str) -> Up:
    choices = ["fresh" if fresh else "continue", "paper" if paper else "none"]
    argv = [sys.executable, "-c", DRIVER, str(root), *choices, *ROLES]
    environment = {**os.environ, "XDG_STATE_HOME": str(root.parent / "state"), **variables}
    process = subprocess.Popen(  # noqa: S603  # our own program
        argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return Up(root, process)


@contextmanager
def running(root: Path, **choices: Any) -> Generator[Up]:
    before = written(root)
    up = start(root, **choices)
    try:
        until(lambda: written(root) not in {0, before} or up.process.poll() is not None)
        assert up.process.poll() is None, up.ended()
        yield up
    finally:
        up.process.send_signal(signal.SIGINT)
        up.process.communicate(timeout=60)


def written(root: Path) -> int:
    path = root / "endpoints.json"
    return path.stat().st_mtime_ns if path.exists() else 0


def until(condition: Callable[[], bool]) -> None:
    deadline = monotonic_seconds() + 60
    while not condition():
        assert monotonic_seconds() < deadline, "it never happened"
        time.sleep(0.02)


def get(url: str) -> Any:
    parts = urlsplit(url)
    with closing(HTTPConnection(parts.netloc, timeout=10)) as connection:
        connection.request("GET", parts.path)
        answer = connection.getresponse()
        assert answer.status == 200
        return json.loads(answer.read() or "null")


def runs(endpoints: Endpoints) -> int:
    with psycopg.connect(endpoints.database.url) as connection:
        row = connection.execute("SELECT count(*) FROM runs").fetchone()
        assert row is not None
        return row[0]


def collateral(endpoints: Endpoints) -> str:
    rows: list[dict[str, Any]] = get(f"{endpoints.exchange.admin_url}/ledger/balances")
    wallet = endpoints.accounts[0].wallet
    return next(row for row in rows if row["wallet"].lower() == wallet.lower())["balance"]


@pytest.fixture(scope="module")
def up() -> Generator[Up]:
    made = Path(tempfile.mkdtemp(prefix="holdfast-")).resolve()
    with running(made / "stack") as up:
        yield up
    shutil.rmtree(made)


def test_everything_comes_up_and_says_where_it_is(up: Up) -> None:
    told = up.endpoints()

    assert sorted(told.processes) == CHILDREN
    assert all(psutil.pid_exists(pid) for pid in told.processes.values())
    assert get(f"{told.api.url}/readyz") is None
    assert runs(told) == 1
    assert float(collateral(told)) == 10_000
    assert get(f"{told.temporal.ui_url}/api/v1/namespaces")
    assert (up.root / "endpoints.json").stat().st_mode & 0o777 == 0o600
    last = up.root.parent / "state" / "holdfast" / "last"
    assert last.read_text().strip() == str(up.root)


def test_a_second_up_on_the_same_folder_is_refused_and_harms_nothing(up: Up) -> None:
    before = up.endpoints()

    code, words = start(up.root).ended()

    assert code == 1
    assert f"in use by process {up.process.pid}" in words
    assert up.endpoints() == before
    assert all(psutil.pid_exists(pid) for pid in before.processes.values())


def test_only_the_trading_worker_is_led_to_the_signing_keys(up: Up) -> None:
    told = up.endpoints()

    led = [
        name
        for name, pid in told.processes.items()
        if "HOLDFAST_SECRETS" in psutil.Process(pid).environ()
    ]
    assert led == ["worker-trading"]
    config = (up.root / "config.toml").read_text()
    assert told.accounts[0].private_key not in config
    assert tomllib.loads(config)["accounts"]["main"]["wallet"] == told.accounts[0].wallet
    for name in ("config.toml", "secrets.toml", "keys.json"):
        assert (up.root / name).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", CHILDREN)
def test_a_killed_child_returns_with_a_new_pid_and_the_same_addresses(up: Up, name: str) -> None:
    before = up.endpoints()

    os.kill(before.processes[name], signal.SIGKILL)

    until(lambda: up.endpoints().processes[name] != before.processes[name])
    after = up.endpoints()
    assert {one for one in CHILDREN if after.processes[one] != before.processes[one]} == {name}
    assert after.model_copy(update={"processes": before.processes}) == before
    until(lambda: answers(after))
    assert float(collateral(after)) == 10_000


def answers(endpoints: Endpoints) -> bool:
    try:
        return runs(endpoints) > 0 and get(f"{endpoints.exchange.clob_url}/ok") == "OK"
    except (OSError, psycopg.OperationalError):
        return False


def test_after_kill_9_the_next_up_ends_the_orphans_and_continues(root: Path) -> None:
    with running(root) as up:
        before = up.endpoints()
        up.process.kill()
        up.process.wait()

    with running(root) as up:
        after = up.endpoints()
        assert not [pid for pid in before.processes.values() if psutil.pid_exists(pid)]
        assert after.model_copy(update={"processes": before.processes}) == before
        assert runs(after) == 2
        assert float(collateral(after)) == 10_000

    assert up.process.returncode == 0
    assert not [pid for pid in after.processes.values() if psutil.pid_exists(pid)]
    assert not (root / "endpoints.json").exists()


def test_fresh_leaves_a_folder_that_was_never_ours_alone(root: Path) -> None:
    root.mkdir()
    (root / "thesis.txt").write_text("years of work")
    code, words = start(root, fresh=True).ended()
    assert (code, "not a data folder of holdfast" in words) == (1, True)
    assert [path.name for path in root.iterdir()] == ["thesis.txt"]


def test_fresh_begins_with_new_keys(root: Path) -> None:
    with claimed(root) as folder:
        before = kept_keys(folder.keys)

    with running(root, fresh=True) as up:
        after = up.endpoints()

        assert after.api.key != before.api_key
        assert after.accounts[0].private_key != before.private_key


def test_without_the_paper_exchange_the_callers_own_files_name_one(root: Path) -> None:
    config, secrets = root.parent / "config.toml", root.parent / "secrets.toml"
    config.write_text(
        f'[accounts.live]\nwallet = "{WALLET}"\n'
        '[exchange]\nclob_url = "https://clob.example.org"\n'
        '[webhooks.desk]\nsecret = "s"\naccount = "live"\n'
    )
    secrets.write_text('[accounts.live]\nprivate_key = "0x1"\n')
    named = {"HOLDFAST_CONFIG": str(config), "HOLDFAST_SECRETS": str(secrets)}

    with running(root, paper=False, **named) as up:
        told = up.endpoints()

        assert sorted(told.processes) == [name for name in CHILDREN if name != "paper"]
        assert told.exchange.clob_url == "https://clob.example.org"
        assert told.accounts == ()
        assert list(told.webhooks) == ["desk"]
        worker = psutil.Process(told.processes["worker-trading"]).environ()
        assert worker["HOLDFAST_SECRETS"] == str(secrets)
        assert "HOLDFAST_STORAGE_KEY" in worker
        assert "0x1" not in (root / "config.toml").read_text()


def test_a_role_that_cannot_start_ends_up_with_its_words_and_leaves_nothing_running(
    root: Path,
) -> None:
    code, words = start(root, FAILING_ROLE="migrate").ended()

    assert (code, "migrate cannot start" in words) == (1, True)
    assert not [one.pid for one in psutil.process_iter() if is_of(one, root)]


def test_a_signal_during_the_start_stops_everything(root: Path) -> None:
    up = start(root)
    until((root / "run" / "processes.json").exists)

    up.process.send_signal(signal.SIGTERM)

    code, _ = up.ended()
    assert code == 0
    assert not [one.pid for one in psutil.process_iter() if is_of(one, root)]


def is_of(process: psutil.Process, root: Path) -> bool:
    try:
        return process.environ().get("HOLDFAST_UP") == str(root)
    except (psutil.Error, OSError):
        return False

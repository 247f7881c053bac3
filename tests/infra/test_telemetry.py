"""Logging: events with fields, never a secret, never a character that moves a cursor."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from infra.telemetry import JsonLines, Pretty, configure_logging, redacted, scrubbed

log = logging.getLogger("tests.telemetry")


@pytest.fixture
def _logging_as_it_was() -> Iterator[None]:
    root, hook = logging.getLogger(), sys.excepthook
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.excepthook = hook
    logging.captureWarnings(capture=False)


def record(event: str, **extra: Any) -> logging.LogRecord:
    made = log.makeRecord(log.name, logging.INFO, "", 0, event, (), None, extra=extra)
    made.created = 1_800_000_000.5
    return made


def line(event: str, **extra: Any) -> dict[str, Any]:
    return json.loads(JsonLines("api").format(record(event, **extra)))


def pretty(event: str, **extra: Any) -> str:
    return Pretty("api", io.StringIO()).format(record(event, **extra))


def test_an_event_is_one_json_object_with_its_fields() -> None:
    assert line("order.sent", order_hash="0x12", attempt=2, price=None) == {
        "at": "2027-01-15T08:00:00.500000+00:00",
        "level": "info",
        "role": "api",
        "event": "order.sent",
        "logger": "tests.telemetry",
        "order_hash": "0x12",
        "attempt": 2,
        "price": None,
    }


@pytest.mark.parametrize(
    "name",
    [
        *("secret", "webhook_secret", "private_key", "api_key", "apiKey", "passphrase"),
        *("password", "storage_key", "Authorization", "Cookie", "POLY-SIGNATURE", "key"),
    ],
)
def test_a_secret_is_masked_by_the_name_of_its_field_however_deep(name: str) -> None:
    for value in ("hunter2", ["hunter2"], {"x": "hunter2"}):
        assert "hunter2" not in json.dumps(line("x.y", **{name: value}))
        assert "hunter2" not in pretty("x.y", **{name: value})
        assert "hunter2" not in json.dumps(line("x.y", inner={"list": [{name: value}]}))


@pytest.mark.parametrize("name", ["token_id", "signature_type", "monkey", "signal_id"])
def test_a_field_that_is_no_secret_stays(name: str) -> None:
    assert redacted("7", name) == "7"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://me:hunter2@host:5432/db", "postgresql://me:***@host:5432/db"),
        ("http://127.0.0.1:8080/x", "http://127.0.0.1:8080/x"),
        ("Authorization: Bearer hunter2", "Authorization: Bearer ***"),
    ],
)
def test_a_secret_inside_a_text_is_masked(text: str, shown: str) -> None:
    assert scrubbed(text) == shown
    assert "hunter2" not in json.dumps(line(text, where=text))


def test_control_characters_are_written_out() -> None:
    attack = "x\r\n{}\x1b[2J\x9b\x7f\u202e"
    for shown in (pretty(attack, field=attack), JsonLines("api").format(record(attack))):
        assert shown.isprintable()


def test_an_exception_is_told_in_one_line_of_json() -> None:
    made = record("x.failed")
    try:
        int("postgresql://me:hunter2@host/db")
    except ValueError:
        made.exc_info = sys.exc_info()
    told = JsonLines("api").format(made)
    assert "\n" not in told
    assert "ValueError" in json.loads(told)["exception"]
    assert "hunter2" not in told


def test_a_field_never_hides_what_every_line_says() -> None:
    assert line("x.y", level="none", role="none")["role"] == "api"


@pytest.mark.usefixtures("_logging_as_it_was")
def test_once_configured_every_logger_writes_in_the_one_format(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("json", "worker-trading")
    configure_logging("json", "worker-trading")
    log.info("order.sent", extra={"attempt": 1})
    logging.getLogger("httpx").info("HTTP Request: …")
    [only] = capsys.readouterr().err.splitlines()
    assert json.loads(only)["role"] == "worker-trading"


def test_what_nobody_caught_is_logged_in_the_same_format() -> None:
    script = (
        "from infra.telemetry import configure_logging\n"
        "configure_logging('json', 'api')\n"
        "raise RuntimeError('postgresql://me:hunter2@host/db')"
    )
    ended = subprocess.run(  # noqa: S603  # our own interpreter
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    told = json.loads(ended.stderr)
    assert told["event"] == "process.crashed"
    assert "hunter2" not in ended.stderr

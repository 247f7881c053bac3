"""The verbs that read: what they show, and the documents they write."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from infra.clock import utc_now
from tests.cli.rows import (
    CALLS,
    HASH,
    PNL,
    ROWS,
    SIGNAL,
    STATUS,
    Row,
    a_position,
    a_signal,
    a_story,
    an_order,
)
from tests.cli.said import Command
from tests.cli.small_api import SmallApi

LONGEST_LINE = 100


def fill(api: SmallApi) -> None:
    api.rows |= {kind: [row] for kind, row in ROWS.items()}
    api.documents = {"status": STATUS, "pnl": PNL, "calls": CALLS}
    api.stories = {SIGNAL: a_story()}


READS: dict[str, tuple[str, ...]] = {
    **{kind: (kind,) for kind in (*ROWS, "status", "pnl", "calls")},
    "why": ("why", SIGNAL),
}


@pytest.mark.parametrize("argv", READS.values(), ids=READS.keys())
def test_every_table_fits_a_hundred_columns(
    holdfast: Command, api: SmallApi, argv: tuple[str, ...]
) -> None:
    fill(api)
    said = holdfast(*argv)
    assert said.code == 0, said.err
    assert said.out.strip()
    assert max(len(line) for line in said.out.splitlines()) <= LONGEST_LINE


@pytest.mark.parametrize("kind", ROWS)
def test_a_document_of_rows_holds_every_field_as_the_api_gave_it(
    holdfast: Command, api: SmallApi, kind: str
) -> None:
    fill(api)
    assert holdfast(kind, "--json").document == {"items": [ROWS[kind]]}


def test_a_document_without_limit_holds_all_rows_of_all_pages(
    holdfast: Command, api: SmallApi
) -> None:
    api.page = 2
    api.rows["signals"] = [a_signal(id=f"{n:020}") for n in range(5)]
    assert [row["id"] for row in holdfast("signals", "--json").document["items"]] == [
        f"{n:020}" for n in range(5)
    ]
    assert len(holdfast("signals", "--json", "--limit", "3").document["items"]) == 3


def test_a_table_is_a_screenful_and_says_how_to_see_more(holdfast: Command, api: SmallApi) -> None:
    api.rows["signals"] = [a_signal(id=f"{n:020}") for n in range(100)]
    said = holdfast("signals")
    assert said.out.count("BuyMarket") == 30
    assert "--limit" in said.out


def test_hashes_slugs_and_numbers_are_short_enough_to_read(
    holdfast: Command, api: SmallApi
) -> None:
    api.rows["orders"] = [an_order()]
    said = holdfast("orders")
    assert "0x12ab…9f" in said.out
    assert "will-the-commit…ember-2026"[:14] in said.out
    assert re.search(r"\b0\.45\b", said.out)
    assert "0/100" in said.out
    assert "000000" not in said.out


def test_in_a_narrow_terminal_markets_are_still_told_apart(
    holdfast: Command, api: SmallApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(api)
    monkeypatch.setenv("COLUMNS", "80")
    for kind in ("orders", "positions"):
        told = holdfast(kind).out
        assert max(len(line) for line in told.splitlines()) <= 80
        assert re.search(r"will.*….*26 ", told)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"sl_order_id": "p:sl:1", "tp_order_id": HASH}, r"0\.3/0\.9 +yes"),
        ({"sl_order_id": "p:sl:1", "tp_order_id": None}, r"0\.3/0\.9 +stop"),
        ({"sl_order_id": None, "tp_order_id": None}, r"0\.3/0\.9 +no"),
        ({"unprotected_since": "2026-11-20T10:00:00+00:00"}, r"0\.3/0\.9 +no, \d+ s"),
        ({"current_sl": None, "current_tp": None}, r"-1,234\.56 *\n"),
    ],
    ids=["both", "the stop alone", "nothing yet", "the guardian misses one", "nothing wished"],
)
def test_a_position_shows_what_protects_it_now(
    holdfast: Command, api: SmallApi, given: Row, words: str
) -> None:
    api.rows["positions"] = [a_position(**given)]
    assert re.search(words, holdfast("positions").out)


def test_unprotected_seconds_count_what_lasts(
    holdfast: Command, api: SmallApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    since = (utc_now() - timedelta(seconds=100)).isoformat()
    api.rows["positions"] = [a_position(unprotected_seconds="5", unprotected_since=since)]
    assert re.search(r" 1\d\d\.\d *\n", holdfast("positions").out)


def test_a_watch_outlives_a_restart_of_the_api(folder: Path) -> None:
    rewrite(folder, lambda told: told["api"].update(url="http://127.0.0.1:1"))
    process = watching(folder, "orders")
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]  # a hundred columns fold it in two
        assert sum("nothing answers" in line for line in lines) == 2
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()


def test_nothing_yet_is_said_in_words(holdfast: Command) -> None:
    assert "no orders yet" in holdfast("orders").out


def test_words_from_outside_cannot_move_the_cursor_or_style_the_terminal(
    holdfast: Command, api: SmallApi
) -> None:
    api.rows["signals"] = [a_signal(reason="\x1b[2J[red]x[/red]\r\nnew")]
    said = holdfast("signals")
    assert "\x1b" not in said.out
    assert "[red]x[/red]" in said.out


def test_a_story_is_told_in_order_with_its_trace_and_its_page_in_temporal(
    holdfast: Command, api: SmallApi
) -> None:
    fill(api)
    told = holdfast("why", SIGNAL).out
    steps = [told.index(step) for step in ("signal.received", "order.live", "order.filled")]
    assert steps == sorted(steps)
    assert "f" * 32 in told
    assert f"http://127.0.0.1:2/namespaces/default/workflows/order-{SIGNAL}-0" in told
    document = holdfast("why", SIGNAL, "--json").document
    assert [step["kind"] for step in document["timeline"]] == [
        "signal.received",
        "order.live",
        "order.filled",
    ]


@pytest.mark.parametrize("given", ["0x12ab", "0x12ab…9f", "0x12ab...9f"])
def test_a_story_is_found_by_the_short_form_that_tables_show(
    holdfast: Command, api: SmallApi, given: str
) -> None:
    api.rows["orders"] = [an_order()]
    api.stories = {HASH: a_story(kind="order", id=HASH)}
    assert holdfast("why", given, "--json").document["id"] == HASH


def test_an_id_that_names_nothing_is_wrong_use(holdfast: Command) -> None:
    said = holdfast("why", "0xdeadbeef")
    assert said.code == 2
    assert "0xdeadbeef" in said.err


def test_without_a_stack_one_line_says_how_to_start_it(holdfast: Command, folder: Path) -> None:
    (folder / "endpoints.json").unlink()
    for argv in READS.values():
        said = holdfast(*argv)
        assert said.code == 1
        assert "holdfast up" in said.err
        assert said.err.count("\n") == 1
        assert said.out == ""


def test_without_a_stack_ever_one_line_says_how_to_start_one(
    holdfast: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOLDFAST_DATA_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    said = holdfast("orders")
    assert said.code == 1
    assert "holdfast up" in said.err


def test_without_its_name_the_stack_of_the_last_up_is_read(
    holdfast: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOLDFAST_DATA_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    (folder / "state" / "holdfast").mkdir(parents=True)
    (folder / "state" / "holdfast" / "last").write_text(f"{folder}\n")
    assert holdfast("orders", "--json").document == {"items": []}


def test_an_api_that_does_not_answer_is_told_in_one_line(holdfast: Command, folder: Path) -> None:
    rewrite(folder, lambda told: told["api"].update(url="http://127.0.0.1:1"))
    said = holdfast("orders")
    assert said.code == 1
    assert "127.0.0.1:1" in said.err
    assert said.err.count("\n") == 1


def test_a_refused_key_is_told_in_one_line(holdfast: Command, folder: Path) -> None:
    rewrite(folder, lambda told: told["api"].update(key="another"))
    said = holdfast("orders")
    assert said.code == 1
    assert "key" in said.err
    assert "another" not in said.err


@pytest.mark.parametrize("text", ["", "{", "[]", '{"api": 1}'])
def test_a_damaged_endpoints_file_is_told_in_one_line(
    holdfast: Command, folder: Path, text: str
) -> None:
    (folder / "endpoints.json").write_text(text)
    said = holdfast("orders")
    assert said.code == 1
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    "argv", [("orders", "--json"), ("orders",), ("why", SIGNAL, "--json"), ("pnl",)]
)
def test_a_watch_shows_again_what_has_changed_until_it_is_interrupted(
    api: SmallApi, folder: Path, argv: tuple[str, ...]
) -> None:
    fill(api)
    process = watching(folder, *argv)
    try:
        path = f"/api/v1/{argv[0]}"
        until(lambda: asked(api, path) >= 2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
    assert err == ""
    if "--json" in argv:
        assert len([json.loads(line) for line in out.splitlines()]) >= 1


def watching(folder: Path, *argv: str) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603  # our own command
        [sys.executable, "-m", "workers.cli", *argv, "--watch"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"COLUMNS": "100", "HOLDFAST_DATA_DIR": str(folder)},
        text=True,
    )


def asked(api: SmallApi, path: str) -> int:
    return sum(1 for one in api.paths if one.startswith(path))


def rewrite(folder: Path, change: Callable[[dict[str, dict[str, str]]], None]) -> None:
    path = folder / "endpoints.json"
    told = json.loads(path.read_text())
    change(told)
    path.write_text(json.dumps(told))


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_refusal_of_the_api_is_told_in_its_own_words(holdfast: Command, api: SmallApi) -> None:
    api.rows.pop("orders")
    said = holdfast("orders")
    assert said.code == 2
    assert "there is no such thing" in said.err


def test_an_account_shows_what_its_day_began_with_how_it_goes_and_what_is_left_to_lose(
    holdfast: Command, api: SmallApi
) -> None:
    fill(api)
    said = holdfast("accounts").out
    for shown in ("10000", "-123.45", "876.55"):
        assert shown in said

"""What may be typed: every verb, its help, wrong use, and how quickly it answers."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.said import Command

VERBS = {
    "up": ("--data-dir", "--fresh", "--port-base", "--no-exchange"),
    "demo": ("--fast",),
    "api": (),
    "worker trading": (),
    "worker streams": (),
    "migrate": ("--json",),
    "paper serve": ("--port", "--data-dir"),
    "send": (
        *("--market", "--outcome", "--percent", "--notional", "--size", "--price"),
        *("--sl", "--tp", "--id", "--wait", "--json"),
    ),
    **dict.fromkeys(
        ("status", "signals", "orders", "fills", "positions", "pnl", "events", "markets"),
        ("--json", "--watch", "--limit"),
    ),
    "accounts": ("--json", "--watch", "--limit"),
    "why": ("--json", "--watch", "--limit"),
    "protect": ("POSITION", "--sl", "--tp", "--id", "--wait", "--json"),
    "exit": ("POSITION", "--reason", "--id", "--wait", "--json"),
    "cancel": ("--wait", "--json"),
    "doctor": ("--json",),
    "config check": ("--json",),
    "config show": ("--json",),
}

WRONG = {
    "no verb": (),
    "an unknown verb": ("signls",),
    "an unknown option": ("signals", "--jsn"),
    "an option cut short": ("signals", "--lim", "3"),
    "a limit of none": ("signals", "--limit", "0"),
    "a limit that is no number": ("signals", "--limit", "many"),
    "two sizes": ("send", "BuyMarket", "--percent", "1", "--size", "1"),
    "a price above one": ("send", "BuyLimit", "--price", "45"),
    "a size below zero": ("send", "BuyLimit", "--size", "-1"),
    "a size that is no number": ("send", "BuyLimit", "--size", "NaN"),
    "no action": ("send",),
    "no order": ("cancel",),
    "no position": ("protect", "--sl", "0.4"),
    "a stop above one": ("protect", "abcd", "--sl", "1.4"),
    "a wait without end": ("cancel", "0x12ab", "--wait", "inf"),
    "ports beyond the last": ("up", "--port-base", "65530"),
    "a role that does not exist": ("worker", "research"),
    "no role": ("worker",),
}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_says_in_its_help_what_it_takes(holdfast: Command, verb: str) -> None:
    said = holdfast(*verb.split(), "--help")
    assert said.code == 0
    assert said.out.startswith(f"usage: holdfast {verb}")
    assert all(option in said.out for option in VERBS[verb])
    assert max(map(len, said.out.splitlines())) <= 100


def test_the_help_lists_every_verb_and_the_exit_codes(holdfast: Command) -> None:
    said = holdfast("--help")
    assert said.code == 0
    for verb in VERBS:
        assert f"    {verb.split()[0]} " in said.out
    assert "3 refused by a rule" in said.out


@pytest.mark.parametrize("argv", WRONG.values(), ids=WRONG.keys())
def test_wrong_use_ends_with_two_and_one_line_that_says_why(
    holdfast: Command, argv: tuple[str, ...]
) -> None:
    said = holdfast(*argv)
    assert said.code == 2
    assert said.out == ""
    assert said.err.splitlines()[-1].startswith("holdfast")


@pytest.mark.parametrize(
    "argv", [("orders", "--json"), ("send", "PING", "--wait", "0", "--json"), ("--help",)]
)
def test_a_document_is_written_without_loading_what_only_tables_or_roles_need(
    folder: Path, argv: tuple[str, ...]
) -> None:
    script = (
        "import sys; from workers.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "heavy = {'rich', 'pydantic', 'temporalio', 'sqlalchemy', 'asyncio', 'httpx'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    ended = subprocess.run(  # noqa: S603  # our own command
        [sys.executable, "-c", script, *argv],
        env={"HOLDFAST_DATA_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stderr == ""
    assert ended.returncode == 0


def test_a_reader_that_has_seen_enough_is_no_fault(folder: Path) -> None:
    command = f"{sys.executable} -m workers.cli --help | head -1"
    ended = subprocess.run(  # noqa: S602  # a pipe is what this is about
        command,
        shell=True,
        env={"HOLDFAST_DATA_DIR": str(folder)},
        capture_output=True,
        check=False,
    )
    assert ended.stderr == b""

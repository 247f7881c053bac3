"""The checker finds nothing in a consistent world, and each thing that is broken in it."""

import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.chaos.checker import check, violations
from tests.chaos.conftest import Kept
from tests.chaos.evidence import loaded
from tests.chaos.invariants import INVARIANTS, UNSETTLED

pytestmark = pytest.mark.services

BREAKS: dict[str, tuple[str, str]] = {
    f"{found[1]}: {found[2]}": (found[1], found[3])
    for found in re.finditer(
        r"^-- (I\w+): (.+)\n((?:(?!-- ).*\n)+)",
        Path(__file__).with_name("breaks.sql").read_text(),
        re.MULTILINE,
    )
}


@contextmanager
def broken(kept: Kept, statements: str) -> Generator[psycopg.Connection[Any]]:
    """Break the world for the time of the block."""
    with psycopg.connect(kept.url) as connection:
        loaded(connection, kept.evidence)
        connection.execute("SET LOCAL search_path = holdfast")
        connection.execute("SET LOCAL session_replication_role = replica")  # events are guarded
        orders = connection.execute(
            "SELECT external_id, order_hash FROM signals JOIN orders ON signals.id = signal_id"
        )
        for alert, order_hash in orders.fetchall():
            statements = statements.replace(f"<{alert}>", order_hash)
        connection.execute(statements.encode())
        yield connection
        connection.rollback()


def test_a_world_made_by_the_engine_holds_every_invariant(kept: Kept) -> None:
    assert [str(each) for each in check(kept.url, kept.evidence)] == []


@pytest.mark.parametrize("what", BREAKS)
def test_one_thing_broken_on_purpose_is_found_by_its_invariant_alone(kept: Kept, what: str) -> None:
    invariant, statements = BREAKS[what]
    with broken(kept, statements) as connection:
        found = violations(connection, INVARIANTS)
    assert {each.invariant for each in found} == {invariant}, found


def test_every_invariant_is_broken_on_purpose() -> None:
    assert {invariant for invariant, _ in BREAKS.values()} == {each.id for each in INVARIANTS}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE signals SET status = 'received' WHERE external_id = 'denied'",
        "UPDATE orders SET state = 'UNKNOWN' WHERE order_hash = '<cancelled>'",
        "UPDATE px.orders SET status = 'LIVE' WHERE order_hash = '<cancelled>'",
        "UPDATE px.legs SET status = 'MINED' WHERE order_hash = '<sold>'",
        "UPDATE fills SET status = 'MINED' WHERE order_hash = '<sold>'",
        "DELETE FROM fills WHERE order_hash = '<sold>'",
    ],
)
def test_what_has_not_settled_is_named(kept: Kept, statement: str) -> None:
    with broken(kept, "SELECT") as connection:
        assert connection.execute(UNSETTLED.encode()).fetchall() == []
    with broken(kept, statement) as connection:
        assert connection.execute(UNSETTLED.encode()).fetchall() != []

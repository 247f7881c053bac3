"""Checks a whole world by SQL: the engine's tables against the evidence from outside."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import psycopg

from infra.store.tables import SCHEMA
from tests.chaos.evidence import Evidence, loaded
from tests.chaos.invariants import INVARIANTS, UNSETTLED, Invariant


@dataclass(frozen=True)
class Violation:
    """One place where an invariant does not hold."""

    invariant: str
    words: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.words}"


def check(url: str, evidence: Evidence) -> list[Violation]:
    """Return every violation in a world that has settled."""
    with psycopg.connect(url) as connection:
        loaded(connection, evidence)
        return violations(connection, INVARIANTS)


def check_running(url: str, evidence: Evidence) -> list[Violation]:
    """Return every violation of what holds at each instant.

    The evidence is older than the one snapshot in which all tables are read: what the exchange
    knew then, the engine has written before.
    """
    with psycopg.connect(url, connect_timeout=2) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        loaded(connection, evidence)
        return violations(connection, (each for each in INVARIANTS if each.holds_always))


def unsettled(url: str, evidence: Evidence) -> list[str]:
    """Return what has still to happen."""
    with psycopg.connect(url, connect_timeout=2) as connection:
        loaded(connection, evidence)
        return _sentences(connection, UNSETTLED)


def stories(url: str, sentences: Iterable[str]) -> list[str]:
    """Return every event of the orders that these sentences name, oldest first."""
    named = re.findall(r"0x[0-9a-f]{64}", " ".join(sentences))
    with psycopg.connect(url, connect_timeout=2) as connection:
        rows = connection.execute(
            "SELECT format('%%s %%s %%s %%s', left(order_hash, 8), at, kind, detail - 'before')"
            " FROM holdfast.events WHERE order_hash = ANY(%s) ORDER BY order_hash, seq",
            [named],
        )
        return [row[0] for row in rows]


def violations(
    connection: psycopg.Connection[Any], invariants: Iterable[Invariant]
) -> list[Violation]:
    """Return every violation of `invariants`, with the evidence loaded already."""
    return [
        Violation(each.id, words)
        for each in invariants
        for words in _sentences(connection, each.sql)
    ]


def _sentences(connection: psycopg.Connection[Any], sql: str) -> list[str]:
    connection.execute(f"SET LOCAL search_path = {SCHEMA}")
    return [row[0] for row in connection.execute(sql.encode())]

"""E9: the schema is brought up to date while the version before still works on it."""

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from infra.store import migrate as module
from infra.store.migrate import STEPS, migrate

pytestmark = pytest.mark.services

REVISIONS = [
    one.revision for one in reversed([*ScriptDirectory(str(STEPS)).walk_revisions("base", "heads")])
]
ALONE = 4  # the first steps were taken before there was anybody who could work meanwhile
# As the first version ever wrote it.
WRITE = """
    INSERT INTO holdfast.signals (id, source, body_digest, received_at, status, raw_payload,
        repeats, is_unproven, trace_id)
    VALUES (%(id)s, 'old', %(id)s, now(), 'processed', 'x', 0, false, 'trace')
"""
LIMITS = "-c lock_timeout=2000 -c statement_timeout=4000"  # those of every session of ours
COLUMNS = """
    SELECT table_name, column_name, data_type, is_nullable = 'YES' OR column_default IS NOT NULL
        OR is_generated = 'ALWAYS' OR is_identity = 'YES'
    FROM information_schema.columns WHERE table_schema = 'holdfast'
"""


@contextmanager
def at(monkeypatch: pytest.MonkeyPatch, revision: str) -> Generator[None]:
    """Have `migrate` go no further than a revision."""
    upgrade = command.upgrade

    def stop(config: Config, _: str) -> None:
        upgrade(config, revision)

    with monkeypatch.context() as patch:
        patch.setattr(module.command, "upgrade", stop)
        yield


def columns(url: str) -> dict[tuple[str, str], tuple[str, bool]]:
    """Return type and whether it may be left out, of every column."""
    with psycopg.connect(url) as connection:
        return {(row[0], row[1]): (row[2], row[3]) for row in connection.execute(COLUMNS)}


class OldVersion:
    """Writes as the version before did, one row after the other, until it is told to end."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._ending = threading.Event()
        self._has_written = threading.Semaphore(0)
        self.written: list[str] = []
        self.failures: list[psycopg.Error] = []
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> "OldVersion":
        self._thread.start()
        self.goes_on()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def goes_on(self) -> None:
        """Wait until it has written some more rows."""
        while self._has_written.acquire(blocking=False):
            pass
        for _ in range(3):
            assert self._has_written.acquire(timeout=60), self.failures

    def _write(self) -> None:
        with psycopg.connect(self._url, autocommit=True, options=LIMITS) as connection:
            while not self._ending.is_set() and not self.failures:
                name = f"old-{len(self.written)}"
                try:
                    connection.execute(WRITE, {"id": name})
                except psycopg.Error as error:
                    self.failures.append(error)
                else:
                    self.written.append(name)
                    self._has_written.release()


def stored(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        return {row[0] for row in connection.execute("SELECT id FROM holdfast.signals")}


@pytest.mark.parametrize("revision", REVISIONS[ALONE:])
def test_e9_what_the_version_before_writes_is_taken_during_each_step_and_after_it(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch, revision: str
) -> None:
    url = empty_database_url
    with at(monkeypatch, REVISIONS[REVISIONS.index(revision) - 1]):
        migrate(url)
    before = columns(url)
    with OldVersion(url) as old:
        with at(monkeypatch, revision):
            migrate(url)
        old.goes_on()

    assert old.failures == []
    assert stored(url) == set(old.written)
    after = columns(url)
    assert {name: kind for name, (kind, _) in before.items()} == {
        name: after[name][0] for name in before
    }, "a column that the version before knows is gone, or of another type"
    tables = {table for table, _ in before}
    demanded = [name for name in after.keys() - before.keys() if not after[name][1]]
    assert [name for name in demanded if name[0] in tables] == [], "it does not know what to write"


def test_e9_a_migration_that_must_wait_for_somebody_holds_up_nobody_meanwhile(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    url = empty_database_url
    with at(monkeypatch, REVISIONS[0]):
        migrate(url)
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.1)
    migrating = threading.Thread(target=migrate, args=[url])
    with psycopg.connect(url) as reader, OldVersion(url) as old:
        reader.execute("SELECT count(*) FROM holdfast.signals")  # and reads on for a long time
        migrating.start()
        until(lambda: "migration.waits" in caplog.messages)
        old.goes_on()
        assert migrating.is_alive()
        reader.rollback()
        migrating.join(60)
        assert not migrating.is_alive()
        old.goes_on()

    assert old.failures == []
    assert stored(url) == set(old.written)


def until(happens: Callable[[], bool]) -> None:
    """Wait until something has happened."""
    for _ in range(6_000):
        if happens():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it never happened")

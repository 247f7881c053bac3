"""The schema a migration makes is the schema the code declares."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import NullPool, create_engine

from infra.store.database import driver_url
from infra.store.migrate import migrate
from infra.store.tables import SCHEMA, Table

pytestmark = pytest.mark.services

PROMISED = {
    "signals": "id source external_id received_at status reason action prix_sl prix_tp raw_payload"
    " trace_id",
    "orders": "order_hash intent_id account_id token_id side type source state price size"
    " filled_size signal_id workflow_id trace_id attempts last_sent_at created_at",
    "fills": "trade_id order_hash account_id token_id side price size fee fee_asset status source"
    " matched_at",
    "positions": "id account_id token_id status size average_price realised_pnl_average"
    " realised_pnl_fifo current_price unrealised_pnl current_sl current_tp sl_order_id"
    " tp_order_id",
    "protections": "id position_id kind price size n status order_hash",
    "webhooks": "status action prix_sl prix_tp raw_payload received_at",
    "trades": "source type status exchange_order_id",
    "accounts": "id state",
    "lots": "position_id",
    "events": "account_id trace_id",
    "outbox": "sent_at",
    "markets": "slug",
}


def _columns(url: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    with psycopg.connect(url) as connection:
        query = "SELECT table_name, column_name FROM information_schema.columns"
        rows = connection.execute(f"{query} WHERE table_schema = 'holdfast'").fetchall()
    for table, column in rows:
        found.setdefault(table, set()).add(column)
    return found


def _is_ours(name: str | None, kind: str, _parents: object) -> bool:
    return kind != "schema" or name == SCHEMA


def test_migrating_creates_exactly_the_declared_tables(database_url: str) -> None:
    engine = create_engine(driver_url(database_url), poolclass=NullPool)
    with engine.connect() as connection:
        options: dict[str, Any] = {
            "include_schemas": True,
            "include_name": _is_ours,
            "version_table_schema": SCHEMA,
            "compare_type": True,
            "compare_server_default": True,
        }
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, Table.metadata) == []


def test_partial_indexes_have_the_declared_conditions(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        query = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'holdfast'"
        made = "\n".join(row[0] for row in connection.execute(query))
    for table in Table.metadata.sorted_tables:
        for index in table.indexes:
            where = index.dialect_options["postgresql"]["where"]
            definition = next(line for line in made.splitlines() if f" {index.name} " in line)
            assert (where is not None) == (" WHERE " in definition), index.name


def test_names_that_others_rely_on_exist(database_url: str) -> None:
    columns = _columns(database_url)
    missing = {
        f"{table}.{column}"
        for table, names in PROMISED.items()
        for column in names.split()
        if column not in columns.get(table, set())
    }
    assert missing == set()


def test_migrating_twice_changes_nothing(empty_database_url: str) -> None:
    migrate(empty_database_url)
    before = _columns(empty_database_url)
    migrate(empty_database_url)
    assert _columns(empty_database_url) == before


def test_processes_that_migrate_at_once_all_succeed(empty_database_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(migrate, [empty_database_url] * 4))
    assert "orders" in _columns(empty_database_url)


def test_the_audit_trail_cannot_be_changed(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO holdfast.events (kind, subject_kind, subject_id, detail)"
            " VALUES ('order.sent', 'order', '0x1', '{}')"
        )
        for change in ("UPDATE holdfast.events SET who = 'x'", "DELETE FROM holdfast.events"):
            with pytest.raises(psycopg.errors.RaiseException):
                connection.execute(change.encode())

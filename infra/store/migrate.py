"""Bringing the schema of a database up to date."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import NullPool, create_engine, text

from infra.store.database import driver_url
from infra.store.tables import SCHEMA

STEPS: Final = Path(__file__).parent.parent / "migrations"
LOCK: Final = 7_105_418_225_664  # any number, the same in every process that migrates


def migrate(database_url: str) -> None:
    """Create or upgrade schema `holdfast`; a second run, also at the same time, does nothing.

    Everything is one transaction: a step that fails leaves the schema as it was.

    Args:
        database_url: postgresql://…, as a role that may create a schema.
    """
    config = Config()
    config.set_main_option("script_location", str(STEPS).replace("%", "%%"))
    engine = create_engine(driver_url(database_url), poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

"""Bringing the schema of a database up to date, while others work on it."""

import logging
import time
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

from infra.store.database import LOCKED, driver_url
from infra.store.tables import SCHEMA

log = logging.getLogger(__name__)

STEPS: Final = Path(__file__).parent.parent / "migrations"
LOCK: Final = 7_105_418_225_664  # any number, the same in every process that migrates
# Who waits for a table's lock holds up all who come after, so it waits shorter than they may; what
# reads a table for long is left alone, and the whole is tried again.
LOCK_WAIT_MILLISECONDS: Final = 500
PAUSE_SECONDS: Final = 1.0


def migrate(database_url: str) -> None:
    """Create or upgrade schema `holdfast`; a second run, also at the same time, does nothing.

    Everything is one transaction: a step that fails leaves the schema as it was. Those who trade
    meanwhile are held up for as long as the steps take, and never by waiting for somebody else.

    Args:
        database_url: postgresql://…, as a role that may create a schema.
    """
    engine = create_engine(driver_url(database_url), poolclass=NullPool)
    while True:
        try:
            _upgrade(engine)
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != LOCKED:
                raise
            log.warning("migration.waits", extra={"why": "a table is in use: it is tried again"})
            time.sleep(PAUSE_SECONDS)
        else:
            return


def _upgrade(engine: Engine) -> None:
    """Take every step that is missing, within one transaction."""
    config = Config()
    config.set_main_option("script_location", str(STEPS).replace("%", "%%"))
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        connection.execute(text(f"SET LOCAL lock_timeout = {LOCK_WAIT_MILLISECONDS}"))
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

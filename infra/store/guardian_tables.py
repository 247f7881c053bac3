"""The table of what guardians saw last; see infra/store/tables.py for the manner."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Boolean, Column, DateTime, Integer, Text, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from infra.store.reconciliation_tables import METADATA as BEFORE
from infra.store.tables import MONEY, Table

METADATA: Final = BEFORE  # of every table, this module's included


def _of(kind: Any, *, is_key: bool = False) -> Any:
    """Return a column that is never null."""
    return Field(sa_column=Column(kind, primary_key=is_key, nullable=False))


class Guardians(Table, table=True):
    """domain.guardian.Sweep: what each account's guardian saw last."""

    account_id: str = _of(Text(), is_key=True)
    swept_at: datetime = _of(DateTime(timezone=True))
    seconds: Decimal = _of(MONEY)
    is_whole: bool = _of(Boolean())
    positions: int = _of(Integer())
    unprotected: int = _of(Integer())
    alarms: list[dict[str, str]] = _of(JSONB())
    alarm_count: int = _of(Integer())
    updated_at: datetime = Field(
        sa_column=Column(
            DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()
        )
    )

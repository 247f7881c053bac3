"""The tables of comparing our books with the exchange; see infra/store/tables.py for the manner."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Index, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from infra.store.tables import MONEY, Table

METADATA: Final = Table.metadata  # of every table


def _of(kind: Any, *, is_key: bool = False) -> Any:
    """Return a column that is never null."""
    return Field(sa_column=Column(kind, primary_key=is_key, nullable=False))


def _at() -> Any:
    return _of(DateTime(timezone=True))


class Reconciliations(Table, table=True):
    """domain.reconciliation.Report: what each comparison with the exchange found and did."""

    __table_args__ = (Index("reconciliations_account_id_begun_at_idx", "account_id", "begun_at"),)

    id: str = _of(Text(), is_key=True)
    account_id: str = _of(Text())
    reason: str = _of(Text())
    asked_by: str = _of(Text())
    is_report_only: bool = _of(Boolean())
    result: str = _of(Text())
    findings: list[dict[str, Any]] = _of(JSONB())
    warnings: list[str] = _of(JSONB())
    begun_at: datetime = _at()
    ended_at: datetime = _at()


class Gaps(Table, table=True):
    """domain.reconciliation.Gap: balances that differ and wait for a second look.

    Columns:
        token_id: empty for the account's collateral.
        mark: the newest event behind what was expected; another one is another gap.
    """

    account_id: str = _of(Text(), is_key=True)
    token_id: str = _of(Text(), is_key=True)
    expected: Decimal = _of(MONEY)
    found: Decimal = _of(MONEY)
    mark: int = _of(BigInteger())
    first_seen_at: datetime = _at()


class Baselines(Table, table=True):
    """The collateral an account was last agreed to have, and the cash its books had by then."""

    account_id: str = _of(Text(), is_key=True)
    balance_usd: Decimal = _of(MONEY)
    cash_usd: Decimal = _of(MONEY)
    agreed_at: datetime = _at()

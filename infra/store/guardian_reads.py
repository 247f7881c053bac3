"""What people and scrapers are told of the guardians."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from infra.store.database import statement

_NEWEST: Final = text(
    """
    SELECT account_id, swept_at, seconds, is_whole, positions, unprotected, alarms, alarm_count,
        greatest(round(extract(epoch FROM clock_timestamp() - swept_at), 1), 0) AS age_seconds
    FROM holdfast.guardians ORDER BY account_id
    """
)
_UNPROTECTED: Final = text(
    """
    SELECT account_id, sum(coalesce(unprotected_seconds, 0) + coalesce(greatest(
        extract(epoch FROM clock_timestamp() - unprotected_since), 0), 0)) AS seconds
    FROM holdfast.positions GROUP BY account_id
    """
)


async def newest_sweeps(database: AsyncEngine) -> list[dict[str, Any]]:
    """Return the newest sweep of each account's guardian, and how old it is."""
    async with statement(database) as connection:
        return [dict(row) for row in (await connection.execute(_NEWEST)).mappings()]


async def unprotected_seconds(database: AsyncEngine) -> Mapping[str, float]:
    """Return for how long positions were unprotected so far, in all, by account."""
    async with statement(database) as connection:
        rows = (await connection.execute(_UNPROTECTED)).all()
    return {account_id: float(seconds) for account_id, seconds in rows}

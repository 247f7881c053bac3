"""How long calls to the exchange took, minute by minute, of every process."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col

from domain.latency import PERCENTILES, CallCounts, added, percentile
from infra.store.database import transaction
from infra.store.tables import Calls as Table

KEPT: Final = timedelta(days=7)
KEY: Final = ("minute", "process", "endpoint", "status")
TOO_MANY: Final = 429

CallKey = tuple[datetime, str, int]  # minute, endpoint, status


@dataclass(frozen=True)
class Calls:
    """Rows of `calls`."""

    engine: AsyncEngine

    async def write(self, process: str, counts: Mapping[CallKey, CallCounts]) -> None:
        """Write what a process has counted; the same counts written twice are counted once."""
        rows = [
            {"minute": minute, "process": process, "endpoint": endpoint, "status": status}
            | asdict(counted)
            for (minute, endpoint, status), counted in counts.items()
        ]
        if not rows:
            return
        put = insert(Table)
        names = [name for name in rows[0] if name not in KEY]
        upsert = put.on_conflict_do_update(
            index_elements=KEY, set_={name: put.excluded[name] for name in names}
        )
        async with transaction(self.engine) as connection:
            await connection.execute(upsert, rows)

    async def forget(self, now: datetime) -> None:
        """Delete what is older than a week."""
        async with transaction(self.engine) as connection:
            await connection.execute(delete(Table).where(col(Table.minute) < now - KEPT))

    async def processes(self, since: datetime, endpoints: Iterable[str]) -> int:
        """Return how many processes made such calls since then."""
        query = select(func.count(func.distinct(col(Table.process)))).where(
            col(Table.minute) >= since, col(Table.endpoint).in_(list(endpoints))
        )
        async with transaction(self.engine) as connection:
            return int((await connection.execute(query)).scalar_one())

    async def summary(self, since: datetime) -> list[dict[str, Any]]:
        """Return each endpoint's counts and percentiles since then, the busiest first."""
        query = select(Table).where(col(Table.minute) >= since)
        async with transaction(self.engine) as connection:
            rows = (await connection.execute(query)).mappings().all()
        by_endpoint: dict[str, list[Mapping[Any, Any]]] = {}
        for row in rows:
            by_endpoint.setdefault(row["endpoint"], []).append(row)
        told = [_told(endpoint, of) for endpoint, of in by_endpoint.items()]
        return sorted(told, key=lambda one: (-one["calls"], one["endpoint"]))


def _told(endpoint: str, rows: list[Mapping[Any, Any]]) -> dict[str, Any]:
    """Return one endpoint's line: every status, process and minute together."""
    statuses: dict[str, int] = {}
    for row in sorted(rows, key=lambda row: row["status"]):
        name = str(row["status"] or "none")
        statuses[name] = statuses.get(name, 0) + row["calls"]
    line: dict[str, Any] = {
        "endpoint": endpoint,
        "calls": sum(statuses.values()),
        "statuses": statuses,
        "retry_count": sum(row["retries"] for row in rows),
        "rate_limit_hits": statuses.get(str(TOO_MANY), 0),
        "bytes_out": sum(row["bytes_out"] for row in rows),
        "bytes_in": sum(row["bytes_in"] for row in rows),
    }
    for name in ("connect", "first_byte", "total"):
        counts = added(row[f"{name}s_ms"] for row in rows)
        line |= {f"{name}_ms_p{one}": percentile(counts, one) for one in PERCENTILES}
    return line

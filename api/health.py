"""Is it alive, is it ready and if not why, and what has it counted."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final

from alembic.script import ScriptDirectory
from fastapi import APIRouter
from fastapi.responses import JSONResponse, PlainTextResponse
from sqlalchemy import Text, column, func, select, table
from temporalio.service import RPCError

from api.exchange import exchange_status
from api.keys import MayRead
from api.limits import with_limits
from api.parts import Parts, Shared
from api.periodic import periodic_jobs
from api.reads import rows
from domain.breaker import BreakerState
from domain.errors import InvariantError, UnavailableError
from domain.order import TERMINAL
from domain.signal import SignalStatus
from infra.store.database import transaction
from infra.store.durability import risks
from infra.store.guardian_reads import newest_sweeps, unprotected_seconds
from infra.store.migrate import STEPS
from infra.store.reads import Asked
from infra.store.tables import SCHEMA

PART_SECONDS: Final = 2.0  # a part that needs longer than this is not ready

_VERSION: Final = table("alembic_version", column("version_num", Text), schema=SCHEMA)


def router() -> APIRouter:
    """Return the routes for supervisors and scrapers, which have no prefix and ask for no key."""
    made = APIRouter(tags=["health"])
    made.get("/livez", summary="the process answers")(_livez)
    made.get("/readyz", summary="everything it needs answers; says what does not")(_readyz)
    made.get("/metrics", summary="counts, as Prometheus reads them")(_metrics)
    return made


def status_router() -> APIRouter:
    """Return the one route that shows the whole at a glance."""
    made = APIRouter(tags=["read"])
    made.get("/status", summary="accounts, counts, what waits, what is ill")(_status)
    return made


async def ills(parts: Parts) -> dict[str, str | None]:
    """Return for each part why it is not ready, None where it is."""
    (database, migrations), temporal = await asyncio.gather(_database(parts), _temporal(parts))
    durability = None if database else await _durability(parts)
    return {
        "database": database,
        "migrations": migrations,
        "durability": durability,
        "temporal": temporal,
    }


async def _livez() -> JSONResponse:
    return JSONResponse({"status": "alive"})


async def _readyz(parts: Shared) -> JSONResponse:
    found = await ills(parts)
    is_ready = not any(found.values())
    told = {name: why or "ok" for name, why in found.items()}
    word = "ready" if is_ready else "not ready"
    return JSONResponse({"status": word, "parts": told}, 200 if is_ready else 503)


async def _status(parts: Shared, _: MayRead) -> JSONResponse:
    accounts = await parts.reads.page("accounts", Asked())
    signals = await parts.reads.counts("signals", "status")
    orders = await parts.reads.counts("orders", "state")
    still_open = {state: n for state, n in orders.items() if state not in set(TERMINAL)}
    return JSONResponse(
        {
            "accounts": rows(parts, await with_limits(parts, accounts.items)),
            "signals": signals,
            "orders": orders,
            "positions": await parts.reads.counts("positions", "status"),
            "open_orders": sum(still_open.values()),
            "open_orders_by_state": still_open,
            "exchange": await exchange_status(parts),
            "guardians": rows(parts, await newest_sweeps(parts.database)),
            "reconciliations": await _compared(parts),
            "schedules": await periodic_jobs(parts),
            "waiting_signals": signals.get(SignalStatus.RECEIVED.value, 0),
            "parts": {name: why or "ok" for name, why in (await ills(parts)).items()},
        }
    )


async def _compared(parts: Parts) -> list[dict[str, object]]:
    """Return how each account's last comparison with the exchange ended."""
    found: list[dict[str, object]] = []
    for account_id in parts.settings.accounts:
        last = Asked(filters={"account": account_id}, limit=1)
        for row in rows(parts, (await parts.reads.page("reconciliations", last)).items):
            named = ("id", "account_id", "result", "reason", "is_report_only", "ended_at")
            shown: dict[str, object] = {name: row[name] for name in named}
            found.append(shown | {"differences": len(row["findings"])})
    return found


async def _metrics(parts: Shared) -> PlainTextResponse:
    answered = {str(status): count for status, count in parts.answered.items()}
    lines = _metric("webhooks_answered_total", "counter", "status", answered)
    turned_away = {"": parts.strangers.turned_away}
    lines += _metric("strangers_not_stored_total", "counter", None, turned_away)
    try:
        signals = await parts.reads.counts("signals", "status")
        orders = await parts.reads.counts("orders", "state")
        exchange = await exchange_status(parts)
        guardians = await newest_sweeps(parts.database)
        unprotected = await unprotected_seconds(parts.database)
    except UnavailableError:
        lines += _metric("database_up", "gauge", None, {"": 0})
    else:
        lines += _metric("database_up", "gauge", None, {"": 1})
        lines += _metric("signals", "gauge", "status", signals)
        lines += _metric("orders", "gauge", "state", orders)
        lines += _exchange_metrics(exchange)
        lines += _guardian_metrics(guardians)
        lines += _metric("unprotected_seconds_total", "counter", "account", unprotected)
    return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")


def _exchange_metrics(exchange: Mapping[str, Any]) -> list[str]:
    """Return how calls to the exchange fare; retries and refusals for their rate, by the hour."""
    is_open = {
        f"{one['scope']}:{one['call_group']}": int(one["state"] != BreakerState.CLOSED)
        for one in exchange["circuits"]
    }
    lines = _metric("circuit_open", "gauge", "group", is_open)
    opened = {"": exchange["circuit_open_count"]}
    lines += _metric("circuit_open_count", "counter", None, opened)
    for name in ("retry_count", "rate_limit_hits"):
        lines += _metric(f"{name}_last_hour", "gauge", None, {"": exchange[name]})
    return lines


def _guardian_metrics(guardians: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return what each account's guardian saw last, and how long ago."""
    told = {str(one["account_id"]): one for one in guardians}
    gauges = {
        "guardian_age_seconds": "age_seconds",
        "guardian_sweep_seconds": "seconds",
        "positions_guarded": "positions",
        "positions_unprotected": "unprotected",
        "guardian_alarms": "alarm_count",
    }
    return [
        line
        for name, field in gauges.items()
        for line in _metric(
            name, "gauge", "account", {account: float(one[field]) for account, one in told.items()}
        )
    ]


def _metric(name: str, kind: str, label: str | None, values: Mapping[str, float]) -> list[str]:
    """Return one metric as Prometheus reads it."""
    full = f"holdfast_{name}"
    rest = ((f'{{{label}="{one}"}}' if label else "", n) for one, n in sorted(values.items()))
    return [f"# TYPE {full} {kind}", *(f"{full}{labels} {n}" for labels, n in rest)]


async def _database(parts: Parts) -> tuple[str | None, str | None]:
    """Return why the database and why its schema are not ready."""
    found: list[str] = []
    try:
        async with asyncio.timeout(PART_SECONDS), transaction(parts.database) as connection:
            is_made = await connection.scalar(select(func.to_regclass(f"{SCHEMA}.{_VERSION.name}")))
            if is_made is not None:
                found = list((await connection.scalars(select(_VERSION.c.version_num))).all())
    except (UnavailableError, InvariantError) as error:
        return str(error), "not known while the database does not answer"
    except TimeoutError:
        return "the database does not answer in time", "not known"
    return None, _behind(found)


async def _durability(parts: Parts) -> str | None:
    """Return why what the database calls stored may be lost."""
    try:
        async with asyncio.timeout(PART_SECONDS):
            return await risks(parts.database)
    except (UnavailableError, TimeoutError):
        return "not known while the database does not answer"


def _behind(found: Iterable[str]) -> str | None:
    """Return how far the schema is from what this code needs."""
    wanted = set(ScriptDirectory(str(STEPS)).get_heads())
    if set(found) == wanted:
        return None
    return f"the schema is at {sorted(found) or 'nothing'}, not at {sorted(wanted)}: run migrate"


async def _temporal(parts: Parts) -> str | None:
    try:
        async with asyncio.timeout(PART_SECONDS):
            is_well = await parts.temporal.service_client.check_health()
    except (RPCError, RuntimeError) as error:
        return f"Temporal does not answer: {error}"
    except TimeoutError:
        return "Temporal does not answer in time"
    return None if is_well else "Temporal says that it is not serving"

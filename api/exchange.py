"""How calls to the exchange fare: what is held back, and how long they take."""

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse

from api.keys import MayRead
from api.parts import Parts, Shared
from domain.breaker import Breaker
from infra.clock import utc_now
from infra.store.breakers import Breakers
from infra.store.calls import Calls
from infra.store.rows import as_json

HOUR: Final = 60  # minutes
WEEK: Final = 7 * 24 * HOUR  # what is kept


def router() -> APIRouter:
    """Return the route that shows what calls took."""
    made = APIRouter(tags=["read"])
    made.get("/calls", summary="calls to the exchange by endpoint: counts and percentiles")(_calls)
    return made


async def exchange_status(parts: Parts) -> dict[str, Any]:
    """Return what is held back now, and the counts of the last hour."""
    breakers = await Breakers(parts.database).known()
    lines = await _lines(parts, HOUR)
    return {
        "circuits": [_told(breaker) for breaker in breakers],
        "circuit_open_count": sum(breaker.times_opened for breaker in breakers),
        "retry_count": sum(line["retry_count"] for line in lines),
        "rate_limit_hits": sum(line["rate_limit_hits"] for line in lines),
    }


async def _calls(
    parts: Shared, _: MayRead, minutes: Annotated[int, Query(ge=1, le=WEEK)] = HOUR
) -> JSONResponse:
    return JSONResponse({"minutes": minutes, "items": await _lines(parts, minutes)})


async def _lines(parts: Parts, minutes: int) -> list[dict[str, Any]]:
    since = utc_now() - timedelta(minutes=minutes)
    return await Calls(parts.database).summary(since)


def _told(breaker: Breaker) -> dict[str, Any]:
    return {name: as_json(value) for name, value in asdict(breaker).items() if name != "version"}

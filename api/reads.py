"""The routes that show rows: pages, single rows, earnings, and the story behind an id."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse

from api.keys import MayRead
from api.limits import with_limits
from api.parts import Parts, Shared
from api.problems import not_found
from api.shown import shown_row
from infra.store.reads import MAX_PAGE, PAGE, Asked, Row
from infra.store.stories import earned, why

KINDS: Final = (
    "signals",
    "orders",
    "fills",
    "positions",
    "events",
    "markets",
    "accounts",
    "reconciliations",
)
PAGING: Final = frozenset({"since", "cursor", "limit"})
ROWS: Final = ("signals", "orders", "fills", "positions", "protections", "events")

Route = Callable[..., Awaitable[JSONResponse]]


def asked(
    request: Request,
    since: datetime | None = None,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = PAGE,
) -> Asked:
    """Return what the query asks for: every name but the paging's own is a filter."""
    filters = {name: one for name, one in request.query_params.items() if name not in PAGING}
    moment = since.replace(tzinfo=UTC) if since and since.tzinfo is None else since
    return Asked(filters=filters, since=moment, cursor=cursor, limit=limit)


AskedFor = Annotated[Asked, Depends(asked)]


def router() -> APIRouter:
    """Return the reading routes."""
    made = APIRouter(tags=["read"])
    for kind in KINDS:
        made.get(f"/{kind}", summary=f"{kind}, newest first")(_page_of(kind))
        made.get(f"/{kind}/{{identity}}", summary=f"one of {kind}")(_one_of(kind))
    made.get("/pnl", summary="what was earned, by average price and by FIFO")(_pnl)
    made.get("/why/{identity}", summary="the story of a signal, order or position")(_why)
    return made


def rows(parts: Parts, found: list[Row]) -> list[dict[str, Any]]:
    """Return rows as JSON carries them."""
    return [shown_row(row, parts.secrets) for row in found]


def _page_of(kind: str) -> Route:
    async def page(parts: Shared, wanted: AskedFor, _: MayRead) -> JSONResponse:
        """Filters: account, status or state, market, token, signal_id and more, by kind."""
        found = await parts.reads.page(kind, wanted)
        items = rows(parts, await _whole(parts, kind, found.items))
        return JSONResponse({"items": items, "next_cursor": found.next_cursor})

    return page


def _one_of(kind: str) -> Route:
    async def one(parts: Shared, identity: str, _: MayRead) -> JSONResponse:
        found = await parts.reads.one(kind, identity)
        if found is None:
            raise not_found(kind.removesuffix("s"))
        [whole] = await _whole(parts, kind, [found])
        return JSONResponse(shown_row(whole, parts.secrets))

    return one


async def _whole(parts: Parts, kind: str, found: list[Row]) -> list[Row]:
    """Return rows with what is not a column: how accounts stand against their limits."""
    return await with_limits(parts, found) if kind == "accounts" else found


async def _pnl(parts: Shared, _: MayRead, account: str | None = None) -> JSONResponse:
    positions, totals = await earned(parts.reads, account)
    return JSONResponse({"items": rows(parts, positions), "accounts": rows(parts, totals)})


async def _why(parts: Shared, identity: str, _: MayRead) -> JSONResponse:
    story = await why(parts.reads, identity)
    if story is None:
        raise not_found("signal, order or position")
    links = [
        {"workflow_id": workflow_id, "url": parts.workflow_url(workflow_id)}
        for workflow_id in story.workflow_ids
    ]
    told: dict[str, Any] = {"kind": story.kind, "id": story.id, "trace_id": story.trace_id}
    told["workflows"] = links
    told["temporal_url"] = links[0]["url"] if links else None
    told |= {kind: rows(parts, found) for kind, found in asdict(story).items() if kind in ROWS}
    return JSONResponse(told)

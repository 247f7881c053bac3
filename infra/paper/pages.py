"""The page shapes of the four services: cursors, keysets, offsets, and the Data API's pages."""

import base64
import binascii
from collections.abc import Callable
from typing import Final, TypeVar

from infra.paper.wire import Answer, Json, RefusedError, Request, answered

CLOB_PAGE: Final = 100
MARKETS_PAGE: Final = 1000
END: Final = "LTE="
_GAMMA_PAGE: Final = 20
_GAMMA_MOST: Final = 500
_GAMMA_FARTHEST: Final = 2000
_DATA_PAGE: Final = 100
_DATA_MOST: Final = 1000
_Row = TypeVar("_Row")


def cursor_start(request: Request) -> int:
    """Return the offset a CLOB cursor stands for. Raises RefusedError for one past the end."""
    cursor = request.one("next_cursor")
    if cursor == END:
        raise RefusedError(400, "next item should be greater than or equal to 0")
    try:
        return max(0, int(base64.b64decode(cursor))) if cursor else 0
    except (ValueError, binascii.Error) as error:
        raise RefusedError(400, "invalid next_cursor") from error


def cursor_page(rows: list[Json], start: int, limit: int = CLOB_PAGE) -> Json:
    """Return one CLOB page of `rows`, which begin at `start` and may hold one more than fits."""
    has_more = len(rows) > limit
    cursor = base64.b64encode(str(start + limit).encode()).decode() if has_more else END
    shown = rows[:limit]
    return {"data": shown, "next_cursor": cursor, "limit": limit, "count": len(shown)}


def integer(request: Request, name: str, default: int, status: int = 422) -> int:
    """Return a whole number of the query. Raises RefusedError when it is none."""
    text = request.one(name)
    if text and not text.isdecimal():
        raise RefusedError(status, f"invalid {name}")
    return int(text) if text else default


def offset_page(request: Request, rows: list[_Row], most: int = _GAMMA_MOST) -> list[_Row]:
    """Return the rows of a Gamma page by `limit` and `offset`."""
    start = integer(request, "offset", 0)
    if start > _GAMMA_FARTHEST:
        raise RefusedError(422, "offset exceeds maximum")
    return rows[start : start + min(most, integer(request, "limit", _GAMMA_PAGE))]


def keyset_page(
    request: Request, rows: list[_Row], most: int = _GAMMA_MOST
) -> tuple[list[_Row], str | None]:
    """Return the rows of a Gamma keyset page, and the cursor of the next or None."""
    start = integer(request, "after_cursor", 0)
    limit = min(most, max(1, integer(request, "limit", _GAMMA_PAGE)))
    end = start + limit
    return rows[start:end], str(end) if len(rows) > end else None


def data_window(request: Request) -> tuple[int, int]:
    """Return start and limit of a page of the Data API, in either version's parameters."""
    start = integer(request, "cursor", integer(request, "offset", 0, 400), 400)
    return start, min(_DATA_MOST, max(1, integer(request, "limit", _DATA_PAGE, 400)))


def data_page(request: Request, rows: list[_Row], shown: Callable[[_Row], Json]) -> Answer:
    """Return the answer of a page of the Data API's second version; `rows` are all there are."""
    start, limit = data_window(request)
    has_more = len(rows) > start + limit
    return answered(
        {
            "data": [shown(row) for row in rows[start : start + limit]],
            "pagination": {
                "has_more": has_more,
                "next_cursor": str(start + limit) if has_more else None,
            },
        }
    )


def data_list(request: Request, rows: list[_Row], shown: Callable[[_Row], Json]) -> Answer:
    """Return the answer of a page of the Data API's first version: the bare rows."""
    start, limit = data_window(request)
    return answered([shown(row) for row in rows[start : start + limit]])

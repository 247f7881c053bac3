"""Requests whose answer was lost and that reach the engine later; a restart does not lose them."""

import base64
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, cast

from infra.paper.ledger import Ledger
from infra.paper.wire import Json, Request

_META: Final = "late_requests"
_KEPT: Final = ("method", "service", "path", "query", "headers")


@dataclass(slots=True)
class _Late:
    due_at: int
    request: Request


class LateRequests:
    """What is still on its way.

    Args:
        ledger: where it is kept.
        now: the moment now, in microseconds.
    """

    def __init__(self, ledger: Ledger, now: Callable[[], int]) -> None:
        self._ledger = ledger
        self._now = now
        kept = cast("list[Json]", ledger.meta(_META) or [])
        self._waiting = [_Late(cast("int", row["due_at"]), _request(row)) for row in kept]

    def add(self, requests: Iterable[Request], delay_us: int) -> None:
        """Put requests off."""
        due_at = self._now() + delay_us
        self._waiting += [_Late(due_at, request) for request in requests]
        self._save()

    def take(self) -> list[Request]:
        """Return what has become due and forget it first: what breaks is not tried for ever."""
        now = self._now()
        due = [late.request for late in self._waiting if late.due_at <= now]
        if due:
            self._waiting = [late for late in self._waiting if late.due_at > now]
            self._save()
        return due

    def _save(self) -> None:
        rows = [
            {
                **{name: getattr(late.request, name) for name in _KEPT},
                "body": base64.b64encode(late.request.body).decode(),
                "due_at": late.due_at,
            }
            for late in self._waiting
        ]
        with self._ledger.transaction():
            self._ledger.set_meta(_META, rows)


def _request(row: Json) -> Request:
    known = {name: cast("Any", row[name]) for name in _KEPT}
    return Request(**known, body=base64.b64decode(str(row["body"])))

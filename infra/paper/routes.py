"""Which function answers which path: exact paths first, then templates with one free part."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from infra.paper.exchange import Exchange
from infra.paper.wire import Answer, RefusedError, Request, Responder

Served = Callable[[Exchange, Request], Answer]
Paths = Mapping[tuple[str, str], Served]  # (method, path without the base prefix)
FREE: Final = "{}"  # stands for any one part of a path; the request gets it as `tail`


@dataclass(slots=True)
class Routes:
    """The paths of one service, without its base prefix; `otherwise` answers all others."""

    otherwise: Responder | None = None
    table: dict[tuple[str, str], Responder] = field(
        default_factory=dict[tuple[str, str], Responder]
    )

    def add(self, method: str, path: str, responder: Responder) -> None:
        """Answer a path; one that ends in "/" takes one more part."""
        self.table[method, path + FREE if path.endswith("/") and path != "/" else path] = responder

    def add_all(self, *paths: tuple[str, str, Responder]) -> None:
        """Answer several paths: (method, path, responder) each."""
        for method, path, responder in paths:
            self.add(method, path, responder)

    def serve(self, exchange: Exchange, *tables: Paths) -> "Routes":
        """Answer the paths of whole tables for an exchange; return itself."""
        for table in tables:
            for (method, path), served in table.items():
                self.add(method, path, partial(served, exchange))
        return self

    def answer(self, request: Request) -> Answer:
        """Return the answer. Raises RefusedError: 404 for no such path, or the responder's."""
        path = request.path.rstrip("/") or "/"
        responder = self.table.get((request.method, path)) or self._templated(request, path)
        responder = responder or self.otherwise
        if responder is None:
            raise RefusedError(404, "not found")
        return responder(request)

    def _templated(self, request: Request, path: str) -> Responder | None:
        parts = path.split("/")
        for place in range(len(parts) - 1, 0, -1):
            template = "/".join([*parts[:place], FREE, *parts[place + 1 :]])
            responder = self.table.get((request.method, template))
            if responder is not None:
                request.tail = parts[place]
                return responder
        return None

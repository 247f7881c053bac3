"""Which function answers which path: exact paths first, then paths with one part at the end."""

from dataclasses import dataclass, field

from infra.paper.wire import Answer, RefusedError, Request, Responder


@dataclass(slots=True)
class Routes:
    """The paths of one service, without its base prefix."""

    exact: dict[tuple[str, str], Responder] = field(
        default_factory=dict[tuple[str, str], Responder]
    )
    under: dict[tuple[str, str], Responder] = field(
        default_factory=dict[tuple[str, str], Responder]
    )

    def add(self, method: str, path: str, responder: Responder) -> None:
        """Answer a path; one that ends in "/" takes one more part, given as `tail`."""
        table = self.under if path.endswith("/") else self.exact
        table[method, path] = responder

    def add_all(self, *paths: tuple[str, str, Responder]) -> None:
        """Answer several paths: (method, path, responder) each."""
        for method, path, responder in paths:
            self.add(method, path, responder)

    def answer(self, request: Request) -> Answer:
        """Return the answer. Raises RefusedError: 404 for no such path, or the responder's."""
        path = request.path.rstrip("/") or "/"
        responder = self.exact.get((request.method, path))
        if responder is None:
            parent, _, request.tail = path.rpartition("/")
            responder = self.under.get((request.method, parent + "/"))
        if responder is None:
            raise RefusedError(404, "not found")
        return responder(request)

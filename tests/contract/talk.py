"""One way to speak to every client, and a record of what went over the wire."""

import contextlib
import inspect
import traceback
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import httpx
import pytest
from polymarket.pagination import AsyncPaginator, Paginator

Call = Callable[["Talk", Any], Awaitable[None]]


@dataclass
class Talk:
    """A client whose calls are awaited and whose paginators are read to the end.

    So one table of calls serves the synchronous and the asynchronous clients.
    """

    client: Any
    called: set[str] = field(default_factory=set[str])

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def call(*arguments: object, **named: object) -> Any:
            self.called.add(name)
            found = getattr(self.client, name)
            result = found(*arguments, **named) if callable(found) else found
            if inspect.isawaitable(result):
                result = await result
            return await _read(result)

        return call


async def _read(result: Any) -> Any:
    pages: list[Any]
    if isinstance(result, Paginator):
        pages = list(cast("Any", result))
    elif isinstance(result, AsyncPaginator):
        pages = [page async for page in cast("Any", result)]
    else:
        return result
    return [item for page in pages for item in _items(page.items)]


def _items(items: Any) -> list[Any]:
    return list(cast("Any", items)) if isinstance(items, tuple | list) else [items]


@dataclass
class Walk:
    """What a suite saw: failures by call, and every (method, path) it asked for."""

    failures: dict[str, str] = field(default_factory=dict[str, str])
    asked: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])

    async def run(self, talk: Talk, calls: Mapping[str, Call], world: Any) -> None:
        """Make every call of a table, each once; it must make the calls it is named for."""
        made: set[Call] = set()
        for name, call in calls.items():
            try:
                if call not in made:
                    made.add(call)
                    await call(talk, world)
            except Exception:  # noqa: BLE001 - every failure is told by its own test
                self.failures[name] = traceback.format_exc()
            else:
                if name not in talk.called:
                    self.failures[name] = f"the table's {name} never calls {name}"

    @contextlib.contextmanager
    def listening(self) -> Generator[None]:
        """Record what every client in this process asks for."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("NO_PROXY", "127.0.0.1")
            kept_async, kept = httpx.AsyncClient.send, httpx.Client.send

            async def send_async(client: httpx.AsyncClient, request: Any, **named: Any) -> Any:
                self._note(request)
                return await kept_async(client, request, **named)

            def send(client: httpx.Client, request: Any, **named: Any) -> Any:
                self._note(request)
                return kept(client, request, **named)

            patch.setattr(httpx.AsyncClient, "send", send_async)
            patch.setattr(httpx.Client, "send", send)
            yield

    def _note(self, request: httpx.Request) -> None:
        self.asked.add((request.method, request.url.path))

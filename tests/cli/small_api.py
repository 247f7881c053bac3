"""A small real HTTP server that speaks the API's JSON."""

import asyncio
import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.clock import monotonic_seconds, utc_now

Row = dict[str, Any]

KEY = "hf_test_key"
KINDS = ("signals", "orders", "fills", "positions", "events", "markets", "accounts")
IDENTITIES = {"orders": "order_hash", "fills": "trade_id", "events": "seq"}


@dataclass
class SmallApi:
    """What the server knows, and what it was asked.

    Attributes:
        looks: rows that a single row becomes with each look at it, before it settles.
    """

    rows: dict[str, list[Row]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    stories: dict[str, Row] = field(default_factory=dict[str, Row])
    documents: dict[str, Any] = field(default_factory=dict[str, Any])
    looks: dict[str, list[Row]] = field(default_factory=dict[str, list[Row]])
    hook: tuple[int, Any] = (202, {"signal_id": "ab" * 10, "status": "received"})
    cancel: tuple[int, Any] = (202, {"workflow_id": "order-x-0", "status": "accepted"})
    operate: tuple[int, Any] = (202, {"workflow_id": "guardian-main", "status": "accepted"})
    becomes: Row = field(default_factory=dict[str, Any])  # what operating makes of each account
    exchange_ok: Response = field(default_factory=lambda: JSONResponse("OK"))
    rows_after_operating: dict[str, list[Row]] = field(default_factory=dict[str, list[Row]])
    ready: tuple[int, Any] = (200, {"status": "ready", "parts": {"database": "ok"}})
    act: tuple[int, Any] = (
        202,
        {"workflow_id": f"signal-{'ab' * 10}", "signal_id": "ab" * 10, "status": "processing"},
    )
    keys: list[str | None] = field(default_factory=list[str | None])
    posted: list[Row] = field(default_factory=list[Row])
    paths: list[str] = field(default_factory=list[str])
    page: int = 500
    clock_ahead_seconds: float = 0  # the exchange's

    def app(self) -> Starlette:
        """Return the server's routes."""
        v1 = "/api/v1"
        return Starlette(
            routes=[
                Route(f"{v1}/webhooks/tradingview", self._hook, methods=["POST"]),
                Route(f"{v1}/orders/{{order_hash}}/cancel", self._cancel, methods=["POST"]),
                Route(f"{v1}/positions/{{position}}/{{verb}}", self._act, methods=["POST"]),
                Route(f"{v1}/accounts/{{account}}/{{verb}}", self._operate, methods=["POST"]),
                Route(f"{v1}/why/{{identity}}", self._why),
                Route(f"{v1}/{{name}}", self._listed),
                Route(f"{v1}/{{kind}}/{{identity}}", self._one),
                Route("/readyz", self._readyz),
                Route("/clob/ok", self._ok),
                Route("/clob/time", self._time),
            ]
        )

    async def _hook(self, request: Request) -> Response:
        self.posted.append(json.loads(await request.body()))
        status, body = self.hook
        return JSONResponse(body, status)

    async def _cancel(self, request: Request) -> Response:
        self.paths.append(request.url.path)
        status, body = self.cancel
        return JSONResponse(body, status)

    async def _act(self, request: Request) -> Response:
        self.paths.append(request.url.path)
        self.keys.append(request.headers.get("idempotency-key"))
        self.posted.append(json.loads(await request.body()))
        status, body = self.act
        return JSONResponse(body, status)

    async def _operate(self, request: Request) -> Response:
        self.paths.append(request.url.path)
        self.posted.append(json.loads(await request.body()))
        status, body = self.operate
        if status < 400 and self.becomes:
            self.rows["accounts"] = [row | self.becomes for row in self.rows["accounts"]]
        self.rows |= self.rows_after_operating
        return JSONResponse(body, status)

    async def _why(self, request: Request) -> Response:
        self.paths.append(request.url.path)
        story = self.stories.get(request.path_params["identity"])
        return JSONResponse(story) if story else missing()

    async def _listed(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return refused(401, "this key is not known")
        name = request.path_params["name"]
        self.paths.append(f"{request.url.path}?{request.url.query}")
        if name in self.documents:
            return JSONResponse(self.documents[name])
        if name not in self.rows:
            return missing()
        return JSONResponse(self._page(name, request))

    def _page(self, kind: str, request: Request) -> Row:
        query = request.query_params
        begin, size = int(query.get("cursor", 0)), min(self.page, int(query["limit"]))
        wanted = (query.get("state") or query.get("status") or "").split(",")
        rows = [row for row in self.rows[kind] if wanted == [""] or _state(row) in wanted]
        left = begin + size < len(rows)
        return {
            "items": rows[begin : begin + size],
            "next_cursor": str(begin + size) if left else None,
        }

    async def _one(self, request: Request) -> Response:
        kind, identity = request.path_params["kind"], request.path_params["identity"]
        steps = self.looks.get(identity)
        if steps:
            return JSONResponse(steps.pop(0) if len(steps) > 1 else steps[0])
        named = IDENTITIES.get(kind, "id")
        found = [row for row in self.rows[kind] if row[named] == identity]
        return JSONResponse(found[0]) if found else missing()

    async def _readyz(self, _: Request) -> Response:
        status, body = self.ready
        return JSONResponse(body, status)

    async def _ok(self, _: Request) -> Response:
        return self.exchange_ok

    async def _time(self, _: Request) -> Response:
        return JSONResponse(int(utc_now().timestamp() + self.clock_ahead_seconds))


def missing() -> Response:
    return refused(404, "there is no such thing")


def refused(status: int, message: str) -> Response:
    return JSONResponse(error_body(message), status)


def error_body(message: str) -> Row:
    return {"error": {"code": "refused", "message": message, "fields": []}}


def _state(row: Row) -> str:
    return str(row.get("state") or row.get("status"))


class Running:
    """The server in a thread, its port chosen by the kernel."""

    def __init__(self) -> None:
        self.api = SmallApi()
        config = uvicorn.Config(
            self._dispatch, port=0, log_config=None, ws="none", lifespan="off", interface="asgi3"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._server.serve()))

    def __enter__(self) -> "Running":
        self._thread.start()
        deadline = monotonic_seconds() + 10
        while not self._server.started and monotonic_seconds() < deadline:
            time.sleep(0.005)
        assert self._server.started
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)

    @property
    def origin(self) -> str:
        port = self._server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    async def _dispatch(self, scope: Any, receive: Any, send: Any) -> None:
        await self.api.app()(scope, receive, send)

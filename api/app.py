"""The HTTP application: its routes, and what lives as long as it does."""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from fastapi import APIRouter, FastAPI

from api import comparing, exchange, health, operations, parts, problems, reads, webhooks
from api.inbox import START_SECONDS
from api.pace import Pace
from api.rebuild import rebuild_forever
from api.starts import Starts
from api.sweep import sweep_forever
from infra import failpoints
from infra.settings import Settings, load_settings
from infra.store.database import open_database
from infra.store.inbox import Inbox
from infra.store.reads import Reads
from infra.store.signals import Signals
from infra.temporal import connect

log = logging.getLogger(__name__)

PREFIX: Final = "/api/v1"


def create(settings: Settings | None = None) -> FastAPI:
    """Return the application; without `settings`, it reads its own.

    It begins with the database or the Temporal server down, and says so at /readyz.
    """
    known = settings or load_settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        shared = await _opened(known)
        parts.install(app, shared)
        # Asking once also opens the connections, so that the first signal need not.
        ill = {part: why for part, why in (await health.ills(shared)).items() if why}
        log.log(logging.WARNING if ill else logging.INFO, "api.started", extra={"ill": ill})
        tasks = [
            asyncio.create_task(sweep_forever(shared), name="sweep"),
            asyncio.create_task(rebuild_forever(shared), name="rebuild"),
        ]
        try:
            yield
        finally:
            await _closed(shared, tasks)

    app = FastAPI(title="Holdfast", version="1", lifespan=lifespan, redoc_url=None)
    app.add_middleware(webhooks.ShortWay, path=f"{PREFIX}/webhooks")
    problems.install(app)
    versioned = APIRouter(prefix=PREFIX)
    for one in (
        webhooks.router(),
        reads.router(),
        exchange.router(),
        operations.router(),
        comparing.router(),
        health.status_router(),
    ):
        versioned.include_router(one)
    app.include_router(versioned)
    app.include_router(health.router())
    return app


async def _closed(shared: parts.Parts, tasks: Sequence[asyncio.Task[None]]) -> None:
    """End what runs for good, and let go of every connection."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await shared.starts.close(START_SECONDS)
    await shared.inbox.close()
    await shared.database.dispose()


async def _opened(settings: Settings) -> parts.Parts:
    """Return the ways to the outside; nothing is connected before it is needed."""
    url, name = settings.database_url.get_secret_value(), "holdfast-api"
    database = open_database(url, application_name=name)
    pace = Pace()
    return parts.Parts(
        settings=settings,
        database=database,
        inbox=Inbox(database, url, application_name=name),
        signals=Signals(database),
        reads=Reads(database),
        temporal=await connect(settings.temporal, lazy=True),
        failpoint=failpoints.from_environment(os.environ),
        pace=pace,
        starts=Starts(pace),
    )

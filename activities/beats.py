"""Heartbeats of an activity, so that its worker's death is noticed long before its time is up."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from temporalio import activity


@contextlib.asynccontextmanager
async def heartbeats(seconds: float) -> AsyncGenerator[None]:
    """Heartbeat from the event loop while the block runs; outside an activity, do nothing."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(seconds)
            activity.heartbeat()

    beating = asyncio.create_task(beat()) if activity.in_activity() else None
    try:
        yield
    finally:
        if beating is not None:
            beating.cancel()

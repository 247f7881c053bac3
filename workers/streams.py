"""The streams worker: the eyes of every account, and the list of markets."""

import asyncio
import logging
from typing import Final

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError

from domain.errors import HoldfastError, UnavailableError
from infra.clock import utc_now
from infra.settings import Settings
from workers.process import connected, serve_queue
from workers.schedules import schedule_markets
from workers.wiring import Parts, assemble, keep_gate, market_source, stream_activities
from workflows.follow_account import FollowAccount
from workflows.options import STREAMS, WORKFLOW_TASK_TIMEOUT

log = logging.getLogger(__name__)

BEGIN_SECONDS: Final = 5.0
FIRST_LIST_SECONDS: Final = 5.0


async def run_streams(settings: Settings) -> None:
    """Follow every configured account and keep the list of markets, until told to end."""
    client = await connected(settings)
    parts = assemble(settings, client, "streams")
    keeping = await keep_gate(parts)
    listing = asyncio.create_task(_list_markets(parts))
    await asyncio.wait({listing}, timeout=FIRST_LIST_SECONDS)
    beginning = asyncio.create_task(_begin_forever(client, parts))
    eyes = stream_activities(parts)
    await serve_queue(client, STREAMS, [eyes.follow_account, eyes.refresh_markets])
    listing.cancel()
    keeping.cancel()
    beginning.cancel()


async def _list_markets(parts: Parts) -> None:
    """Read the list of markets before the schedule's first turn; a failure keeps the last one."""
    try:
        listing = await market_source(parts).listing()
        await parts.markets.replace(listing.markets, utc_now(), listing.unread)
    except HoldfastError as error:
        log.warning("markets.not_listed", extra={"why": str(error)})


async def _begin_forever(client: Client, parts: Parts) -> None:
    """Begin again and again: a server that lost its store runs nothing of ours."""
    while True:
        try:
            await _begin(client, parts)
        except (RPCError, RuntimeError, UnavailableError) as error:
            log.warning("streams.not_begun", extra={"why": str(error)})
        await asyncio.sleep(BEGIN_SECONDS)


async def _begin(client: Client, parts: Parts) -> None:
    """Start what runs for good; what runs already is left alone."""
    for account_id in parts.accounts:
        await client.start_workflow(
            FollowAccount.run,
            account_id,
            id=f"stream-{account_id}",
            task_queue=STREAMS,
            task_timeout=WORKFLOW_TASK_TIMEOUT,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            static_summary=f"user channel of {account_id}",
        )
    await schedule_markets(client)

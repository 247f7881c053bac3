"""Keeping every account's guardian alive."""

import asyncio
import logging
from typing import Final

from temporalio.client import Client

from domain.errors import HoldfastError, UnavailableError
from infra.temporal_guardians import ensure_guardian
from workers.wiring import Parts

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 5.0  # how long an account may be without the guardian that somebody ended


async def keep_guarded(client: Client, parts: Parts) -> None:
    """Start every account's guardian, again if somebody ended it."""
    while True:
        for account_id in parts.accounts:
            try:
                await guard(client, parts, account_id)
            except UnavailableError as error:
                log.warning("guardian.not_started", extra={"why": str(error)})
            except HoldfastError:
                log.exception("guardian.not_started")
        await asyncio.sleep(LOOK_SECONDS)


async def guard(client: Client, parts: Parts, account_id: str) -> None:
    """Start one guardian if it does not run, and write down who ended the one before."""
    ended = await ensure_guardian(client, account_id)
    if ended is not None:
        about = {"account_id": account_id, "words": ended.words, "who": ended.who}
        log.error("guardian.restarted", extra=about)
        await parts.guardians.restarted(account_id, ended.words, ended.who)

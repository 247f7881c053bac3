"""Starts what was stored and never started: after a crash, and after Temporal was away."""

import asyncio
import logging
from datetime import datetime, timedelta
from typing import Final

from api.inbox import Arrival, consider, launch
from api.parts import Parts
from api.schemas import secret_in
from api.senders import UNPROVEN, is_proven
from domain.errors import HoldfastError, UnavailableError
from domain.signal import SignalStatus
from infra.clock import utc_now
from infra.store.signals import StoredSignal

log = logging.getLogger(__name__)

PERIOD_SECONDS: Final = 1.0
OLDER_THAN_SECONDS: Final = 1.0  # younger ones are still in the hands of the request
AT_ONCE: Final = 200
OUTAGE_AFTER: Final = 3  # rows in a row that cannot be started: the server is away, not the row
PROOF_WITHIN: Final = timedelta(seconds=60)  # how long a sender that got no answer may repeat it


async def sweep_forever(parts: Parts) -> None:
    """Sweep every second until cancelled; an outage is logged when it begins and when it ends."""
    trouble: str | None = None
    while True:
        (result,) = await asyncio.gather(sweep(parts, utc_now()), return_exceptions=True)
        if isinstance(result, UnavailableError):
            if trouble is None:
                log.warning("sweep.stalled", extra={"why": str(result)})
            trouble = str(result)
        elif isinstance(result, BaseException):
            log.error("sweep.failed", exc_info=result)
        elif trouble is not None:
            log.info("sweep.resumed", extra={"was": trouble})
            trouble = None
        await asyncio.sleep(PERIOD_SECONDS)


async def sweep(parts: Parts, now: datetime) -> int:
    """Bring every waiting signal one step on and return how many were started.

    Raises:
        UnavailableError: the database or the Temporal server is away.
    """
    waiting = await parts.signals.waiting(now, OLDER_THAN_SECONDS, AT_ONCE)
    count, failures = 0, list[UnavailableError]()
    for row in waiting:
        try:
            count += await _swept(parts, row, now)
        except UnavailableError as error:
            failures.append(error)
            if len(failures) >= OUTAGE_AFTER:
                break
        except HoldfastError as error:
            # One row that cannot be handled must not hold up those behind it.
            log.exception("signal.stuck", extra={"signal_id": row.id, "why": str(error)})
    if failures:
        raise failures[0]
    return count


async def _swept(parts: Parts, row: StoredSignal, now: datetime) -> int:
    """Bring one signal on; return 1 if its workflow was started."""
    known = parts.settings.webhooks.get(row.source)
    if known is None:
        why = f"no source {row.source} is configured"
        await parts.signals.refused(row.id, SignalStatus.ERROR, why)
        return 0
    if row.action is None and not _proves_itself(parts, row):
        # Its proof was in the request, which a crash cut short: the sender has got no answer.
        if now - row.received_at > PROOF_WITHIN:
            status = SignalStatus.ERROR
            await parts.signals.refused(row.id, status, UNPROVEN, is_unproven=True)
        return 0
    arrival = Arrival(
        signal_id=row.id, source=row.source, body=row.raw_payload, received_at=row.received_at
    )
    outcome = await consider(parts, arrival, now)
    if outcome.task is None:
        return 0
    await launch(parts, outcome.task)
    return 1


def _proves_itself(parts: Parts, row: StoredSignal) -> bool:
    within = secret_in(row.raw_payload)
    return within is not None and is_proven(parts.settings, row.source, [within])

"""Starts what was stored and never started: after a crash, and after Temporal was away."""

import asyncio
import logging
from datetime import datetime
from itertools import islice
from typing import Final

from api.commands import switched_again
from api.inbox import launch
from api.parts import Parts
from api.recall import recalled
from api.strangers import KEPT_BYTES, KEPT_FOR, KEPT_ROWS
from domain.errors import HoldfastError, UnavailableError
from domain.signal import SWITCHES, SignalStatus
from infra.clock import monotonic_seconds, utc_now
from infra.points import Point
from infra.settings import COMMANDS
from infra.store.signals import StoredSignal
from infra.telemetry import work_of
from infra.tracing import point

log = logging.getLogger(__name__)

PERIOD_SECONDS: Final = 1.0
OLDER_THAN_SECONDS: Final = 1.0  # younger ones are still in the hands of the request
BATCH: Final = 200
AT_ONCE: Final = 4
OUTAGE_AFTER: Final = 3  # rows that cannot be started: the server is away, not the row
FORGET_EVERY: Final = 60  # sweeps


async def sweep_forever(parts: Parts) -> None:
    """Sweep every second until cancelled; an outage is logged when it begins and when it ends."""
    trouble: str | None = None
    count = 0
    while True:
        (result,) = await asyncio.gather(_round(parts, count), return_exceptions=True)
        count += 1
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
    held = parts.starts.held
    rows = iter(await parts.signals.waiting(now, OLDER_THAN_SECONDS, BATCH, held=held))
    count, failures = 0, list[UnavailableError]()
    while len(failures) < OUTAGE_AFTER and (some := list(islice(rows, AT_ONCE))):
        await parts.pace.turn()
        steps = [_step(parts, row) for row in some]
        for result in await asyncio.gather(*steps):
            if isinstance(result, UnavailableError):
                failures.append(result)
            else:
                count += result
    if failures:
        raise failures[0]
    return count


async def _round(parts: Parts, count: int) -> None:
    """Do what is due: the sweep every time, the rest now and then."""
    parts.strangers.report(monotonic_seconds())
    now = utc_now()
    await sweep(parts, now)
    if count % FORGET_EVERY == 0:
        gone = await parts.signals.forget_strangers(now - KEPT_FOR, KEPT_ROWS, KEPT_BYTES)
        if gone:
            log.info("strangers.forgotten", extra={"rows": gone})


async def _step(parts: Parts, row: StoredSignal) -> int | UnavailableError:
    """Bring one signal on; one that cannot be handled must not hold up those behind it."""
    try:
        return await _swept(parts, row)
    except UnavailableError as error:
        return error
    except HoldfastError as error:
        log.exception("signal.stuck", extra={"signal_id": row.id, "why": str(error)})
        return 0


async def _swept(parts: Parts, row: StoredSignal) -> int:
    """Bring one signal on; return 1 if its workflow was started."""
    if row.source == COMMANDS and row.action in SWITCHES:
        return await switched_again(parts, row)
    task = recalled(parts.settings, row)
    if isinstance(task, str):
        return await _ended(parts, row, task)
    with point(Point.SIGNAL_SWEPT, work_of(task)):
        return int(await launch(parts, task) is SignalStatus.PROCESSING)


async def _ended(parts: Parts, row: StoredSignal, why: str) -> int:
    """Say why a signal cannot be carried out any more."""
    await parts.signals.settle(row.id, SignalStatus.ERROR, why)
    return 0

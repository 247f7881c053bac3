"""What limits ask of the outside: the day's beginning, and that the guardian hears of a trip."""

import logging
from datetime import datetime

from domain.errors import UnavailableError
from domain.halt import Kill
from domain.ports import DayStore, Exchange, Workflows
from domain.risk import TRIPPED_BY, Day, Limits

log = logging.getLogger(__name__)


async def begin_day(
    days: DayStore, exchange: Exchange, account_id: str, source: str, now: datetime
) -> Day:
    """Take what the day of `now` begins with: the exchange's collateral, and our own marks.

    Of several at once the first one's stays.
    """
    collateral_usd = await exchange.collateral_usd()
    day = await days.begin(account_id, collateral_usd, source, now)
    if day.unpriced:
        words = {"account_id": account_id, "unpriced": day.unpriced}
        log.warning("day.begun_without_prices", extra=words)
    return day


async def tell_guardian(workflows: Workflows, account_id: str, words: str, limits: Limits) -> None:
    """Have the guardian finish what a limit began; untold, it sees so at its next look."""
    log.critical("account.tripped", extra={"account_id": account_id, "words": words})
    try:
        await workflows.kill(account_id, trip_kill(words, limits))
    except UnavailableError as error:
        log.warning("guardian.not_told", extra={"account_id": account_id, "why": str(error)})


def trip_kill(words: str, limits: Limits) -> Kill:
    """Return the kill that a limit asks for."""
    return Kill(by=TRIPPED_BY, reason=words, close_positions=limits.close_positions_on_trip)

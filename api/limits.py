"""What an account shows of its limits: how its day began, how it goes, what is left to each."""

from datetime import datetime

from api.parts import Parts
from domain.headroom import headroom
from infra.clock import utc_now
from infra.store.days import Days
from infra.store.reads import Row


async def with_limits(parts: Parts, accounts: list[Row]) -> list[Row]:
    """Return rows of accounts with how each stands against its limits now."""
    now = utc_now()
    return [row | await _standing(parts, str(row["id"]), now) for row in accounts]


async def _standing(parts: Parts, account_id: str, now: datetime) -> Row:
    """Return how one account stands; what nobody knows is null, never zero."""
    reading = await Days(parts.database).reading(account_id, now)
    day, today = reading.day, reading.today
    known = parts.settings.accounts.get(account_id)
    is_paper = parts.settings.exchange.admin_url is not None
    return {
        "starting_equity_usd": day.starting_equity_usd if day else None,
        "starting_equity_at": day.taken_at if day else None,
        "pnl_today_usd": today.pnl_usd if today else None,
        "forgiven_today_usd": today.forgiven_usd if today else None,
        "unpriced": reading.unpriced,
        "oldest_priced_at": reading.oldest_priced_at,
        "limits": headroom(reading, known.limits.as_limits()) if known else None,
        "limits_confirmed": is_paper or known.limits.confirmed if known else None,
    }

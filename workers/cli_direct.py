"""The kill that needs nothing of ours: the gate if the database answers, and the exchange."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

from domain.errors import HoldfastError, InvalidInputError
from domain.market import Market
from domain.risk import AccountState
from infra.exchanges.polymarket.accounts import open_accounts
from infra.exchanges.polymarket.client import PolymarketAccount
from infra.settings import Settings
from infra.store.accounts import Accounts
from infra.store.database import open_database
from workers.cli_act import Outcome
from workers.cli_client import FAILED, CommandError
from workers.cli_roles import own_settings

log = logging.getLogger(__name__)

EMPTY_READINGS: Final = 2
PAUSE_SECONDS: Final = 1.0
MOST_SWEEPS: Final = 30
GATE_SECONDS: Final = 5.0
WHO: Final = "kill --direct"


def kill_directly(reason: str, *, closes: bool) -> tuple[Outcome, int]:
    """Close the gate in PostgreSQL and empty the exchange, with no worker and no Temporal.

    Raises:
        CommandError: positions were to be closed, which needs workers; or no keys are known.
    """
    if closes:
        raise CommandError("--direct sends no orders: kill first, then `holdfast kill` to close")
    settings = own_settings(with_secrets=False)
    return asyncio.run(_killed(settings, reason))


async def _killed(settings: Settings, reason: str) -> tuple[Outcome, int]:
    """Kill every account; one that fails does not keep the others."""
    accounts = open_accounts(settings, _unlisted)
    if not accounts:
        raise CommandError("no account has exchange keys here: set HOLDFAST_CONFIG")
    gate = await _moved(settings, accounts, AccountState.HALTING, f"{reason} ({WHO})")
    cleared = await _all_cleared(accounts)
    is_done = all(words == "empty" for words in cleared.values())
    detail = "; ".join(f"{name}: the exchange is {words}" for name, words in cleared.items())
    if gate is not None:
        detail += f"; the gate is NOT closed ({gate}): stop the workers, or kill again"
    if not is_done or gate is not None:
        return Outcome(None, "partly", detail), FAILED
    await _moved(settings, accounts, AccountState.HALTED, f"{reason} ({WHO}): {detail}")
    return Outcome(None, AccountState.HALTED.value, detail), 0


async def _unlisted(condition_id: str) -> Market:
    """Say that no registry is at hand: nothing here asks for markets."""
    raise InvalidInputError("market", f"{condition_id} is not known here")


async def _moved(
    settings: Settings,
    accounts: Mapping[str, PolymarketAccount],
    to: AccountState,
    reason: str,
) -> str | None:
    """Bring every account to a state in PostgreSQL; return why that failed, None if it did not."""
    engine = open_database(settings.database_url.get_secret_value(), pool_size=1)
    rows, leaves = Accounts(engine), frozenset(AccountState) - {AccountState.HALTED}
    try:
        async with asyncio.timeout(GATE_SECONDS):
            for name in accounts:
                await rows.set_state(name, to, reason=reason, who=WHO, only_from=leaves)
    except (HoldfastError, TimeoutError) as error:
        return str(error) or "the database did not answer in time"
    finally:
        await engine.dispose()
    return None


async def _all_cleared(accounts: Mapping[str, PolymarketAccount]) -> dict[str, str]:
    """Empty every account at the exchange and say how each is left."""
    words = await asyncio.gather(*(_cleared(account) for account in accounts.values()))
    return dict(zip(accounts, words, strict=True))


async def _cleared(account: PolymarketAccount) -> str:
    """Cancel and list until two readings are empty; say what is left."""
    empty, left = 0, "not reached"
    try:
        for _ in range(MOST_SWEEPS):
            left, is_empty = await _swept(account)
            empty = empty + 1 if is_empty else 0
            if empty >= EMPTY_READINGS:
                break
            await asyncio.sleep(PAUSE_SECONDS)
    finally:
        await account.close()
    return left


async def _swept(account: PolymarketAccount) -> tuple[str, bool]:
    """Cancel everything once and say what is still listed."""
    try:
        await account.cancel_all()
        live = await account.active_orders()
    except HoldfastError as error:
        log.warning("kill.not_reached", extra={"why": str(error)})
        return f"not reached: {error}", False
    return ("empty", True) if not live else (f"left with {len(live)} orders", False)

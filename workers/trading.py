"""The trading worker: the only process with signing keys."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from domain.errors import HoldfastError, UnavailableError
from domain.risk import AccountState
from infra.settings import Settings, SettingsError, demand_confirmed
from infra.store.durability import risks
from workers.guarding import keep_guarded
from workers.process import connected, serve_queue
from workers.wiring import (
    Parts,
    assemble,
    guard_activities,
    keep_gate,
    order_activities,
    protection_activities,
    signal_activities,
    sweep_activities,
    trading_activities,
)
from workflows.options import TRADING

log = logging.getLogger(__name__)

OPENING_SECONDS: Final = 5.0  # usually enough to open the accounts before the first signal comes
RETRY_SECONDS: Final = 1.0


async def run_trading(settings: Settings) -> None:
    """Work orders, positions and signals until the process is told to end.

    Raises:
        SettingsError: there is no storage key, an account lacks its private key, limits for real
            money are not confirmed, or the database may lose what it has committed.
    """
    _check(settings)
    client = await connected(settings)
    parts = assemble(settings, client, "trading")

    async def after_send() -> None:
        await parts.failpoint("order.after_send")

    for account in parts.accounts.values():
        account.on_answer_begun(after_send)
    await _until_done(partial(demand_durability, parts.engine), "database.unreachable")
    keeping = await keep_gate(parts)
    opening = asyncio.create_task(_open_accounts(parts))
    await asyncio.wait({opening}, timeout=OPENING_SECONDS)
    guarding = asyncio.create_task(keep_guarded(client, parts))
    activities = trading_activities(
        order_activities(parts),
        signal_activities(parts),
        guard_activities(parts),
        sweep_activities(parts),
        protection_activities(parts),
    )
    await serve_queue(client, TRADING, activities)
    opening.cancel()
    keeping.cancel()
    guarding.cancel()


def _check(settings: Settings) -> None:
    """Refuse to start without the keys this role exists for."""
    if settings.storage_key is None:
        raise SettingsError("storage_key: the trading worker seals signed orders with it; set it")
    for account_id, account in settings.accounts.items():
        if account.private_key is None:
            raise SettingsError(f"accounts.{account_id}.private_key: the trading worker signs")
    demand_confirmed(settings)


async def demand_durability(database: AsyncEngine) -> None:
    """Refuse to trade on a database that may forget what it called stored.

    Raises:
        SettingsError: it may; the message names the settings.
    """
    found = await risks(database)
    if found is not None:
        raise SettingsError(f"database: {found}")


async def _open_accounts(parts: Parts) -> None:
    """Give new accounts their rows, and let them enter once their trades are caught up with."""
    await _until_done(parts.ensure_accounts, "account.row_failed")
    for account_id in parts.accounts:
        await _until_done(partial(_open_account, parts, account_id), "account.opening_failed")


async def _open_account(parts: Parts, account_id: str) -> None:
    """Let an account enter that has not done so since it was made, or whose keys work again."""
    state = await parts.rows.state(account_id)
    if state not in {AccountState.RECONCILING, AccountState.HALTED}:
        return
    await parts.recorder(account_id).catch_up()
    if state is AccountState.HALTED:
        await parts.rows.regained_access(account_id)
        return
    await parts.rows.set_state(
        account_id,
        AccountState.RUNNING,
        reason="caught up with the exchange",
        only_from=(AccountState.RECONCILING,),
    )


async def _until_done(act: Callable[[], Awaitable[None]], event: str) -> None:
    """Try again until it works: the database or the exchange may come up later than we do."""
    while True:
        try:
            await act()
        except UnavailableError as error:
            log.warning(event, extra={"why": str(error)})
        except SettingsError:
            raise
        except HoldfastError:
            log.exception(event)
        else:
            return
        await asyncio.sleep(RETRY_SECONDS)

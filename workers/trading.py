"""The trading worker: the only process with signing keys."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from psycopg import Error
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client

from domain.errors import HoldfastError, UnavailableError
from domain.halt import Reconcile
from domain.risk import AccountState
from infra.settings import Settings, SettingsError, demand_confirmed
from infra.store.durability import risks
from infra.store.presence import Presence
from workers.comparing import (
    comparing_activities,
    reconcile_activities,
    shutdown_activities,
)
from workers.guarding import keep_guarded
from workers.process import connected, serve_queue
from workers.schedules import schedule_comparison
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
COMPARE_SECONDS: Final = 10.0  # how long a gate may wait for a comparison that somebody ended


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
    presence, is_alone = await _present(parts)
    being = asyncio.create_task(presence.keep())
    opening = asyncio.create_task(_open_accounts(parts, opens=is_alone))
    await asyncio.wait({opening}, timeout=OPENING_SECONDS)
    guarding = asyncio.create_task(keep_guarded(client, parts))
    asking = asyncio.create_task(_keep_compared(parts, client))
    orders, guard = order_activities(parts), guard_activities(parts)
    compared = reconcile_activities(parts, orders)
    activities = trading_activities(
        orders,
        signal_activities(parts),
        guard,
        sweep_activities(parts),
        protection_activities(parts),
    )
    activities += comparing_activities(compared, shutdown_activities(parts, guard, compared))
    await serve_queue(client, TRADING, activities)
    for task in (opening, keeping, guarding, asking, being):
        task.cancel()
    await presence.leave()


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


async def _present(parts: Parts) -> tuple[Presence, bool]:
    """Take this worker's place, and close the gates where no other one lives; tell whether so."""
    await _until_done(parts.ensure_accounts, "account.row_failed")
    presence = Presence(parts.settings.database_url.get_secret_value())
    while True:
        try:
            is_alone = await presence.enter()
            break
        except (Error, OSError) as error:
            log.warning("database.unreachable", extra={"why": str(error)})
        await asyncio.sleep(RETRY_SECONDS)
    if is_alone:
        await _until_done(partial(close_gates, parts), "account.gate_not_closed")
    return presence, is_alone


async def close_gates(parts: Parts) -> None:
    """Have entries wait until each account has been compared with the exchange.

    Only where no other worker lives: one that starts beside a live one finds the gate its own.
    """
    for account_id in parts.accounts:
        await parts.rows.set_state(
            account_id,
            AccountState.RECONCILING,
            reason="a worker starts: compared with the exchange first",
            only_from=(AccountState.RUNNING,),
        )


async def _open_accounts(parts: Parts, *, opens: bool) -> None:
    """Have each account compared with the exchange, which lets it enter.

    Args:
        parts: what this process works with.
        opens: no other worker lives, so accounts that were shut down may trade again.
    """
    wish = Reconcile(by="holdfast", reason="a worker starts", opens=opens)
    for account_id in parts.accounts:
        await _until_done(partial(_regain, parts, account_id), "account.opening_failed")
        ask = partial(parts.workflows.reconcile, account_id, wish)
        await _until_done(ask, "account.not_compared")


async def _regain(parts: Parts, account_id: str) -> None:
    """End a halt that was for refused keys, if they are taken again."""
    if await parts.rows.state(account_id) is AccountState.HALTED:
        await parts.recorder(account_id).catch_up()
        await parts.rows.regained_access(account_id)


async def _keep_compared(parts: Parts, client: Client) -> None:
    """Keep the schedule of comparisons, and ask for one wherever entries wait for it."""
    while True:
        for account_id in parts.accounts:
            compare = partial(_compare, parts, client, account_id)
            await _until_done(compare, "account.not_compared")
        await asyncio.sleep(COMPARE_SECONDS)


async def _compare(parts: Parts, client: Client, account_id: str) -> None:
    """Keep one account's schedule, and ask for a comparison where entries wait for it."""
    await schedule_comparison(client, account_id)
    if await parts.rows.state(account_id) is AccountState.RECONCILING:
        wish = Reconcile(by="holdfast", reason="entries wait for it")
        await parts.workflows.reconcile(account_id, wish)


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

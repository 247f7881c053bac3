"""The only file that puts an adapter behind a port."""

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client

from activities.guard import GuardActivities
from activities.orders import Desk, OrderActivities
from activities.protection import ProtectionActivities
from activities.signals import SignalActivities
from activities.streams import Feed, StreamActivities
from activities.sweep import SweepActivities
from activities.trades import Recorder
from activities.wishes import WishActivities
from domain.errors import HoldfastError
from domain.risk import AccountState
from infra.clock import utc_now
from infra.exchanges.gate import Barred, Gate
from infra.exchanges.polymarket.accounts import open_accounts, open_gate, user_stream
from infra.exchanges.polymarket.client import PolymarketAccount
from infra.exchanges.polymarket.connection import Connection, pooled_client
from infra.exchanges.polymarket.registry import GammaMarkets
from infra.failpoints import Failpoints, from_environment
from infra.settings import Settings
from infra.store.accounts import ACCESS_LOST, Account, Accounts
from infra.store.breakers import Breakers
from infra.store.calls import Calls
from infra.store.database import open_database
from infra.store.days import Days
from infra.store.entry_plans import EntryPlans
from infra.store.fills import Fills
from infra.store.guardians import Guardians
from infra.store.markets import Markets
from infra.store.orders import Orders
from infra.store.protections import Protections
from infra.store.sealing import Cipher
from infra.store.signals import Signals
from infra.temporal_workflows import TemporalWorkflows

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """Everything behind the ports of one process."""

    settings: Settings
    engine: AsyncEngine
    accounts: dict[str, PolymarketAccount]
    orders: Orders
    fills: Fills
    markets: Markets
    signals: Signals
    days: Days
    protections: Protections
    guardians: Guardians
    rows: Accounts
    workflows: TemporalWorkflows
    failpoint: Failpoints
    gate: Gate
    calls: Calls
    process: str

    def recorder(self, account_id: str) -> Recorder:
        """Return the one way in which an account's trades are recorded."""
        return Recorder(
            account_id=account_id,
            exchange=self.accounts[account_id],
            fills=self.fills,
            workflows=self.workflows,
            clock=utc_now,
        )

    async def ensure_accounts(self) -> None:
        """Give every configured account its row; one that has a row keeps its state."""
        for account_id, account in self.settings.accounts.items():
            row = Account(
                id=account_id, wallet=account.wallet, signature_type=account.signature_type
            )
            await self.rows.ensure(row, utc_now())


def assemble(settings: Settings, client: Client, role: str) -> Parts:
    """Return the parts of one process.

    Raises:
        InvalidInputError: an account's keys and addresses do not belong together.
        SettingsError: a key is malformed.
    """
    engine = open_database(
        settings.database_url.get_secret_value(), application_name=f"holdfast-{role}"
    )
    markets = Markets(engine)
    failpoint = from_environment(os.environ)
    key = settings.storage_key
    rows = Accounts(engine)
    gate = open_gate(settings, Breakers(engine), halting(rows))
    return Parts(
        settings=settings,
        engine=engine,
        accounts=open_accounts(settings, markets.by_condition, gate),
        orders=Orders(engine, Cipher(key.get_secret_value()) if key is not None else None),
        fills=Fills(engine, failpoint),
        markets=markets,
        signals=Signals(engine),
        days=Days(engine),
        protections=Protections(engine),
        guardians=Guardians(engine),
        rows=rows,
        workflows=TemporalWorkflows(client),
        failpoint=failpoint,
        gate=gate,
        calls=Calls(engine),
        process=f"{role}-{socket.gethostname()}-{os.getpid()}-{utc_now():%Y%m%dT%H%M%S}",
    )


async def keep_gate(parts: Parts) -> asyncio.Task[None]:
    """Learn which calls are held back before the first is made, and keep learning."""
    try:
        await parts.gate.circuits.refresh()
    except HoldfastError as error:
        log.warning("gate.not_current", extra={"why": str(error)})
    return asyncio.create_task(parts.gate.keep_current(parts.process, parts.calls))


def halting(rows: Accounts) -> Barred:
    """Return what halts an account that the exchange bars; its exits go on being tried."""

    async def halt(account_id: str, words: str) -> None:
        log.critical("account.barred", extra={"account": account_id, "words": words})
        try:
            await rows.set_state(
                account_id,
                AccountState.HALTED,
                reason=f"{ACCESS_LOST}: {words}",
                only_from=(AccountState.RUNNING, AccountState.RECONCILING),
            )
        except HoldfastError:
            # The gate holds every call back meanwhile, and tells again at its next attempt.
            log.exception("account.not_halted", extra={"account": account_id})

    return halt


def _desks(parts: Parts) -> dict[str, Desk]:
    """Return what each account's orders need."""
    limits = {name: account.limits for name, account in parts.settings.accounts.items()}
    return {
        name: Desk(exchange=account, exits=account.for_exits(), limits=limits[name].as_limits())
        for name, account in parts.accounts.items()
    }


def order_activities(parts: Parts) -> OrderActivities:
    """Return the activities of an order's life."""
    return OrderActivities(
        desks=_desks(parts),
        orders=parts.orders,
        fills=parts.fills,
        markets=parts.markets,
        signals=parts.signals,
        days=parts.days,
        workflows=parts.workflows,
        clock=utc_now,
        failpoint=parts.failpoint,
    )


def signal_activities(parts: Parts) -> SignalActivities:
    """Return the activities of signals that are not a single entry."""
    wishes = WishActivities(
        entries=EntryPlans(parts.orders.engine),
        markets=parts.markets,
        protections=parts.protections,
        workflows=parts.workflows,
    )
    return SignalActivities(
        wishes=wishes,
        orders=parts.orders,
        fills=parts.fills,
        markets=parts.markets,
        workflows=parts.workflows,
    )


def guard_activities(parts: Parts) -> GuardActivities:
    """Return the activities of a guardian."""
    return GuardActivities(
        desks=_desks(parts),
        cooldowns={
            name: timedelta(seconds=account.limits.cooldown_seconds)
            for name, account in parts.settings.accounts.items()
        },
        accounts=parts.rows,
        orders=parts.orders,
        fills=parts.fills,
        days=parts.days,
        workflows=parts.workflows,
        clock=utc_now,
        failpoint=parts.failpoint,
    )


def sweep_activities(parts: Parts) -> SweepActivities:
    """Return the eyes of a guardian."""
    return SweepActivities(
        desks=_desks(parts),
        stops={name: account.stops.as_rule() for name, account in parts.settings.accounts.items()},
        accounts=parts.rows,
        guardians=parts.guardians,
        workflows=parts.workflows,
        check_limits=guard_activities(parts).check_limits,
        clock=utc_now,
    )


def protection_activities(parts: Parts) -> ProtectionActivities:
    """Return the activities of a position's workflow."""
    return ProtectionActivities(
        desks=_desks(parts),
        floors={
            name: account.limits.exit_floor_fraction
            for name, account in parts.settings.accounts.items()
        },
        protections=parts.protections,
        markets=parts.markets,
        clock=utc_now,
        failpoint=parts.failpoint,
    )


def trading_activities(
    orders: OrderActivities,
    signals: SignalActivities,
    guard: GuardActivities,
    sweeps: SweepActivities,
    protection: ProtectionActivities,
) -> list[Callable[..., Any]]:
    """Return what the trading worker registers."""
    return [
        orders.prepare,
        orders.submit,
        orders.record_answer,
        orders.learn,
        orders.reload,
        orders.look,
        orders.cancel,
        orders.settle_signal,
        *_of_signals(signals),
        sweeps.sweep,
        guard.standing,
        guard.close_gate,
        guard.tell_orders,
        guard.clear_exchange,
        guard.confirm_halt,
        guard.exit_positions,
        guard.reopen,
        protection.look_at_position,
        protection.judge_stop,
        protection.grant_plan,
        protection.claim_exit,
        protection.arm_stop,
        protection.claim_target,
        protection.retire_target,
        protection.next_sale,
        protection.block_exit,
        protection.close_position,
    ]


def _of_signals(signals: SignalActivities) -> list[Callable[..., Any]]:
    """Return what carries out signals that are not a single entry."""
    return [
        signals.deliver_sales,
        signals.deliver_cancel,
        signals.wishes.deliver_protection,
        signals.wishes.deliver_exit,
        signals.wishes.look_at_exit,
    ]


def stream_activities(parts: Parts) -> StreamActivities:
    """Return the long-running eyes."""
    exchange = parts.settings.exchange
    return StreamActivities(
        feeds={
            name: Feed(
                exchange=account,
                stream=user_stream(exchange, account),
                beat_seconds=parts.settings.accounts[name].heartbeat_seconds,
            )
            for name, account in parts.accounts.items()
        },
        orders=parts.orders,
        fills=parts.fills,
        markets=parts.markets,
        market_source=market_source(parts),
        workflows=parts.workflows,
        clock=utc_now,
    )


def market_source(parts: Parts) -> GammaMarkets:
    """Return where the list of markets is read; what is held is listed even when closed."""
    exchange = parts.settings.exchange

    async def held() -> set[str]:
        conditions: set[str] = set()
        for account_id in parts.accounts:
            for token_id in await parts.fills.open_tokens(account_id):
                market, _ = await parts.markets.find(token_id, None)
                conditions.add(market.condition_id)
        return conditions

    gamma = Connection(pooled_client(exchange.gamma_url), parts.gate, "gamma")
    clob = Connection(pooled_client(exchange.clob_url), parts.gate, "markets")
    return GammaMarkets(gamma, clob, held)

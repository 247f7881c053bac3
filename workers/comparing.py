"""What compares accounts with the exchange and shuts them down, put together."""

from collections.abc import Callable
from typing import Any

from activities.guard import GuardActivities
from activities.orders import OrderActivities
from activities.reconcile import Policy, ReconcileActivities
from activities.shutdown import ShutdownActivities
from domain.reconciliation import UnknownOrders
from infra.clock import utc_now
from infra.store.amends import Amends
from infra.store.reconciliations import Books
from workers.wiring import Parts


def reconcile_activities(parts: Parts, orders: OrderActivities) -> ReconcileActivities:
    """Return the activities that compare an account with the exchange."""
    policies = {name: account.reconcile for name, account in parts.settings.accounts.items()}
    return ReconcileActivities(
        desks=orders.desks,
        policies={
            name: Policy(
                unknown_orders=UnknownOrders(policy.unknown_orders),
                halt_above_usd=policy.halt_above_usd,
            )
            for name, policy in policies.items()
        },
        orders=parts.orders,
        fills=parts.fills,
        books=Books(parts.engine),
        amends=Amends(parts.engine, parts.failpoint),
        accounts=parts.rows,
        workflows=parts.workflows,
        look=orders.look,
        clock=utc_now,
        failpoint=parts.failpoint,
    )


def shutdown_activities(
    parts: Parts, guard: GuardActivities, compared: ReconcileActivities
) -> ShutdownActivities:
    """Return the activities that shut an account down."""
    return ShutdownActivities(
        accounts=parts.rows,
        orders=parts.orders,
        books=compared.books,
        amends=compared.amends,
        workflows=parts.workflows,
        guard=guard,
        failpoint=parts.failpoint,
    )


def comparing_activities(
    compared: ReconcileActivities, shutdown: ShutdownActivities
) -> list[Callable[..., Any]]:
    """Return what the trading worker registers for comparisons and shutdowns."""
    return [
        compared.ask_for_comparison,
        compared.reconcile_trades,
        compared.reconcile_orders,
        compared.reconcile_rows,
        compared.reconcile_balances,
        compared.conclude_reconciliation,
        shutdown.begin_shutdown,
        shutdown.empty_exchange,
        shutdown.ask_reconciliation,
        shutdown.find_report,
        shutdown.end_shutdown,
    ]

"""What the schedule `reconcile-{account}-every-5-minutes` runs: it asks, and ends."""

from temporalio import workflow

from domain.halt import Reconcile
from workflows import options

with workflow.unsafe.imports_passed_through():
    from activities.reconcile import ReconcileActivities, Turn


@workflow.defn(name="ReconcileOnTime")
class ReconcileOnTime:
    """Asks `reconcile-{account}` for a comparison; one that is at work does another after it."""

    @workflow.run
    async def run(self, account_id: str) -> None:
        """Ask once."""
        wish = Reconcile(by="schedule", reason="on time")
        turn = Turn(account_id=account_id, wish=wish, begun_at=workflow.now())
        await workflow.execute_local_activity_method(
            ReconcileActivities.ask_for_comparison, turn, **options.LOCAL, summary="ask for it"
        )

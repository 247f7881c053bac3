"""The eyes of one account, kept open for good: the workflow `stream-{account}`."""

from temporalio import workflow

from workflows import options

with workflow.unsafe.imports_passed_through():
    from activities.streams import StreamActivities


@workflow.defn(name="FollowAccount")
class FollowAccount:
    """Keeps one activity following the account, on whichever worker lives."""

    @workflow.run
    async def run(self, account_id: str) -> None:
        """Follow until cancelled."""
        workflow.set_current_details(
            f"Follows the user channel of **{account_id}**, reads what it missed after every "
            "reconnect, and reads unsettled trades again until they are final."
        )
        await workflow.execute_activity_method(
            StreamActivities.follow_account,
            account_id,
            **options.FOLLOW,
            summary=f"user channel of {account_id}",
        )


@workflow.defn(name="RefreshMarkets")
class RefreshMarkets:
    """Reads the list of markets once; a schedule runs it every minute."""

    @workflow.run
    async def run(self) -> int:
        """Return how many markets are listed."""
        return await workflow.execute_activity_method(
            StreamActivities.refresh_markets, **options.ACT, summary="read the list of markets"
        )

"""Every periodic job that is a Temporal Schedule, with the reasons for its times."""

from datetime import timedelta
from typing import Final

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleState,
)
from temporalio.service import RPCError

from domain.errors import UnavailableError
from workflows.options import STREAMS, TRADING, WORKFLOW_TASK_TIMEOUT

MARKETS: Final = "markets-refresh"
REFRESH_EVERY: Final = timedelta(seconds=60)
COMPARE_EVERY: Final = timedelta(minutes=5)  # the streams tell sooner; this finds what they missed


async def schedule_markets(client: Client) -> None:
    """Have the list of markets read every minute."""
    action = ScheduleActionStartWorkflow(
        "RefreshMarkets", id=MARKETS, task_queue=STREAMS, task_timeout=WORKFLOW_TASK_TIMEOUT
    )
    await _made(client, MARKETS, action, REFRESH_EVERY, "reads the list of markets")


async def schedule_comparison(client: Client, account_id: str) -> None:
    """Have an account compared with the exchange every five minutes."""
    name = f"reconcile-{account_id}"
    action = ScheduleActionStartWorkflow(
        "ReconcileOnTime",
        account_id,
        id=f"{name}-due",
        task_queue=TRADING,
        task_timeout=WORKFLOW_TASK_TIMEOUT,
    )
    await _made(client, name, action, COMPARE_EVERY, "asks for a comparison with the exchange")


async def _made(
    client: Client, name: str, action: ScheduleActionStartWorkflow, every: timedelta, note: str
) -> None:
    """Make a schedule; one that exists is left alone.

    Late turns are skipped, for the next one does all that they would have done; two at once never
    run; the turns of several accounts are spread over a tenth of the interval, so that the
    exchange is not asked for everything in the same second.

    Raises:
        UnavailableError: Temporal does not answer.
    """
    schedule = Schedule(
        action=action,
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)], jitter=every / 10),
        policy=SchedulePolicy(
            overlap=ScheduleOverlapPolicy.SKIP, catchup_window=timedelta(seconds=10)
        ),
        state=ScheduleState(note=note),
    )
    try:
        await client.create_schedule(name, schedule)
    except ScheduleAlreadyRunningError:
        return
    except (RPCError, RuntimeError) as error:
        raise UnavailableError(f"Temporal: {error}") from error

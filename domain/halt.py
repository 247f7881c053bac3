"""Stopping an account: what is asked for, when it may trade again, and what it came to."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from domain.ids import digest, position_id, position_workflow_id, trace_id
from domain.order import OrderSource, OrderType, Side, TimeInForce
from domain.risk import AccountState
from domain.signal import OrderRequest, SizeKind, Sizing

ALL: Final = Sizing(kind=SizeKind.PERCENT, value=Decimal(100))
SHUTDOWN: Final = "shutdown"  # begins the reason of an account that is being shut down
RESUMABLE: Final = frozenset({AccountState.HALTED, AccountState.STOPPED})


@dataclass(frozen=True, kw_only=True)
class Kill:
    """A wish that an account stop.

    Attributes:
        close_positions: sell what is held, too.
        by: who asks; kept in the audit trail.
    """

    by: str = "an operator"
    reason: str = "no reason given"
    close_positions: bool = False


@dataclass(frozen=True, kw_only=True)
class Resume:
    """A wish that a stopped account trade again.

    Attributes:
        force: before its cooldown is over.
    """

    by: str = "an operator"
    force: bool = False


@dataclass(frozen=True, kw_only=True)
class Reconcile:
    """A wish that our books be compared with the exchange.

    Attributes:
        by: who asks; kept on the report.
        is_report_only: say what differs and change nothing.
        opens: a worker starts: an account that was shut down may trade again afterwards.
    """

    by: str = "an operator"
    reason: str = "by hand"
    is_report_only: bool = False
    opens: bool = False


@dataclass(frozen=True, kw_only=True)
class Shutdown:
    """A wish that an account stop in good order: nothing rests, books compared, state written."""

    by: str = "an operator"
    reason: str = "by hand"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where an account stands, and since when."""

    state: AccountState
    reason: str | None
    since: datetime

    @property
    def is_shutting_down(self) -> bool:
        """Its halt is the first step of a shutdown, whose workflow finishes it."""
        return self.state is AccountState.HALTING and (self.reason or "").startswith(SHUTDOWN)


@dataclass(frozen=True, kw_only=True)
class Clearance:
    """What one sweep of the exchange left.

    Attributes:
        live: hashes the exchange still lists as able to match.
        in_doubt: orders of ours that were sent and may yet turn up.
        in_doubt_until: when the last of those can no longer arrive.
    """

    live: tuple[str, ...]
    in_doubt: int = 0
    in_doubt_until: datetime | None = None

    @property
    def is_empty(self) -> bool:
        """Nothing can match at this moment."""
        return not self.live


def why_not_resumed(
    wish: Resume,
    standing: Standing,
    now: datetime,
    cooldown: timedelta,
    still: str | None = None,
) -> str | None:
    """Return why an account may not trade again yet; None where it may.

    `still` is the loss that would stop it again at once; forced, it no longer counts.
    """
    if standing.state is AccountState.HALTING:
        return "a kill is at work: wait until the account is halted"
    if standing.state not in RESUMABLE:
        return f"the account is {standing.state}: there is nothing to resume"
    ends = standing.since + cooldown
    if standing.state is AccountState.HALTED and now < ends and not wish.force:
        return f"the cooldown lasts until {ends:%H:%M:%S} UTC: wait, or force it"
    if still is not None and not wish.force:
        return f"{still}: wait for 00:00 UTC, or force it"
    return None


def exit_request(account_id: str, token_id: str, gated_at: datetime, number: int) -> OrderRequest:
    """Return the `number`-th sale of all that is held of a token after the kill of `gated_at`.

    Asked for twice it is the same intent, and so the same order.
    """
    kill = digest("kill", account_id, gated_at.isoformat())
    return OrderRequest(
        intent_id=f"{position_id(account_id, token_id)}:kill:{kill}-{number}",
        account_id=account_id,
        signal_id=None,
        trace_id=trace_id(kill),
        workflow_id=position_workflow_id(account_id, token_id),
        source=OrderSource.API,
        market=token_id,
        outcome=None,
        side=Side.SELL,
        type=OrderType.MARKET,
        time_in_force=TimeInForce.FAK,
        sizing=ALL,
    )

"""What a trip comes to: the guardian is told, and what is held is sold only where that is set."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from typing_extensions import override

from activities.guard import GuardActivities
from activities.orders import Desk, OrderActivities
from domain.errors import UnavailableError
from domain.halt import Kill
from domain.order import Order
from domain.risk import DAILY_LOSS, NO_DAY, TRIPPED_BY, AccountState, Limits
from domain.sizing import Denied
from tests.workflows.calls import Calls
from tests.workflows.day_book import RUNNING
from tests.workflows.memory import LIMITS, Ledger, ServerClock, Venue, a_wish, no_failpoint

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LOST = Denied(rule=DAILY_LOSS, words="daily loss $1000", trips=True)


class Judge(Ledger):
    """A ledger whose limits say what a test has them say."""

    says: Denied | None = None

    @override
    async def admit(self, draft: Order, payload: bytes, limits: Limits) -> Order | Denied:
        if self.day is None:
            return NO_DAY
        return self.says or await super().admit(draft, payload, limits)


class Unreached(Calls):
    """A Temporal server that does not answer."""

    @override
    async def kill(self, account_id: str, wish: Kill) -> None:
        raise UnavailableError("no answer")


async def _now() -> datetime:
    return NOON


def a_venue() -> Venue:
    return Venue(clock=ServerClock(read=_now, now=NOON))


def ordering(ledger: Ledger, calls: Calls, limits: Limits = LIMITS) -> OrderActivities:
    venue = a_venue()
    return OrderActivities(
        desks={"main": Desk(exchange=venue, exits=venue, limits=limits)},
        orders=ledger,
        fills=ledger,
        markets=ledger,
        signals=ledger,
        days=ledger,
        workflows=calls,
        clock=venue.clock,
        failpoint=no_failpoint,
    )


def guarding(ledger: Ledger, venue: Venue, limits: Limits = LIMITS) -> GuardActivities:
    return GuardActivities(
        desks={"main": Desk(exchange=venue, exits=venue, limits=limits)},
        cooldowns={"main": timedelta(seconds=60)},
        accounts=ledger,
        orders=ledger,
        fills=ledger,
        days=ledger,
        workflows=Calls(),
        clock=venue.clock,
        failpoint=no_failpoint,
    )


async def test_the_days_first_entry_takes_what_the_day_began_with_and_is_then_admitted() -> None:
    ledger = Judge()
    prepared = await ordering(ledger, Calls()).prepare(a_wish())
    assert prepared.order is not None
    assert ledger.day is not None
    assert ledger.day.day == NOON.date()


@pytest.mark.parametrize("closes", [False, True])
async def test_an_entry_that_trips_a_limit_is_denied_and_the_guardian_is_sent_a_kill(
    *, closes: bool
) -> None:
    ledger, calls = Judge(), Calls()
    ledger.says = LOST
    limits = replace(LIMITS, close_positions_on_trip=closes)
    prepared = await ordering(ledger, calls, limits).prepare(a_wish())
    assert prepared.denied == LOST
    assert calls.kills == [Kill(by=TRIPPED_BY, reason=LOST.words, close_positions=closes)]


async def test_an_entry_that_trips_is_denied_though_temporal_does_not_hear_of_it() -> None:
    ledger = Judge()
    ledger.says = LOST
    prepared = await ordering(ledger, Unreached()).prepare(a_wish())
    assert prepared.denied == LOST


async def test_a_halt_that_a_limit_began_unheard_is_asked_for_again_as_it_was_meant() -> None:
    ledger = Ledger()
    reason = f"{LOST.words} ({TRIPPED_BY})"
    ledger.standing_now = replace(RUNNING, state=AccountState.HALTING, reason=reason)
    limits = replace(LIMITS, close_positions_on_trip=True)
    wish = await guarding(ledger, a_venue(), limits).check_limits("main")
    assert wish == Kill(by=TRIPPED_BY, reason=LOST.words, close_positions=True)
    ledger.standing_now = replace(ledger.standing_now, reason="enough (ann)")
    assert await guarding(ledger, a_venue(), limits).check_limits("main") is None


@pytest.mark.parametrize("state", sorted({*AccountState} - {"running"}))
async def test_a_loss_is_judged_only_while_the_account_trades(state: AccountState) -> None:
    ledger = Ledger()
    await ledger.begin("main", Decimal(0), "entry", NOON)
    ledger.pnl_usd = Decimal(-5000)
    assert await guarding(ledger, a_venue()).check_limits("main") is not None
    ledger.standing_now = replace(RUNNING, state=state)
    assert await guarding(ledger, a_venue()).check_limits("main") is None


async def test_a_reconciling_account_begins_no_day_for_it_does_not_know_its_trades_yet() -> None:
    ledger = Ledger()
    ledger.standing_now = replace(RUNNING, state=AccountState.RECONCILING)
    await guarding(ledger, a_venue()).check_limits("main")
    assert ledger.day is None


async def test_an_exchange_that_does_not_answer_holds_up_no_guardian() -> None:
    class Silent(Venue):
        @override
        async def collateral_usd(self) -> Decimal:
            raise UnavailableError("no answer")

    ledger = Ledger()
    silent = Silent(clock=ServerClock(read=_now, now=NOON))
    assert await guarding(ledger, silent).check_limits("main") is None
    assert ledger.day is None

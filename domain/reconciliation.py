"""Comparing our books with the exchange: what differs, and when a difference is believed.

Pure: each function is given both sides and says what differs. Absence counts only in a list that
was read to its end; what could not be read is no difference and changes nothing.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final

from domain.fill import FeeAsset, Fill, FillStatus, is_news
from domain.ids import digest, order_workflow_id, trace_id
from domain.order import (
    COMPLETE_WITHIN,
    LATE_ARRIVAL,
    TERMINAL,
    Order,
    OrderSource,
    OrderState,
    OrderType,
    Side,
)
from domain.ports import ActiveOrder

COLLATERAL: Final = ""  # stands for the account's collateral where a token is named
CONFIRMED_AFTER: Final = timedelta(seconds=60)  # between the two reads that prove a gap
SETTLES_WITHIN: Final = timedelta(seconds=120)  # how long balances have lagged behind trades
MOST_FINDINGS: Final = 500  # in one report; the rest is counted

Leg = tuple[str, str]  # trade id and order hash: the identity of a fill


class Kind(StrEnum):
    """What differs."""

    TRADE_LACKED = "trade_lacked"  # the exchange lists a trade of ours that we have not recorded
    TRADE_FAILED = "trade_failed"  # one we counted did not settle
    ORDER_MISSING = "order_missing"  # we think it rests, the exchange does not list it
    ORDER_LIVES = "order_lives"  # we think it over, the exchange lists it
    ORDER_UNKNOWN = "order_unknown"  # listed, and placed by nobody here
    BALANCE_DIFFERS = "balance_differs"  # other shares than the settled trades add up to
    COLLATERAL_DIFFERS = "collateral_differs"  # collateral moved outside every trade
    ROW_EDITED = "row_edited"  # a row of ours is not the sum of its own entries


class Outcome(StrEnum):
    """What was done about a difference."""

    REPORTED = "reported"  # nothing: only a report was asked for
    RECORDED = "recorded"
    LOOKED_UP = "looked_up"
    WORKED_AGAIN = "worked_again"
    ADOPTED = "adopted"
    CANCELLED = "cancelled"
    WAITING = "waiting"  # for the second read that proves it
    ADJUSTED = "adjusted"
    COUNTED_AGAIN = "counted_again"
    LEFT = "left"  # not mended; the words say why


class Result(StrEnum):
    """How a reconciliation ended."""

    AGREED = "agreed"  # nothing differs
    MENDED = "mended"  # everything that differed has its outcome
    DIFFERS = "differs"  # something does, and only a report was asked for
    WAITING = "waiting"  # a gap waits for its second read
    INCOMPLETE = "incomplete"  # something could not be read, or was left as it is
    FAILED = "failed"  # a list could not be read to its end: nothing is known


class UnknownOrders(StrEnum):
    """What is done with an order of the account that we did not place."""

    ADOPT = "adopt"
    CANCEL = "cancel"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One difference and what was done about it: a line of the report.

    Attributes:
        subject: a trade's id, an order's hash or a token; "collateral" for the account's own.
        ours, theirs: the two sides, in words or numbers.
        halts: it is proved, and too large for entries to go on.
    """

    kind: Kind
    subject: str
    token_id: str | None
    ours: str
    theirs: str
    outcome: Outcome
    words: str = ""
    halts: bool = False


@dataclass(frozen=True, kw_only=True)
class Section:
    """What one part of a comparison found and did.

    Attributes:
        is_heavy: a difference waits for its proof that is too large to trade beside.
    """

    findings: tuple[Finding, ...] = ()
    warnings: tuple[str, ...] = ()
    is_heavy: bool = False


@dataclass(frozen=True, kw_only=True)
class Report:
    """What one comparison found and did.

    Attributes:
        warnings: what could not be read or mended, though the rest was.
    """

    id: str
    account_id: str
    reason: str
    asked_by: str
    is_report_only: bool
    result: Result
    findings: tuple[Finding, ...]
    warnings: tuple[str, ...]
    begun_at: datetime
    ended_at: datetime


@dataclass(frozen=True, kw_only=True)
class OrderDifferences:
    """Orders on which the two sides do not agree."""

    missing: tuple[Order, ...] = ()
    living: tuple[Order, ...] = ()
    unknown: tuple[ActiveOrder, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What our settled entries say a balance should be.

    Attributes:
        settled: the sum of what is mined, confirmed or adjusted; provisional trades apart.
        doubtful: shares that a fee may have taken out of that, for all we know.
        price: what one is worth, to weigh a difference by.
        mark: the newest event behind the sum; another mark is another expectation.
        marked_at: when that was; balances follow a little later.
    """

    token_id: str
    condition_id: str
    settled: Decimal
    doubtful: Decimal
    price: Decimal
    mark: int
    marked_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Gap:
    """A balance that is not what our entries add up to."""

    account_id: str
    token_id: str
    expected: Decimal
    found: Decimal
    mark: int
    first_seen_at: datetime

    @property
    def difference(self) -> Decimal:
        """What the exchange has more (+) or less (-)."""
        return self.found - self.expected

    def is_same(self, other: "Gap") -> bool:
        """Tell whether two reads saw one difference, with nothing having moved between them."""
        mine = (self.token_id, self.expected, self.found, self.mark)
        return mine == (other.token_id, other.expected, other.found, other.mark)


@dataclass(frozen=True, kw_only=True)
class EditedRow:
    """A position or an order whose row is not the sum of its own fills."""

    kind: str
    id: str
    account_id: str
    token_id: str
    condition_id: str
    row: str
    entries: str


@dataclass(frozen=True, kw_only=True)
class Cash:
    """The account's collateral as last agreed, and what its settled trades moved since.

    Attributes:
        baseline_usd: None before the first agreement.
        cash_usd: what settled trades have moved in all.
        doubtful_usd: fees in there that may have been taken in shares instead.
    """

    baseline_usd: Decimal | None
    agreed_cash_usd: Decimal
    cash_usd: Decimal
    doubtful_usd: Decimal
    mark: int
    marked_at: datetime | None


def compare_trades(told: Iterable[Fill], known: Mapping[Leg, FillStatus]) -> list[Fill]:
    """Return the fills that say something we have not recorded, in their order."""
    return [fill for fill in told if _is_news(fill, known.get((fill.trade_id, fill.order_hash)))]


def _is_news(fill: Fill, known: FillStatus | None) -> bool:
    return known is None or is_news(known, fill.status)


def compare_orders(
    ours: Collection[Order],
    listed: Collection[ActiveOrder],
    known: Mapping[str, Order],
    now: datetime,
) -> OrderDifferences:
    """Return the orders on which the two sides differ.

    Args:
        ours: our open orders, read before `listed`: what is missing there was ours already.
        listed: everything the exchange lists, read to its end.
        known: our rows of both, read after `listed`: a row precedes its order's place on any list.
        now: when.
    """
    there = {active.order_hash for active in listed}
    return OrderDifferences(
        missing=tuple(
            order
            for order in (known.get(one.order_hash, one) for one in ours)
            if order.order_hash not in there and _should_be_listed(order, now)
        ),
        living=tuple(
            known[active.order_hash]
            for active in listed
            if active.order_hash in known and known[active.order_hash].state in TERMINAL
        ),
        unknown=tuple(active for active in listed if active.order_hash not in known),
    )


def _should_be_listed(order: Order, now: datetime) -> bool:
    """Tell whether the list must hold an order; one that was sent just now is with its workflow."""
    if order.state in TERMINAL or order.state is OrderState.NEW:
        return False
    if order.may_rest and order.state in {OrderState.LIVE, OrderState.PARTIAL}:
        return True
    return now - (order.last_sent_at or order.created_at) > LATE_ARRIVAL


def adopted(active: ActiveOrder, account_id: str) -> Order | None:
    """Return a stranger's order as one of ours; None where the exchange says too little of it."""
    placed = active.placed
    if placed is None:
        return None
    intent = f"manual-{active.order_hash}"
    return Order(
        order_hash=active.order_hash,
        intent_id=intent,
        account_id=account_id,
        token_id=active.token_id,
        condition_id=placed.condition_id,
        side=placed.side,
        type=OrderType.LIMIT,
        time_in_force=placed.time_in_force,
        post_only=False,
        source=OrderSource.MANUAL,
        state=OrderState.LIVE,
        price=placed.price,
        size=active.size,
        matched_size=active.matched_size,
        signal_id=None,
        workflow_id=order_workflow_id(intent),
        trace_id=trace_id(intent),
        expires_at=placed.expires_at,
        created_at=placed.created_at,
    )


def compare_balance(
    account_id: str, expected: Expected, found: Decimal, now: datetime
) -> Gap | None:
    """Return how a balance differs from what our entries say; None where it does not.

    Shares that a fee may have taken are no difference, and neither is the exchange's dust.
    """
    least = expected.settled - expected.doubtful - COMPLETE_WITHIN
    if least <= found <= expected.settled + COMPLETE_WITHIN:
        return None
    return Gap(
        account_id=account_id,
        token_id=expected.token_id,
        expected=expected.settled,
        found=found,
        mark=expected.mark,
        first_seen_at=now,
    )


def is_proved(gap: Gap, before: Gap | None, marked_at: datetime | None, now: datetime) -> bool:
    """Tell whether a gap may be believed: seen before, long ago, and nothing moved between.

    Balances follow trades late: a read shortly after the last movement proves nothing.
    """
    if before is None or not gap.is_same(before):
        return False
    since = before.first_seen_at
    if marked_at is not None:
        since = max(since, marked_at + SETTLES_WITHIN)
    return now - since >= CONFIRMED_AFTER


def adjustment(gap: Gap, condition_id: str, now: datetime) -> Fill:
    """Return the ledger entry that closes a proved gap: shares that came or went for nothing.

    Written twice it is one entry: its id says which gap it closes.
    """
    name = digest("adjustment", gap.account_id, gap.token_id, str(gap.mark), str(gap.difference))
    return Fill(
        trade_id=f"adjustment-{name}",
        order_hash=f"adjustment-{name}",
        account_id=gap.account_id,
        token_id=gap.token_id,
        condition_id=condition_id,
        side=Side.BUY if gap.difference > 0 else Side.SELL,
        price=Decimal(0),
        size=abs(gap.difference),
        fee=Decimal(0),
        fee_asset=FeeAsset.COLLATERAL,
        status=FillStatus.CONFIRMED,
        source=OrderSource.ADJUSTMENT,
        matched_at=now,
    )


def expected_collateral(cash: Cash) -> Expected | None:
    """Return what the collateral should be; None before the first agreement."""
    if cash.baseline_usd is None:
        return None
    return Expected(
        token_id=COLLATERAL,
        condition_id="",
        settled=cash.baseline_usd + cash.cash_usd - cash.agreed_cash_usd + cash.doubtful_usd,
        doubtful=cash.doubtful_usd,
        price=Decimal(1),
        mark=cash.mark,
        marked_at=cash.marked_at,
    )


def is_quiet(marked_at: datetime | None, now: datetime) -> bool:
    """Tell whether the last movement is so long ago that balances have followed it."""
    return marked_at is None or now - marked_at >= SETTLES_WITHIN


def halts_entries(gap: Gap, price: Decimal, limit_usd: Decimal) -> bool:
    """Tell whether a gap weighs so much that entries stop; a deposit never does."""
    if gap.token_id == COLLATERAL and gap.difference > 0:
        return False
    return abs(gap.difference) * price > limit_usd


def result_of(findings: Collection[Finding], warnings: Collection[str]) -> Result:
    """Return how a comparison that could read its lists ended."""
    outcomes = {finding.outcome for finding in findings}
    if warnings or Outcome.LEFT in outcomes:
        return Result.INCOMPLETE
    if Outcome.WAITING in outcomes:
        return Result.WAITING
    if Outcome.REPORTED in outcomes:
        return Result.DIFFERS
    return Result.MENDED if findings else Result.AGREED

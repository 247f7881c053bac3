"""The ports in memory, so that workflows and activities run for days in a second.

The rules are the product's own (domain/), only the keeping is simpler: a dict for a table, a set
for a book. The clock is the server's, read whenever the exchange is asked something.
"""

import asyncio
import json
from collections.abc import Callable, Collection, Coroutine, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from domain.answer import Answer, Submission, answered
from domain.errors import InvariantError, UnavailableError
from domain.fill import FeeAsset, FeeDoubt, Fill, FillStatus, SeenBy
from domain.halt import Standing
from domain.ids import digest
from domain.market import Book, Level, Market, Token
from domain.order import (
    TERMINAL,
    Order,
    OrderEvent,
    OrderSource,
    OrderState,
    OrderType,
    Side,
    Sighting,
    TimeInForce,
    seen,
)
from domain.ports import (
    ActiveOrder,
    Cancelled,
    Recorded,
    SendPermit,
    SignedOrder,
    UnsettledTrade,
)
from domain.risk import HALTS, AccountState, Limits
from domain.signal import (
    OrderRequest,
    SignalStatus,
    SizeKind,
    Sizing,
)
from domain.sizing import Denied, Funds, Terms
from tests.workflows.day_book import DayBook
from tests.workflows.quoting import Quoting

YES, NO = "1" * 70, "2" * 70
MARKET = Market(
    condition_id="0x" + "ab" * 32,
    slug="will-it-rain",
    question="Will it rain?",
    tokens=(
        Token(token_id=YES, outcome="Yes", position=0),
        Token(token_id=NO, outcome="No", position=1),
    ),
    neg_risk=False,
    tick_size=Decimal("0.01"),
    min_size=Decimal(5),
    fee_rate=Decimal(0),
    fee_exponent=1,
    accepting_orders=True,
    closed=False,
    end_at=None,
)
LIMITS = Limits(
    max_order_notional_usd=Decimal(1000),
    max_market_exposure_usd=Decimal(5000),
    max_open_orders=50,
    max_daily_loss_fraction=Decimal("0.1"),
)


@dataclass
class ServerClock:
    """The test server's time, as last read."""

    read: Callable[[], Coroutine[Any, Any, datetime]]
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    async def refresh(self) -> None:
        self.now = await self.read()


Happening = Callable[[str], object]  # told the hash of the order that is looked at


@dataclass
class Venue(Quoting):
    """An exchange whose answers a test scripts.

    Attributes:
        answers: what to say to each send, in order; afterwards "live".
        lands: for each send, whether its bytes reach the book; afterwards they do.
        answer_seconds: how long each answer takes to come.
        at_look: what happens at each look that finds the order active, in order.
        when_absent: what happens at each look that does not find it, in order.
        at_cancel: what happens once a cancel has been answered.
        is_blind: asked for one order, it knows none; its list is right.
        stubborn_sweeps: how many times "cancel all" will be answered and do nothing.
        after_sweep: what happens after each "cancel all" that did its work, in order.
    """

    clock: ServerClock
    answers: list[Submission] = field(default_factory=list[Submission])
    lands: list[bool] = field(default_factory=list[bool])
    answer_seconds: float = 0.0
    sends: list[str] = field(default_factory=list[str])
    sent_at: list[datetime] = field(default_factory=list[datetime])
    cancels: list[str] = field(default_factory=list[str])
    active: dict[str, ActiveOrder] = field(default_factory=dict[str, ActiveOrder])
    trades: list[Fill] = field(default_factory=list[Fill])
    signed: dict[str, Terms] = field(default_factory=dict[str, Terms])
    sized: dict[str, Decimal] = field(default_factory=dict[str, Decimal])
    at_look: list[Happening] = field(default_factory=list["Happening"])
    when_absent: list[Happening] = field(default_factory=list["Happening"])
    at_cancel: Callable[[], None] | None = None
    is_blind: bool = False
    unreadable_trades: set[str] = field(default_factory=set[str])
    sweeps: int = 0
    stubborn_sweeps: int = 0
    after_sweep: list[Callable[[], object]] = field(default_factory=list[Callable[[], object]])
    balances: dict[str, Decimal] = field(default_factory=dict[str, Decimal])
    at_list: Callable[[], Coroutine[Any, Any, None]] = lambda: asyncio.sleep(0)

    async def sign(
        self, terms: Terms, market: Market, token_id: str, expires_at: datetime | None
    ) -> SignedOrder:
        await self.clock.refresh()
        order_hash = "0x" + digest(str(terms), token_id, str(self.clock.now), length=64)
        self.signed[order_hash] = terms
        self.sized[order_hash] = terms.size
        payload = json.dumps({"hash": order_hash, "token": token_id}).encode()
        return SignedOrder(
            order_hash=order_hash, payload=payload, price=terms.price, size=terms.size
        )

    async def submit(self, payload: bytes) -> Submission:
        await self.clock.refresh()
        sent = json.loads(payload)
        order_hash = str(sent["hash"])
        is_repeat = order_hash in self.active or any(
            fill.order_hash == order_hash for fill in self.trades
        )
        self.sends.append(order_hash)
        self.sent_at.append(self.clock.now)
        lands = self.lands.pop(0) if self.lands else True
        answer = self.answers.pop(0) if self.answers else Submission(answer=Answer.LIVE)
        if is_repeat:
            return Submission(answer=Answer.DUPLICATE, words="Duplicated.")
        if lands and answer.answer is not Answer.REJECTED:
            self.rest(order_hash, str(sent["token"]))
        await asyncio.sleep(self.answer_seconds)
        return answer

    def rest(self, order_hash: str, token_id: str) -> None:
        """Put an order on the book."""
        self.active[order_hash] = ActiveOrder(
            order_hash=order_hash,
            token_id=token_id,
            size=self.sized[order_hash],
            matched_size=Decimal(0),
        )

    def pieces(self, *sizes: int) -> list[Happening]:
        """Return happenings that match a resting order piece by piece."""

        def piece(size: int) -> Happening:
            return lambda order_hash: self.match(order_hash, Decimal(size))

        return [piece(size) for size in sizes]

    def match(self, order_hash: str, size: Decimal) -> Fill:
        """Match part of a resting order."""
        resting = self.active[order_hash]
        matched = resting.matched_size + size
        terms = self.signed[order_hash]
        fill = Fill(
            trade_id=f"t{len(self.trades)}",
            order_hash=order_hash,
            account_id="main",
            token_id=resting.token_id,
            condition_id=MARKET.condition_id,
            side=terms.side,
            price=terms.price,
            size=size,
            fee=Decimal(0),
            fee_asset=FeeAsset.COLLATERAL,
            status=FillStatus.MINED,
            source=OrderSource.MANUAL,
            matched_at=self.clock.now,
        )
        self.trades.append(fill)
        if matched >= resting.size or terms.time_in_force in {TimeInForce.FAK, TimeInForce.FOK}:
            del self.active[order_hash]
        else:
            self.active[order_hash] = replace(resting, matched_size=matched)
        return fill

    async def active_order(self, order_hash: str) -> ActiveOrder | None:
        await self.clock.refresh()
        happens = self.at_look if order_hash in self.active else self.when_absent
        if happens:
            happens.pop(0)(order_hash)
        return None if self.is_blind else self.active.get(order_hash)

    async def active_orders(self) -> list[ActiveOrder]:
        await self.clock.refresh()
        await self.at_list()
        return list(self.active.values())

    async def fills(
        self, *, condition_id: str | None = None, after: datetime | None = None
    ) -> list[Fill]:
        return list(self.trades)

    async def fills_of_trade(self, trade_id: str) -> list[Fill]:
        if trade_id in self.unreadable_trades:
            raise UnavailableError(f"trade {trade_id}: status SURPRISE")
        return [fill for fill in self.trades if fill.trade_id == trade_id]

    async def cancel(self, order_hash: str) -> Cancelled:
        await self.clock.refresh()
        self.cancels.append(order_hash)
        if self.at_cancel is not None:
            self.at_cancel()
        if self.active.pop(order_hash, None) is None:
            return Cancelled(is_cancelled=False, words="already canceled or matched")
        return Cancelled(is_cancelled=True)

    async def cancel_all(self) -> None:
        await self.clock.refresh()
        self.sweeps += 1
        if self.stubborn_sweeps > 0:
            self.stubborn_sweeps -= 1
            return
        self.active.clear()
        if self.after_sweep:
            self.after_sweep.pop(0)()

    async def collateral_usd(self) -> Decimal:
        return Decimal(1000)

    async def shares(self, token_id: str) -> Decimal:
        return self.balances.get(token_id, Decimal(0))

    async def book(self, token_id: str) -> Book:
        ask = Level(price=self.ask, size=Decimal(1000))
        bid = Level(price=self.ask - Decimal("0.02"), size=Decimal(1000))
        return Book(token_id=token_id, bids=(bid,), asks=(ask,))

    async def midpoints(self, token_ids: list[str]) -> dict[str, Decimal]:
        return dict.fromkeys(token_ids, self.ask)


@dataclass
class Ledger(DayBook):
    """Every store at once."""

    held: dict[str, Decimal] = field(default_factory=dict[str, Decimal])
    opened_at: dict[str, datetime] = field(default_factory=dict[str, datetime])
    unsettled_shares: Decimal = Decimal(0)
    settles_after_reads: int = 0
    rows: dict[str, Order] = field(default_factory=dict[str, Order])
    payloads: dict[str, bytes] = field(default_factory=dict[str, bytes])
    recorded: dict[tuple[str, str], Fill] = field(default_factory=dict[tuple[str, str], Fill])
    settled: dict[str, tuple[SignalStatus, str | None]] = field(
        default_factory=dict[str, tuple[SignalStatus, str | None]]
    )
    history: list[OrderState] = field(default_factory=list[OrderState])
    permits_refused: int = 0
    is_broken: bool = False
    broken_looks: int = 0
    unsettled_trades: list[str] = field(default_factory=list[str])
    reads: int = 0  # of where the account stands
    states: list[AccountState] = field(default_factory=list[AccountState])
    now: Callable[[], datetime] = lambda: datetime(2026, 1, 1, tzinfo=UTC)

    async def find(self, name: str, outcome: str | None) -> tuple[Market, str]:
        if name in {YES, NO}:
            return MARKET, name
        return MARKET, MARKET.token(outcome or "Yes").token_id

    async def by_condition(self, condition_id: str) -> Market:
        return MARKET

    async def replace(
        self, markets: Iterable[Market], now: datetime, unread: Collection[str] = ()
    ) -> None:
        del markets

    async def by_intent(self, intent_id: str) -> Order | None:
        return next((row for row in self.rows.values() if row.intent_id == intent_id), None)

    async def by_hash(self, order_hash: str) -> Order | None:
        return self.rows.get(order_hash)

    async def open_orders(self, account_id: str) -> list[Order]:
        return [row for row in self.rows.values() if not row.is_over]

    async def funds(self, account_id: str, token_id: str, collateral_usd: Decimal) -> Funds:
        promised = sum(
            (
                row.remaining
                for row in self.rows.values()
                if row.side is Side.SELL and row.token_id == token_id and row.state not in TERMINAL
            ),
            Decimal(0),
        )
        self.settles_after_reads -= 1
        if self.settles_after_reads == 0:
            self.unsettled_shares = Decimal(0)
        free = self.held.get(token_id, Decimal(0)) - promised - self.unsettled_shares
        return Funds(
            free_usd=collateral_usd,
            free_shares=free,
            unsettled_shares=self.unsettled_shares,
        )

    async def admit(self, draft: Order, payload: bytes, limits: Limits) -> Order | Denied:
        if self.is_broken:
            raise InvariantError("there is no account main")
        first = await self.by_intent(draft.intent_id)
        if first is not None:
            return first
        self.payloads[draft.order_hash] = payload
        return self._keep(draft)

    async def begin_send(self, order_hash: str, now: datetime) -> SendPermit:
        row = self.rows[order_hash]
        state = self.standing_now.state
        if state is AccountState.RECONCILING and row.side is Side.BUY:
            self.permits_refused += 1
            return SendPermit(payload=None, refusal="the account is reconciling", waits=True)
        if state in HALTS and (row.side is Side.BUY or row.may_rest):
            return SendPermit(payload=None, refusal=f"the account is {state}")
        if row.state in TERMINAL:
            return SendPermit(payload=None, refusal=f"it is {row.state}")
        sent = replace(row.after(OrderEvent.SEND), attempts=row.attempts + 1, last_sent_at=now)
        self._keep(sent)
        return SendPermit(payload=self.payloads[order_hash])

    async def learn(
        self, order_hash: str, event: OrderEvent, words: str | None, now: datetime
    ) -> Order:
        return self._keep(self.rows[order_hash].after(event, words))

    async def answered(self, order_hash: str, submission: Submission, now: datetime) -> Order:
        row = self.rows[order_hash]
        in_doubt = row.state is OrderState.UNKNOWN
        row = self.rows[order_hash]
        return self._keep(answered(row, submission, is_earlier_send_in_doubt=in_doubt))

    async def sighted(self, order_hash: str, sighting: Sighting, now: datetime) -> Order:
        if self.broken_looks > 0:
            self.broken_looks -= 1
            raise InvariantError("that cannot be")
        return self._keep(seen(self.rows[order_hash], sighting, now))

    async def record(self, fill: Fill, seen_by: SeenBy, now: datetime) -> Recorded:
        identity = (fill.trade_id, fill.order_hash)
        is_new = identity not in self.recorded
        self.recorded[identity] = fill
        row = self.rows[fill.order_hash]
        if is_new:
            self.held[fill.token_id] = self.held.get(fill.token_id, Decimal(0)) + fill.shares
            self._keep(row.with_fills(row.filled_size + fill.size))
        return Recorded(is_new=is_new, workflow_id=row.workflow_id)

    async def unsettled(self, account_id: str) -> list[UnsettledTrade]:
        return [
            UnsettledTrade(
                trade_id=each, condition_id=MARKET.condition_id, status=FillStatus.MATCHED
            )
            for each in self.unsettled_trades
        ]

    async def fee_doubts(self, account_id: str, token_id: str | None = None) -> list[FeeDoubt]:
        return []

    async def prove_fee_asset(self, doubt: FeeDoubt, asset: FeeAsset, balance: Decimal) -> None:
        raise AssertionError(doubt)

    async def cursor(self, account_id: str) -> datetime | None:
        return None

    async def advance_cursor(self, account_id: str, to: datetime) -> None:
        del to

    async def mark(self, account_id: str, prices: dict[str, Decimal], now: datetime) -> None:
        del prices

    async def open_tokens(self, account_id: str, *, opened_by: datetime | None = None) -> list[str]:
        return [
            token
            for token, size in self.held.items()
            if size > 0 and (opened_by is None or self.opened_at.get(token, opened_by) <= opened_by)
        ]

    async def settle(self, signal_id: str, status: SignalStatus, reason: str | None) -> None:
        self.settled.setdefault(signal_id, (status, reason))

    async def standing(self, account_id: str) -> Standing:
        self.reads += 1
        return self.standing_now

    async def set_state(
        self,
        account_id: str,
        to: AccountState,
        *,
        reason: str,
        who: str | None = None,
        only_from: Collection[AccountState] = tuple(AccountState),
    ) -> AccountState:
        if self.standing_now.state not in only_from:
            return self.standing_now.state
        self.standing_now = Standing(state=to, reason=reason, since=self.now())
        self.states.append(to)
        return to

    def _keep(self, row: Order) -> Order:
        if not self.history or self.history[-1] is not row.state:
            self.history.append(row.state)
        self.rows[row.order_hash] = row
        return row


async def no_failpoint(name: str) -> None:
    """Pass."""
    del name


def a_wish(intent: str = "s1-0", **changes: object) -> OrderRequest:
    wish: dict[str, object] = {
        "intent_id": intent,
        "account_id": "main",
        "signal_id": "s1",
        "trace_id": "f" * 32,
        "workflow_id": f"order-{intent}",
        "source": OrderSource.WEBHOOK,
        "market": "will-it-rain",
        "outcome": "Yes",
        "side": Side.BUY,
        "type": OrderType.LIMIT,
        "time_in_force": TimeInForce.GTC,
        "sizing": Sizing(kind=SizeKind.SIZE, value=Decimal(40)),
        "price": Decimal("0.50"),
    }
    return OrderRequest(**(wish | changes))  # pyright: ignore[reportArgumentType]

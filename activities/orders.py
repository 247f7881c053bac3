"""What an order's life does to the outside: prepare, send, record, look, cancel."""

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from temporalio import activity

from activities.beats import heartbeats
from activities.limits import begin_day, tell_guardian
from activities.trades import prove_fee_asset, tell_position
from domain.answer import Answer, Submission
from domain.errors import HoldfastError, InvalidInputError, RejectedError, UnavailableError
from domain.fill import SeenBy
from domain.market import Book, Market
from domain.order import Order, OrderEvent, OrderState, OrderType, Side, Sighting
from domain.ports import (
    ActiveOrder,
    Clock,
    DayStore,
    Exchange,
    Failpoint,
    FillStore,
    MarketStore,
    OrderStore,
    SignalStore,
    Workflows,
)
from domain.risk import DAY_UNKNOWN, RECONCILING, Limits
from domain.signal import OrderRequest, SignalStatus, SizeKind
from domain.sizing import STALE, Denied, Funds, Terms, terms

log = logging.getLogger(__name__)

CLOCK_MARGIN = timedelta(seconds=60)  # the exchange's clock and ours may differ this much
NO_FUNDS = Funds(free_usd=Decimal(0), free_shares=Decimal(0), unsettled_shares=Decimal(0))
HEARTBEAT_SECONDS = 0.3  # well inside the heartbeat timeout of a send
# A process that was held up for longer is taken for dead and gone on without. If it was not, its
# answer counts: nothing left, so the same bytes are sent again.
PERMIT_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """What came of preparing an order: exactly one of the two."""

    order: Order | None = None
    denied: Denied | None = None


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """One piece of news about an order, decided by its workflow."""

    order_hash: str
    signal_id: str | None
    trace_id: str
    event: OrderEvent
    words: str | None = None


@dataclass(frozen=True, kw_only=True)
class Answered:
    """The outcome of a send, to be recorded."""

    order_hash: str
    signal_id: str | None
    trace_id: str
    submission: Submission


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a signal ended."""

    signal_id: str
    status: SignalStatus
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Desk:
    """Everything an account's orders need, behind ports.

    Attributes:
        exits: the same exchange for what leaves a position, which goes before entries.
    """

    exchange: Exchange
    exits: Exchange
    limits: Limits

    def exchange_for(self, side: Side) -> Exchange:
        """Return the exchange as an order of this side speaks to it."""
        return self.exits if side is Side.SELL else self.exchange

    def exchange_to_ask(self, order: Order) -> Exchange:
        """Return the exchange as it is asked about an order; money hangs on one in doubt."""
        return self.exits if order.is_in_doubt else self.exchange_for(order.side)


@dataclass(frozen=True)
class OrderActivities:
    """The activities of an order's life; each may run twice and does its work once."""

    desks: Mapping[str, Desk]
    orders: OrderStore
    fills: FillStore
    markets: MarketStore
    signals: SignalStore
    days: DayStore
    workflows: Workflows
    clock: Clock
    failpoint: Failpoint

    @activity.defn
    async def prepare(self, request: OrderRequest) -> Preparation:
        """Size, sign and store an order; a second run finds the first one's order."""
        order = await self.orders.by_intent(request.intent_id)
        if order is not None:
            return Preparation(order=order)
        try:
            prepared = await self._prepared(request)
        except InvalidInputError as error:
            prepared = Denied(rule="unknown_market", words=str(error))
        except RejectedError as error:
            prepared = Denied(rule="unsignable", words=str(error))
        if not isinstance(prepared, Denied):
            return Preparation(order=prepared)
        if prepared.rule == RECONCILING:
            raise UnavailableError(prepared.words)
        return Preparation(denied=prepared)

    async def _prepared(self, request: OrderRequest) -> Order | Denied:
        """Prepare an order that has no row yet."""
        if request.not_after is not None and self.clock() > request.not_after:
            words = f"not prepared before {request.not_after:%H:%M:%S} UTC"
            return Denied(rule=STALE, words=words)
        market, token_id = await self.markets.find(request.market, request.outcome)
        if request.buys_complement:
            token_id = market.other(token_id).token_id
        asked = await self._terms(request, market, token_id)
        if isinstance(asked, Denied):
            return asked
        await self.failpoint("order.before_sign")
        admitted = await self._admit(request, asked, market, token_id)
        await self.failpoint("order.after_row")
        return admitted

    async def _terms(self, request: OrderRequest, market: Market, token_id: str) -> Terms | Denied:
        """Return the price and size to sign, reading only what this order is sized by."""
        book, funds = await asyncio.gather(
            self._book(request, token_id), self._funds(request, token_id)
        )
        return terms(request, market, book, funds)

    async def _book(self, request: OrderRequest, token_id: str) -> Book:
        """Return the book where the limit follows from it."""
        if request.type is OrderType.MARKET and request.price is None:
            return await self.desks[request.account_id].exchange_for(request.side).book(token_id)
        return Book(token_id=token_id, bids=(), asks=())

    async def _funds(self, request: OrderRequest, token_id: str) -> Funds:
        """Return what there is to spend or to sell, where the size follows from it."""
        collateral_usd = Decimal(0)
        if request.side is Side.BUY:
            if request.sizing.kind is not SizeKind.PERCENT:
                return NO_FUNDS
            desk = self.desks[request.account_id]
            collateral_usd = await desk.exchange_for(request.side).collateral_usd()
        funds = await self.orders.funds(request.account_id, token_id, collateral_usd)
        if request.side is Side.SELL and funds.unsettled_shares:
            await self._prove_fees(request.account_id, token_id)
            funds = await self.orders.funds(request.account_id, token_id, collateral_usd)
        return funds

    async def _prove_fees(self, account_id: str, token_id: str) -> None:
        """Find out how many shares a fee has taken; a sale goes on with fewer where that fails."""
        try:
            for doubt in await self.fills.fee_doubts(account_id, token_id):
                await prove_fee_asset(self.desks[account_id].exits, self.fills, doubt)
        except HoldfastError as error:
            log.warning("fee_asset.not_asked", extra={"token_id": token_id}, exc_info=error)

    async def _admit(
        self, request: OrderRequest, asked: Terms, market: Market, token_id: str
    ) -> Order | Denied:
        """Sign outside any lock, then check and insert under the account's."""
        desk = self.desks[request.account_id]
        now = self.clock()
        rests = request.rests_seconds
        expires_at = now + timedelta(seconds=rests) if rests is not None else None
        signed = await desk.exchange.sign(asked, market, token_id, expires_at)
        draft = Order(
            order_hash=signed.order_hash,
            intent_id=request.intent_id,
            account_id=request.account_id,
            token_id=token_id,
            condition_id=market.condition_id,
            side=asked.side,
            type=request.type,
            time_in_force=asked.time_in_force,
            post_only=request.post_only,
            source=request.source,
            state=OrderState.NEW,
            price=signed.price,
            size=signed.size,
            signal_id=request.signal_id,
            workflow_id=request.workflow_id,
            trace_id=request.trace_id,
            expires_at=expires_at,
            stop_loss=request.stop_loss,
            take_profit=request.take_profit,
            created_at=now,
        )
        return await self._judged(draft, signed.payload, desk)

    async def _judged(self, draft: Order, payload: bytes, desk: Desk) -> Order | Denied:
        """Have the draft admitted; the day's first order takes what the day began with."""
        account_id, now = draft.account_id, draft.created_at
        outcome = await self.orders.admit(draft, payload, desk.limits)
        if isinstance(outcome, Denied) and outcome.rule == DAY_UNKNOWN:
            await begin_day(self.days, desk.exchange, account_id, "entry", now)
            outcome = await self.orders.admit(draft, payload, desk.limits)
        if isinstance(outcome, Denied) and outcome.trips:
            await tell_guardian(self.workflows, account_id, outcome.words, desk.limits)
        return outcome

    @activity.defn
    async def submit(self, order: Order) -> Submission:
        """Send the stored bytes once; whatever interrupts the send, it is recorded as unknown.

        A process that was frozen since its permit sends nothing: others have gone on without it.
        """
        async with heartbeats(HEARTBEAT_SECONDS):
            return await self._submitted(order)

    async def _submitted(self, order: Order) -> Submission:
        """Send, if it may be sent, and at once."""
        permit = await self.orders.begin_send(order.order_hash, self.clock())
        if permit.payload is None:
            answer = Answer.HELD if permit.waits else Answer.NOT_SENT
            return Submission(answer=answer, words=permit.refusal)
        permitted_at = time.monotonic()  # it counts while the process is stopped, too
        await self.failpoint("order.before_post")
        exchange = self.desks[order.account_id].exchange_for(order.side)
        if time.monotonic() - permitted_at > PERMIT_SECONDS:
            log.error("order.send_stale", extra={"order_hash": order.order_hash})
            return Submission(answer=Answer.BUSY, words="held up since its permit: not sent")
        try:
            return await exchange.submit(permit.payload)
        except asyncio.CancelledError:
            lost = Submission(answer=Answer.UNKNOWN, words="the send was interrupted")
            await asyncio.shield(self.orders.answered(order.order_hash, lost, self.clock()))
            raise

    @activity.defn
    async def record_answer(self, answered: Answered) -> Order:
        """Write what came of a send."""
        await self.failpoint("order.before_ack_commit")
        order = await self.orders.answered(answered.order_hash, answered.submission, self.clock())
        await self.failpoint("order.after_ack_commit")
        return order

    @activity.defn
    async def learn(self, lesson: Lesson) -> Order:
        """Write one piece of news about an order."""
        return await self.orders.learn(lesson.order_hash, lesson.event, lesson.words, self.clock())

    @activity.defn
    async def reload(self, order: Order) -> Order:
        """Return the order as it is recorded now, without asking the exchange."""
        return await self.orders.by_hash(order.order_hash) or order

    @activity.defn
    async def look(self, order: Order) -> Order:
        """Ask the exchange what became of an order, and record its fills before its state."""
        return await self._look(order, is_refused=False)

    async def _look(self, order: Order, *, is_refused: bool) -> Order:
        """Look, where a cancel may just have found nothing to cancel."""
        active = await self._active(order)
        if active is None:
            sighting = Sighting(is_active=False, is_refused=is_refused)
        else:
            sighting = Sighting(is_active=True, matched_size=active.matched_size)
        known = await self.orders.by_hash(order.order_hash) or order
        if active is None or active.matched_size > known.filled_size:
            await self._record_fills(order)
        return await self.orders.sighted(order.order_hash, sighting, self.clock())

    @activity.defn
    async def cancel(self, order: Order) -> Order:
        """Cancel an order by its hash, then look: it may have matched first."""
        exchange = self.desks[order.account_id].exchange_for(order.side)
        answer = await exchange.cancel(order.order_hash)
        if not answer.is_cancelled:
            log.info("order.cancel_refused", extra={"words": answer.words})
            return await self._look(order, is_refused=True)
        await self._record_fills(order)
        sighting = Sighting(is_active=False, is_cancelled=True)
        return await self.orders.sighted(order.order_hash, sighting, self.clock())

    @activity.defn
    async def settle_signal(self, outcome: Outcome) -> None:
        """Write how a signal ended."""
        await self.signals.settle(outcome.signal_id, outcome.status, outcome.reason)

    async def _active(self, order: Order) -> ActiveOrder | None:
        """Return the order if it may still match; missing in one place alone is no evidence."""
        exchange = self.desks[order.account_id].exchange_to_ask(order)
        active = await exchange.active_order(order.order_hash)
        if active is not None or not order.may_rest:
            return active
        listed = await exchange.active_orders()
        return next((each for each in listed if each.order_hash == order.order_hash), None)

    async def _record_fills(self, order: Order) -> None:
        """Record every fill the exchange lists for this order."""
        exchange = self.desks[order.account_id].exchange_to_ask(order)
        after = order.created_at - CLOCK_MARGIN
        for fill in await exchange.fills(condition_id=order.condition_id, after=after):
            if fill.order_hash == order.order_hash:
                recorded = await self.fills.record(fill, SeenBy.POLL, self.clock())
                await tell_position(recorded, fill, self.workflows)

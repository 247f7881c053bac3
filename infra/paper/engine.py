"""The matching engine: one sequence of accepted orders, matched by price and time."""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from infra.paper.accounts import COLLATERAL, FEES, Accounts, promised
from infra.paper.book import MarketBook, Match, Order
from infra.paper.catalogue import Market, from_document, opening_markets, to_document
from infra.paper.ledger import Ledger
from infra.paper.news import News
from infra.paper.notices import Notices
from infra.paper.rules import IMMEDIATE, SMALLEST_MARKETABLE, cash_of
from infra.paper.settlement import Settlement
from infra.paper.switches import PLAIN
from infra.paper.trades import Trade, plan_by_price, trade_of
from infra.paper.wire import MICRO, RefusedError, micro_of, text_of

GTD_MARGIN_SECONDS: Final = 60  # production cancels about a minute before the expiration
FOK_KILLED: Final = "order couldn't be fully filled. FOK orders are fully filled or killed."
FAK_KILLED: Final = (
    "no orders found to match with FAK order. "
    "FAK orders are partially filled or killed if no match is found."
)
CROSSES: Final = "invalid post-only order: order crosses book"


@dataclass(frozen=True, slots=True)
class Submission:
    """An order about to be accepted: `spend` is what a BUY signed to give, in micro-dollars."""

    order: Order
    spend: int
    post_only: bool = False


@dataclass(slots=True)
class Placed:
    """What became of an accepted order: `making` given and `taking` got, in micro-units."""

    order: Order
    status: str
    making: int = 0
    taking: int = 0
    trades: list[Trade] = field(default_factory=list[Trade])


class Engine:
    """Markets, their books, and every open order.

    Args:
        ledger: where all of it is kept; what it holds is taken up again.
        now: the moment now, in microseconds.
        gtd_margin_seconds: how long before its expiration a GTD order is cancelled.
    """

    def __init__(
        self,
        ledger: Ledger,
        now: Callable[[], int],
        *,
        gtd_margin_seconds: int = GTD_MARGIN_SECONDS,
    ) -> None:
        self.ledger = ledger
        self.now = now
        self.gtd_margin_seconds = gtd_margin_seconds
        self.switches = PLAIN
        self.notices = Notices(ledger)
        self.news = News(self.notices)
        self.accounts = Accounts(ledger, now)
        self.settlement = Settlement(ledger, self.accounts, lambda: self.news)
        self.markets: dict[str, Market] = {}
        self.by_token: dict[str, Market] = {}
        self.books: dict[str, MarketBook] = {}
        self.orders: dict[str, Order] = {}
        self.last_trades: dict[str, tuple[str, int]] = {}
        self._timers: list[tuple[int, str]] = []
        self._load()

    def _load(self) -> None:
        documents = self.ledger.market_documents()
        markets = [from_document(document) for document in documents] or opening_markets()
        with self.ledger.transaction():
            for market in markets:
                self.add_market(market)
        for order in self.ledger.open_orders():
            self._reopen(order)
        for trade in self.ledger.trades(
            "seq IN (SELECT MAX(seq) FROM trades GROUP BY condition_id)", ()
        ):
            self._note_last(trade)

    def _reopen(self, order: Order) -> None:
        self.orders[order.order_hash] = order
        self.accounts.hold_order(order, +1)
        self._set_timer(order)
        if order.status == "LIVE":
            self.books[order.condition_id].add(order)

    def add_market(self, market: Market) -> None:
        """Open a market, or write one that changed."""
        known = self.markets.setdefault(market.condition_id, market)
        self.books.setdefault(market.condition_id, MarketBook())
        for token_id in market.token_ids:
            self.by_token[token_id] = known
        place = list(self.markets).index(market.condition_id)
        self.ledger.save_market(market.condition_id, place, to_document(known))

    def tradable(self, token_id: str) -> Market:
        """Return a token's market. Raises RefusedError when it is unknown or closed."""
        market = self.by_token.get(token_id)
        if market is None or market.closed:
            raise RefusedError(400, f"the orderbook {token_id} does not exist")
        return market

    def take_news(self) -> News:
        """Return what there is to tell since the last call."""
        news, self.news = self.news, News(self.notices)
        return news

    def submit(self, submission: Submission) -> Placed:
        """Accept an order: match it, rest it, or delay it.

        Raises RefusedError when it is post-only and crosses, immediate and unmatched, too small
        to be marketable, or not paid for; nothing has changed then.
        """
        order = submission.order
        market = self.markets[order.condition_id]
        matches = self._planned(order, submission.spend)
        if submission.post_only and matches:
            raise RefusedError(400, CROSSES)
        if order.side == "BUY" and matches and submission.spend < SMALLEST_MARKETABLE:
            raise RefusedError(
                400,
                "invalid amount for a marketable BUY order "
                f"(${text_of(submission.spend)}), min size: $1",
            )
        trades = self._trades(market, order, matches)
        fees = sum(trade.taker.fee for trade in trades if trade.taker.fee_asset == "collateral")
        self.accounts.check_funds(order, fees)
        delay_us = market.delay_us or self.switches.taker_delay_us
        if delay_us and matches:
            return self._delay(order, delay_us)
        self._accept(order)
        return self._execute(order, matches, trades)

    def _planned(self, order: Order, spend: int) -> list[Match]:
        """Return what an incoming order matches.

        Raises RefusedError for one that may not rest and finds nothing, or too little.
        """
        book = self.books[order.condition_id]
        if order.type not in IMMEDIATE:
            return book.plan(order)
        if order.side == "BUY" and self.switches.market_buys == "dollars":
            matches, is_whole = book.plan_spending(order, spend)
        else:
            matches = book.plan(order)
            is_whole = sum(match.size for match in matches) == order.size
        if order.type == "FOK" and not is_whole:
            raise RefusedError(400, FOK_KILLED)
        if not matches:
            raise RefusedError(400, FAK_KILLED)
        return matches

    def _accept(self, order: Order) -> None:
        self.ledger.add_order(order)
        self.news.order(order, "PLACEMENT", order.status, order.created_at)

    def _delay(self, order: Order, delay_us: int) -> Placed:
        order.status = "DELAYED"
        order.due_at = self.now() + delay_us
        self._accept(order)
        self.orders[order.order_hash] = order
        self.accounts.hold_order(order, +1)
        self._set_timer(order)
        return Placed(order, "delayed")

    def _trades(self, market: Market, order: Order, matches: list[Match]) -> list[Trade]:
        at = self.now()
        is_one = matches and self.switches.trades == "averaged"
        groups = [matches] if is_one else plan_by_price(matches)
        return [trade_of(market, order, group, bucket, at) for bucket, group in enumerate(groups)]

    def _execute(self, order: Order, matches: list[Match], trades: list[Trade]) -> Placed:
        """Apply planned matches to an order that is in no book yet, then rest what is left."""
        for match in matches:
            self._fill_maker(match)
            order.filled += match.size
        for trade in trades:
            self.settlement.begin(trade)
            self._note_last(trade)
        self._place_rest(order)
        if matches:
            self.ledger.save_progress(order)
            self.news.order(order, "UPDATE", _shown_status(order), self.now())
        for trade in trades:
            self.news.market(trade.condition_id).traded.append(trade)
            self.news.trade(trade)
        if order.status == "CANCELED":
            self.news.order(order, "CANCELLATION", "CANCELED", self.now())
        return _placed(order, trades)

    def _place_rest(self, order: Order) -> None:
        if order.remaining <= 0:
            order.status = "MATCHED"
        elif order.type in IMMEDIATE:
            order.status = "CANCELED"
        else:
            order.status = "LIVE"
            self.orders[order.order_hash] = order
            self.accounts.hold_order(order, +1)
            self.books[order.condition_id].add(order)
            self.news.touch(order)
            self._set_timer(order)

    def _fill_maker(self, match: Match) -> None:
        maker = match.maker
        self.accounts.hold_order(maker, -1)
        self.books[maker.condition_id].take(match)
        self.accounts.hold_order(maker, +1)
        self.news.touch(maker)
        if maker.remaining == 0:
            maker.status = "MATCHED"
            del self.orders[maker.order_hash]
        if maker.origin == "maker":
            self.ledger.keep_maker(maker)
            return
        self.ledger.save_progress(maker)
        self.news.order(maker, "UPDATE", maker.status, self.now())

    def _note_last(self, trade: Trade) -> None:
        leg = trade.taker
        price = leg.price if leg.index == 0 else MICRO - leg.price
        self.last_trades[trade.condition_id] = (leg.side, price)

    def last_price(self, condition_id: str, index: int) -> str:
        """Return the last trade's price in terms of a token, or "" before the first."""
        last = self.last_trades.get(condition_id)
        if last is None:
            return ""
        return text_of(last[1] if index == 0 else MICRO - last[1])

    def rest_maker(self, order: Order, *, keep: bool) -> None:
        """Place an order of the exchange's own makers; it needs no funds and has no limits.

        It is written down when it trades, or at once with `keep`.
        """
        matches = self.books[order.condition_id].plan(order)
        if matches or keep:
            self.ledger.keep_maker(order)
        self._execute(
            order, matches, self._trades(self.markets[order.condition_id], order, matches)
        )

    def cancel(self, order: Order, status: str = "CANCELED") -> None:
        """Take an open order off; `status` is what its owner is told."""
        self.accounts.hold_order(order, -1)
        if order.status == "LIVE":
            self.books[order.condition_id].remove(order)
            self.news.touch(order)
        del self.orders[order.order_hash]
        order.status = "CANCELED"
        if order.origin == "maker" and not order.filled:
            self.ledger.drop_order(order.order_hash)
        else:
            self.ledger.save_progress(order)
        told = status if self.switches.cancel_reasons else "CANCELED"
        self.news.order(order, "CANCELLATION", told, self.now())

    def open_of(self, address: str) -> list[Order]:
        """Return an EOA's open orders, oldest first."""
        return [order for order in self.orders.values() if order.address == address]

    def cancel_all(self, orders: Iterable[Order], status: str = "CANCELED") -> list[str]:
        """Cancel orders and return their ids."""
        gone = list(orders)
        for order in gone:
            self.cancel(order, status)
        return [order.order_hash for order in gone]

    def drop_unpaid(self, wallet: str) -> None:
        """Cancel a wallet's newest orders until the rest can be paid for."""
        mine = [order for order in self.orders.values() if order.wallet == wallet]
        for order in reversed(mine):
            asset, _ = promised(order)
            if self.accounts.available(wallet, asset) < 0:
                self.cancel(order, "CANCELED_NOT_ENOUGH_BALANCE")

    def close_market(self, market: Market, payouts: tuple[str, str]) -> None:
        """Resolve a market: its open orders are cancelled and no new ones are taken."""
        market.closed, market.payouts = True, payouts
        moment = datetime.fromtimestamp(self.now() // MICRO, tz=UTC)
        market.closed_time = moment.strftime("%Y-%m-%d %H:%M:%S+00")
        gone = [o for o in self.orders.values() if o.condition_id == market.condition_id]
        self.cancel_all(gone, "CANCELED_MARKET_RESOLVED")
        for wallet in self._holders(market):
            self.notices.resolved(self.accounts.account(wallet), market, self.now())
        self.add_market(market)

    def redeem(self, wallet: str, market: Market) -> int:
        """Turn a wallet's shares of a resolved market into collateral; return how much."""
        if market.payouts is None:
            raise RefusedError(400, "the market is not resolved")
        paid = 0
        for token_id, payout in zip(market.token_ids, market.payouts, strict=True):
            held = self.accounts.balance(wallet, token_id)
            paid += held * micro_of(payout) // MICRO
            self.accounts.move(wallet, token_id, -held)
        self.accounts.move(wallet, COLLATERAL, paid)
        return paid

    def redeem_all(self, market: Market) -> None:
        """Pay out every holder of a resolved market."""
        for wallet in self._holders(market):
            paid = self.redeem(wallet, market)
            self.notices.redeemed(self.accounts.account(wallet), market, paid, self.now())

    def _holders(self, market: Market) -> list[str]:
        return sorted(
            {
                wallet
                for (wallet, asset), amount in self.accounts.all_balances().items()
                if asset in market.token_ids and wallet != FEES and amount
            }
        )

    def _set_timer(self, order: Order) -> None:
        if order.status == "DELAYED":
            heapq.heappush(self._timers, (order.due_at, order.order_hash))
        elif order.expiration:
            ends = (order.expiration - self.gtd_margin_seconds) * MICRO
            heapq.heappush(self._timers, (ends, order.order_hash))

    def is_due(self, now: int) -> bool:
        """Tell whether anything waits for `advance`."""
        timed = bool(self._timers) and self._timers[0][0] <= now
        return timed or self.settlement.is_due(now)

    def advance(self) -> None:
        """Do what has become due: delayed orders, expirations, settlement."""
        now = self.now()
        while self._timers and self._timers[0][0] <= now:
            _, order_hash = heapq.heappop(self._timers)
            order = self.orders.get(order_hash)
            if order is None:
                continue
            if order.status == "DELAYED":
                self._release(order)
            else:
                self.cancel(order, "CANCELED_EXPIRED_ORDER")
        self.settlement.advance(now)

    def _release(self, order: Order) -> None:
        """Match an order whose delay is over; an immediate one may find nothing now."""
        try:
            matches = self._planned(order, cash_of(order.size, order.price))
        except RefusedError as error:
            self.cancel(order, f"CANCELED_{error.text}")
            return
        self.accounts.hold_order(order, -1)
        del self.orders[order.order_hash]
        market = self.markets[order.condition_id]
        order.status = "LIVE"
        self._execute(order, matches, self._trades(market, order, matches))
        self.ledger.save_progress(order)


def _shown_status(order: Order) -> str:
    return "MATCHED" if order.remaining <= 0 else "LIVE"


def _placed(order: Order, trades: list[Trade]) -> Placed:
    cash = sum(trade.taker.cash for trade in trades)
    shares = sum(trade.taker.size for trade in trades)
    making, taking = (cash, shares) if order.side == "BUY" else (shares, cash)
    return Placed(order, "matched" if trades else "live", making, taking, trades)

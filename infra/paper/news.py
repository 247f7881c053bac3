"""What one commit has to tell the two stream channels."""

from dataclasses import dataclass, field

from infra.paper.book import Order
from infra.paper.notices import Notices
from infra.paper.trades import Trade
from infra.paper.views import order_event, trade_event
from infra.paper.wire import Json


@dataclass(frozen=True, slots=True)
class UserNews:
    """One frame of the user channel: whose it is, of which market, and its JSON."""

    address: str
    condition_id: str
    frame: Json


@dataclass(slots=True)
class MarketNews:
    """What changed in one market: levels of the unified book, trades, and ready events.

    `touched` holds (is bid, price in the first token); `special` events go to flagged
    connections only, `plain` to every subscriber.
    """

    touched: set[tuple[bool, int]] = field(default_factory=set[tuple[bool, int]])
    traded: list[Trade] = field(default_factory=list[Trade])
    plain: list[Json] = field(default_factory=list[Json])
    special: list[Json] = field(default_factory=list[Json])


@dataclass(slots=True)
class News:
    """The collected news of one commit.

    What an account is notified of is written down by `notices` at once, in the same transaction.
    """

    notices: Notices
    user: list[UserNews] = field(default_factory=list[UserNews])
    markets: dict[str, MarketNews] = field(default_factory=dict[str, MarketNews])

    def market(self, condition_id: str) -> MarketNews:
        """Return the news of a market, to be added to."""
        return self.markets.setdefault(condition_id, MarketNews())

    def touch(self, order: Order) -> None:
        """Note that the book changed where an order rests or rested."""
        self.market(order.condition_id).touched.add((order.is_bid, order.book_price))

    def order(self, order: Order, kind: str, status: str, at: int) -> None:
        """Tell an order's owner what became of it; the exchange's own makers have none."""
        if order.address:
            frame = order_event(order, kind, status, at)
            self.user.append(UserNews(order.address, order.condition_id, frame))
            if kind == "CANCELLATION":
                self.notices.cancelled(order, at)

    def killed(self, order: Order, why: str, at: int) -> None:
        """Tell an order's owner that it never rested; sizes and times are left empty then."""
        frame = order_event(order, "CANCELLATION", why, at)
        frame |= {"size_matched": "", "created_at": "", "outcome": ""}
        self.user.append(UserNews(order.address, order.condition_id, frame))

    def trade(self, trade: Trade) -> None:
        """Tell every party of a trade where it stands, each once."""
        for address in dict.fromkeys(leg.address for leg in trade.legs):
            if address:
                frame = trade_event(trade, address)
                self.user.append(UserNews(address, trade.condition_id, frame))
        self.notices.traded(trade)

"""The engine: whatever orders come in whatever order, nothing is created, lost or overfilled."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from infra.paper.accounts import COLLATERAL, FEES, Account
from infra.paper.book import MarketBook, Order
from infra.paper.engine import Engine, Placed, Submission
from infra.paper.exchange import Exchange
from infra.paper.rules import cash_of
from infra.paper.settlement import SettlementRules
from infra.paper.wire import MICRO, RefusedError
from tests.paper.conftest import Clock

WALLETS = ("0x" + "a1" * 20, "0x" + "b2" * 20, "0x" + "c3" * 20)
CENTS = st.integers(1, 99)
FREE_MARKET, FEE_MARKET = 0, 1


@dataclass(frozen=True)
class Wish:
    who: int
    index: int
    side: str
    cents: int
    size: int
    type: str


WISHES = st.builds(
    Wish,
    who=st.integers(0, 2),
    index=st.integers(0, 1),
    side=st.sampled_from(["BUY", "SELL"]),
    cents=st.integers(30, 70),
    size=st.integers(500, 50_000).map(lambda hundredths: hundredths * 10_000),
    type=st.sampled_from(["GTC", "GTC", "GTC", "FAK", "FOK"]),
)


class TheBookUnderAnything(RuleBasedStateMachine):
    """Three wallets trade both tokens of one market; fills settle, fail, or wait."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.count = 0
        self.placed: list[Placed] = []

    @initialize(place=st.sampled_from([FREE_MARKET, FEE_MARKET]))
    def opens(self, place: int) -> None:
        self.exchange = Exchange(Path(self.folder.name), clock=self.clock, has_makers=False)
        self.market = list(self.engine.markets.values())[place]
        with self.exchange.ledger.transaction():
            for wallet in WALLETS:
                self.engine.accounts.bind(Account(wallet, wallet, 0))
                self.engine.accounts.set_balance(wallet, COLLATERAL, 20_000 * MICRO)
                for token_id in self.market.token_ids:
                    self.engine.accounts.set_balance(wallet, token_id, 1_000 * MICRO)
        self.total = self.wealth()

    @property
    def engine(self) -> Engine:
        return self.exchange.engine

    def wealth(self) -> int:
        """Return collateral plus complete pairs, which are worth a dollar each."""
        balances = self.engine.accounts.all_balances()
        cash = sum(n for (_, asset), n in balances.items() if asset == COLLATERAL)
        first, second = (
            sum(n for (_, asset), n in balances.items() if asset == token_id)
            for token_id in self.market.token_ids
        )
        assert first == second
        return cash + first

    @rule(wish=WISHES)
    def order_comes(self, wish: Wish) -> None:
        self.count += 1
        price = wish.cents * 10_000
        order = Order(
            order_hash=f"0x{self.count:064x}",
            condition_id=self.market.condition_id,
            token_id=self.market.token_ids[wish.index],
            index=wish.index,
            outcome=self.market.outcomes[wish.index],
            side=wish.side,
            price=price,
            size=wish.size,
            type=wish.type,
            wallet=WALLETS[wish.who],
            address=WALLETS[wish.who],
            api_key="key",
            origin="api",
            created_at=self.exchange.now(),
        )
        best = self.best_prices(order)
        with self.exchange.ledger.transaction():
            try:
                placed = self.engine.submit(Submission(order, cash_of(wish.size, price)))
            except RefusedError:
                return
        self.placed.append(placed)
        taken = [leg.price for trade in placed.trades for leg in (trade.taker,)]
        assert taken == sorted(taken, reverse=wish.side == "SELL")
        assert all(p <= price if wish.side == "BUY" else p >= price for p in taken)
        if taken:
            assert taken[0] == best

    def best_prices(self, order: Order) -> int | None:
        book = self.engine.books[order.condition_id]
        found = book.best_ask if order.is_bid else book.best_bid
        if found is None:
            return None
        return found if order.index == 0 else MICRO - found

    @rule(pick=st.integers(0, 1000))
    def order_is_cancelled(self, pick: int) -> None:
        live = list(self.engine.orders.values())
        if live:
            with self.exchange.ledger.transaction():
                self.engine.cancel(live[pick % len(live)])

    @rule(seconds=st.sampled_from([0, 1, 3]))
    def time_passes(self, seconds: int) -> None:
        self.clock.forward(seconds)
        self.exchange.advance()

    @rule(count=st.integers(0, 2))
    def trades_will_fail(self, count: int) -> None:
        with self.exchange.ledger.transaction():
            self.engine.settlement.change(SettlementRules(fail_next=count))

    @rule()
    def crashes(self) -> None:
        before = sorted(self.engine.orders)
        self.exchange.rebuild()
        assert sorted(self.engine.orders) == before

    @invariant()
    def nothing_is_created_or_lost(self) -> None:
        assert self.wealth() == self.total

    @invariant()
    def the_book_is_never_crossed(self) -> None:
        book = self.engine.books[self.market.condition_id]
        if book.best_bid is not None and book.best_ask is not None:
            assert book.best_bid < book.best_ask

    @invariant()
    def no_order_is_overfilled(self) -> None:
        for placed in self.placed:
            assert 0 <= placed.order.filled <= placed.order.size

    @invariant()
    def nobody_promises_more_than_they_own(self) -> None:
        for wallet, asset in self.engine.accounts.all_balances():
            if wallet != FEES:
                assert self.engine.accounts.available(wallet, asset) >= 0

    def teardown(self) -> None:
        self.exchange.ledger.close()
        self.folder.cleanup()


TestTheBookUnderAnything = TheBookUnderAnything.TestCase
TestTheBookUnderAnything.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)


def resting(name: str, cents: int, size: int, index: int = 0, side: str = "SELL") -> Order:
    return Order(
        order_hash=name,
        condition_id="0x",
        token_id=str(index),
        index=index,
        outcome="",
        side=side,
        price=cents * 10_000,
        size=size * MICRO,
        type="GTC",
        wallet="",
        address="",
        api_key="",
        origin="api",
        created_at=0,
    )


@given(
    offers=st.lists(st.tuples(st.integers(40, 60), st.integers(1, 9)), max_size=12),
    size=st.integers(1, 60),
)
def test_the_best_price_goes_first_and_within_a_price_the_oldest(
    offers: list[tuple[int, int]], size: int
) -> None:
    book = MarketBook()
    for place, (cents, shares) in enumerate(offers):
        book.add(resting(str(place), cents, shares))

    matches = book.plan(resting("taker", 55, size, side="BUY"))

    expected = sorted((cents, place) for place, (cents, _) in enumerate(offers) if cents <= 55)
    found = [(m.maker.price // 10_000, int(m.maker.order_hash)) for m in matches]
    assert found == expected[: len(found)]
    available = sum(shares for cents, shares in offers if cents <= 55)
    assert sum(m.size for m in matches) == min(size, available) * MICRO


def test_two_buyers_of_opposite_outcomes_meet_when_they_pay_a_dollar_together() -> None:
    book = MarketBook()
    book.add(resting("no", 45, 10, index=1, side="BUY"))

    assert not book.would_cross(resting("yes", 54, 10, side="BUY"))
    assert book.would_cross(resting("yes", 55, 10, side="BUY"))


def test_two_sellers_of_opposite_outcomes_meet_when_they_ask_a_dollar_together() -> None:
    book = MarketBook()
    book.add(resting("no", 45, 10, index=1, side="SELL"))

    assert not book.would_cross(resting("yes", 56, 10, side="SELL"))
    assert book.would_cross(resting("yes", 55, 10, side="SELL"))

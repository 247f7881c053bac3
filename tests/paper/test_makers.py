"""The exchange's own makers: deep books that walk, the same for the same seed."""

from pathlib import Path
from typing import Any

import pytest

from infra.paper.exchange import Exchange
from tests.paper.conftest import Clock, Venue
from tests.paper.traders import Trader, ask


@pytest.fixture
def walking(venue: Venue) -> Venue:
    venue.exchange.has_makers = True
    venue.forward(2)
    return venue


def shown_book(venue: Venue, token_id: str) -> Any:
    return ask(venue.door, "GET", f"/clob/book?token_id={token_id}").body


def test_every_open_market_is_quoted_and_a_large_order_fills_at_once(walking: Venue) -> None:
    rich = Trader(walking.door, "0x" + "33" * 32, collateral="1000000")
    for market in walking.exchange.engine.markets.values():
        if market.closed or market.neg_risk or market.tick != 10_000:
            continue
        for token_id in market.token_ids:
            asks = shown_book(walking, token_id)["asks"]
            worst = asks[0]["price"]
            deep = sum(float(row["price"]) * float(row["size"]) for row in asks)
            assert deep >= 1000
            size = str(int(1000 / float(worst)))
            assert rich.limit(token_id, "BUY", worst, size)["status"] == "matched"


def test_the_walk_moves_and_stops_while_a_book_is_set_by_hand(walking: Venue) -> None:
    token_id, other = walking.yes(), walking.yes(1)
    walking.admin("POST", "/book", {"token_id": token_id, "bids": [["0.30", "5"]]})
    before = shown_book(walking, other)["bids"]
    for _ in range(10):
        walking.forward(2)

    assert shown_book(walking, token_id)["bids"] == [{"price": "0.3", "size": "5"}]
    assert shown_book(walking, other)["bids"] != before
    walking.admin("DELETE", f"/book/{token_id}")
    walking.forward(2)
    assert len(shown_book(walking, token_id)["bids"]) > 3


def test_quotes_are_not_written_down_unless_they_trade(walking: Venue) -> None:
    for _ in range(20):
        walking.forward(2)
    assert walking.ledger("orders", "?origin=maker") == []

    trader = Trader(walking.door, "0x" + "33" * 32)
    trader.limit(
        walking.yes(), "BUY", shown_book(walking, walking.yes())["asks"][-1]["price"], "10"
    )

    (row,) = walking.ledger("orders", "?origin=maker")
    assert row["filled_size"] == "10"


def test_makers_take_resting_orders_that_their_walk_crosses(walking: Venue) -> None:
    trader = Trader(walking.door, "0x" + "33" * 32)
    price = shown_book(walking, walking.yes())["bids"][-1]["price"]
    trader.limit(walking.yes(), "BUY", price, "10")
    for _ in range(400):
        walking.forward(2)
        if trader.trades():
            break

    assert {trade["trader_side"] for trade in trader.trades()} == {"MAKER"}
    assert trader.open_orders() == []


def test_the_same_seed_walks_the_same_way(tmp_path: Path) -> None:
    seen: list[list[tuple[int, int]]] = []
    for name in ("a", "b"):
        clock = Clock()
        exchange = Exchange(tmp_path / name, clock=clock)
        for _ in range(20):
            clock.forward(1)
            exchange.advance()
        seen.append([row for book in exchange.engine.books.values() for row in book.bids.rows()])
        exchange.ledger.close()

    assert seen[0] == seen[1]


def test_the_walk_goes_on_from_where_a_restart_found_it(walking: Venue) -> None:
    for _ in range(60):
        walking.forward(2)
    before = shown_book(walking, walking.yes())["bids"][-1]["price"]
    walking.restart()
    walking.exchange.has_makers = True
    walking.exchange.advance()

    after = shown_book(walking, walking.yes())["bids"][-1]["price"]
    assert abs(float(after) - float(before)) < 0.025

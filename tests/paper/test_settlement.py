"""The life of a trade: mined and confirmed, or retried and given up; balances follow."""

from typing import Any

from tests.paper.conftest import Venue
from tests.paper.traders import Trader


def buys_ten(venue: Venue, trader: Trader) -> Any:
    """Buy 10 shares at 0.40 from the makers."""
    venue.admin("POST", "/book", {"token_id": venue.yes(), "asks": [["0.40", "5000"]]})
    return trader.limit(venue.yes(), "BUY", "0.40", "10")


def statuses(venue: Venue) -> list[str]:
    return [f["status"] for f in venue.user_frames() if f["event_type"] == "trade"]


def test_a_trade_is_mined_and_then_confirmed(venue: Venue, alice: Trader) -> None:
    buys_ten(venue, alice)

    venue.forward(0.4)
    assert alice.trades()[0]["status"] == "MATCHED"
    assert (alice.balance(), alice.balance(venue.yes())) == (10_000_000_000, 0)
    venue.forward(0.1)
    assert alice.trades()[0]["status"] == "MINED"
    assert (alice.balance(), alice.balance(venue.yes())) == (9_996_000_000, 10_000_000)
    venue.forward(1)
    assert alice.trades()[0]["status"] == "CONFIRMED"
    assert statuses(venue) == ["MATCHED", "MINED", "CONFIRMED"]


def test_a_failed_trade_moves_nothing_and_frees_what_it_held(venue: Venue, alice: Trader) -> None:
    venue.admin("POST", "/settlement", {"fail_next": 1})
    order_id = buys_ten(venue, alice)["orderID"]

    venue.forward(0.5)
    venue.forward(1)

    assert statuses(venue) == ["MATCHED", "RETRYING", "FAILED"]
    assert (alice.balance(), alice.balance(venue.yes())) == (10_000_000_000, 0)
    (row,) = venue.ledger("orders", "?origin=api")
    assert (row["order_hash"], row["filled_size"], row["status"]) == (order_id, "10", "MATCHED")
    alice.limit(venue.yes(), "BUY", "0.30", "33333")


def test_what_is_matched_cannot_be_spent_again(venue: Venue, alice: Trader) -> None:
    venue.admin("POST", "/book", {"token_id": venue.yes(), "asks": [["0.50", "50000"]]})
    alice.limit(venue.yes(), "BUY", "0.50", "16000")

    refused = alice.post(alice.order(venue.yes(), "BUY", "0.50", "5000"))

    assert refused.body["error"].endswith("balance: 2000000000, order amount: 2500000000")


def test_the_pace_of_settlement_can_be_set(venue: Venue, alice: Trader) -> None:
    venue.admin("POST", "/settlement", {"delay_s": 10})
    buys_ten(venue, alice)

    venue.forward(9)
    assert alice.trades()[0]["status"] == "MATCHED"
    venue.forward(1)
    assert alice.trades()[0]["status"] == "MINED"
    venue.forward(19)
    assert alice.trades()[0]["status"] == "MINED"
    venue.forward(1)
    assert alice.trades()[0]["status"] == "CONFIRMED"


def test_a_share_of_trades_fails_with_a_probability(venue: Venue, alice: Trader) -> None:
    venue.admin("POST", "/settlement", {"fail_probability": "0.5"})
    for _ in range(40):
        buys_ten(venue, alice)
        venue.clock.forward(0.001)
    venue.forward(5)
    venue.forward(5)

    ends = [trade["status"] for trade in alice.trades()]
    assert set(ends) == {"CONFIRMED", "FAILED"}
    assert alice.balance(venue.yes()) == ends.count("CONFIRMED") * 10_000_000


def test_balances_may_follow_late(venue: Venue, alice: Trader) -> None:
    venue.admin("POST", "/balances-lag", {"seconds": 3})
    buys_ten(venue, alice)
    venue.forward(0.5)

    assert (alice.balance(), alice.balance(venue.yes())) == (10_000_000_000, 0)
    sale = alice.post(alice.order(venue.yes(), "SELL", "0.50", "10"))
    assert "balance: 0, order amount: 10000000" in sale.body["error"]
    venue.forward(3)
    assert (alice.balance(), alice.balance(venue.yes())) == (9_996_000_000, 10_000_000)


def test_a_restart_goes_on_settling(venue: Venue, alice: Trader) -> None:
    venue.admin("POST", "/settlement", {"fail_next": 1})
    buys_ten(venue, alice)
    venue.clock.forward(0.1)
    buys_ten(venue, alice)
    venue.restart()
    alice.door = venue.door

    assert [trade["status"] for trade in alice.trades()] == ["MATCHED", "MATCHED"]
    for _ in range(4):
        venue.forward(0.5)

    assert [trade["status"] for trade in alice.trades()] == ["CONFIRMED", "FAILED"]
    assert (alice.balance(), alice.balance(venue.yes())) == (9_996_000_000, 10_000_000)

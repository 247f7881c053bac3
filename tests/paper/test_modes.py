"""The engine's modes: what is refused, in which words, and what a restart does to them."""

import pytest

from tests.paper.conftest import Venue
from tests.paper.traders import Trader

MODES = [
    ("restarting", 425, "Too Early", False),
    ("disabled", 503, "Trading is currently disabled. Check polymarket.com for updates", False),
    (
        "cancel_only",
        503,
        "Trading is currently cancel-only. New orders are not accepted, but cancels are allowed.",
        True,
    ),
    ("post_only", 503, "post-only mode: only post-only orders and cancels are allowed", True),
]


@pytest.mark.parametrize("case", MODES)
def test_a_mode_refuses_orders_in_productions_words_until_it_ends(
    venue: Venue, alice: Trader, case: tuple[str, int, str, bool]
) -> None:
    mode, status, text, cancels = case
    order_id = alice.limit(venue.yes(), "BUY", "0.40", "10")["orderID"]
    order = alice.order(venue.yes(), "BUY", "0.40", "10")
    venue.admin("POST", "/switches", {"restart_post_only_seconds": 0})
    venue.admin("POST", "/mode", {"mode": mode, "seconds": 90})

    refused = alice.post(order)
    cancelled = alice.ask("DELETE", "/order", {"orderID": order_id})

    assert (refused.status, refused.body["error"]) == (status, text)
    assert (cancelled.status == 200) is cancels
    venue.forward(90)
    assert alice.post(order).status == 200


def test_after_a_restart_of_the_engine_come_two_minutes_of_post_only(
    venue: Venue, alice: Trader
) -> None:
    order = alice.order(venue.yes(), "BUY", "0.40", "10")
    venue.admin("POST", "/mode", {"mode": "restarting", "seconds": 90})
    refused = alice.post(order)
    assert (refused.status, refused.headers["Retry-After"]) == (425, "90")
    assert venue.admin("GET", "/mode").body["mode"] == "restarting"

    venue.forward(90)
    refused = alice.post(order)
    assert (refused.status, refused.headers["Retry-After"]) == (503, "120")
    assert refused.body["code"] == "post_only_mode"
    assert alice.post(order, postOnly=True).status == 200

    venue.forward(120)
    assert alice.post(alice.order(venue.yes(), "BUY", "0.40", "10")).status == 200
    assert venue.admin("GET", "/mode").body == {"mode": "normal", "ends_at": None}


def test_post_only_mode_takes_post_only_orders_and_says_when_to_come_back(
    venue: Venue, alice: Trader
) -> None:
    venue.admin("POST", "/mode", {"mode": "post_only", "seconds": 79})
    order = alice.order(venue.yes(), "BUY", "0.40", "10")

    refused = alice.post(order)
    (leg,) = alice.ask("POST", "/orders", [alice.posted(order)]).body

    assert (refused.body["code"], refused.body["retry_after_seconds"]) == ("post_only_mode", 79)
    assert refused.headers["Retry-After"] == "79"
    assert (leg["success"], leg["orderID"]) == (True, "")
    assert alice.post(order, postOnly=True).body["status"] == "live"


def test_a_mode_outlives_a_restart_of_the_exchange_and_ends_when_it_would_have(
    venue: Venue, alice: Trader
) -> None:
    order = alice.order(venue.yes(), "BUY", "0.40", "10")
    venue.admin("POST", "/mode", {"mode": "cancel_only", "seconds": 60})

    venue.restart()
    alice.door = venue.door

    assert alice.post(order).status == 503
    venue.forward(60)
    assert alice.post(order).status == 200


def test_an_armed_key_outlives_a_restart_and_still_loses_its_orders_when_silent(
    venue: Venue, alice: Trader
) -> None:
    alice.limit(venue.yes(), "BUY", "0.40", "10")
    first = alice.ask("POST", "/v1/heartbeats", {"heartbeat_id": ""}).body["heartbeat_id"]

    venue.restart()
    alice.door = venue.door
    again = alice.ask("POST", "/v1/heartbeats", {"heartbeat_id": "stale"})
    assert (again.status, again.body["heartbeat_id"]) == (400, first)

    venue.forward(10)
    assert alice.open_orders() == []
    assert alice.ask("POST", "/v1/heartbeats", {"heartbeat_id": ""}).status == 200


def test_the_lag_of_balances_outlives_a_restart(venue: Venue, alice: Trader) -> None:
    venue.admin("POST", "/balances-lag", {"seconds": 30})
    venue.restart()
    alice.door = venue.door
    venue.admin("POST", "/book", {"token_id": venue.yes(), "asks": [["0.40", "100"]]})
    alice.limit(venue.yes(), "BUY", "0.40", "10")

    venue.forward(2)

    assert (alice.balance(), alice.balance(venue.yes())) == (10_000_000_000, 0)
    sale = alice.post(alice.order(venue.yes(), "SELL", "0.30", "10"))
    assert sale.body["error"].startswith("not enough balance / allowance: the balance is not")
    venue.forward(30)
    assert (alice.balance(), alice.balance(venue.yes())) == (9_996_000_000, 10_000_000)

"""Routes that other clients ask for: the Data API's first version, lists by offset, old paths."""

from collections.abc import Callable
from typing import Any, Final

import pytest

from tests.paper.conftest import Venue
from tests.paper.traders import Trader, ask

Place = tuple[str, str, str]
YES, NO = 0, 1


@pytest.fixture
def held(venue: Venue, alice: Trader, bob: Trader) -> Trader:
    """Alice, who bought 100 at 0.40 of Bob, sold him 40 at 0.50, and was paid for 10 of another.

    What is left of the first market is bid 0.45.
    """
    first, other = venue.market(), venue.market(2)
    for token_id in (first.token_ids[YES], other.token_ids[YES]):
        venue.admin("POST", f"/accounts/{bob.wallet}/balances", {"tokens": {token_id: "500"}})
    bob.limit(first.token_ids[YES], "SELL", "0.40", "100")
    alice.limit(first.token_ids[YES], "BUY", "0.40", "100")
    bob.limit(other.token_ids[YES], "SELL", "0.25", "10")
    alice.limit(other.token_ids[YES], "BUY", "0.25", "10")
    venue.forward(10)
    bob.limit(first.token_ids[YES], "BUY", "0.50", "40")
    alice.limit(first.token_ids[YES], "SELL", "0.50", "40")
    bob.limit(first.token_ids[YES], "BUY", "0.44", "50")
    bob.limit(first.token_ids[YES], "SELL", "0.46", "50")
    venue.forward(10)
    paid = {"payouts": ["1", "0"], "redeem": True}
    venue.admin("POST", f"/markets/{other.condition_id}/resolve", paid)
    return alice


def get(venue: Venue, target: str) -> Any:
    reply = ask(venue.door, "GET", target)
    assert reply.status == 200, reply.body
    return reply.body


def positions(venue: Venue, who: Trader) -> None:
    (row,) = get(venue, f"/data-api/positions?user={who.wallet}")
    assert (row["asset"], row["size"], row["avgPrice"]) == (venue.yes(), 60, 0.4)
    assert (row["initialValue"], row["currentValue"], row["cashPnl"]) == (24, 27, 3)
    assert (row["percentPnl"], row["realizedPnl"], row["curPrice"]) == (12.5, 4, 0.45)
    assert (row["outcome"], row["oppositeAsset"]) == ("Yes", venue.no())
    assert get(venue, f"/data-api/positions?user={who.wallet}&sizeThreshold=61") == []
    assert get(venue, f"/data-api/positions?user={who.wallet}&offset=1") == []
    assert ask(venue.door, "GET", "/data-api/positions").status == 400


def closed_positions(venue: Venue, who: Trader) -> None:
    (row,) = get(venue, f"/data-api/closed-positions?user={who.wallet}")
    assert (row["asset"], row["realizedPnl"], row["curPrice"]) == (venue.yes(2), 7.5, 1)


def value(venue: Venue, who: Trader) -> None:
    here = get(venue, f"/data-api/value?user={who.wallet}")
    assert here == [{"user": who.wallet, "value": 27}]
    elsewhere = get(
        venue, f"/data-api/value?user={who.wallet}&market={venue.market(3).condition_id}"
    )
    assert elsewhere == [{"user": who.wallet, "value": 0}]


def trades(venue: Venue, who: Trader) -> None:
    rows = get(venue, f"/data-api/trades?user={who.wallet}")
    assert [(row["side"], row["size"], row["price"]) for row in rows] == [
        ("SELL", 40, 0.5),
        ("BUY", 10, 0.25),
        ("BUY", 100, 0.4),
    ]
    assert all(row["transactionHash"].startswith("0x") for row in rows)
    (second,) = get(venue, f"/data-api/trades?user={who.wallet}&limit=1&offset=1")
    assert second == rows[1]
    market = f"/data-api/trades?market={venue.market().condition_id}"
    assert len(get(venue, market)) == 2  # takers only, unless more is asked for
    assert len(get(venue, market + "&takerOnly=false")) == 4
    dollars = f"/data-api/trades?user={who.wallet}&filterType=CASH&filterAmount=20"
    assert [row["size"] for row in get(venue, dollars)] == [40, 100]
    assert ask(venue.door, "GET", "/data-api/trades?side=BOTH").status == 400


def activity(venue: Venue, who: Trader) -> None:
    rows = get(venue, f"/data-api/activity?user={who.wallet}")
    assert [(row["type"], row["usdcSize"]) for row in rows] == [
        ("REDEEM", 10),
        ("TRADE", 20),
        ("TRADE", 2.5),
        ("TRADE", 40),
    ]
    paid = get(venue, f"/data-api/activity?user={who.wallet}&type=REDEEM")
    assert [row["conditionId"] for row in paid] == [venue.market(2).condition_id]
    rising = get(venue, f"/data-api/activity?user={who.wallet}&sortDirection=ASC")
    assert rising[-1]["type"] == "REDEEM"


def holders(venue: Venue, who: Trader) -> None:
    yes, no = get(venue, f"/data-api/holders?market={venue.market().condition_id}")
    assert (yes["token"], no["holders"]) == (venue.yes(), [])
    assert {row["proxyWallet"]: row["amount"] for row in yes["holders"]}[who.wallet] == 60
    assert ask(venue.door, "GET", "/data-api/holders").status == 400


def open_interest(venue: Venue, _: Trader) -> None:
    condition = venue.market().condition_id
    assert get(venue, f"/data-api/oi?market={condition}") == [{"market": condition, "value": 500}]
    assert get(venue, "/data-api/oi")[0]["market"] == "GLOBAL"


def live_volume(venue: Venue, _: Trader) -> None:
    (row,) = get(venue, f"/data-api/live-volume?id={venue.market().event_id}")
    assert row["total"] == 140
    assert {"market": venue.market().condition_id, "value": 140} in row["markets"]


def traded(venue: Venue, who: Trader) -> None:
    found = get(venue, f"/data-api/traded?user={who.wallet}")
    assert found == {"user": who.wallet, "traded": 2}


def markets_by_offset(venue: Venue, _: Trader) -> None:
    wanted = venue.market().condition_id
    (row,) = get(venue, f"/gamma/markets?condition_ids={wanted}")
    assert row["conditionId"] == wanted
    first = get(venue, "/gamma/markets?limit=3&offset=0")
    second = get(venue, "/gamma/markets?limit=3&offset=3")
    assert len(first) == len(second) == 3
    assert not {row["id"] for row in first} & {row["id"] for row in second}
    assert get(venue, "/gamma/markets?offset=2000") == []
    beyond = ask(venue.door, "GET", "/gamma/markets?offset=2001")
    assert (beyond.status, beyond.body) == (422, {"error": "offset exceeds maximum"})


def events_by_offset(venue: Venue, _: Trader) -> None:
    slug = venue.market().event_slug
    assert [row["slug"] for row in get(venue, f"/gamma/events?slug={slug}")] == [slug]
    first, second = (get(venue, f"/gamma/events?limit=2&offset={start}") for start in (0, 2))
    assert not {row["id"] for row in first} & {row["id"] for row in second}


def tick_size(venue: Venue, _: Trader) -> None:
    assert get(venue, f"/clob/tick-size/{venue.yes()}") == {"minimum_tick_size": 0.01}
    assert ask(venue.door, "GET", "/clob/tick-size/5").status == 404


def neg_risk(venue: Venue, _: Trader) -> None:
    assert get(venue, f"/clob/neg-risk/{venue.yes()}") == {"neg_risk": False}
    assert get(venue, f"/clob/neg-risk/{venue.yes(8)}") == {"neg_risk": True}


def fee_rate(venue: Venue, _: Trader) -> None:
    assert get(venue, f"/clob/fee-rate/{venue.yes()}") == {"base_fee": 0}
    assert get(venue, f"/clob/fee-rate/{venue.yes(1)}") == {"base_fee": 1000}


def old_heartbeat(venue: Venue, who: Trader) -> None:
    who.limit(venue.yes(3), "BUY", "0.02", "10")
    assert who.ask("POST", "/heartbeats").body == {"status": "ok"}
    venue.forward(9)
    assert len(who.open_orders()) == 1
    assert who.ask("POST", "/heartbeats").status == 200
    venue.forward(9)
    assert len(who.open_orders()) == 1
    venue.forward(2)
    assert who.open_orders() == []


def node(venue: Venue, _: Trader) -> None:
    asked = {"jsonrpc": "2.0", "id": 7, "method": "eth_chainId"}
    found = ask(venue.door, "POST", "/rpc/", asked).body
    assert found == {"jsonrpc": "2.0", "id": 7, "result": "0x89"}
    sent = ask(venue.door, "POST", "/rpc/", asked | {"method": "eth_sendRawTransaction"}).body
    assert sent["error"]["message"] == "method not found"


ASKED_BY_OTHERS: Final[dict[Place, Callable[[Venue, Trader], None]]] = {
    ("data-api", "GET", "/positions"): positions,
    ("data-api", "GET", "/closed-positions"): closed_positions,
    ("data-api", "GET", "/value"): value,
    ("data-api", "GET", "/trades"): trades,
    ("data-api", "GET", "/activity"): activity,
    ("data-api", "GET", "/holders"): holders,
    ("data-api", "GET", "/oi"): open_interest,
    ("data-api", "GET", "/live-volume"): live_volume,
    ("data-api", "GET", "/traded"): traded,
    ("gamma", "GET", "/markets"): markets_by_offset,
    ("gamma", "GET", "/events"): events_by_offset,
    ("clob", "GET", "/tick-size/{}"): tick_size,
    ("clob", "GET", "/neg-risk/{}"): neg_risk,
    ("clob", "GET", "/fee-rate/{}"): fee_rate,
    ("clob", "POST", "/heartbeats"): old_heartbeat,
    ("rpc", "POST", "/"): node,
}


@pytest.mark.parametrize("place", ASKED_BY_OTHERS, ids=" ".join)
def test_a_route_that_neither_client_asks_for_answers_as_it_is_documented(
    venue: Venue, held: Trader, place: Place
) -> None:
    ASKED_BY_OTHERS[place](venue, held)

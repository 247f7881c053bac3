"""Rules of the exchange at their edges: one step inside is taken, one step beyond is refused."""

from typing import Any

import pytest

from infra.paper.clob_orders import MOST_CANCELS, MOST_ORDERS
from tests.paper.conftest import Venue
from tests.paper.traders import Reply, Trader, ask

FEES = 1  # the place of a market with a taker's fee


def offer(venue: Venue, price: str = "0.40", place: int = 0) -> None:
    book = {"token_id": venue.yes(place), "asks": [[price, "500"]]}
    assert venue.admin("POST", "/book", book).status == 200


def owned(venue: Venue, trader: Trader, collateral: str) -> None:
    path = f"/accounts/{trader.wallet}/balances"
    assert venue.admin("POST", path, {"collateral": collateral}).status == 200


def posted(venue: Venue, trader: Trader, price: str = "0.40", **changes: Any) -> Reply:
    kind = changes.pop("kind", "GTC")
    return trader.post(trader.order(venue.yes(), "BUY", price, "10", **changes), kind)


def test_the_fee_of_a_purchase_must_be_paid_for_as_well(venue: Venue, alice: Trader) -> None:
    offer(venue, place=FEES)
    owned(venue, alice, "40")  # the price of 100 shares; their fee is $1.68
    order = alice.order(venue.yes(FEES), "BUY", "0.40", "100")
    assert "order amount: 41680000" in alice.post(order).body["error"]
    owned(venue, alice, "41.68")
    assert alice.post(order).body["status"] == "matched"


def test_what_a_lagging_balance_does_not_show_yet_cannot_be_spent(
    venue: Venue, alice: Trader
) -> None:
    venue.admin("POST", "/book", {"token_id": venue.yes(), "bids": [["0.50", "500"]]})
    venue.admin("POST", f"/accounts/{alice.wallet}/balances", {"tokens": {venue.yes(): "100"}})
    owned(venue, alice, "0")
    venue.admin("POST", "/settlement", {"delay_s": "0"})
    assert venue.admin("POST", "/balances-lag", {"seconds": 30}).status == 200
    alice.limit(venue.yes(), "SELL", "0.50", "100")
    venue.forward(1)
    assert "not enough balance" in posted(venue, alice).body["error"]
    venue.forward(30)
    assert posted(venue, alice).body["status"] == "live"


@pytest.mark.parametrize(
    ("kind", "after_seconds", "status"),
    [("GTC", 0, 200), ("GTC", 600, 400), ("GTD", 0, 400), ("GTD", 60, 400), ("GTD", 62, 200)],
)
def test_only_a_dated_order_has_a_date_and_not_too_near(
    venue: Venue, alice: Trader, kind: str, after_seconds: int, status: int
) -> None:
    now = int(venue.clock().timestamp())
    expiration = str(now + after_seconds if after_seconds else 0)
    assert posted(venue, alice, kind=kind, expiration=expiration).status == status


@pytest.mark.parametrize(
    ("maker", "status"), [("100000", 200), ("0", 400), ("9900000", 200), ("10000000", 400)]
)
def test_a_price_lies_a_tick_away_from_nothing_and_from_a_dollar(
    venue: Venue, alice: Trader, maker: str, status: int
) -> None:
    assert posted(venue, alice, makerAmount=maker).status == status


@pytest.mark.parametrize(
    "change", [{"salt": -1}, {"salt": 2**256}, {"makerAmount": "-5"}, {"salt": True}]
)
def test_a_number_that_no_contract_can_hold_is_malformed(
    venue: Venue, alice: Trader, change: dict[str, object]
) -> None:
    order = alice.order(venue.yes(), "BUY", "0.40", "10")
    assert alice.post({**order, **change}).body == {"error": "Invalid order payload"}


def test_a_wallet_belongs_to_its_first_key_for_ever(
    venue: Venue, alice: Trader, bob: Trader
) -> None:
    wallet = "0x" + "5a" * 20
    mine = Trader(venue.door, alice.private_key, wallet=wallet, signature_type=1)
    mine.limit(venue.yes(), "BUY", "0.40", "10")
    taken = bob.order(venue.yes(), "BUY", "0.40", "10", maker=mine.wallet, signatureType=1)
    assert bob.post(taken).body["error"].startswith("the order signer address has to be")
    assert len(mine.open_orders()) == 1


def test_a_plain_key_trades_for_itself_alone(venue: Venue, alice: Trader, bob: Trader) -> None:
    assert posted(venue, alice, maker=bob.wallet).body == {"error": "invalid signature"}


def test_a_proof_of_one_request_is_none_of_another(venue: Venue, alice: Trader) -> None:
    alice.limit(venue.yes(), "BUY", "0.40", "10")
    headers = alice.headers("DELETE", "/order", b"{}")
    assert ask(venue.door, "DELETE", "/clob/orders", {}, headers).status == 401
    assert ask(venue.door, "DELETE", "/clob/cancel-all", {}, headers).status == 401
    assert ask(venue.door, "DELETE", "/clob/order", {"a": 1}, headers).status == 401
    assert len(alice.open_orders()) == 1


def test_a_batch_has_its_most_and_not_one_more(venue: Venue, alice: Trader) -> None:
    def legs(count: int) -> list[Any]:
        made = [alice.order(venue.yes(), "BUY", "0.02", "5") for _ in range(count)]
        return [alice.posted(order) for order in made]

    assert len(alice.ask("POST", "/orders", legs(MOST_ORDERS)).body) == MOST_ORDERS
    refused = alice.ask("POST", "/orders", legs(MOST_ORDERS + 1))
    assert (refused.status, len(alice.open_orders())) == (400, MOST_ORDERS)
    assert "max allowed: 15" in refused.body["error"]


def test_too_many_cancels_or_one_without_a_proper_id_are_refused_whole(
    venue: Venue, alice: Trader
) -> None:
    venue.admin("POST", "/switches", {"signer_limits": "off"})
    known = alice.limit(venue.yes(), "BUY", "0.40", "10")["orderID"]
    for bad in ("0x12", "", None, 7):
        assert alice.ask("DELETE", "/order", {"orderID": bad}).status == 400
        assert alice.ask("DELETE", "/orders", [known, bad]).status == 400
    assert alice.ask("DELETE", "/orders", [known] * (MOST_CANCELS + 1)).status == 400
    assert len(alice.open_orders()) == 1


def test_shares_of_a_resolved_market_are_paid_once_and_the_losers_not_at_all(
    venue: Venue, alice: Trader, bob: Trader
) -> None:
    for trader, token_id in ((alice, venue.yes()), (bob, venue.no())):
        venue.admin("POST", f"/accounts/{trader.wallet}/balances", {"tokens": {token_id: "10"}})
    before = (alice.balance(), bob.balance())
    path = f"/markets/{venue.market().condition_id}/resolve"
    for _ in range(2):
        venue.admin("POST", path, {"payouts": ["1", "0"], "redeem": True})
    assert (alice.balance(), bob.balance()) == (before[0] + 10_000_000, before[1])
    assert (alice.balance(venue.yes()), bob.balance(venue.no())) == (0, 0)


def test_every_list_ends_and_no_page_is_longer_than_its_limit(venue: Venue) -> None:
    seen: list[str] = []
    cursor = ""
    for _ in range(100):
        page = ask(venue.door, "GET", f"/gamma/markets/keyset?limit=4{cursor}").body
        assert len(page["markets"]) <= 4
        seen += [row["id"] for row in page["markets"]]
        if not page["next_cursor"]:
            break
        cursor = f"&after_cursor={page['next_cursor']}"
    assert len(seen) == len(set(seen)) == len(venue.exchange.engine.markets)


def test_the_data_apis_pages_are_led_by_their_cursor(venue: Venue, alice: Trader) -> None:
    offer(venue)
    for _ in range(5):
        alice.limit(venue.yes(), "BUY", "0.40", "5")
    venue.forward(5)
    found: list[str] = []
    cursor = ""
    pages: list[dict[str, object]] = []
    for _ in range(3):
        target = f"/data-api/v2/trades?user={alice.wallet}&limit=2{cursor}"
        page = ask(venue.door, "GET", target).body
        assert len(page["data"]) <= 2
        found += [row["transaction_hash"] for row in page["data"]]
        pages.append(page["pagination"])
        cursor = f"&cursor={page['pagination']['next_cursor']}"
    assert pages[-1] == {"has_more": False, "next_cursor": None}
    assert len(found) == len(set(found)) == 5

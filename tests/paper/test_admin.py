"""What the admin does to the exchange from outside."""

import pytest

from tests.paper.conftest import Venue
from tests.paper.traders import Trader, ask


def test_an_account_is_funded_once_and_keeps_its_key(venue: Venue, alice: Trader) -> None:
    again = Trader(venue.door, alice.private_key, collateral="500")

    assert again.balance() == 10_000_000_000
    assert (again.api_key, again.secret) == (alice.api_key, alice.secret)
    assert alice.ask("GET", "/auth/api-keys").body == {"apiKeys": [alice.api_key]}


def test_an_account_may_bring_its_own_credentials(venue: Venue, alice: Trader) -> None:
    own = {"api_key": "k-1", "secret": "c2VjcmV0", "passphrase": "pp"}
    body = {"wallet": alice.wallet, "signature_type": 0, "collateral": "1", **own}
    venue.admin("POST", "/accounts", body)
    alice.api_key, alice.secret, alice.passphrase = own.values()

    assert alice.balance() == 10_000_000_000


def test_a_book_set_by_hand_fills_what_it_crosses_before_it_answers(
    venue: Venue, alice: Trader
) -> None:
    alice.limit(venue.yes(), "BUY", "0.40", "10")

    venue.admin(
        "POST",
        "/book",
        {
            "token_id": venue.yes(),
            "bids": [["0.30", "50"]],
            "asks": [["0.35", "4"], ["0.36", "50"]],
        },
    )

    assert [(t["size"], t["trader_side"]) for t in alice.trades()] == [
        ("6", "MAKER"),
        ("4", "MAKER"),
    ]
    assert all(t["maker_orders"][0]["price"] == "0.4" for t in alice.trades())
    assert alice.open_orders() == []
    book = ask(venue.door, "GET", f"/clob/book?token_id={venue.yes()}").body
    assert book["bids"] == [{"price": "0.3", "size": "50"}]
    assert book["asks"] == [{"price": "0.36", "size": "44"}]


def test_a_book_set_for_one_token_is_mirrored_in_the_other(venue: Venue) -> None:
    body = {"token_id": venue.no(), "bids": [["0.30", "5"], ["0.20", "7"]], "asks": [["0.35", "9"]]}
    venue.admin("POST", "/book", body)

    yes = ask(venue.door, "GET", f"/clob/book?token_id={venue.yes()}").body
    no = ask(venue.door, "GET", f"/clob/book?token_id={venue.no()}").body

    assert no["bids"] == [{"price": "0.2", "size": "7"}, {"price": "0.3", "size": "5"}]
    assert yes["asks"] == [{"price": "0.8", "size": "7"}, {"price": "0.7", "size": "5"}]
    assert yes["bids"] == [{"price": "0.65", "size": "9"}]


def test_a_second_book_replaces_the_first_on_both_tokens(venue: Venue, alice: Trader) -> None:
    venue.admin("POST", "/book", {"token_id": venue.yes(), "asks": [["0.40", "100"]]})
    alice.limit(venue.yes(), "BUY", "0.40", "10")
    venue.admin("POST", "/book", {"token_id": venue.no(), "bids": [["0.20", "7"]]})

    book = ask(venue.door, "GET", f"/clob/book?token_id={venue.yes()}").body

    assert (book["bids"], book["asks"]) == ([], [{"price": "0.8", "size": "7"}])
    makers = venue.ledger("orders", "?origin=maker")
    assert [(row["status"], row["filled_size"]) for row in makers] == [
        ("CANCELED", "10"),
        ("LIVE", "0"),
    ]


@pytest.mark.parametrize(
    "levels",
    [
        {"bids": [["0.50", "5"]], "asks": [["0.50", "5"]]},
        {"bids": [["1.50", "5"]]},
        {"bids": [["0.50", "0"]]},
        {"bids": ["0.50"]},
        {"bids": [["x", "5"]]},
    ],
)
def test_a_senseless_book_is_refused(venue: Venue, levels: dict[str, object]) -> None:
    assert venue.admin("POST", "/book", {"token_id": venue.yes(), **levels}).status == 400


def test_a_book_set_by_hand_survives_a_restart(venue: Venue) -> None:
    venue.admin("POST", "/book", {"token_id": venue.yes(), "asks": [["0.40", "100"]]})
    venue.restart()

    book = ask(venue.door, "GET", f"/clob/book?token_id={venue.yes()}").body

    assert book["asks"] == [{"price": "0.4", "size": "100"}]


def test_a_manual_order_needs_no_signature_and_is_the_wallets_own(
    venue: Venue, alice: Trader
) -> None:
    wanted = {"token_id": venue.yes(), "side": "BUY", "price": "0.40", "size": "10"}
    placed = venue.admin("POST", f"/accounts/{alice.wallet}/orders", {"place": wanted})

    (order,) = alice.open_orders()
    assert (order["id"], order["owner"]) == (placed.body["order_hash"], alice.api_key)
    (row,) = venue.ledger("orders", "?origin=manual")
    assert (row["order_hash"], row["origin"], row["status"]) == (order["id"], "manual", "LIVE")
    assert float(row["first_seen_at"]) == venue.clock().timestamp()
    body = {"cancel": placed.body["order_hash"]}
    venue.admin("POST", f"/accounts/{alice.wallet}/orders", body)
    assert alice.open_orders() == []
    assert venue.user_frames()[-1]["type"] == "CANCELLATION"


def test_orders_that_can_no_longer_be_paid_are_cancelled_newest_first(
    venue: Venue, alice: Trader
) -> None:
    venue.admin("POST", "/switches", {"cancel_reasons": True})
    old = alice.limit(venue.yes(), "BUY", "0.40", "100")["orderID"]
    alice.limit(venue.yes(), "BUY", "0.40", "100")

    venue.admin("POST", f"/accounts/{alice.wallet}/balances", {"collateral": "50"})

    assert [order["id"] for order in alice.open_orders()] == [old]
    assert venue.user_frames()[-1]["status"] == "CANCELED_NOT_ENOUGH_BALANCE"


def test_an_account_without_allowance_cannot_trade(venue: Venue, alice: Trader) -> None:
    venue.admin("POST", f"/accounts/{alice.wallet}/balances", {"allowance": "0"})

    refused = alice.post(alice.order(venue.yes(), "BUY", "0.40", "10"))

    assert refused.body == {"error": "not enough balance / allowance"}


def test_a_resolved_market_is_closed_and_pays_its_holders(venue: Venue, alice: Trader) -> None:
    market = venue.market()
    venue.admin("POST", "/switches", {"cancel_reasons": True})
    venue.admin("POST", "/book", {"token_id": venue.yes(), "asks": [["0.40", "100"]]})
    alice.limit(venue.yes(), "BUY", "0.40", "10")
    alice.limit(venue.yes(), "BUY", "0.30", "10")
    venue.forward(1)

    body = {"payouts": ["1", "0"], "redeem": True}
    venue.admin("POST", f"/markets/{market.condition_id}/resolve", body)

    assert (alice.balance(), alice.balance(venue.yes())) == (10_006_000_000, 0)
    assert venue.user_frames()[-1]["status"] == "CANCELED_MARKET_RESOLVED"
    refused = alice.post(alice.order(venue.yes(), "BUY", "0.40", "10"))
    assert refused.body["error"] == f"the orderbook {venue.yes()} does not exist"
    shown = ask(venue.door, "GET", f"/clob/markets/{market.condition_id}").body
    assert (shown["closed"], shown["tokens"][0]["winner"]) == (True, True)
    (gamma,) = ask(venue.door, "GET", f"/gamma/markets?condition_ids={market.condition_id}").body
    assert (gamma["closed"], gamma["outcomePrices"]) == (True, '["1","0"]')


def test_a_market_added_is_there_and_survives_a_restart(venue: Venue) -> None:
    wanted = {"slug": "will-it-rain-tomorrow", "tick_size": "0.001", "min_size": "15"}
    made = venue.admin("POST", "/markets", wanted).body
    venue.restart()

    (market,) = ask(venue.door, "GET", "/gamma/markets?slug=will-it-rain-tomorrow").body
    assert market["conditionId"] == made["condition_id"]
    assert (market["orderPriceMinTickSize"], market["orderMinSize"]) == (0.001, 15)
    assert venue.admin("POST", "/markets", wanted).status == 400


def test_a_tick_size_can_change_while_orders_rest(venue: Venue, alice: Trader) -> None:
    market = venue.market()
    alice.limit(venue.yes(), "BUY", "0.40", "10")

    venue.admin("POST", f"/markets/{market.condition_id}/tick-size", {"tick_size": "0.001"})

    alice.limit(venue.yes(), "BUY", "0.405", "10")
    tick = ask(venue.door, "GET", f"/clob/tick-size?token_id={venue.yes()}").body
    assert tick == {"minimum_tick_size": 0.001}
    events = [
        body["event_type"] for news in venue.told for m in news.markets.values() for body in m.plain
    ]
    assert events == ["tick_size_change", "tick_size_change"]


def test_the_ledger_shows_each_leg_and_what_is_owned(
    venue: Venue, alice: Trader, bob: Trader
) -> None:
    bob.limit(venue.no(), "BUY", "0.60", "20")
    since = venue.clock().timestamp()
    venue.clock.forward(1)
    order_id = alice.limit(venue.yes(), "BUY", "0.40", "20")["orderID"]
    venue.forward(1)

    legs = venue.ledger("trades")
    assert [(leg["order_hash"] == order_id, leg["side"], leg["price"]) for leg in legs] == [
        (True, "BUY", "0.4"),
        (False, "BUY", "0.6"),
    ]
    assert {leg["status"] for leg in legs} == {"MINED"}
    assert [row["token_id"] for row in venue.ledger("trades", f"?token_id={venue.no()}")] == [
        venue.no()
    ]
    assert len(venue.ledger("orders", f"?since={since + 1}&origin=api,manual")) == 1
    owned = {(row["wallet"], row["asset"]): row["balance"] for row in venue.ledger("balances")}
    assert owned[alice.wallet, "collateral"] == "9992"
    assert owned[bob.wallet, venue.no()] == "20"


def test_a_restart_keeps_orders_accounts_and_the_memory_of_every_id(
    venue: Venue, alice: Trader
) -> None:
    order = alice.order(venue.yes(), "BUY", "0.40", "10")
    alice.post(order)
    alice.limit(venue.no(), "BUY", "0.40", "20")
    before = (venue.ledger("orders"), venue.ledger("balances"), alice.open_orders())

    venue.restart()
    alice.door = venue.door

    assert (venue.ledger("orders"), venue.ledger("balances"), alice.open_orders()) == before
    assert "Duplicated" in alice.post(order).body["error"]


def test_a_request_that_breaks_leaves_nothing_behind(
    venue: Venue, alice: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(venue.exchange.ledger, "see", broken)
        with pytest.raises(OSError, match="disk full"):
            alice.post(alice.order(venue.yes(), "BUY", "0.40", "10"))

    assert alice.open_orders() == []
    assert venue.ledger("orders") == []
    alice.limit(venue.yes(), "BUY", "0.40", "25000")

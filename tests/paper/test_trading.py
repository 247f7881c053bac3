"""Orders over the wire: what is accepted, what is refused and in which words."""

import pytest

from tests.paper.conftest import Venue
from tests.paper.traders import NEG_RISK_EXCHANGE, Trader, ask

NEG_RISK_MARKET = 8


def test_a_resting_order_is_live_and_found_by_its_signed_id(venue: Venue, alice: Trader) -> None:
    answer = alice.limit(venue.yes(), "BUY", "0.40", "10")

    assert answer["status"] == "live"
    assert (answer["makingAmount"], answer["takingAmount"]) == ("", "")
    shown = alice.ask("GET", f"/data/order/{answer['orderID']}").body
    assert (shown["price"], shown["original_size"], shown["size_matched"]) == ("0.4", "10", "0")
    assert shown["status"] == "LIVE"
    assert [row["id"] for row in alice.open_orders()] == [answer["orderID"]]


def test_the_same_signed_order_is_refused_the_second_time(venue: Venue, alice: Trader) -> None:
    order = alice.order(venue.yes(), "BUY", "0.40", "10")
    first = alice.post(order)

    second = alice.post(order)

    assert second.status == 400
    assert second.body["error"] == f"order {first.body['orderID']} is invalid. Duplicated."
    assert len(alice.open_orders()) == 1


def test_a_taker_gets_the_resting_price_and_both_sides_see_the_trade(
    venue: Venue, alice: Trader, bob: Trader
) -> None:
    venue.admin("POST", f"/accounts/{bob.wallet}/balances", {"tokens": {venue.yes(): "100"}})
    bob.limit(venue.yes(), "SELL", "0.40", "10")

    answer = alice.limit(venue.yes(), "BUY", "0.45", "15")

    assert answer["status"] == "matched"
    assert (answer["makingAmount"], answer["takingAmount"]) == ("4", "10")
    (mine,), (his,) = alice.trades(), bob.trades()
    assert mine["id"] == his["id"] == answer["tradeIDs"][0]
    assert (mine["trader_side"], his["trader_side"]) == ("TAKER", "MAKER")
    assert (mine["price"], mine["size"]) == ("0.4", "10")
    assert his["maker_orders"][0]["owner"] == bob.api_key
    (rest,) = alice.open_orders()
    assert (rest["size_matched"], rest["original_size"], rest["status"]) == ("10", "15", "LIVE")


def test_buying_both_outcomes_mints_shares(venue: Venue, alice: Trader, bob: Trader) -> None:
    bob.limit(venue.no(), "BUY", "0.60", "20")
    alice.limit(venue.yes(), "BUY", "0.40", "20")

    venue.forward(1)

    assert (alice.balance(venue.yes()), bob.balance(venue.no())) == (20_000_000, 20_000_000)
    assert (alice.balance(), bob.balance()) == (9_992_000_000, 9_988_000_000)
    leg = alice.trades()[0]["maker_orders"][0]
    assert (leg["asset_id"], leg["side"], leg["price"]) == (venue.no(), "BUY", "0.6")


def test_selling_both_outcomes_merges_shares(venue: Venue, alice: Trader, bob: Trader) -> None:
    for trader, token_id in ((alice, venue.yes()), (bob, venue.no())):
        venue.admin("POST", f"/accounts/{trader.wallet}/balances", {"tokens": {token_id: "20"}})
    bob.limit(venue.no(), "SELL", "0.55", "20")
    alice.limit(venue.yes(), "SELL", "0.40", "20")

    venue.forward(1)

    assert (alice.balance(venue.yes()), bob.balance(venue.no())) == (0, 0)
    assert (alice.balance(), bob.balance()) == (10_009_000_000, 10_011_000_000)


def test_a_taker_pays_the_markets_fee_and_a_maker_none(
    venue: Venue, alice: Trader, bob: Trader
) -> None:
    crypto = 1
    bob.limit(venue.no(crypto), "BUY", "0.60", "100")
    alice.limit(venue.yes(crypto), "BUY", "0.40", "100")

    venue.forward(1)

    assert alice.balance() == 10_000_000_000 - 40_000_000 - 1_680_000  # 100 * .07 * .4 * .6
    assert bob.balance() == 10_000_000_000 - 60_000_000
    owned = {(row["wallet"], row["asset"]): row["balance"] for row in venue.ledger("balances")}
    assert owned["fees", "collateral"] == "1.68"


def test_fees_are_rounded_to_five_decimals(venue: Venue) -> None:
    crypto = venue.market(1)

    assert crypto.fee(8_330_000, 600_000) == 139_940  # 0.139944 exactly
    assert crypto.fee(100, 500_000) == 0


def test_a_fee_in_shares_leaves_the_buyer_with_fewer(venue: Venue, alice: Trader) -> None:
    made = {"slug": "fees-in-shares", "fee_rate": "0.05", "fee_asset": "shares"}
    tokens = venue.admin("POST", "/markets", made).body["token_ids"]
    venue.admin("POST", "/book", {"token_id": tokens[0], "asks": [["0.50", "1000"]]})
    alice.limit(tokens[0], "BUY", "0.50", "100")

    venue.forward(1)

    assert alice.balance() == 9_950_000_000
    assert alice.balance(tokens[0]) == 100_000_000 - 2_500_000  # $1.25 of fee at 0.50


@pytest.mark.parametrize(
    ("terms", "changes", "text"),
    [
        (("0.405", "10"), {}, "Price (0.405) breaks minimum tick size rule: 0.01"),
        (("0.40", "1"), {}, "Size (1) lower than the minimum: 5"),
        (("0.40", "10.001"), {}, "taker amount a max of 2 decimals"),
        (("0.40", "10"), {"makerAmount": "0"}, "invalid amounts"),
        (("0.40", "10"), {"makerAmount": "12000000"}, "breaks minimum tick size"),
        (("0.40", "10"), {"expiration": "1795269600"}, "invalid expiration"),
        (("0.40", "30000"), {}, "not enough balance / allowance: the balance is not enough"),
        (("0.40", "10"), {"signer": "0x" + "ab" * 20}, "the order signer address has to be"),
        (("0.40", "10"), {"signatureType": 7}, "Invalid signature_type"),
        (("0.40", "10"), {"exchange": NEG_RISK_EXCHANGE}, "invalid signature"),
        (("0.40", "10"), {"tokenId": "12345"}, "the orderbook 12345 does not exist"),
    ],
)
def test_a_bad_order_is_refused_in_productions_words(
    venue: Venue, alice: Trader, terms: tuple[str, str], changes: dict[str, object], text: str
) -> None:
    refused = alice.post(alice.order(venue.yes(), "BUY", *terms, **changes))

    assert refused.status == 400
    assert text in refused.body["error"]
    assert "allowance is not enough" not in refused.body["error"]
    assert venue.ledger("orders") == []
    assert venue.ledger("requests")[-1]["outcome"] == refused.body["error"]


def test_an_order_of_another_key_or_another_hand_is_refused(
    venue: Venue, alice: Trader, bob: Trader
) -> None:
    order = alice.order(venue.yes(), "BUY", "0.40", "10")
    foreign = {**order, "signature": bob.order(venue.yes(), "BUY", "0.40", "10")["signature"]}

    assert "has to be the owner" in alice.post(order, owner=bob.api_key).body["error"]
    assert bob.post(order).body["error"].startswith("the order signer address has to be")
    assert alice.post(foreign).body["error"] == "invalid signature"


def test_a_malformed_order_is_refused(venue: Venue, alice: Trader) -> None:
    order = alice.order(venue.yes(), "BUY", "0.40", "10")

    changes: list[dict[str, object]] = [{"salt": "x"}, {"side": "HOLD"}, {"maker": "0x1"}]
    for broken in [{**order, **change} for change in changes]:
        assert alice.post(broken).body == {"error": "Invalid order payload"}
    assert alice.post([]).body == {"error": "Invalid order payload"}
    assert alice.post(order, "IOC").body == {"error": "Invalid order payload"}


def test_a_neg_risk_order_is_signed_for_the_other_exchange(venue: Venue, alice: Trader) -> None:
    token_id = venue.yes(NEG_RISK_MARKET)
    order = alice.order(token_id, "BUY", "0.40", "10", exchange=NEG_RISK_EXCHANGE)

    assert alice.post(order).body["status"] == "live"
    wrong = alice.post(alice.order(token_id, "BUY", "0.40", "10"))
    assert wrong.body["error"] == "invalid signature"


def test_open_orders_use_up_the_balance(venue: Venue, alice: Trader) -> None:
    alice.limit(venue.yes(), "BUY", "0.50", "12000")

    refused = alice.post(alice.order(venue.yes(), "BUY", "0.50", "10000"))

    assert refused.body["error"].endswith("balance: 4000000000, order amount: 5000000000")
    alice.ask("DELETE", "/cancel-all")
    alice.limit(venue.yes(), "BUY", "0.50", "10000")


def test_shares_just_bought_cannot_be_sold_before_they_are_mined(
    venue: Venue, alice: Trader
) -> None:
    venue.admin(
        "POST",
        "/book",
        {"token_id": venue.yes(), "bids": [["0.39", "500"]], "asks": [["0.40", "500"]]},
    )
    alice.limit(venue.yes(), "BUY", "0.40", "10")
    sale = alice.order(venue.yes(), "SELL", "0.39", "10")

    assert "balance: 0, order amount: 10000000" in alice.post(sale).body["error"]
    venue.forward(0.5)
    assert alice.post(sale).body["status"] == "matched"


def test_post_only_orders_never_take(venue: Venue, alice: Trader) -> None:
    venue.admin("POST", "/book", {"token_id": venue.yes(), "asks": [["0.40", "500"]]})

    crossing = alice.post(alice.order(venue.yes(), "BUY", "0.40", "10"), postOnly=True)
    resting = alice.post(alice.order(venue.yes(), "BUY", "0.39", "10"), postOnly=True)
    immediate = alice.post(alice.order(venue.yes(), "BUY", "0.40", "10"), "FAK", postOnly=True)

    assert crossing.body["error"] == "invalid post-only order: order crosses book"
    assert resting.body["status"] == "live"
    assert "only GTC and GTD" in immediate.body["error"]


def test_a_killed_order_was_seen_and_cannot_come_again(venue: Venue, alice: Trader) -> None:
    venue.admin("POST", "/book", {"token_id": venue.yes(), "asks": [["0.40", "10"]]})
    fok = alice.order(venue.yes(), "BUY", "0.40", "20")
    fak = alice.order(venue.yes(), "BUY", "0.30", "20")

    assert "FOK orders are fully filled or killed" in alice.post(fok, "FOK").body["error"]
    assert "no orders found to match with FAK order" in alice.post(fak, "FAK").body["error"]
    assert "Duplicated" in alice.post(fok, "FOK").body["error"]
    assert "Duplicated" in alice.post(fak, "FAK").body["error"]


def test_a_fak_order_takes_what_there_is_and_the_rest_is_gone(venue: Venue, alice: Trader) -> None:
    venue.admin("POST", "/book", {"token_id": venue.yes(), "asks": [["0.40", "10"]]})

    answer = alice.post(alice.order(venue.yes(), "BUY", "0.40", "25"), "FAK").body

    assert (answer["status"], answer["takingAmount"]) == ("matched", "10")
    assert alice.open_orders() == []
    (row,) = venue.ledger("orders", "?origin=api")
    assert (row["status"], row["filled_size"], row["size"]) == ("CANCELED", "10", "25")
    assert [f["type"] for f in venue.user_frames() if f["event_type"] == "order"] == [
        "PLACEMENT",
        "UPDATE",
        "CANCELLATION",
    ]


def test_a_market_orders_amounts_need_not_lie_on_the_grid(venue: Venue, alice: Trader) -> None:
    venue.admin("POST", "/book", {"token_id": venue.yes(), "asks": [["0.60", "100"]]})
    order = alice.order(
        venue.yes(), "BUY", "0.60", "8", makerAmount="5000000", takerAmount="8333300"
    )

    answer = alice.post(order, "FAK").body

    assert (answer["makingAmount"], answer["takingAmount"]) == ("4.99998", "8.3333")


@pytest.mark.parametrize(
    ("maker", "taker", "text"),
    [
        ("5001000", "8333300", "the market buy orders maker amount supports a max accuracy of 2"),
        ("5000000", "8333330", "taker amount a max of 4 decimals"),
        ("500000", "833300", "invalid amount for a marketable BUY order ($0.5), min size: $1"),
    ],
)
def test_a_bad_market_order_is_refused(
    venue: Venue, alice: Trader, maker: str, taker: str, text: str
) -> None:
    venue.admin("POST", "/book", {"token_id": venue.yes(), "asks": [["0.60", "100"]]})
    order = alice.order(venue.yes(), "BUY", "0.60", "8", makerAmount=maker, takerAmount=taker)

    assert text in alice.post(order, "FAK").body["error"]


def test_a_batch_answers_each_order_in_its_place(venue: Venue, alice: Trader) -> None:
    orders = [
        alice.posted(alice.order(venue.yes(), "BUY", price, "10")) for price in ("0.40", "0.405")
    ]

    good, bad = alice.ask("POST", "/orders", orders).body

    assert (good["status"], good["success"]) == ("live", True)
    assert (bad["orderID"], bad["success"]) == ("", False)
    assert "breaks minimum tick size" in bad["errorMsg"]
    assert [row["outcome"] for row in venue.ledger("requests")] == ["live", bad["errorMsg"]]
    refused = alice.ask("POST", "/orders", orders * 8)
    assert refused.body["error"] == "Too many orders in payload: 16, max allowed: 15"


def test_cancelling_says_what_is_gone_and_what_was_not_there(venue: Venue, alice: Trader) -> None:
    order_id = alice.limit(venue.yes(), "BUY", "0.40", "10")["orderID"]
    unknown = "0x" + "00" * 32

    answer = alice.ask("DELETE", "/orders", [order_id, unknown]).body

    assert answer["canceled"] == [order_id]
    assert list(answer["not_canceled"]) == [unknown]
    assert alice.ask("GET", f"/data/order/{order_id}").status == 404
    again = alice.ask("DELETE", "/order", {"orderID": order_id})
    assert (again.status, list(again.body["not_canceled"])) == (200, [order_id])
    assert alice.ask("DELETE", "/order", {"orderID": "nonsense"}).status == 400
    frame = venue.user_frames()[-1]
    assert (frame["type"], frame["status"], frame["id"]) == ("CANCELLATION", "CANCELED", order_id)


def test_nobody_cancels_or_reads_anothers_order(venue: Venue, alice: Trader, bob: Trader) -> None:
    order_id = alice.limit(venue.yes(), "BUY", "0.40", "10")["orderID"]

    assert bob.ask("DELETE", "/order", {"orderID": order_id}).body["canceled"] == []
    assert bob.ask("GET", f"/data/order/{order_id}").status == 404
    assert bob.open_orders() == []
    assert len(alice.open_orders()) == 1


def test_a_markets_orders_are_cancelled_alone(venue: Venue, alice: Trader) -> None:
    here = alice.limit(venue.yes(), "BUY", "0.40", "10")["orderID"]
    other = alice.limit(venue.no(), "BUY", "0.40", "10")["orderID"]
    elsewhere = alice.limit(venue.yes(1), "BUY", "0.40", "10")["orderID"]

    by_asset = alice.ask("DELETE", "/cancel-market-orders", {"asset_id": venue.yes()})
    by_market = alice.ask(
        "DELETE", "/cancel-market-orders", {"market": venue.market().condition_id}
    )

    assert by_asset.body["canceled"] == [here]
    assert by_market.body["canceled"] == [other]
    assert alice.ask("DELETE", "/cancel-all").body["canceled"] == [elsewhere]
    assert alice.ask("DELETE", "/cancel-market-orders", {}).status == 400


def test_a_gtd_order_is_cancelled_a_minute_before_it_expires(venue: Venue, alice: Trader) -> None:
    venue.admin("POST", "/switches", {"cancel_reasons": True})
    expires = int(venue.clock().timestamp()) + 200
    order = alice.order(venue.yes(), "BUY", "0.40", "10", expiration=str(expires))
    order_id = alice.post(order, "GTD").body["orderID"]

    venue.forward(139)
    assert len(alice.open_orders()) == 1
    venue.forward(1)

    assert alice.open_orders() == []
    frame = venue.user_frames()[-1]
    assert (frame["id"], frame["status"]) == (order_id, "CANCELED_EXPIRED_ORDER")


def test_a_key_that_stops_beating_loses_its_orders(venue: Venue, alice: Trader) -> None:
    alice.limit(venue.yes(), "BUY", "0.40", "10")
    first = alice.ask("POST", "/v1/heartbeats", {"heartbeat_id": ""}).body["heartbeat_id"]
    venue.forward(9)
    wrong = alice.ask("POST", "/v1/heartbeats", {"heartbeat_id": "nonsense"})
    second = alice.ask("POST", "/v1/heartbeats", {"heartbeat_id": first})

    assert (wrong.status, wrong.body["heartbeat_id"]) == (400, first)
    assert wrong.body["error_msg"] == "Invalid Heartbeat ID"
    assert second.status == 200
    venue.forward(9)
    assert len(alice.open_orders()) == 1
    venue.forward(1)
    assert alice.open_orders() == []


def test_only_the_right_key_secret_and_body_are_let_in(venue: Venue, alice: Trader) -> None:
    headers = alice.headers("GET", "/data/orders", b"")

    assert ask(venue.door, "GET", "/clob/data/orders?market=0xabc", None, headers).status == 200
    for name in ("poly_api_key", "poly_signature", "poly_passphrase", "poly_address"):
        wrong = ask(venue.door, "GET", "/clob/data/orders", None, {**headers, name: "x"})
        assert (wrong.status, wrong.body) == (401, {"error": "Unauthorized/Invalid api key"})
    body = {"orderID": "0x" + "00" * 32}
    moved = ask(venue.door, "DELETE", "/clob/order", body, alice.headers("DELETE", "/order", b""))
    assert moved.status == 401


def test_trades_are_paged_and_filtered(venue: Venue, alice: Trader) -> None:
    venue.admin("POST", "/switches", {"tier": "elite"})
    venue.admin("POST", "/book", {"token_id": venue.yes(), "asks": [["0.40", "9000"]]})
    for _ in range(101):
        alice.limit(venue.yes(), "BUY", "0.40", "5")
    start = int(venue.clock().timestamp())

    page = alice.ask("GET", "/data/trades").body
    rest = alice.ask("GET", f"/data/trades?next_cursor={page['next_cursor']}").body

    assert (page["count"], rest["count"], rest["next_cursor"]) == (100, 1, "LTE=")
    assert alice.ask("GET", "/data/trades?next_cursor=LTE=").status == 400
    assert len(alice.trades(f"?id={rest['data'][0]['id']}")) == 1
    assert len(alice.trades(f"?after={start}")) == 100
    assert alice.trades(f"?before={start}") == []
    assert alice.trades(f"?asset_id={venue.no()}") == []
    assert len(alice.trades(f"?maker_address={alice.wallet.lower()}")) == 100


def test_an_order_of_a_slow_market_is_delayed_and_then_matched(venue: Venue, alice: Trader) -> None:
    tokens = venue.admin("POST", "/markets", {"slug": "slow", "delay_s": "3"}).body["token_ids"]
    venue.admin("POST", "/book", {"token_id": tokens[0], "asks": [["0.40", "100"]]})

    answer = alice.post(alice.order(tokens[0], "BUY", "0.40", "10")).body

    assert answer["status"] == "delayed"
    assert venue.ledger("orders", "?origin=api")[0]["status"] == "DELAYED"
    venue.forward(3)
    assert venue.ledger("orders", "?origin=api")[0]["status"] == "MATCHED"
    assert [trade["size"] for trade in alice.trades()] == ["10"]

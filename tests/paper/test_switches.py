"""Each way of production, turned on by itself: what then looks different, and what does not."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from infra.paper.exchange import Exchange
from infra.paper.switches import PLAIN, STRICT, Switches, changed
from infra.paper.wire import RefusedError
from tests.paper.conftest import Venue
from tests.paper.traders import Reply, Trader, micro

PLAIN_BUT = {
    "signer_limits": "warned",
    "tier": "gold",
    "address_limits": "queued",
    "limits_percent": 50,
    "restart_post_only_seconds": "60",
    "nulls": True,
    "taker_delay_seconds": "3",
}


def turn(venue: Venue, **switches: object) -> Reply:
    return venue.admin("POST", "/switches", switches)


def asks(venue: Venue, *levels: tuple[str, str]) -> None:
    book = {"token_id": venue.yes(), "asks": [list(level) for level in levels]}
    assert venue.admin("POST", "/book", book).status == 200


def buy(alice: Trader, venue: Venue, price: str = "0.50", size: str = "20") -> Any:
    return alice.limit(venue.yes(), "BUY", price, size)


def test_all_switches_are_shown_turned_and_remembered(venue: Venue) -> None:
    assert {each.name for each in fields(Switches)} == venue.admin("GET", "/switches").body.keys()
    assert turn(venue, preset="strict", tier="gold").body["tier"] == "gold"

    venue.restart()

    assert venue.exchange.switches == changed(STRICT, {"tier": "gold"})
    assert turn(venue, preset="plain").status == 200
    assert venue.exchange.switches == PLAIN


def test_the_strict_preset_turns_every_switch_that_every_client_can_live_with() -> None:
    told = {name for name in vars_of(PLAIN) if vars_of(PLAIN)[name] != vars_of(STRICT)[name]}
    assert told | PLAIN_BUT.keys() == vars_of(PLAIN).keys()


def test_every_switch_is_in_the_manual() -> None:
    manual = (Path(__file__).parents[2] / "docs/paper-exchange.md").read_text()
    assert {name for name in vars_of(PLAIN) if f"`{name}`" not in manual} == set()


def vars_of(switches: Switches) -> dict[str, object]:
    return {each.name: getattr(switches, each.name) for each in fields(switches)}


@pytest.mark.parametrize(
    "wanted",
    [{"colour": "red"}, {"tier": "tin"}, {"preset": "loose"}, {"limits_percent": 0}, {"nulls": 7}],
)
def test_a_switch_nobody_knows_is_refused_and_nothing_is_turned(
    venue: Venue, wanted: dict[str, object]
) -> None:
    refused = turn(venue, decimals="padded", **wanted)
    assert refused.status == 400
    assert next(iter(wanted)) in refused.body["error"]
    assert venue.exchange.switches == PLAIN


def test_switches_given_at_the_start_are_turned_over_those_remembered(venue: Venue) -> None:
    turn(venue, tier="gold")
    again = Exchange(venue.folder, clock=venue.clock, switches={"limits_percent": "200"})
    venue.left.append(again)
    assert (again.switches.tier, again.switches.limits_percent) == ("gold", 200)
    with pytest.raises(RefusedError):
        again.turn({"limits_percent": "many"})


REFUSALS = [("http_400", 400, None), ("success_false", 200, False), ("success_true", 200, True)]


@pytest.mark.parametrize(("form", "status", "success"), REFUSALS)
def test_a_refused_order_is_told_in_either_form_and_is_refused_in_both(
    venue: Venue, alice: Trader, form: str, status: int, success: object
) -> None:
    turn(venue, refusals=form)
    refused = alice.post(alice.order(venue.yes(), "BUY", "0.405", "20"))

    text = refused.body["error" if status == 400 else "errorMsg"]
    assert text.endswith("breaks minimum tick size rule: 0.01")
    assert (refused.status, refused.body.get("success")) == (status, success)
    assert "Poly-RateLimit-Remaining" in refused.headers
    assert status == 400 or refused.body["orderID"] == ""
    assert alice.open_orders() == []
    assert venue.ledger("requests")[-2]["outcome"] == text


def test_a_refused_leg_may_call_itself_a_success(venue: Venue, alice: Trader) -> None:
    legs = [alice.posted(alice.order(venue.yes(), "BUY", "0.405", "20"))]
    (plain,) = alice.ask("POST", "/orders", legs).body
    turn(venue, leg_success=True)
    (lying,) = alice.ask("POST", "/orders", legs).body
    assert (plain["success"], lying["success"]) == (False, True)
    assert lying["errorMsg"] == plain["errorMsg"] != ""


def test_a_duplicate_is_named_in_the_short_words_or_the_long_ones(
    venue: Venue, alice: Trader
) -> None:
    order = alice.order(venue.yes(), "BUY", "0.40", "20")
    order_id = alice.post(order).body["orderID"]
    assert alice.post(order).body == {"error": f"order {order_id} is invalid. Duplicated."}
    turn(venue, duplicate_words="long")
    assert alice.post(order).body["error"] == (
        "order is invalid. Duplicated. Same order has already been placed, can't be placed again"
    )


def test_an_order_that_is_gone_is_a_404_or_null(venue: Venue, alice: Trader) -> None:
    path = "/data/order/0x" + "ab" * 32
    assert alice.ask("GET", path).status == 404
    turn(venue, gone_orders="null")
    gone = alice.ask("GET", path)
    assert (gone.status, gone.body) == (200, None)


ORDER_STATUS = [("plain", "LIVE"), ("prefixed", "ORDER_STATUS_LIVE"), ("lower", "live")]


@pytest.mark.parametrize(("form", "status"), ORDER_STATUS)
def test_an_open_orders_status_has_three_forms(
    venue: Venue, alice: Trader, form: str, status: str
) -> None:
    turn(venue, order_status=form)
    order_id = buy(alice, venue)["orderID"]
    assert [row["status"] for row in alice.open_orders()] == [status]
    assert alice.ask("GET", f"/data/order/{order_id}").body["status"] == status


def test_a_trades_status_and_hash_have_the_forms_of_each_stage(venue: Venue, alice: Trader) -> None:
    turn(
        venue,
        trade_status="prefixed",
        matched_word="MATCHED_NOT_BROADCASTED",
        hashes="when_mined",
        maker_sides=False,
    )
    asks(venue, ("0.50", "100"))
    answer = buy(alice, venue)
    (matched,) = alice.trades()
    assert matched["status"] == "TRADE_STATUS_MATCHED_NOT_BROADCASTED"
    assert (matched["transaction_hash"], "side" in matched["maker_orders"][0]) == ("", False)
    assert "tradeIDs" in answer
    assert "transactionsHashes" not in answer
    venue.forward(1)
    (mined,) = alice.trades()
    assert mined["status"] == "TRADE_STATUS_MINED"
    assert mined["transaction_hash"].startswith("0x")


def test_an_answer_need_not_name_its_trades(venue: Venue, alice: Trader) -> None:
    turn(venue, trade_ids=False)
    asks(venue, ("0.50", "100"))
    answer = buy(alice, venue)
    assert answer.keys() & {"tradeIDs", "transactionsHashes"} == set()
    assert (answer["status"], answer["takingAmount"]) == ("matched", "20")


def test_optional_texts_may_be_null(venue: Venue, alice: Trader) -> None:
    turn(venue, nulls=True)
    answer = buy(alice, venue)
    assert [answer[name] for name in ("errorMsg", "takingAmount", "makingAmount")] == [None] * 3
    assert alice.open_orders()[0]["associate_trades"] is None


def test_decimals_may_be_padded(venue: Venue, alice: Trader) -> None:
    turn(venue, decimals="padded")
    asks(venue, ("0.60", "100"))
    buy(alice, venue)
    assert (alice.open_orders()[0]["price"], alice.open_orders()[0]["size_matched"]) == (
        "0.500000",
        "0.000000",
    )
    book = alice.ask("GET", f"/book?token_id={venue.yes()}").body
    assert (book["asks"], book["last_trade_price"]) == (
        [{"price": "0.600000", "size": "100.000000"}],
        "",
    )
    assert alice.balance() == 10_000_000_000


def test_fields_and_events_nobody_knows_may_come(venue: Venue, alice: Trader) -> None:
    turn(venue, unknown_fields=True)
    asks(venue, ("0.50", "10"))
    answer = buy(alice, venue)
    told = [answer, alice.open_orders()[0], alice.trades()[0]]
    assert all("novelty" in each for each in told)


def test_a_trade_over_several_prices_may_be_told_at_their_average(
    venue: Venue, alice: Trader
) -> None:
    turn(venue, trades="averaged")
    asks(venue, ("0.41", "3"), ("0.44", "10"), ("0.47", "7"))
    buy(alice, venue)
    (trade,) = alice.trades()
    assert (trade["price"], trade["size"]) == ("0.45", "20")  # 0.446 on the grid
    made = [(leg["price"], leg["matched_amount"]) for leg in trade["maker_orders"]]
    assert made == [("0.41", "3"), ("0.44", "10"), ("0.47", "7")]
    venue.forward(1)
    assert alice.balance() == 10_000_000_000 - 1_230_000 - 4_400_000 - 3_290_000


@pytest.mark.parametrize("asset", ["collateral", "shares"])
def test_an_averaged_trade_is_charged_price_by_price(
    venue: Venue, alice: Trader, asset: str
) -> None:
    turn(venue, trades="averaged")
    condition = venue.market().condition_id
    fees = {"fee_asset": asset, "fee_rate": "0.05"}
    assert venue.admin("POST", f"/markets/{condition}/fees", fees).body == fees
    asks(venue, ("0.40", "10"), ("0.50", "10"))
    buy(alice, venue)
    venue.forward(1)
    # 10 x 0.05 x 0.24 + 10 x 0.05 x 0.25 dollars; each over its own price in shares
    cash, shares = (245_000, 0) if asset == "collateral" else (0, 300_000 + 250_000)
    assert alice.balance() == 10_000_000_000 - 9_000_000 - cash
    assert alice.balance(venue.yes()) == 20_000_000 - shares


def test_a_fee_asset_nobody_knows_is_refused(venue: Venue) -> None:
    path = f"/markets/{venue.market().condition_id}/fees"
    assert venue.admin("POST", path, {"fee_asset": "gas"}).status == 400
    assert venue.admin("POST", "/markets", {"slug": "x", "fee_asset": "gas"}).status == 400


def test_a_cancellation_says_why_only_where_that_is_switched_on(
    venue: Venue, alice: Trader
) -> None:
    for reasons, word in ((False, "CANCELED"), (True, "CANCELED_NOT_ENOUGH_BALANCE")):
        turn(venue, cancel_reasons=reasons)
        venue.admin("POST", f"/accounts/{alice.wallet}/balances", {"collateral": "100"})
        buy(alice, venue)
        venue.admin("POST", f"/accounts/{alice.wallet}/balances", {"collateral": "1"})
        assert venue.user_frames()[-1]["status"] == word


def test_a_killed_order_may_be_told_with_empty_sizes(venue: Venue, alice: Trader) -> None:
    asks(venue, ("0.50", "10"))
    assert alice.post(alice.order(venue.yes(), "BUY", "0.50", "20"), "FOK").status == 400
    assert venue.user_frames() == []
    turn(venue, killed_events=True)
    assert alice.post(alice.order(venue.yes(), "BUY", "0.50", "20"), "FOK").status == 400
    (told,) = venue.user_frames()
    assert (told["type"], told["size_matched"], told["created_at"]) == ("CANCELLATION", "", "")
    assert told["status"].startswith("CANCELED_order couldn't be fully filled.")


def test_every_taking_order_may_be_delayed_and_a_resting_one_is_not(
    venue: Venue, alice: Trader
) -> None:
    turn(venue, taker_delay_seconds=3)
    asks(venue, ("0.50", "100"))
    assert buy(alice, venue, "0.40")["status"] == "live"
    assert buy(alice, venue)["status"] == "delayed"
    assert alice.trades() == []
    venue.forward(3)
    assert [trade["size"] for trade in alice.trades()] == ["20"]


def test_orders_and_trades_may_be_listed_late(venue: Venue, alice: Trader) -> None:
    turn(venue, read_lag_seconds="2.5")
    asks(venue, ("0.50", "5"))
    order_id = buy(alice, venue)["orderID"]
    assert (alice.open_orders(), alice.trades()) == ([], [])
    assert alice.ask("GET", f"/data/order/{order_id}").body is None
    venue.forward(2.5)
    assert [row["id"] for row in alice.open_orders()] == [order_id]
    assert len(alice.trades()) == 1
    assert alice.ask("GET", f"/data/order/{order_id}").body["size_matched"] == "5"


def test_plain_keys_may_be_told_to_use_a_deposit_wallet(venue: Venue, alice: Trader) -> None:
    turn(venue, eoa_makers=False)
    refused = alice.post(alice.order(venue.yes(), "BUY", "0.40", "20"))
    assert refused.body == {
        "error": "maker address not allowed, please use the deposit wallet flow"
    }


def test_a_coarser_tick_leaves_old_orders_resting_and_refuses_new_ones_off_the_grid(
    venue: Venue, alice: Trader, bob: Trader
) -> None:
    path = f"/markets/{venue.market().condition_id}/tick-size"
    venue.admin("POST", path, {"tick_size": "0.001"})
    alice.limit(venue.yes(), "BUY", "0.405", "20")
    venue.admin("POST", path, {"tick_size": "0.01"})

    refused = bob.post(bob.order(venue.yes(), "BUY", "0.405", "20"))
    text = refused.body["error"]
    assert "breaks minimum tick size rule: 0.01" in text or "max accuracy" in text
    bob.limit(venue.no(), "BUY", "0.60", "20")
    assert [trade["maker_orders"][0]["price"] for trade in bob.trades()] == ["0.405"]


@pytest.mark.parametrize(
    ("buys", "levels", "matched"),
    [
        # $4.95 signed as 5 shares at 0.99 at most.
        ("dollars FAK", [("0.98", "100")], ("4.94998", "5.051")),
        ("dollars FOK", [("0.90", "3"), ("0.99", "100")], ("4.949973", "5.2727")),
        ("dollars FAK", [("0.90", "5.2")], ("4.68", "5.2")),
        ("dollars FOK", [("0.90", "5.2")], None),
        ("shares FAK", [("0.98", "100")], ("4.9", "5")),
        ("shares FOK", [("0.90", "5.2")], ("4.5", "5")),
    ],
)
def test_a_market_buy_fills_up_to_its_dollars_or_to_its_shares(
    venue: Venue,
    alice: Trader,
    buys: str,
    levels: list[tuple[str, str]],
    matched: tuple[str, str] | None,
) -> None:
    market_buys, kind = buys.split()
    turn(venue, market_buys=market_buys)
    asks(venue, *levels)

    reply = alice.post(alice.order(venue.yes(), "BUY", "0.99", "5"), kind)
    venue.forward(10)

    if matched is None:
        assert (reply.status, alice.balance(venue.yes())) == (400, 0)
    else:
        assert (reply.body["makingAmount"], reply.body["takingAmount"]) == matched
        assert alice.balance(venue.yes()) == micro(matched[1])
        assert alice.open_orders() == []


def test_a_resting_buy_takes_its_shares_and_no_more_whatever_they_cost(
    venue: Venue, alice: Trader
) -> None:
    asks(venue, ("0.30", "100"))
    answer = buy(alice, venue)
    assert (answer["makingAmount"], answer["takingAmount"]) == ("6", "20")


def test_h3_a_better_price_never_makes_a_market_buy_too_small(venue: Venue, alice: Trader) -> None:
    asks(venue, ("0.10", "100"))
    for market_buys in ("dollars", "shares"):
        turn(venue, market_buys=market_buys)
        reply = alice.post(alice.order(venue.yes(), "BUY", "0.50", "2"), "FOK")
        assert reply.status == 200, reply.body

"""Every call of the older client, py-clob-client-v2, and what this exchange must answer to each."""

# pyright: reportMissingTypeStubs=false, reportArgumentType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from typing import Any

import pytest
from py_clob_client_v2 import clob_types as t
from py_clob_client_v2.exceptions import PolyApiException

from tests.contract.talk import Call, Talk
from tests.contract.worlds import World

DATE = "2026-11-20"
UNKNOWN = "0x" + "12" * 32
BYTES32 = "0x" + "ab" * 32


async def refused(call: Any, status: int, words: str) -> None:
    """Demand a refusal of this status in these words."""
    with pytest.raises(PolyApiException) as refusal:
        await call
    assert refusal.value.status_code == status
    assert words in str(refusal.value.error_msg)


def limit(w: World, price: float = 0.02, size: float = 10, **named: Any) -> t.OrderArgsV2:
    return t.OrderArgsV2(token_id=w.open.yes, price=price, size=size, side="BUY", **named)


async def rest(c: Talk, w: World) -> str:
    answer = await c.create_and_post_order(limit(w))
    assert (answer["success"], answer["status"]) == (True, "live")
    return str(answer["orderID"])


async def bootstrap(c: Talk, w: World) -> None:
    assert await c.get_ok() == "OK"
    assert await c.get_version() == 2
    assert await c.get_server_time() > 0
    assert await c.get_address() == w.address


async def listings(c: Talk, w: World) -> None:
    full = await c.get_markets()
    assert {w.open.condition_id, w.over.condition_id} <= {m["condition_id"] for m in full["data"]}
    assert full["next_cursor"] == "LTE="
    brief = await c.get_simplified_markets()
    assert len(brief["data"]) == len(full["data"])
    for sampled in (await c.get_sampling_markets(), await c.get_sampling_simplified_markets()):
        conditions = {market["condition_id"] for market in sampled["data"]}
        assert w.open.condition_id in conditions
        assert w.over.condition_id not in conditions


async def one_market(c: Talk, w: World) -> None:
    market = await c.get_market(w.over.condition_id)
    assert [token["winner"] for token in market["tokens"]] == [True, False]
    info = await c.get_clob_market_info(w.open.condition_id)
    assert (info["mts"], info["mos"]) == (0.01, 5)
    await refused(c.get_market(UNKNOWN), 404, "market not found")


async def parameters(c: Talk, w: World) -> None:
    """Before anything else tells the client of this market: it would not ask again."""
    assert await c.get_tick_size(w.open.yes) == "0.01"
    assert await c.get_neg_risk(w.open.yes) is False
    assert await c.get_fee_rate_bps(w.open.yes) == 0
    assert await c.get_fee_exponent(w.open.yes) == 0


async def books(c: Talk, w: World) -> None:
    book = await c.get_order_book(w.open.yes)
    assert book["asks"][-1] == {"price": "0.51", "size": "500"}
    assert await c.get_order_book_hash(book) == book["hash"]
    both = [t.BookParams(token_id=w.open.yes), t.BookParams(token_id=w.open.no)]
    assert [row["asset_id"] for row in await c.get_order_books(both)] == [w.open.yes, w.open.no]


async def prices(c: Talk, w: World) -> None:
    one, buy = [t.BookParams(token_id=w.open.yes)], t.BookParams(token_id=w.open.yes, side="BUY")
    assert await c.get_midpoint(w.open.yes) == {"mid": "0.5"}
    assert await c.get_midpoints(one) == {w.open.yes: "0.5"}
    assert await c.get_price(w.open.yes, "BUY") == {"price": "0.49"}
    assert await c.get_prices([buy]) == {w.open.yes: {"BUY": "0.49"}}
    assert await c.get_spread(w.open.yes) == {"spread": "0.02"}
    assert await c.get_spreads(one) == {w.open.yes: "0.02"}
    assert await c.get_last_trade_price(w.open.yes) == {"price": "0.51", "side": "BUY"}
    assert (await c.get_last_trades_prices(one))[0]["token_id"] == w.open.yes
    assert await c.calculate_market_price(w.open.yes, "BUY", 300) == 0.52


async def history(c: Talk, w: World) -> None:
    asked = t.PricesHistoryParams(market=w.open.yes, interval="1d")
    found = (await c.get_prices_history(asked))["history"]
    assert [point["p"] for point in found] == [0.51, 0.5]
    coarse = t.PricesHistoryParams(market=w.open.yes, interval="1w", fidelity=1)
    await refused(c.get_prices_history(coarse), 400, "fidelity")
    live = await c.get_market_trades_events(w.open.condition_id)
    assert [event["size"] for event in live] == ["100"]


async def keys(c: Talk, w: World) -> None:
    made = await c.create_api_key(1)
    assert await c.derive_api_key(1) == await c.create_or_derive_api_key(1) == made
    assert made.api_key in (await c.get_api_keys())["apiKeys"]
    assert await c.get_closed_only_mode() == {"closed_only": False}
    await refused(c.create_api_key(1), 400, "Could not create api key")


async def readonly_keys(c: Talk, w: World) -> None:
    key = (await c.create_readonly_api_key())["apiKey"]
    assert (await c.get_readonly_api_keys())["readonlyApiKeys"] == [key]
    assert await c.delete_readonly_api_key(key) == "OK"
    assert (await c.get_readonly_api_keys())["readonlyApiKeys"] == []


async def builder_keys(c: Talk, w: World) -> None:
    made = await c.create_builder_api_key()
    assert set(made) == {"key", "secret", "passphrase"}
    assert [row["key"] for row in await c.get_builder_api_keys()] == [made["key"]]
    await refused(c.revoke_builder_api_key(), 401, "builder api key")


async def limit_order(c: Talk, w: World) -> None:
    signed = await c.create_order(limit(w))
    answer = await c.post_order(signed, "GTC", post_only=True)
    order = await c.get_order(answer["orderID"])
    assert (order["price"], order["original_size"], order["status"]) == ("0.02", "10", "LIVE")
    await refused(c.post_order(signed), 400, "Duplicated")
    assert await c.cancel_all() == {"canceled": [answer["orderID"]], "not_canceled": {}}
    await refused(c.get_order(answer["orderID"]), 404, "Order not found")


async def timed_order(c: Talk, w: World) -> None:
    expiration = await c.get_server_time() + 600
    answer = await c.create_and_post_order(limit(w, expiration=expiration), None, "GTD")
    (order,) = await c.get_open_orders(t.OpenOrderParams(market=w.open.condition_id))
    assert (order["id"], order["expiration"]) == (answer["orderID"], str(expiration))
    await c.cancel_all()


async def market_orders(c: Talk, w: World) -> None:
    bought = t.MarketOrderArgsV2(token_id=w.open.yes, amount=10.2, side="BUY")
    answer = await c.create_and_post_market_order(bought)
    assert answer["status"] == "matched"
    assert 0 < float(answer["makingAmount"]) <= 10.2
    sold = t.MarketOrderArgsV2(token_id=w.open.yes, amount=20, side="SELL", price=0.4)
    answer = await c.post_order(await c.create_market_order(sold), "FAK", defer_exec=True)
    assert (answer["makingAmount"], answer["takingAmount"]) == ("20", "9.8")
    killed = t.MarketOrderArgsV2(token_id=w.open.yes, amount=5, side="BUY", price=0.1)
    await refused(c.create_and_post_market_order(killed), 400, "FOK orders are fully filled")


async def batch(c: Talk, w: World) -> None:
    signed = [await c.create_order(limit(w, size=size)) for size in (10, 10_000_000)]
    listed = [t.PostOrdersV2Args(order=order, orderType="GTC") for order in signed]
    good, bad = await c.post_orders(listed)
    assert good["success"]
    assert (bad["orderID"], "not enough balance" in bad["errorMsg"]) == ("", True)
    gone = await c.cancel_orders([good["orderID"], UNKNOWN])
    assert (gone["canceled"], list(gone["not_canceled"])) == ([good["orderID"]], [UNKNOWN])


async def cancels(c: Talk, w: World) -> None:
    first, second = await rest(c, w), await rest(c, w)
    gone = await c.cancel_order(t.OrderPayload(orderID=first))
    assert gone["canceled"] == [first]
    gone = await c.cancel_market_orders(t.OrderMarketCancelParams(asset_id=w.open.yes))
    assert gone["canceled"] == [second]


async def open_orders(c: Talk, w: World) -> None:
    for _ in range(7):
        orders = [await c.create_order(limit(w, 0.01, 5)) for _ in range(15)]
        listed = [t.PostOrdersV2Args(order=order, orderType="GTC") for order in orders]
        await c.post_orders(listed)
    assert len({order["id"] for order in await c.get_open_orders()}) == 105
    assert await c.get_pre_migration_orders() == []
    await c.cancel_all()


async def trades(c: Talk, w: World) -> None:
    found = await c.get_trades(t.TradeParams(market=w.open.condition_id))
    assert "100" in {trade["size"] for trade in found}
    page = await c.get_trades_paginated(t.TradeParams(market=w.open.condition_id))
    assert page["next_cursor"] == "LTE="
    asked = t.BuilderTradeParams(builder_code=BYTES32)
    assert (await c.get_builder_trades(asked))["trades"] == []


async def notifications(c: Talk, w: World) -> None:
    found = await c.get_notifications()
    assert {note["type"] for note in found} >= {1, 2, 4, 9}
    first = str(found[0]["id"])
    assert await c.drop_notifications(t.DropNotificationParams(ids=[first])) == "OK"
    assert first not in {str(note["id"]) for note in await c.get_notifications()}


async def balances(c: Talk, w: World) -> None:
    asked = t.BalanceAllowanceParams(asset_type="COLLATERAL")
    found = await c.get_balance_allowance(asked)
    assert await c.update_balance_allowance(asked) == found
    assert 0 < int(found["balance"]) < 10_000_000_000


async def heartbeat(c: Talk, w: World) -> None:
    first = (await c.post_heartbeat())["heartbeat_id"]
    assert (await c.post_heartbeat(first))["heartbeat_id"] != first
    await refused(c.post_heartbeat(first), 400, "Invalid Heartbeat ID")


async def scoring(c: Talk, w: World) -> None:
    assert await c.is_order_scoring(t.OrderScoringParams(orderId=UNKNOWN)) == {"scoring": False}
    asked = t.OrdersScoringParams(orderIds=[UNKNOWN])
    assert await c.are_orders_scoring(asked) == {UNKNOWN: False}


async def rewards(c: Talk, w: World) -> None:
    assert await c.get_current_rewards() == []
    assert await c.get_raw_rewards_for_market(w.open.condition_id) == []
    assert await c.get_earnings_for_user_for_day(DATE) == []
    assert await c.get_total_earnings_for_user_for_day(DATE) == []
    assert await c.get_user_earnings_and_markets_config(DATE) == []
    assert await c.get_reward_percentages() == {}


async def end(c: Talk, w: World) -> None:
    creds = await c.derive_api_key(1)
    await c.set_api_creds(creds)
    assert await c.delete_api_key() == "OK"
    await refused(c.get_api_keys(), 401, "Unauthorized")


OLDER: dict[str, Call] = {
    **dict.fromkeys(("get_ok", "get_version", "get_server_time", "get_address"), bootstrap),
    "get_markets": listings,
    "get_simplified_markets": listings,
    "get_sampling_markets": listings,
    "get_sampling_simplified_markets": listings,
    "get_tick_size": parameters,
    "get_neg_risk": parameters,
    "get_fee_rate_bps": parameters,
    "get_fee_exponent": parameters,
    "get_market": one_market,
    "get_clob_market_info": one_market,
    "get_order_book": books,
    "get_order_books": books,
    "get_order_book_hash": books,
    "get_midpoint": prices,
    "get_midpoints": prices,
    "get_price": prices,
    "get_prices": prices,
    "get_spread": prices,
    "get_spreads": prices,
    "get_last_trade_price": prices,
    "get_last_trades_prices": prices,
    "calculate_market_price": prices,
    "get_prices_history": history,
    "get_market_trades_events": history,
    "create_api_key": keys,
    "derive_api_key": keys,
    "create_or_derive_api_key": keys,
    "get_api_keys": keys,
    "get_closed_only_mode": keys,
    "create_readonly_api_key": readonly_keys,
    "get_readonly_api_keys": readonly_keys,
    "delete_readonly_api_key": readonly_keys,
    "create_builder_api_key": builder_keys,
    "get_builder_api_keys": builder_keys,
    "revoke_builder_api_key": builder_keys,
    "create_order": limit_order,
    "post_order": limit_order,
    "get_order": limit_order,
    "create_and_post_order": timed_order,
    "create_market_order": market_orders,
    "create_and_post_market_order": market_orders,
    "post_orders": batch,
    "cancel_orders": batch,
    "cancel_order": cancels,
    "cancel_market_orders": cancels,
    "get_open_orders": open_orders,
    "get_pre_migration_orders": open_orders,
    "cancel_all": open_orders,
    "get_trades": trades,
    "get_trades_paginated": trades,
    "get_builder_trades": trades,
    "get_notifications": notifications,
    "drop_notifications": notifications,
    "get_balance_allowance": balances,
    "update_balance_allowance": balances,
    "post_heartbeat": heartbeat,
    "is_order_scoring": scoring,
    "are_orders_scoring": scoring,
    "get_current_rewards": rewards,
    "get_raw_rewards_for_market": rewards,
    "get_earnings_for_user_for_day": rewards,
    "get_total_earnings_for_user_for_day": rewards,
    "get_user_earnings_and_markets_config": rewards,
    "get_reward_percentages": rewards,
    "set_api_creds": end,
    "delete_api_key": end,
}

"""Every call of the official secure clients beyond the public ones."""

import inspect
from collections.abc import Awaitable
from decimal import Decimal
from typing import Any, cast

import pytest
from polymarket.auth import BuilderApiKey
from polymarket.errors import PolymarketError, RequestRejectedError
from polymarket.models.clob.order_response import AcceptedOrder, RejectedOrder

from tests.contract.public_calls import CODE, DATE, refused
from tests.contract.talk import Call, Talk
from tests.contract.worlds import World, until_owned

UNKNOWN = "0x" + "12" * 32
GTD_SECONDS = 600


async def unserved(call: Awaitable[Any], what: str) -> None:
    """Demand the refusal of what a paper exchange cannot do."""
    with pytest.raises(PolymarketError, match=f"does not serve {what}"):
        await call


async def rest(c: Talk, w: World, **named: Any) -> AcceptedOrder:
    """Post a buy that rests far below the market."""
    terms: dict[str, Any] = {
        "asset_id": w.open.yes,
        "side": "BUY",
        "price": Decimal("0.02"),
        "size": 10,
    }
    signed = await c.create_limit_order(**{**terms, **named})
    answer = await c.post_order(signed)
    assert isinstance(answer, AcceptedOrder), answer
    assert answer.status == "live"
    return answer


async def another(c: Talk, w: World, **named: Any) -> Talk:
    """Open a second client of the same trader."""
    kind = cast("Any", type(c.client))
    made = kind.create(private_key=w.key, environment=await c.environment(), **named)
    return Talk(await made if inspect.isawaitable(made) else made)


async def create(c: Talk, w: World) -> None:
    second = Talk(await c.create(private_key=w.key, environment=await c.environment()))
    assert await second.credentials() == await c.credentials()
    await second.close()


async def identity(c: Talk, w: World) -> None:
    assert (await c.wallet(), await c.signer()) == (w.wallet, w.address)
    assert await c.wallet_type() == "DEPOSIT_WALLET"
    assert await c.credentials() is not None


async def api_keys(c: Talk, w: World) -> None:
    assert (await c.credentials()).key in await c.fetch_api_keys()


async def delete_key(c: Talk, w: World) -> None:
    second = await another(c, w, nonce=1)
    await second.delete_api_key()
    c.called |= second.called
    await refused(second.get_closed_only_mode(), 401, "Unauthorized")
    await second.close()


async def builder_keys(c: Talk, w: World) -> None:
    made = await c.create_builder_api_key()
    assert isinstance(made, BuilderApiKey)
    listed = {info.key: info for info in await c.fetch_builder_api_keys()}
    assert listed[made.key].revoked_at is None
    second = await another(c, w, api_key=made)
    await second.revoke_builder_api_key()
    c.called |= second.called
    listed = {info.key: info for info in await c.fetch_builder_api_keys()}
    assert listed[made.key].revoked_at is not None
    await refused(second.revoke_builder_api_key(), 401, "builder")
    await second.close()


async def closed_only(c: Talk, w: World) -> None:
    assert await c.get_closed_only_mode() is False


async def limit_order(c: Talk, w: World) -> None:
    signed = await c.create_limit_order(
        asset_id=w.open.yes, side="SELL", price=Decimal("0.9"), size=10, post_only=True
    )
    assert (signed.signature_type, signed.maker) == (3, w.wallet)
    answer = await c.post_order(signed)
    assert isinstance(answer, AcceptedOrder)
    await refused(c.post_order(signed), 400, "Duplicated")
    await c.cancel_all()


async def market_order(c: Talk, w: World) -> None:
    signed = await c.create_market_order(
        asset_id=w.open.yes, side="BUY", amount=Decimal("10.2"), order_type="FOK"
    )
    answer = await c.post_order(signed)
    assert isinstance(answer, AcceptedOrder)
    assert (answer.status, answer.making_amount, answer.taking_amount) == (
        "matched",
        Decimal("10.2"),
        20,
    )
    until_owned(w.server, w.wallet, w.open.yes, "120")


async def settled(c: Talk, w: World) -> None:
    signed = await c.create_market_order(asset_id=w.open.no, side="BUY", amount=Decimal("10.2"))
    answer = await c.post_order(signed)
    hashes = await c.wait_for_order_fill_settlement(answer)
    assert hashes == answer.transactions_hashes


async def place_limit(c: Talk, w: World) -> None:
    soon = w.server.get("/clob/time") + GTD_SECONDS
    answer = await c.place_limit_order(
        asset_id=w.open.yes, side="BUY", price=Decimal("0.03"), size=10, expiration=soon
    )
    order = await c.get_order(order_id=answer.order_id)
    assert order.order_type == "GTD"
    assert order.expires_at is not None
    await c.cancel_order(order_id=answer.order_id)


async def place_market(c: Talk, w: World) -> None:
    answer = await c.place_market_order(
        asset_id=w.open.yes, side="SELL", shares=20, min_price=Decimal("0.4"), order_type="FAK"
    )
    assert (answer.status, answer.making_amount, answer.taking_amount) == (
        "matched",
        20,
        Decimal("9.8"),
    )
    until_owned(w.server, w.wallet, w.open.yes, "100")


async def post_one(c: Talk, w: World) -> None:
    crossing = await c.create_limit_order(
        asset_id=w.open.yes, side="BUY", price=Decimal("0.51"), size=10, post_only=True
    )
    await refused(c.post_order(crossing), 400, "crosses book")
    killed = await c.create_market_order(
        asset_id=w.open.yes, side="BUY", amount=5, max_price=Decimal("0.1"), order_type="FAK"
    )
    await refused(c.post_order(killed), 400, "no orders found to match with FAK order")
    large = await c.create_limit_order(
        asset_id=w.open.yes, side="BUY", price=Decimal("0.02"), size=10_000_000
    )
    await refused(c.post_order(large), 400, "not enough balance / allowance")
    await rest(c, w)
    await c.cancel_all()


async def post_many(c: Talk, w: World) -> None:
    sizes = (10, 10_000_000)
    orders = [
        await c.create_limit_order(
            asset_id=w.open.yes, side="BUY", price=Decimal("0.02"), size=size
        )
        for size in sizes
    ]
    good, bad = await c.post_orders(orders)
    assert isinstance(good, AcceptedOrder)
    assert isinstance(bad, RejectedOrder)
    assert bad.code == "not_enough_balance"
    assert (await c.cancel_all()).canceled == (good.order_id,)


async def get_order(c: Talk, w: World) -> None:
    answer = await rest(c, w)
    order = await c.get_order(order_id=answer.order_id)
    assert (order.price, order.original_size, order.size_matched) == (Decimal("0.02"), 10, 0)
    assert (order.condition_id, order.maker_address) == (w.open.condition_id, w.wallet)
    await c.cancel_all()
    await refused(c.get_order(order_id=answer.order_id), 404, "Order not found")


async def open_orders(c: Talk, w: World) -> None:
    many = [
        await c.create_limit_order(asset_id=w.open.yes, side="BUY", price=Decimal("0.01"), size=5)
        for _ in range(105)
    ]
    for start in range(0, len(many), 15):
        await c.post_orders(many[start : start + 15])
    listed = await c.list_open_orders(market=w.open.condition_id)
    assert len({order.id for order in listed}) == len(listed) == 105
    assert await c.list_open_orders(asset_id=w.open.no) == []
    assert len(await c.list_open_orders(id=listed[0].id)) == 1
    gone = await c.cancel_all()
    assert len(gone.canceled) == 105


async def cancel_one(c: Talk, w: World) -> None:
    answer = await rest(c, w)
    gone = await c.cancel_order(order_id=answer.order_id)
    assert gone.canceled == (answer.order_id,)
    again = await c.cancel_order(order_id=answer.order_id)
    assert (again.canceled, tuple(again.not_canceled)) == ((), (answer.order_id,))


async def cancel_some(c: Talk, w: World) -> None:
    answer = await rest(c, w)
    gone = await c.cancel_orders(order_ids=[answer.order_id, UNKNOWN])
    assert (gone.canceled, tuple(gone.not_canceled)) == ((answer.order_id,), (UNKNOWN,))


async def cancel_all(c: Talk, w: World) -> None:
    ids = [(await rest(c, w)).order_id for _ in range(2)]
    assert set((await c.cancel_all()).canceled) == set(ids)


async def cancel_market(c: Talk, w: World) -> None:
    first, second = await rest(c, w), await rest(c, w, asset_id=w.open.no)
    gone = await c.cancel_market_orders(asset_id=w.open.no)
    assert gone.canceled == (second.order_id,)
    gone = await c.cancel_market_orders(market=w.open.condition_id)
    assert gone.canceled == (first.order_id,)


async def account_trades(c: Talk, w: World) -> None:
    trades = await c.list_account_trades(market=w.open.condition_id)
    assert sum(trade.size for trade in trades) >= 100
    assert {trade.trader_side for trade in trades} == {"TAKER"}
    one = await c.list_account_trades(id=trades[0].id)
    assert [trade.id for trade in one] == [trades[0].id]
    later = str(w.server.get("/clob/time") + GTD_SECONDS)
    assert await c.list_account_trades(after=later) == []
    bought = await c.list_account_trades(asset_id=w.open.no)
    assert {trade.asset_id for trade in bought} == {w.open.no}
    assert len(await c.list_account_trades(maker_address=w.wallet)) >= 2


async def balance(c: Talk, w: World) -> None:
    cash = await c.get_balance_allowance(asset_type="COLLATERAL")
    assert 9_000_000_000 < cash.balance < 10_000_000_000
    assert all(cash.allowances.values())
    held = await c.get_balance_allowance(asset_type="CONDITIONAL", asset_id=w.open.yes)
    assert held.balance == 100_000_000


async def notifications(c: Talk, w: World) -> None:
    found = await c.get_notifications()
    kinds = {int(note.type) for note in found}
    assert {1, 2, 4, 9} <= kinds
    fill = next(note for note in found if note.type == 2)
    assert (fill.payload.original_size, fill.payload.remaining_size) == (100, 0)
    assert fill.payload.trade_id
    resolved = next(note for note in found if note.type == 4)
    assert [token.winner for token in resolved.payload.tokens] == [True, False]
    redeemed = next(note for note in found if note.type == 9)
    assert (redeemed.payload.amount, redeemed.payload.market_slug) == (50, w.over.slug)


async def drop_notifications(c: Talk, w: World) -> None:
    first, *others = await c.get_notifications()
    await c.drop_notifications(ids=[first.id])
    assert await c.get_notifications() == tuple(others)


async def heartbeat(c: Talk, w: World) -> None:
    first = await c.send_order_heartbeat()
    second = await c.send_order_heartbeat(heartbeat_id=first.heartbeat_id)
    assert first.heartbeat_id != second.heartbeat_id
    with pytest.raises(PolymarketError, match="Heartbeat"):
        await c.send_order_heartbeat(heartbeat_id=first.heartbeat_id)


async def scoring(c: Talk, w: World) -> None:
    assert await c.get_order_scoring(order_id=UNKNOWN) is False


async def many_scorings(c: Talk, w: World) -> None:
    assert await c.get_orders_scoring(order_ids=[UNKNOWN, CODE]) == {UNKNOWN: False, CODE: False}


async def earnings(c: Talk, w: World) -> None:
    assert await c.list_user_earnings_for_day(date=DATE) == []


async def total_earnings(c: Talk, w: World) -> None:
    assert await c.get_total_earnings_for_user_for_day(date=DATE) == ()


async def earnings_and_markets(c: Talk, w: World) -> None:
    assert await c.list_user_earnings_and_markets_config(date=DATE) == []


async def percentages(c: Talk, w: World) -> None:
    assert await c.get_reward_percentages() == {}


async def builder_fees(c: Talk, w: World) -> None:
    rates = await c.get_builder_fee_rates(CODE)
    assert (rates.maker, rates.taker) == (0, 0)
    code = "0x" + w.key[2:4] * 32
    signed = await c.create_market_order(
        asset_id=w.open.no, side="BUY", amount=5, builder_code=code
    )
    answer = await c.post_order(signed)
    (trade,) = await c.list_builder_trades(builder_code=code)
    assert (trade.taker_order_hash, trade.size) == (answer.order_id, answer.taking_amount)


async def gasless(c: Talk, w: World) -> None:
    assert await c.is_gasless_ready() is True


async def session_keys(c: Talk, w: World) -> None:
    await unserved(c.fetch_session_keys(), "session keys")


async def plan_return(c: Talk, w: World) -> None:
    await unserved(c.plan_collateral_return(), "combos")


async def combo_quote(c: Talk, w: World) -> None:
    legs = [str((1 << 248) + number) for number in (1, 2)]
    asked = c.request_combo_quote(leg_position_ids=legs, direction="BUY", amount=5)
    await unserved(asked, "combos")


async def rfq_status(c: Talk, w: World) -> None:
    await unserved(c.fetch_rfq_status(rfq_id="r-1"), "combos")


async def combo_fill(c: Talk, w: World) -> None:
    await unserved(c.wait_for_combo_fill(rfq_id="r-1"), "combos")


async def split(c: Talk, w: World) -> None:
    await unserved(c.split_position(condition_id=w.open.condition_id, amount=1_000_000), "trans")


async def redeem(c: Talk, w: World) -> None:
    await unserved(c.redeem_positions(condition_id=w.over.condition_id), "transactions")


async def approve(c: Talk, w: World) -> None:
    named = {"token_address": "0x" + "11" * 20, "spender_address": "0x" + "22" * 20}
    await unserved(c.approve_erc20(**named, amount=1), "transactions")


async def end(c: Talk, w: World) -> None:
    public = await c.end_authentication()
    assert await Talk(public).get_midpoint(asset_id=w.open.yes) is not None
    with pytest.raises((PolymarketError, RequestRejectedError, RuntimeError)):
        await c.fetch_api_keys()
    await Talk(public).close()


SECURE: dict[str, Call] = {
    "create": create,
    "wallet": identity,
    "signer": identity,
    "wallet_type": identity,
    "credentials": identity,
    "fetch_api_keys": api_keys,
    "delete_api_key": delete_key,
    "create_builder_api_key": builder_keys,
    "fetch_builder_api_keys": builder_keys,
    "revoke_builder_api_key": builder_keys,
    "get_closed_only_mode": closed_only,
    "create_limit_order": limit_order,
    "create_market_order": market_order,
    "wait_for_order_fill_settlement": settled,
    "place_limit_order": place_limit,
    "place_market_order": place_market,
    "post_order": post_one,
    "post_orders": post_many,
    "get_order": get_order,
    "list_open_orders": open_orders,
    "cancel_order": cancel_one,
    "cancel_orders": cancel_some,
    "cancel_all": cancel_all,
    "cancel_market_orders": cancel_market,
    "list_account_trades": account_trades,
    "get_balance_allowance": balance,
    "get_notifications": notifications,
    "drop_notifications": drop_notifications,
    "send_order_heartbeat": heartbeat,
    "get_order_scoring": scoring,
    "get_orders_scoring": many_scorings,
    "list_user_earnings_for_day": earnings,
    "get_total_earnings_for_user_for_day": total_earnings,
    "list_user_earnings_and_markets_config": earnings_and_markets,
    "get_reward_percentages": percentages,
    "get_builder_fee_rates": builder_fees,
    "is_gasless_ready": gasless,
    "fetch_session_keys": session_keys,
    "plan_collateral_return": plan_return,
    "request_combo_quote": combo_quote,
    "fetch_rfq_status": rfq_status,
    "wait_for_combo_fill": combo_fill,
    "split_position": split,
    "redeem_positions": redeem,
    "approve_erc20": approve,
    "end_authentication": end,
}

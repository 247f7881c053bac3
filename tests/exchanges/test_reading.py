"""Reads are whole or they fail: no page, no field and no order is lost quietly."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from domain.errors import (
    AccessError,
    BusyError,
    RejectedError,
    UnavailableError,
)
from domain.fill import FillStatus
from domain.ports import Cancelled
from infra.exchanges.polymarket import connection
from infra.exchanges.polymarket.client import PolymarketAccount
from tests.exchanges.scripted import (
    CONDITION,
    DEPOSIT_WALLET,
    KEYS,
    NO,
    YES,
    Reply,
    ScriptedServer,
    account_on,
    says,
)

HASH = "0x" + "a1" * 32


def an_order(**changes: object) -> dict[str, Any]:
    order: dict[str, Any] = {
        "id": HASH,
        "status": "LIVE",
        "market": CONDITION,
        "asset_id": YES,
        "owner": KEYS.key,
        "maker_address": DEPOSIT_WALLET,
        "side": "BUY",
        "price": "0.5",
        "original_size": "100",
        "size_matched": "25",
        "order_type": "GTC",
        "associate_trades": None,
        "created_at": 1703875200,
    }
    return order | changes


def a_trade(**changes: object) -> dict[str, Any]:
    trade: dict[str, Any] = {
        "id": "t-1",
        "taker_order_id": HASH,
        "market": CONDITION,
        "asset_id": YES,
        "owner": KEYS.key,
        "maker_address": DEPOSIT_WALLET,
        "trader_side": "TAKER",
        "side": "BUY",
        "size": "10",
        "price": "0.5",
        "fee_rate_bps": "",
        "status": "TRADE_STATUS_MINED",
        "match_time": "1725868859",
        "last_update": "1725868885",
        "maker_orders": [],
    }
    return trade | changes


def page(*rows: dict[str, Any], cursor: object = "LTE=") -> Reply:
    return says({"data": rows, "next_cursor": cursor, "limit": 100, "count": len(rows)})


async def test_an_active_order_is_found_by_its_hash(
    server: ScriptedServer, account: PolymarketAccount
) -> None:
    server.script(f"GET /data/order/{HASH}", says(an_order()))
    found = await account.active_order(HASH)
    assert found is not None
    assert (found.order_hash, found.token_id) == (HASH, YES)
    assert (found.size, found.matched_size) == (Decimal(100), Decimal(25))


@pytest.mark.parametrize(
    "reply",
    [
        says({"error": "Order not found"}, 404),
        says(None),
        says({}),
        Reply(body=b""),
        says(an_order(status="MATCHED", size_matched="100")),
        says(an_order(status="ORDER_STATUS_CANCELED")),
        says(an_order(status="CANCELED_order couldn't be fully filled.", size_matched="")),
        says(an_order(status="INVALID")),
    ],
)
async def test_an_order_that_is_over_or_unknown_is_not_active(
    server: ScriptedServer, account: PolymarketAccount, reply: Reply
) -> None:
    server.script(f"GET /data/order/{HASH}", reply)
    assert await account.active_order(HASH) is None


async def test_an_open_order_of_unknown_status_still_counts(
    server: ScriptedServer, account: PolymarketAccount
) -> None:
    server.script("GET /data/orders", page(an_order(status="PONDERING")))
    assert [order.order_hash for order in await account.active_orders()] == [HASH]


async def test_all_pages_are_read(server: ScriptedServer, account: PolymarketAccount) -> None:
    hashes = ["0x" + f"{n:064x}" for n in range(3)]
    server.script(
        "GET /data/orders",
        page(an_order(id=hashes[0]), cursor="MTAw"),
        page(an_order(id=hashes[1]), an_order(id=hashes[0]), cursor="MjAw"),
        page(an_order(id=hashes[2]), cursor=None),
    )
    orders = await account.active_orders()
    assert sorted(order.order_hash for order in orders) == hashes
    cursors = [request.query.get("next_cursor") for request in server.requests]
    assert cursors == [None, ["MTAw"], ["MjAw"]]


BAD_READS = [
    ("a later page fails", [page(an_order(), cursor="MTAw"), says({}, 500)]),
    ("a later page is cut short", [page(an_order(), cursor="MTAw"), Reply(body=b"[]" * 9, cut=4)]),
    ("the cursor leads in a circle", [page(an_order(), cursor="MTAw")]),
    ("HTML with status 200", [Reply(body=b"<html></html>")]),
    ("no list of rows", [says({"next_cursor": "LTE="})]),
    ("a bare array", [says([an_order()])]),
    ("a row without its size", [page(an_order(original_size=None))]),
    ("more matched than there is", [page(an_order(size_matched="25000000"))]),
    ("no answer", [Reply(fate="drop")]),
    ("a refusal", [says({"error": "Invalid market"}, 400)]),
]


@pytest.mark.parametrize(
    "replies", [row[1] for row in BAD_READS], ids=[row[0] for row in BAD_READS]
)
async def test_an_incomplete_list_of_orders_is_an_error(
    server: ScriptedServer, account: PolymarketAccount, replies: list[Reply]
) -> None:
    server.script("GET /data/orders", *replies)
    with pytest.raises(UnavailableError):
        await account.active_orders()


async def test_a_cursor_that_leads_in_a_circle_is_noticed_at_once(
    server: ScriptedServer, account: PolymarketAccount
) -> None:
    server.script("GET /data/orders", page(an_order(), cursor="MTAw"))
    with pytest.raises(UnavailableError, match="leads back"):
        await account.active_orders()
    assert len(server.requests) == 2


async def test_what_cannot_be_understood_is_counted(
    server: ScriptedServer, account: PolymarketAccount
) -> None:
    server.script("GET /data/trades", page(a_trade(status="TRADE_STATUS_PONDERED")))
    with pytest.raises(UnavailableError, match="PONDERED"):
        await account.fills()
    assert account.unreadable == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, AccessError),
        (403, AccessError),
        (425, BusyError),
        (429, BusyError),
        (503, BusyError),
        (408, UnavailableError),
        (500, UnavailableError),
        (502, UnavailableError),
    ],
)
async def test_a_failed_read_says_what_to_do_about_it(
    server: ScriptedServer, account: PolymarketAccount, status: int, error: type[Exception]
) -> None:
    server.script(f"GET /data/order/{HASH}", says({"error": "words"}, status, Retry_After="7"))
    with pytest.raises(error, match="words") as caught:
        await account.active_order(HASH)
    if isinstance(caught.value, BusyError):
        assert caught.value.retry_after_seconds == 7.0


@pytest.mark.parametrize(
    ("told", "wait"),
    [
        ("1.5", 1.5),
        ("nan", 1.0),
        ("soon", 1.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Thu, 31 Dec 2099 23:59:59 GMT", 3_600.0),  # nobody waits longer than an hour
    ],
)
async def test_a_wait_is_understood_in_seconds_and_as_a_date(
    server: ScriptedServer, account: PolymarketAccount, told: str, wait: float
) -> None:
    server.script("GET /data/orders", says({"error": "slow"}, 429, Retry_After=told))
    with pytest.raises(BusyError) as caught:
        await account.active_orders()
    assert caught.value.retry_after_seconds == wait


async def test_a_read_that_never_ends_is_ended(
    server: ScriptedServer, account: PolymarketAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "WHOLE_SECONDS", 0.2)
    server.script("GET /data/orders", Reply(fate="hang"))
    with pytest.raises(UnavailableError, match="TimeoutError"):
        await account.active_orders()


async def test_fills_come_oldest_first_and_once_each(
    server: ScriptedServer, account: PolymarketAccount
) -> None:
    late, early = a_trade(id="t-2", match_time="1725868900"), a_trade(id="t-1")
    server.script("GET /data/trades", page(late, early, cursor="MTAw"), page(early))
    after = datetime(2024, 9, 9, 8, 0, 0, 900, tzinfo=UTC)
    fills = await account.fills(condition_id=CONDITION, after=after)
    assert [fill.trade_id for fill in fills] == ["t-1", "t-2"]
    assert fills[0].status is FillStatus.MINED
    query = server.requests[0].query
    assert query == {"market": [CONDITION], "after": [str(int(after.timestamp()) - 1)]}
    assert "asset_id" not in query  # it would leave out our maker legs of the complement


async def test_one_trade_is_read_by_its_id(
    server: ScriptedServer, account: PolymarketAccount
) -> None:
    server.script("GET /data/trades", page(a_trade(status="CONFIRMED")))
    fills = await account.fills_of_trade("t-1")
    assert [fill.status for fill in fills] == [FillStatus.CONFIRMED]
    assert server.requests[0].query == {"id": ["t-1"]}


async def test_a_fill_on_a_market_we_do_not_list_is_priced_by_the_exchanges_own_terms(
    server: ScriptedServer, account: PolymarketAccount
) -> None:
    other = "0x" + "cd" * 32
    listed = {
        "condition_id": other,
        "market_slug": "other",
        "minimum_tick_size": 0.01,
        "minimum_order_size": 5,
        "tokens": [{"token_id": YES, "outcome": "Yes"}, {"token_id": NO, "outcome": "No"}],
    }
    server.script(f"GET /clob-markets/{other}", says({"c": other, "fd": {"r": 0.04, "e": 1}}))
    server.script(f"GET /markets/{other}", says(listed))
    server.script("GET /data/trades", page(a_trade(market=other)))
    assert [fill.fee for fill in await account.fills()] == [Decimal("0.10000")]


async def test_balances_are_told_in_whole_units(
    server: ScriptedServer, account: PolymarketAccount
) -> None:
    server.script("GET /balance-allowance", says({"balance": "1000000000", "allowance": "9"}))
    assert await account.collateral_usd() == Decimal(1000)
    assert await account.shares(YES) == Decimal(1000)
    asked = [request.query for request in server.requests]
    assert asked[0] == {"asset_type": ["COLLATERAL"], "signature_type": ["3"]}
    assert asked[1] == {
        "asset_type": ["CONDITIONAL"],
        "token_id": [YES],
        "signature_type": ["3"],
    }


async def test_a_balance_of_unsure_unit_is_refused(
    server: ScriptedServer, account: PolymarketAccount
) -> None:
    server.script("GET /balance-allowance", says({"balance": "250.500000"}))
    with pytest.raises(UnavailableError, match="millionths"):
        await account.collateral_usd()


async def test_a_book_has_its_best_price_first(
    server: ScriptedServer, account: PolymarketAccount
) -> None:
    rows = [("0.1", "5"), ("0.3", "7"), ("0.2", "0")]
    levels = [{"price": price, "size": size} for price, size in rows]
    answer = {"asset_id": YES, "bids": levels, "asks": levels[::-1]}
    server.script("GET /book", says(answer))
    book = await account.book(YES)
    assert [level.price for level in book.bids] == [Decimal("0.3"), Decimal("0.1")]
    assert [level.price for level in book.asks] == [Decimal("0.1"), Decimal("0.3")]
    assert server.requests[0].query == {"token_id": [YES]}


async def test_a_token_without_a_book_is_a_refusal(
    server: ScriptedServer, account: PolymarketAccount
) -> None:
    server.script("GET /book", says({"error": "No orderbook exists"}, 404))
    with pytest.raises(RejectedError, match="No orderbook"):
        await account.book("5")


async def test_midpoints_are_asked_for_in_few_requests(
    server: ScriptedServer, account: PolymarketAccount
) -> None:
    server.script("POST /midpoints", says({YES: "0.45", NO: None}), says({"501": "0.5"}))
    tokens = [YES, NO, *(str(n) for n in range(2, 502))]
    assert await account.midpoints(tokens) == {YES: Decimal("0.45"), "501": Decimal("0.5")}
    assert [len(request.json) for request in server.requests] == [500, 2]


async def test_the_tops_of_many_books_are_read_in_few_requests(
    server: ScriptedServer, account: PolymarketAccount
) -> None:
    def told(token_id: str, *, bids: object, asks: object) -> dict[str, object]:
        return {"asset_id": token_id, "bids": bids, "asks": asks, "last_trade_price": "0.46"}

    def level(price: object, size: str = "5") -> dict[str, object]:
        return {"price": price, "size": size}

    server.script(
        "POST /books",
        says(
            [
                told(YES, bids=[level("0.4"), level("0.45")], asks=[level("0.6"), level("0.5")]),
                told(NO, bids=[level("0.45"), level("0.4")], asks=[level("0.50"), level("0.6")]),
                told("7", bids=[level(0.5), level(".45")], asks=None),
                told("8", bids=[level("0.45"), level("0.46", "0")], asks=[]),
            ]
        ),
        says([]),
    )
    tokens = [YES, NO, *(str(n) for n in range(2, 502))]
    quotes = await account.quotes(tokens)
    tops = {one.token_id: (one.best_bid, one.best_ask) for one in quotes.values()}
    best = (Decimal("0.45"), Decimal("0.5"))
    assert tops == {
        YES: best,
        NO: best,
        "7": (Decimal("0.5"), None),
        "8": (Decimal("0.45"), None),
    }
    assert quotes[YES].last_price == Decimal("0.46")
    assert [len(request.json) for request in server.requests] == [500, 2]


async def test_a_book_that_cannot_be_read_makes_the_whole_read_fail(
    server: ScriptedServer, account: PolymarketAccount
) -> None:
    bad = {"asset_id": YES, "bids": [{"price": "1.7", "size": "5"}], "asks": []}
    server.script("POST /books", says([bad]))
    with pytest.raises(UnavailableError):
        await account.quotes([YES])


async def test_beats_chain_and_a_lost_chain_is_taken_up_at_the_exchange_s_word(
    server: ScriptedServer, account: PolymarketAccount
) -> None:
    words = "Invalid Heartbeat ID"
    server.script(
        "POST /v1/heartbeats",
        says({"error": words, "error_msg": words, "heartbeat_id": "b7"}, 400),
        says({"heartbeat_id": "b8"}),
        says({"heartbeat_id": "b9"}),
    )
    await account.beat()
    await account.beat()
    assert [request.json["heartbeat_id"] for request in server.requests] == ["", "b7", "b8"]


async def test_a_beat_that_is_refused_for_another_reason_is_an_error(
    server: ScriptedServer, account: PolymarketAccount
) -> None:
    server.script("POST /v1/heartbeats", says({"error": "no such key"}, 400))
    with pytest.raises(UnavailableError, match="no such key"):
        await account.beat()
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (
            says({"canceled": [HASH.upper().replace("X", "x")], "not_canceled": {}}),
            Cancelled(is_cancelled=True),
        ),
        (
            says({"canceled": [], "not_canceled": {HASH: "already canceled or matched"}}),
            Cancelled(is_cancelled=False, words="already canceled or matched"),
        ),
        (
            says({"canceled": None, "not_canceled": None}),
            Cancelled(is_cancelled=False, words="the answer does not name it"),
        ),
        (
            says({"error": "Invalid orderID"}, 400),
            Cancelled(is_cancelled=False, words="HTTP 400: DELETE /order: Invalid orderID"),
        ),
    ],
)
async def test_a_cancel_tells_what_the_exchange_says(
    server: ScriptedServer, account: PolymarketAccount, reply: Reply, told: Cancelled
) -> None:
    server.script("DELETE /order", reply)
    assert await account.cancel(HASH) == told
    assert server.requests[0].json == {"orderID": HASH}


@pytest.mark.parametrize("status", [500, 503])
async def test_a_cancel_without_an_answer_is_an_error(
    server: ScriptedServer, account: PolymarketAccount, status: int
) -> None:
    server.script("DELETE /order", says({"error": "no"}, status))
    with pytest.raises((UnavailableError, BusyError)):
        await account.cancel(HASH)


async def test_a_process_without_the_private_key_can_look(server: ScriptedServer) -> None:
    server.script("GET /data/orders", page(an_order()))
    async with account_on(server.address, private_key=None) as reader:
        assert len(await reader.active_orders()) == 1
    assert server.requests[0].headers["poly_address"] == KEYS.address

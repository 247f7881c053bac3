"""Rows as callers read them: exact, named, newest first, whole over many pages."""

import json
from decimal import Decimal
from typing import Any

import pytest

from domain.breaker import CallGroup
from domain.fill import FillStatus, SeenBy
from domain.ids import position_id
from domain.latency import CallCounts, bucket_of
from domain.order import OrderEvent, Side
from infra.clock import utc_now
from infra.store.breakers import Breakers
from infra.store.calls import Calls
from infra.store.database import open_database
from infra.store.days import Days
from infra.store.fills import Fills
from infra.store.markets import Markets
from infra.store.orders import Orders
from tests.api.conftest import SECRET, Stack
from tests.store.making import ACCOUNT, NOW, WIDE, YES, a_fill, a_market, an_order, later

pytestmark = pytest.mark.services

KINDS = ("signals", "orders", "fills", "positions", "events", "markets", "accounts")
HELD = position_id(ACCOUNT, YES)


@pytest.fixture
async def traded(stack: Stack, orders: Orders, fills: Fills) -> Stack:
    """Return a stack on which 10 shares were bought at 0.40 and 4 of 5 sold at 0.50."""
    await Markets(orders.engine).replace([a_market(), a_market("snow", neg_risk=True)], NOW)
    bought = an_order("b")
    half, five = Decimal("0.50"), Decimal(5)
    sold = an_order("s", side=Side.SELL, price=half, size=five, created_at=later(9), signal_id=None)
    for order in (bought, sold):
        await orders.admit(order, b"signed", WIDE)
        if order is bought:
            await orders.begin_send(order.order_hash, NOW)
            await orders.learn(order.order_hash, OrderEvent.ACCEPT, None, NOW)
            await fills.record(
                a_fill("t1", bought, size=Decimal(10), status=FillStatus.CONFIRMED),
                SeenBy.POLL,
                NOW,
            )
    left = a_fill("t2", sold, fee=Decimal("0.05"), matched_at=later(10))
    await fills.record(left, SeenBy.STREAM, later(10))
    return stack


async def items(stack: Stack, path: str, **query: Any) -> list[dict[str, Any]]:
    answer = await stack.get(path, **query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


PROMISED = {
    "orders": "order_hash intent_id account_id token_id side type source state price size"
    " filled_size signal_id workflow_id trace_id attempts last_sent_at created_at market_slug"
    " outcome",
    "fills": "trade_id order_hash account_id token_id side price size fee fee_asset status source"
    " matched_at market_slug outcome",
    "positions": "id account_id token_id status size average_price realised_pnl_average"
    " realised_pnl_fifo current_price unrealised_pnl current_sl current_tp sl_order_id tp_order_id"
    " market_slug outcome",
    "markets": "slug condition_id tokens neg_risk tick_size min_size accepting_orders",
    "accounts": "id state wallet starting_equity_usd starting_equity_at pnl_today_usd limits"
    " limits_confirmed",
    "events": "seq at kind detail",
}


async def test_rows_carry_every_promised_name(traded: Stack) -> None:
    for kind, names in PROMISED.items():
        found = await items(traded, f"/{kind}")
        assert found, kind
        assert set(names.split()) - set(found[0]) == set(), kind


async def test_signed_bytes_are_never_shown(traded: Stack) -> None:
    assert "signed_order" not in (await items(traded, "/orders"))[0]


async def test_numbers_are_exact_text_and_times_are_utc(traded: Stack) -> None:
    sold, bought = await items(traded, "/orders")
    assert (bought["price"], bought["size"], bought["filled_size"]) == ("0.4", "10", "10")
    assert bought["created_at"] == "2026-11-21T12:00:00+00:00"
    assert (sold["market_slug"], sold["outcome"]) == ("rain", "Yes")


async def test_a_market_shows_its_tokens_in_order_and_plain_ones_come_first(traded: Stack) -> None:
    found = await items(traded, "/markets")
    assert [row["slug"] for row in found] == ["rain", "snow"]
    assert [token["outcome"] for token in found[0]["tokens"]] == ["Yes", "No"]
    assert found[0]["tokens"][0]["token_id"] == YES
    one = (await traded.get("/markets/rain")).json()
    assert one == found[0]


FILTERED: list[tuple[str, dict[str, str], list[str]]] = [
    ("/orders", {"state": "FILLED"}, ["0xb"]),
    ("/orders", {"status": "PARTIAL,FILLED"}, ["0xs", "0xb"]),
    ("/orders", {"signal_id": "signal-1"}, ["0xb"]),
    ("/orders", {"market": "rain", "account": "main"}, ["0xs", "0xb"]),
    ("/orders", {"market": "0xc0", "token": YES}, ["0xs", "0xb"]),
    ("/orders", {"market": "snow"}, []),
    ("/orders", {"account": "other"}, []),
    ("/orders", {"since": "2026-11-21T12:00:05Z"}, ["0xs"]),
    ("/orders", {"since": "2026-11-21T12:00:05"}, ["0xs"]),
    ("/fills", {"signal_id": "signal-1"}, ["0xb"]),
    ("/fills", {"order_hash": "0xs"}, ["0xs"]),
]


async def test_every_filter_narrows(traded: Stack) -> None:
    for path, query, hashes in FILTERED:
        found = await items(traded, path, **query)
        assert [row["order_hash"] for row in found] == hashes, (path, query)


WRONG = [
    {"colour": "red"},
    {"cursor": "nonsense"},
    {"cursor": "WyJhIl0"},
    {"cursor": "WyIyMDI2LTExLTIxIiwgIlx1MDAwMCJd"},
    {"limit": "0"},
    {"limit": "501"},
    {"since": "yesterday"},
    {"account": "a\x00b"},
]


async def test_a_wrong_question_is_told_which_field_is_wrong(stack: Stack) -> None:
    for query in WRONG:
        answer = await stack.get("/orders", **query)
        assert answer.status_code == 422, query
        assert answer.json()["error"]["code"] == "invalid"
        assert answer.json()["error"]["fields"][0]["remedy"]


async def test_pages_together_are_every_row_once_newest_first(stack: Stack) -> None:
    stack.run(
        "INSERT INTO holdfast.signals (id, source, received_at, status, raw_payload, body_digest,"
        " repeats, is_unproven, trace_id)"
        " SELECT 'id' || n, 'x', '2026-01-01Z'::timestamptz + (n / 3) * interval '1 s',"
        " 'error', '', '', 0, false, '' FROM generate_series(1, 250) n"
    )
    seen: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await stack.get("/signals", limit="99", **cursor)).json()
        seen += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert len(seen) == len({row["id"] for row in seen}) == 250
    assert [row["received_at"] for row in seen] == sorted(
        (row["received_at"] for row in seen), reverse=True
    )


async def test_every_kind_can_be_paged(traded: Stack) -> None:
    for kind in KINDS:
        first = (await traded.get(f"/{kind}", limit="1")).json()
        if first["next_cursor"] is None:
            continue
        second = (await traded.get(f"/{kind}", limit="1", cursor=first["next_cursor"])).json()
        assert second["items"], kind
        assert second["items"] != first["items"], kind


async def test_one_row_is_found_by_its_id_and_nothing_by_another(traded: Stack) -> None:
    paths = ["/orders/0xb", "/orders/intent-b", "/fills/t1", "/accounts/main", f"/positions/{HELD}"]
    for path in [*paths, "/events/1"]:
        assert (await traded.get(path)).status_code == 200, path
    for kind in (*KINDS, "why"):
        answer = await traded.get(f"/{kind}/no-such-thing")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
        assert (await traded.get(f"/{kind}/a%00b")).status_code == 422


async def test_earnings_are_told_by_average_and_by_fifo(traded: Stack) -> None:
    told = (await traded.get("/pnl")).json()
    (position,) = told["items"]
    assert (position["size"], position["average_price"]) == ("6", "0.4")
    assert (position["realised_pnl_average"], position["realised_pnl_fifo"]) == ("0.4", "0.4")
    (total,) = told["accounts"]
    assert total == {
        "account_id": "main",
        "cost_usd": "2.4",
        "cash_usd": "-2.05",
        "fees_usd": "0.05",
        "realised_pnl_average": "0.4",
        "realised_pnl_fifo": "0.4",
        "unrealised_pnl": "0",
        "unpriced": 1,
    }
    assert (await traded.get("/pnl", account="other")).json()["items"] == []


async def test_an_order_tells_its_whole_story_in_order(traded: Stack) -> None:
    told = (await traded.get("/why/0xb")).json()
    assert (told["kind"], told["id"], told["trace_id"]) == ("order", "0xb", "trace-1")
    assert [row["order_hash"] for row in told["orders"]] == ["0xb"]
    assert [row["trade_id"] for row in told["fills"]] == ["t1"]
    assert [row["id"] for row in told["positions"]] == [HELD]
    kinds = [row["kind"] for row in told["events"]]
    assert len(kinds) > 2
    assert [row["seq"] for row in told["events"]] == sorted(row["seq"] for row in told["events"])
    url = "http://ui.test/namespaces/default/workflows/order-intent-b"
    assert told["temporal_url"] == url


async def test_a_position_tells_of_every_order_and_fill_that_made_it(traded: Stack) -> None:
    told = (await traded.get(f"/why/{HELD}")).json()
    assert told["kind"] == "position"
    assert [row["order_hash"] for row in told["orders"]] == ["0xb", "0xs"]
    assert [row["trade_id"] for row in told["fills"]] == ["t1", "t2"]


async def test_a_signal_tells_what_it_caused(stack: Stack) -> None:
    answer = await stack.post({"action": "BuyMarket", "market": "r:Yes", "percent": 1, "id": "me"})
    signal_id = await stack.begun(answer)
    for name in (signal_id, "me"):
        told = (await stack.get(f"/why/{name}")).json()
        assert (told["kind"], told["id"]) == ("signal", signal_id)
        assert told["workflows"][0]["workflow_id"] == f"order-{signal_id}-0"
        assert {row["kind"] for row in told["events"]} >= {"signal.received", "signal.understood"}


FORMS = [
    json.dumps({"action": "PING", "secret": SECRET, "comment": f"my {SECRET}"}),
    json.dumps({"action": "PING", "secret": SECRET}),
    json.dumps({"action": "PING", "secret": SECRET}).replace('h\\"', "h\\u0022"),
    json.dumps({"action": "PING", "Pass_Phrase": "near-miss"}),
    json.dumps({"action": "PING", "s\u0065cret": "near-miss"}).replace("secret", "s\\u0065cret"),
    "action=PING&token=near-miss&x=1",
    'alert {"action": "PING", "key" : "near-miss"} sent',
]


async def test_a_secret_is_stored_as_sent_and_never_shown(stack: Stack) -> None:
    for form in FORMS:
        await stack.post(form, "tradingview")
    kept = [bytes(row["raw_payload"]).decode() for row in stack.signals()]
    assert kept == FORMS
    shown = await items(stack, "/signals")
    for row in shown:
        assert "hush" not in row["raw_payload"]
        assert "near-miss" not in row["raw_payload"]
        assert "***" in row["raw_payload"]
        assert "PING" in row["raw_payload"]
    assert "hush" not in (await stack.get(f"/why/{shown[0]['id']}")).text


async def test_a_key_reads_only_with_its_scope(stack: Stack) -> None:
    for path in ("/signals", "/signals/x", "/pnl", "/why/x", "/status"):
        assert (await stack.get(path, key="wrong")).status_code == 401
        assert (await stack.get(path, key="sender")).status_code == 403
        assert (await stack.http.get(f"/api/v1{path}")).status_code == 401


async def test_status_counts_what_there_is(traded: Stack) -> None:
    answer = await traded.get("/status")
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["orders"] == {"FILLED": 1, "PARTIAL": 1}
    assert told["open_orders_by_state"] == {"PARTIAL": 1}
    assert told["accounts"][0]["state"] == "running"
    assert told["positions"] == {"open": 1}
    assert set(told["parts"].values()) == {"ok"}
    counts = {"circuit_open_count": 0, "retry_count": 0, "rate_limit_hits": 0}
    assert told["exchange"] == {"circuits": []} | counts


async def test_accounts_show_the_days_start_what_it_came_to_and_what_is_left_to_each_limit(
    traded: Stack, fills: Fills
) -> None:
    [unknown] = await items(traded, "/accounts")
    assert (unknown["starting_equity_usd"], unknown["pnl_today_usd"]) == (None, None)
    assert "max_daily_loss_fraction" not in unknown["limits"]

    now = utc_now()
    await Days(fills.engine).begin(ACCOUNT, Decimal("98.05"), "guardian", now)
    # with $2.40 of shares, and $1.95 of a sale that is not mined yet
    await fills.mark(ACCOUNT, {YES: Decimal("0.30")}, now)
    [account] = await items(traded, "/accounts")
    assert (account["starting_equity_usd"], account["pnl_today_usd"]) == ("102.4", "-0.6")
    assert (account["unpriced"], account["limits_confirmed"]) == (0, False)
    assert account["limits"]["max_market_exposure_usd"] == {
        "limit": "500",
        "used": "2.4",
        "left": "497.6",
        "of": "rain",
    }
    lost = {"limit": "10.24", "used": "0.6", "left": "9.64", "of": "0.1 of 102.40"}
    assert account["limits"]["max_daily_loss_fraction"] == lost
    one = (await traded.get("/accounts/main")).json()
    status = (await traded.get("/status")).json()["accounts"][0]
    assert one["limits"].keys() == status["limits"].keys() == account["limits"].keys()
    assert len(account["limits"]) == 7


async def test_what_is_held_back_and_what_calls_took_is_seen_by_an_operator(stack: Stack) -> None:
    engine = open_database(stack.database_url)
    now = utc_now().replace(second=0, microsecond=0)
    counts = CallCounts(calls=5, retries=2)
    counts.totals_ms[bucket_of(900)] = 5
    await Calls(engine).write("worker", {(now, "POST /order", 429): counts})
    for _ in range(5):
        await Breakers(engine).failed("main", CallGroup.ENTRIES, "HTTP 500", now)
    await engine.dispose()

    told = (await stack.get("/status")).json()["exchange"]
    assert (told["circuits"][0]["state"], told["circuits"][0]["words"]) == ("open", "HTTP 500")
    assert told["circuit_open_count"] == 1
    assert (told["retry_count"], told["rate_limit_hits"]) == (2, 5)
    lines = (await stack.http.get("/metrics")).text.splitlines()
    assert 'holdfast_circuit_open{group="main:entries"} 1' in lines
    assert "holdfast_circuit_open_count 1" in lines
    [line] = (await stack.get("/calls")).json()["items"]
    assert (line["endpoint"], line["statuses"]) == ("POST /order", {"429": 5})
    assert 900 <= line["total_ms_p99"] <= 1125

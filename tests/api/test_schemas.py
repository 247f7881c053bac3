"""What alerts mean: every documented form, every refusal, and any bytes at all."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.documents import MAX_NESTING, read_document
from api.schemas import Dialect, Misunderstood, Understood, dialect, secret_of, understand
from api.vocabulary import FIELDS, Name
from domain.signal import Action, Instruction, SizeKind, Sizing

STRICT = Dialect()
TRADINGVIEW = dialect("tradingview", {"BTCUSD": "bitcoin-200k:Yes"})
YES = {"market": "rain", "outcome": "Yes"}
HASH = "0x" + "ab" * 32


def percent(value: str) -> Sizing:
    return Sizing(kind=SizeKind.PERCENT, value=Decimal(value))


def meant(body: object, spoken: Dialect = STRICT) -> Instruction:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    read = understand(raw, spoken)
    assert isinstance(read, Understood), read
    return read.instruction


def refused(body: object, spoken: Dialect = STRICT) -> dict[str, str]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    read = understand(raw, spoken)
    assert isinstance(read, Misunderstood), read
    assert all(error.remedy and error.problem for error in read.errors)
    return {error.field: error.problem for error in read.errors}


GOOD: list[tuple[object, Instruction]] = [
    (
        {"action": "BuyMarket", **YES, "PourCent": 10, "PrixSL": 0.3, "PrixTP": "0.80"},
        Instruction(
            action=Action.BUY_MARKET,
            market="rain",
            outcome="Yes",
            sizing=percent("10"),
            stop_loss=Decimal("0.3"),
            take_profit=Decimal("0.80"),
        ),
    ),
    (
        {"Action": "buy_limit", "slug": "rain:No", "size": "40", "Prix": "0.55", "expires_in": 300},
        Instruction(
            action=Action.BUY_LIMIT,
            market="rain",
            outcome="No",
            sizing=Sizing(kind=SizeKind.SIZE, value=Decimal(40)),
            price=Decimal("0.55"),
            rests_seconds=300,
        ),
    ),
    (
        {"side": "buy", **YES, "notional": "25"},
        Instruction(
            action=Action.BUY_MARKET,
            market="rain",
            outcome="Yes",
            sizing=Sizing(kind=SizeKind.NOTIONAL, value=Decimal(25)),
        ),
    ),
    (
        {"action": "sell", **YES},
        Instruction(
            action=Action.SELL_MARKET, market="rain", outcome="Yes", sizing=percent("100")
        ),
    ),
    (
        {"action": "SELL-LIMIT", **YES, "limit_price": 0.7},
        Instruction(
            action=Action.SELL_LIMIT,
            market="rain",
            outcome="Yes",
            sizing=percent("100"),
            price=Decimal("0.7"),
        ),
    ),
    (
        {"action": "SellMarket", **YES, "usd": 20, "short": "complement"},
        Instruction(
            action=Action.SELL_MARKET,
            market="rain",
            outcome="Yes",
            sizing=Sizing(kind=SizeKind.NOTIONAL, value=Decimal(20)),
            sells_by_complement=True,
        ),
    ),
    (
        {"action": "maj", **YES, "sl": 0.4, "PourCent": "whatever"},
        Instruction(
            action=Action.MAJ, market="rain", outcome="Yes", stop_loss=Decimal("0.4")
        ),
    ),
    (
        {"action": "UPDATE", **YES, "take_profit": "0.9"},
        Instruction(
            action=Action.MAJ, market="rain", outcome="Yes", take_profit=Decimal("0.9")
        ),
    ),
    (
        {"action": "close", "market": "7" * 77},
        Instruction(action=Action.CLOSE, market="7" * 77, sizing=percent("100")),
    ),
    ({"action": "Close All"}, Instruction(action=Action.CLOSEALL)),
    (
        {"action": "CANCEL", "order_hash": HASH.upper().replace("0X", "0x")},
        Instruction(action=Action.CANCEL, order_hash=HASH),
    ),
    ({"action": "ping", "anything": [1, {"a": None}]}, Instruction(action=Action.PING)),
    (b"PING", Instruction(action=Action.PING)),
    (b' "ping"\n', Instruction(action=Action.PING)),
    (b"action=PING&secret=x", Instruction(action=Action.PING)),
    (
        b"action=BuyMarket&market=rain&outcome=Yes&percent=5",
        Instruction(
            action=Action.BUY_MARKET, market="rain", outcome="Yes", sizing=percent("5")
        ),
    ),
    (b"payload=%7B%22action%22%3A%22PING%22%7D", Instruction(action=Action.PING)),
    (b'\xef\xbb\xbfalert: {"action": "PING"} sent', Instruction(action=Action.PING)),
]  # fmt: skip


@pytest.mark.parametrize(("body", "instruction"), GOOD, ids=range(len(GOOD)))
def test_every_documented_form_is_understood(body: object, instruction: Instruction) -> None:
    spoken = TRADINGVIEW if "anything" in str(body) else STRICT
    assert meant(body, spoken) == instruction


def test_a_tradingview_alert_with_its_own_placeholders_is_understood() -> None:
    body = {
        "ticker": "BINANCE:BTCUSD",
        "order": "buy",
        "contracts": "12.5",
        "close": 64123.5,
        "time": "2026-11-21T09:00:00Z",
        "timenow": "2026-11-21T10:00:02Z",
        "my plot": 17,
        "id": 4711,
        "passphrase": "hush",
    }
    read = understand(json.dumps(body).encode(), TRADINGVIEW)
    assert read == Understood(
        instruction=Instruction(
            action=Action.BUY_MARKET,
            market="bitcoin-200k",
            outcome="Yes",
            sizing=Sizing(kind=SizeKind.SIZE, value=Decimal("12.5")),
            sent_at=datetime(2026, 11, 21, 10, 0, 2, tzinfo=UTC),
        ),
        external_id="4711",
    )


def test_the_sender_may_choose_the_other_outcome_of_an_alias() -> None:
    body = {"action": "buy", "ticker": "btcusd", "outcome": "No", "percent": 1}
    assert meant(body, TRADINGVIEW).outcome == "No"


BUY = {"action": "BuyMarket", **YES, "percent": 10}
BAD: list[tuple[object, dict[str, str]]] = [
    (b"", {"body": "empty"}),
    (b"\xff\xfe", {"body": "not UTF-8"}),
    (b"[1]", {"body": "not a JSON object"}),
    (b"hello", {"body": "not a JSON object"}),
    (b'{"action": "PING",}', {"body": "not JSON: "}),
    (b'{"action": "PING", "action": "CLOSE"}', {"action": "given twice"}),
    (b'{"a":' * 40 + b"1" + b"}" * 40, {"body": f"nested deeper than {MAX_NESTING}"}),
    (b"[" * 60_000, {"body": "not a JSON object"}),
    (b'{"a":' + b"[" * 60_000, {"body": f"nested deeper than {MAX_NESTING}"}),
    ({}, {"action": "missing"}),
    ({"action": "HODL"}, {"action": "unknown action"}),
    ({"action": "{{strategy.order.action}}"}, {"action": "unknown action"}),
    ({"action": ["buy"]}, {"action": "not a text"}),
    ({"action": "BuyMarket"}, {"market": "missing", "percent": "missing"}),
    (BUY | {"outcome": None}, {"outcome": "missing"}),
    ({"action": "BuyMarket", **YES}, {"percent": "missing"}),
    (BUY | {"size": 5}, {"size": "a second size beside percent"}),
    (BUY | {"percent": 0}, {"percent": "out of range"}),
    (BUY | {"percent": 100.1}, {"percent": "out of range"}),
    (BUY | {"percent": True}, {"percent": "not a number"}),
    (BUY | {"percent": "\u0661\u0660"}, {"percent": "not a number"}),
    (BUY | {"percent": "1_0"}, {"percent": "not a number"}),
    (BUY | {"price": 0}, {"price": "not a price"}),
    (BUY | {"price": 1}, {"price": "not a price"}),
    (BUY | {"price": "1.5"}, {"price": "not a price"}),
    (BUY | {"price": -0.2}, {"price": "not a price"}),
    (BUY | {"price": "0." + "0" * 15 + "1"}, {"price": "too many places"}),
    (BUY | {"PrixSL": 0.6, "PrixTP": 0.5}, {"PrixSL": "not below PrixTP"}),
    (BUY | {"sl": 0.3, "stop_loss": 0.4}, {"stop_loss": "says the same as sl"}),
    (BUY | {"stop_los": 0.3}, {"stop_los": "unknown field"}),
    (BUY | {"id": "a\r\nb"}, {"id": "too long or not printable"}),
    (BUY | {"market": "rain\u0000"}, {"market": "too long or not printable"}),
    (BUY | {"market": "x" * 201}, {"market": "too long or not printable"}),
    (BUY | {"market": "\ud800"}, {"market": "too long or not printable"}),
    (BUY | {"market": ":Yes"}, {"market": "names no market"}),
    (BUY | {"sent_at": "yesterday"}, {"sent_at": "not a time"}),
    (BUY | {"sent_at": 10**30}, {"sent_at": "not a time"}),
    (b'{"action":"buy","market":"r:Yes","size":1e400}', {"size": "too many places"}),
    (b'{"action":"buy","market":"r:Yes","size":1e99999999999999999999}', {"size": "not a number"}),
    (b'{"action":"buy","market":"r:Yes","size":NaN}', {"size": "not a number"}),
    (b'{"action":"buy","market":"r:Yes","size":-Infinity}', {"size": "not a number"}),
    (b'{"action":"buy","market":"r:Yes","size":1000000000000000000}', {"size": "out of range"}),
    (
        b'{"action":"buy","market":"r:Yes","size":' + b"9" * 50_000 + b"}",
        {"size": "out of range"},
    ),
    ({"action": "BuyLimit", **YES, "percent": 1}, {"price": "missing"}),
    (
        {"action": "BuyLimit", **YES, "percent": 1, "price": 0.5, "expires_in": 1.5},
        {"expires_in": "not whole seconds"},
    ),
    ({"action": "MAJ", **YES}, {"stop_loss": "missing"}),
    ({"action": "CANCEL"}, {"order_hash": "missing"}),
    ({"action": "CANCEL", "order_hash": "0x12"}, {"order_hash": "not an order hash"}),
    ({"action": "sell", **YES, "short": "yes"}, {"short": "unknown way to sell short"}),
    ({"action": "sell", **YES, "short": "complement"}, {"percent": "missing"}),
]


@pytest.mark.parametrize(("body", "problems"), BAD, ids=range(len(BAD)))
def test_every_refusal_names_the_field_and_the_remedy(
    body: object, problems: dict[str, str]
) -> None:
    found = refused(body)
    assert set(found) == set(problems)
    for field, problem in problems.items():
        assert found[field].startswith(problem)


def test_an_unknown_field_is_refused_with_the_nearest_known_one() -> None:
    read = understand(json.dumps(BUY | {"take_profitt": 0.9}).encode(), STRICT)
    assert isinstance(read, Misunderstood)
    assert "take_profit" in read.errors[0].remedy


def test_numbers_keep_every_digit_they_were_written_with() -> None:
    raw = b'{"action":"buy","market":"r:Yes","size":0.1000000000001,"price":0.123456789012}'
    found = refused(raw)
    assert found == {"size": "too many places"}
    assert meant(raw.replace(b"0.1000000000001", b"0.300000000001")).sizing == Sizing(
        kind=SizeKind.SIZE, value=Decimal("0.300000000001")
    )


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2026-11-21T10:00:00Z", datetime(2026, 11, 21, 10, tzinfo=UTC)),
        ("2026-11-21T12:00:00+02:00", datetime(2026, 11, 21, 10, tzinfo=UTC)),
        ("2026-11-21 10:00:00", datetime(2026, 11, 21, 10, tzinfo=UTC)),
        (1795255200, datetime(2026, 11, 21, 10, tzinfo=UTC)),
        ("1795255200000", datetime(2026, 11, 21, 10, tzinfo=UTC)),
    ],
)
def test_times_are_read_in_every_usual_form(written: object, moment: datetime) -> None:
    assert meant(BUY | {"timestamp": written}).sent_at == moment


@pytest.mark.parametrize("name", ["secret", "TOKEN", "passphrase", "key"])
def test_the_secret_is_found_under_each_of_its_names(name: str) -> None:
    body = json.dumps({name: "hush", "action": "PING"}).encode()
    assert secret_of(read_document(body)) == "hush"


@settings(deadline=None)
@given(st.binary(max_size=2_000))
def test_any_bytes_get_an_answer(raw: bytes) -> None:
    for spoken in (STRICT, TRADINGVIEW):
        assert isinstance(understand(raw, spoken), Understood | Misunderstood)
    secret_of(read_document(raw))


JSON: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(alphabet="aé\0\n{1.\u0661\ud800\U0001f327", max_size=12)
    | st.sampled_from([*Action, "rain:Yes", "complement", "0.5", "10", HASH]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([*FIELDS]), JSON, max_size=8))
def test_any_values_of_known_fields_get_an_answer_that_is_safe_to_use(body: dict[str, Any]) -> None:
    read = understand(json.dumps(body).encode(), STRICT)
    if isinstance(read, Misunderstood):
        assert read.errors
        return
    wish = read.instruction
    for price in (wish.price, wish.stop_loss, wish.take_profit):
        assert price is None or 0 < price < 1
    assert wish.sizing is None or 0 < wish.sizing.value <= 1_000_000_000
    assert wish.market is None or wish.market.isprintable()
    assert Name.SECRET not in vars(wish)

"""Every recorded message of the exchange is understood, or refused for a reason given here.

The recordings are not part of the project. Where a folder `shared/wire-samples` lies beside it,
they are read in place; each also has a twin of the same form, which is always read.
"""

from collections.abc import Callable
from decimal import Decimal
from json import dumps
from pathlib import Path
from typing import Any, Final

import pytest
from polymarket.models.clob import SignedOrder as SdkOrder

from domain.errors import InvalidInputError
from domain.fill import Fill, FillStatus
from domain.market import Book, Market
from domain.order import Side
from infra.exchanges.polymarket import hashing, market_events, market_parsing, parsing, wire
from infra.exchanges.polymarket.market_parsing import FREE, Fee
from infra.exchanges.polymarket.parsing import Identity
from tests.exchanges.scripted import MARKET
from tests.exchanges.twins import MAKER_OWNER, MAKER_WALLET, OWNER, TWINS, WALLET

SAMPLES: Final = Path(__file__).parents[3] / "shared" / "wire-samples"
TAKER: Final = Identity(account_id="main", wallet=WALLET.upper(), api_key=OWNER)
MAKER: Final = Identity(account_id="main", wallet=MAKER_WALLET.lower(), api_key=MAKER_OWNER)


def taken(raw: Any) -> list[Fill]:
    return parsing.own_fills(raw, TAKER, MARKET)


def made(raw: Any) -> list[Fill]:
    return parsing.own_fills(raw, MAKER, None)


def rows_of(parse: Callable[[Any], Any], key: str = "data") -> Callable[[Any], list[Any]]:
    return lambda raw: [parse(row) for row in raw[key]]


def of_gamma(raw: Any) -> Market:
    return market_parsing.gamma_market(raw, market_parsing.gamma_fee(raw) or FREE)


def of_clob(raw: Any) -> Market:
    return market_parsing.clob_market(raw, FREE)


def first_of_events(events: list[Any]) -> Any:
    return facts_of_market(of_gamma(events[0]["markets"][0]))


def clob_rows(raw: Any) -> list[Market]:
    """The list as the registry reads it: what cannot be traded is left out, nothing else."""
    tradable = [row for row in raw["data"] if all(token["token_id"] for token in row["tokens"])]
    assert len(raw["data"]) - len(tradable) <= 1
    return [of_clob(row) for row in tradable]


def hashed(raw: Any) -> str:
    order = SdkOrder(
        builder=raw["builder"],
        expiration=int(raw["expiration"]),
        maker=raw["maker"],
        maker_amount=int(raw["makerAmount"]),
        metadata=raw["metadata"],
        order_type="GTC",
        salt=raw["salt"],
        side=raw["side"],
        signature=raw["signature"],
        signature_type=raw["signatureType"],
        signer=raw["signer"],
        taker_amount=int(raw["takerAmount"]),
        timestamp=int(raw["timestamp"]),
        token_id=raw["tokenId"],
    )
    return hashing.order_hash(order, neg_risk=False)


def balance(raw: Any) -> Decimal:
    return parsing.balance(raw)


def cancelled(raw: Any) -> bool:
    named = [*raw["canceled"], *raw["not_canceled"]]
    return parsing.cancelled(raw, named[0]).is_cancelled


def facts_of_fills(fills: list[Fill]) -> Any:
    return [(fill.side, str(fill.price), str(fill.size), fill.status) for fill in fills]


def facts_of_book(book: Book) -> Any:
    return (str(book.best_bid), str(book.best_ask))


def facts_of_market(market: Market) -> Any:
    outcomes = "/".join(token.outcome for token in market.tokens)
    return (outcomes, str(market.tick_size), market.closed, market.accepting_orders)


def sighting(raw: Any) -> Any:
    seen = parsing.order_seen(raw).sighting
    matched = None if seen.matched_size is None else str(seen.matched_size)
    return (seen.is_active, seen.is_cancelled, matched)


def changes(raw: Any) -> Any:
    events = market_events.market_events(raw)
    told: list[Any] = []
    for event in events:
        assert isinstance(event, market_events.LevelChanged)
        told.append((event.side, str(event.level.price), str(event.level.size)))
    return told


def one_event(raw: Any) -> Any:
    (event,) = market_events.market_events(raw)
    return event


def shown_book(raw: Any) -> Any:
    event = one_event({"event_type": "book", **raw})
    assert isinstance(event, market_events.BookShown)
    return facts_of_book(event.book)


def printed(raw: Any) -> Any:
    event = one_event(raw)
    assert isinstance(event, market_events.TradePrinted)
    return (str(event.price), str(event.size), event.side)


def new_tick(raw: Any) -> str:
    event = one_event(raw)
    assert isinstance(event, market_events.TickChanged)
    return str(event.tick_size)


def outcome_of(raw: Any) -> str:
    event = one_event(raw)
    assert isinstance(event, market_events.MarketResolved)
    return event.winning_token_id[:6]


def listed(raw: Any) -> tuple[str, int]:
    event = one_event(raw)
    assert isinstance(event, market_events.MarketListed)
    return (event.slug, len(event.token_ids))


def active(raw: Any) -> Any:
    order = parsing.active_order(raw)
    return None if order is None else (str(order.size), str(order.matched_size))


def failed(raw: Any) -> str:
    return wire.text(raw, "error")


B, S = Side.BUY, Side.SELL
DONE, MINED = FillStatus.CONFIRMED, FillStatus.MINED
LIVE_ORDER = (True, False, "0.0")
YES_NO = "Yes/No"
FAZE = ("FaZe/illwill", "0.001", True, False)

# What each recording must be understood as.
UNDERSTOOD: Final[dict[str, tuple[Callable[[Any], Any], Any]]] = {
    "captured/book.json": (lambda raw: facts_of_book(market_parsing.book(raw)), ("0.1", "0.14")),
    "captured/ws_book.json": (shown_book, ("0.511", "0.514")),
    "captured/market.json": (
        lambda raw: facts_of_market(of_clob(raw)),
        (YES_NO, "0.001", False, True),
    ),
    "captured/markets.json": (lambda raw: len(clob_rows(raw)), 99),
    "captured/ws_last_trade_price.json": (printed, ("0.491", "85.36", S)),
    "captured/ws_order_placement.json": (sighting, (True, False, "0")),
    "captured/ws_price_change.json": (changes, [(S, "0.514", "21574.08")]),
    "captured/ws_price_change_v2.json": (lambda raw: changes(raw)[0], (B, "0.6", "3300")),
    "captured/ws_tick_size_change.json": (new_tick, "0.001"),
    "captured/ws_user_trade1.json": (
        lambda raw: facts_of_fills(made(raw)),
        [(S, "0.518", "5", MINED)],
    ),
    "captured/ws_user_trade3.json": (
        lambda raw: facts_of_fills(made(raw)),
        [(B, "0.513", "5", DONE)],
    ),
    "constructed/clob_book_response.json": (
        lambda raw: facts_of_book(market_parsing.book(raw)),
        ("0.50", "0.51"),
    ),
    "constructed/clob_market_closed_binary_accepting_true.json": (
        lambda raw: facts_of_market(of_clob(raw)),
        (YES_NO, "0.01", True, False),
    ),
    "constructed/gamma_event.json": (
        first_of_events,
        (YES_NO, "0.001", False, True),
    ),
    "constructed/gamma_market.json": (
        lambda raw: facts_of_market(of_gamma(raw)),
        ("Up/Down", "0.01", False, True),
    ),
    "constructed/gamma_market_closed_binary_accepting_true.json": (
        lambda raw: facts_of_market(of_gamma(raw)),
        (YES_NO, "0.01", True, True),
    ),
    "constructed/gamma_market_sports_market_map_handicap.json": (
        lambda raw: facts_of_market(of_gamma(raw)),
        FAZE,
    ),
    "constructed/gamma_market_sports_market_money_line.json": (
        lambda raw: facts_of_market(of_gamma(raw)),
        FAZE,
    ),
    "constructed/http_balance_allowance_collateral.json": (balance, Decimal(1000)),
    "constructed/http_cancel_response_failed.json": (cancelled, False),
    "constructed/http_cancel_response_ok.json": (cancelled, True),
    "constructed/http_open_order.json": (active, ("100.0000", "25.0000")),
    "constructed/http_open_order_sell_fok.json": (active, None),
    "constructed/http_open_orders_page.json": (
        rows_of(active),
        [("200.0000", "0"), ("150.0000", "50.0000")],
    ),
    "constructed/http_order_response_error_500.json": (failed, "Internal server error"),
    "constructed/http_signed_order.json": (
        hashed,
        "0x32961c48ddac87ed3582f8e02097cd0eff4fcf80460306bd44b3710438dfa64c",
    ),
    "constructed/http_trade_report.json": (
        lambda raw: facts_of_fills(taken(raw)),
        [(B, "0.500000000000000000", "25.0000", DONE)],
    ),
    "constructed/http_trades_page.json": (
        lambda raw: [facts_of_fills(fills) for fills in rows_of(taken)(raw)],
        [[(B, "0.500000000000000000", "10.0000", MINED)]],
    ),
    "constructed/search_response.json": (
        lambda raw: first_of_events(raw["events"]),
        (YES_NO, "0.001", False, True),
    ),
    "constructed/ws_book_snapshot.json": (shown_book, ("0.50", "0.51")),
    "constructed/ws_last_trade.json": (printed, ("0.51", "25.0", B)),
    "constructed/ws_market_book_msg.json": (shown_book, ("0.50", "0.51")),
    "constructed/ws_market_last_trade_msg.json": (printed, ("0.51", "25.0", B)),
    "constructed/ws_market_new_market_msg.json": (
        listed,
        ("nvda-above-240-on-january-30-2026", 2),
    ),
    "constructed/ws_market_price_change_msg.json": (changes, [(B, "0.51", "150.0")]),
    "constructed/ws_market_resolved_msg.json": (outcome_of, "760430"),
    "constructed/ws_market_tick_size_msg.json": (new_tick, "0.01"),
    "constructed/ws_quotes.json": (changes, [(B, "0.51", "150.0"), (S, "0.49", "100.0")]),
    "constructed/ws_tick_size_change.json": (new_tick, "0.01"),
    "constructed/ws_user_order_cancellation.json": (sighting, (False, True, "0.0")),
    "constructed/ws_user_order_fok_killed.json": (sighting, (False, True, None)),
    "constructed/ws_user_order_matched.json": (sighting, (False, False, "100.0")),
    "constructed/ws_user_order_msg.json": (sighting, LIVE_ORDER),
    "constructed/ws_user_order_placement.json": (sighting, LIVE_ORDER),
    "constructed/ws_user_order_update.json": (sighting, (True, False, "25.0")),
    "constructed/ws_user_trade.json": (
        lambda raw: facts_of_fills(taken(raw)),
        [(B, "0.500000000000000000", "25.0", DONE)],
    ),
    "constructed/ws_user_trade_msg.json": (
        lambda raw: facts_of_fills(taken(raw)),
        [(B, "0.500000000000000000", "25.0", DONE)],
    ),
}

# What must be refused, by which reader, and why.
REFUSED: Final[dict[str, tuple[Callable[[Any], Any], str]]] = {
    # markets of a summary: without tokens or grid there is nothing to trade
    "captured/event.json": (lambda raw: of_gamma(raw["markets"][0]), "clobTokenIds"),
    "captured/market_slug.json": (of_gamma, "outcomes"),
    # from before the order book: no grid of prices
    "constructed/gamma_market_closed_nonbinary_legacy.json": (of_gamma, "orderPriceMinTickSize"),
    # dollars or millionths: the two readings lie a million apart
    "constructed/http_balance_allowance_no_allowance.json": (balance, "balance"),
}

# What nothing of ours reads: the SDK's own answer to a send (tested where it is sent), the Data
# API, which lags by minutes, tags, and the fee rate of the first protocol version.
NOT_READ: Final = frozenset(
    {
        "constructed/http_order_response_failed.json",
        "constructed/http_order_response_ok.json",
        "constructed/data_api_positions_response.json",
        "constructed/gamma_tags.json",
        "constructed/clob_fee_rate_response_nonzero.json",
        "constructed/clob_fee_rate_response_zero.json",
    }
)


def messages(name: str) -> list[object]:
    """The twin of a recording, and the recording itself where there is one."""
    found = [wire.decoded(dumps(TWINS[name]))]
    recording = SAMPLES / name
    if recording.exists():
        found.append(wire.decoded(recording.read_bytes()))
    return found


@pytest.mark.parametrize("name", UNDERSTOOD)
def test_a_message_of_the_exchange_is_understood(name: str) -> None:
    read, meaning = UNDERSTOOD[name]
    for message in messages(name):
        assert read(message) == meaning


@pytest.mark.parametrize("name", REFUSED)
def test_a_message_that_cannot_be_acted_on_is_refused_by_the_field_it_lacks(name: str) -> None:
    read, field = REFUSED[name]
    for message in messages(name):
        with pytest.raises(InvalidInputError) as refusal:
            read(message)
        assert refusal.value.field == field


def test_every_recording_is_in_one_of_the_tables() -> None:
    recordings = {f"{path.parent.name}/{path.name}" for path in SAMPLES.glob("*/*.json")}
    assert recordings <= UNDERSTOOD.keys() | REFUSED.keys() | NOT_READ
    assert TWINS.keys() == UNDERSTOOD.keys() | REFUSED.keys()


def test_the_fee_of_a_market_is_its_schedules_or_says_that_it_is_not_told() -> None:
    sports = messages("constructed/gamma_market_sports_market_money_line.json")[0]
    assert market_parsing.gamma_fee(sports) == Fee(rate=Decimal("0.03"), exponent=1)
    assert market_parsing.gamma_fee(TWINS["constructed/gamma_market.json"]) is None
    assert market_parsing.gamma_fee(TWINS["constructed/gamma_event.json"][0]["markets"][0]) == FREE

"""Markets and books from the exchange's JSON: Gamma's list, the CLOB's list, and order books."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from domain.errors import InvalidInputError
from domain.market import Book, Level, Market, Token
from infra.exchanges.polymarket import wire
from infra.exchanges.polymarket.wire import Json

OUTCOMES: Final = 2


@dataclass(frozen=True, kw_only=True)
class Fee:
    """A market's taker fee = shares x rate x (p (1 - p)) ^ exponent."""

    rate: Decimal
    exponent: int


FREE: Final = Fee(rate=Decimal(0), exponent=0)


def gamma_market(raw: object, fee: Fee) -> Market:
    """Return a market of Gamma's list.

    Raises:
        InvalidInputError: it lacks what trading needs, as markets from before the order book do.
    """
    market = wire.record(raw, "market")
    token_ids, outcomes = wire.texts(market, "clobTokenIds"), wire.texts(market, "outcomes")
    return Market(
        condition_id=wire.text(market, "conditionId"),
        slug=wire.text(market, "slug"),
        question=wire.optional_text(market, "question") or "",
        tokens=_tokens(token_ids, outcomes),
        neg_risk=wire.truth(market, "negRisk"),
        tick_size=_step(market, "orderPriceMinTickSize"),
        min_size=_step(market, "orderMinSize"),
        fee_rate=fee.rate,
        fee_exponent=fee.exponent,
        accepting_orders=wire.truth(market, "acceptingOrders")
        and wire.truth(market, "active", otherwise="true")
        and wire.truth(market, "enableOrderBook", otherwise="true"),
        closed=wire.truth(market, "closed") or wire.truth(market, "archived"),
        end_at=wire.optional_moment(market, "endDate"),
        event_id=_event(market),
    )


def gamma_fee(raw: object) -> Fee | None:
    """Return the taker fee that Gamma states; None where it does not say how much."""
    market = wire.record(raw, "market")
    schedule = market.get("feeSchedule")
    if not wire.truth(market, "feesEnabled"):
        return FREE
    return _fee(wire.record(schedule, "feeSchedule"), "rate", "exponent") if schedule else None


def clob_market(raw: object, fee: Fee) -> Market:
    """Return a market as the CLOB itself lists it."""
    market = wire.record(raw, "market")
    tokens = wire.records(market.get("tokens"), "tokens")
    return Market(
        condition_id=wire.text(market, "condition_id"),
        slug=wire.text(market, "market_slug"),
        question=wire.optional_text(market, "question") or "",
        tokens=_tokens(
            [wire.text(token, "token_id") for token in tokens],
            [wire.text(token, "outcome") for token in tokens],
        ),
        neg_risk=wire.truth(market, "neg_risk"),
        tick_size=_step(market, "minimum_tick_size"),
        min_size=_step(market, "minimum_order_size"),
        fee_rate=fee.rate,
        fee_exponent=fee.exponent,
        accepting_orders=wire.truth(market, "accepting_orders")
        and wire.truth(market, "enable_order_book", otherwise="true"),
        closed=wire.truth(market, "closed"),
        end_at=wire.optional_moment(market, "end_date_iso"),
    )


def clob_fee(raw: object) -> Fee:
    """Return the taker fee of an answer of /clob-markets, which leaves out what is free."""
    details = wire.record(raw, "market").get("fd")
    return _fee(wire.record(details, "fd"), "r", "e") if details else FREE


def book(raw: object) -> Book:
    """Return a book with the best price first, whatever order the exchange sends it in."""
    answer = wire.record(raw, "book")
    bids, asks = _levels(answer, "bids"), _levels(answer, "asks")
    return Book(
        token_id=wire.text(answer, "asset_id"),
        bids=tuple(sorted(bids, key=_by_price, reverse=True)),
        asks=tuple(sorted(asks, key=_by_price)),
    )


def midpoints(raw: object) -> dict[str, Decimal]:
    """Return the middle of each book; tokens without one are left out."""
    answer = wire.record(raw, "midpoints")
    found = {token_id: wire.optional_number(answer, token_id) for token_id in answer}
    return {token_id: middle for token_id, middle in found.items() if middle is not None}


def _levels(answer: Json, side: str) -> list[Level]:
    """Return one side's prices that still have shares."""
    rows = wire.records(answer.get(side) or [], side)
    levels = [Level(price=wire.price(row), size=wire.size(row, "size")) for row in rows]
    return [level for level in levels if level.size > 0]


def _by_price(level: Level) -> Decimal:
    """Return what levels are sorted by."""
    return level.price


def _tokens(token_ids: list[str], outcomes: list[str]) -> tuple[Token, ...]:
    """Return a market's two outcomes in the exchange's order."""
    if len(token_ids) != OUTCOMES or len(outcomes) != OUTCOMES or len(set(token_ids)) != OUTCOMES:
        raise InvalidInputError("outcomes", f"expected two, got {outcomes} of {len(token_ids)}")
    return tuple(
        Token(token_id=token_id, outcome=outcome, position=position)
        for position, (token_id, outcome) in enumerate(zip(token_ids, outcomes, strict=True))
    )


def _event(market: Json) -> str | None:
    """Return the id of the event a market belongs to; of several, the first."""
    for event in wire.records(market.get("events") or [], "events"):
        return wire.optional_text(event, "id")
    return None


def _step(market: Json, name: str) -> Decimal:
    """Return a smallest step: a number above 0."""
    step = wire.number(market, name)
    if step <= 0:
        raise InvalidInputError(name, f"expected a number above 0, got {step}")
    return step


def _fee(schedule: Json, rate: str, exponent: str) -> Fee:
    """Return a fee curve; its exponent is a whole number on every market there is."""
    power = wire.number(schedule, exponent)
    if power != power.to_integral_value():
        raise InvalidInputError(exponent, f"expected a whole number, got {power}")
    return Fee(rate=wire.size(schedule, rate), exponent=int(power))

"""Everything that belongs to one signal, order or position, and what all of them earned."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import ColumnElement, or_, tuple_

from infra.store.reads import (
    EVENTS,
    FILLS,
    ORDERS,
    POSITIONS,
    PROTECTIONS,
    SIGNALS,
    Asked,
    Reads,
    Row,
)

SUMMED: Final = (
    "cost_usd",
    "cash_usd",
    "fees_usd",
    "realised_pnl_average",
    "realised_pnl_fifo",
    "unrealised_pnl",
)


@dataclass(frozen=True, kw_only=True)
class Story:
    """What one id stands for and everything that belongs to it, oldest first.

    Attributes:
        kind: "signal", "order" or "position".
    """

    kind: str
    id: str
    trace_id: str | None
    signals: list[Row] = field(default_factory=list[Row])
    orders: list[Row] = field(default_factory=list[Row])
    fills: list[Row] = field(default_factory=list[Row])
    positions: list[Row] = field(default_factory=list[Row])
    protections: list[Row] = field(default_factory=list[Row])
    events: list[Row] = field(default_factory=list[Row])

    @property
    def workflow_ids(self) -> list[str]:
        """The workflows that did it, each once."""
        named = (row.get("workflow_id") for row in [*self.signals, *self.orders])
        return list(dict.fromkeys(one for one in named if one))


async def why(reads: Reads, identity: str) -> Story | None:
    """Return the story of what `identity` names; None where it names nothing.

    A trace id names the signal it belongs to.
    """
    signal = await reads.one("signals", identity)
    if signal is not None:
        orders = await _oldest_first(reads, "orders", ORDERS.c.signal_id == signal["id"])
        return await _story(reads, "signal", signal, [signal], orders)
    order = await reads.one("orders", identity)
    if order is not None:
        signals = await _oldest_first(reads, "signals", SIGNALS.c.id == order["signal_id"])
        return await _story(reads, "order", order, signals, [order])
    position = await reads.one("positions", identity)
    if position is not None:
        return await _of_position(reads, position)
    cause = await _cause(reads, identity)
    return None if cause is None else await why(reads, cause)


async def _cause(reads: Reads, trace_id: str) -> str | None:
    """Return the signal, or else the order, that a trace began with."""
    page = await reads.page("events", Asked(filters={"trace_id": trace_id}, limit=1))
    if not page.items:
        return None
    event = page.items[0]
    return event["signal_id"] or event["order_hash"]


async def earned(reads: Reads, account: str | None) -> tuple[list[Row], list[Row]]:
    """Return every position, and what each account earned by both methods.

    Positions that nobody prices now add nothing to `unrealised_pnl`; `unpriced` counts them.
    """
    filters = {"account": account} if account else {}
    positions: list[Row] = []
    cursor: str | None = None
    while True:
        page = await reads.page("positions", Asked(filters=filters, cursor=cursor, limit=500))
        positions += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    accounts = sorted({str(row["account_id"]) for row in positions})
    return positions, [_total(one, positions) for one in accounts]


def _total(account: str, positions: Iterable[Row]) -> Row:
    own = [row for row in positions if row["account_id"] == account]
    total: Row = {"account_id": account}
    for name in SUMMED:
        total[name] = sum((row[name] for row in own if row[name] is not None), Decimal(0))
    total["unpriced"] = sum(1 for row in own if row["size"] and row["unrealised_pnl"] is None)
    return total


async def _of_position(reads: Reads, position: Row) -> Story:
    ours = ORDERS.c.account_id == position["account_id"]
    orders = await _oldest_first(
        reads, "orders", ours & (ORDERS.c.token_id == position["token_id"])
    )
    told = await reads.where("events", EVENTS.c.position_id == position["id"])
    named = {row["signal_id"] for row in [*orders, *told] if row["signal_id"]}
    causes = SIGNALS.c.id.in_(named)
    signals = await _oldest_first(reads, "signals", causes)
    return await _story(reads, "position", position, signals, orders)


async def _story(
    reads: Reads, kind: str, subject: Row, signals: list[Row], orders: list[Row]
) -> Story:
    """Return the story round `signals` and `orders`, whose subject is one row of them."""
    hashes = [row["order_hash"] for row in orders]
    holders = [subject] if kind == "position" else orders
    held = sorted({(row["account_id"], row["token_id"]) for row in holders})
    moved = FILLS.c.order_hash.in_(hashes)
    if kind == "position":
        moved = tuple_(FILLS.c.account_id, FILLS.c.token_id).in_(held)
    place = tuple_(POSITIONS.c.account_id, POSITIONS.c.token_id)
    return Story(
        kind=kind,
        id=str(subject["order_hash"] if kind == "order" else subject["id"]),
        trace_id=_trace(subject, orders),
        signals=signals,
        orders=orders,
        fills=await _oldest_first(reads, "fills", moved),
        positions=await _oldest_first(reads, "positions", place.in_(held)),
        protections=await _protections(reads, kind, subject, hashes),
        events=await _events(reads, kind, subject, hashes),
    )


def _trace(subject: Row, orders: list[Row]) -> str | None:
    """Return the trace of the subject; a position has those of its orders, the newest here."""
    found = subject.get("trace_id") or (orders[-1]["trace_id"] if orders else None)
    return None if found is None else str(found)


async def _protections(reads: Reads, kind: str, subject: Row, hashes: list[str]) -> list[Row]:
    fits: ColumnElement[bool] = PROTECTIONS.c.order_hash.in_(hashes)
    if kind == "position":
        fits = fits | (PROTECTIONS.c.position_id == subject["id"])
    return await _oldest_first(reads, "protections", fits)


async def _events(reads: Reads, kind: str, subject: Row, hashes: list[str]) -> list[Row]:
    fits = [EVENTS.c.order_hash.in_(hashes)]
    if kind == "signal":
        fits += [EVENTS.c.signal_id == subject["id"], EVENTS.c.subject_id == subject["id"]]
    if kind == "position":
        fits += [EVENTS.c.position_id == subject["id"]]
    return await _oldest_first(reads, "events", or_(*fits))


async def _oldest_first(reads: Reads, kind: str, condition: Any) -> list[Row]:
    return (await reads.where(kind, condition))[::-1]

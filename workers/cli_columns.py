"""Which columns each kind of row shows to people."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

from rich.text import Text

from infra.telemetry import printable
from workers.cli_client import Row
from workers.cli_tables import (
    GOOD,
    OVER,
    Column,
    elastic,
    market,
    moment,
    money,
    number,
    of,
    right,
    short,
    state,
    trimmed,
)

TOLD_ELSEWHERE: Final = frozenset(
    {"order_hash", "intent_id", "account_id", "token_id", "condition_id", "workflow_id"}
    | {"trace_id", "signal_id", "trade_id"}
)
DECIMAL: Final = re.compile(r"-?\d+\.\d+", re.ASCII)  # ids are whole numbers: left alone


def _cents(value: Any) -> Text:
    return number(value, 2)


def _tick(value: Any) -> Text:
    return number(value, 6)


def _yes(value: Any) -> Text:
    return Text("yes", style=GOOD) if value else Text("no", style=OVER)


def _filled(row: Row) -> Text:
    """Return how much of an order is filled, of how much."""
    style = GOOD if row.get("filled_size") == row.get("size") else ""
    return Text(f"{trimmed(row.get('filled_size'))}/{trimmed(row.get('size'))}", style=style)


def _outcomes(row: Row) -> Text:
    tokens = cast("Sequence[Mapping[str, Any]]", row.get("tokens") or ())
    return Text(printable("/".join(str(token["outcome"]) for token in tokens)))


def _prices(row: Row) -> Text:
    """Return stop-loss and take-profit as one word."""
    stop, profit = trimmed(row.get("prix_sl")), trimmed(row.get("prix_tp"))
    return Text(f"{stop or '-'}/{profit or '-'}" if stop or profit else "")


def _subject(row: Row) -> Text:
    return Text(printable(f"{row.get('subject_kind') or ''} ")).append_text(
        short(row.get("subject_id"))
    )


def _detail(row: Row) -> Text:
    return Text(told(row.get("detail")))


def told(detail: Any) -> str:
    """Return an event's detail as `field=value` words, numbers trimmed."""
    return printable(" ".join(f"{name}={_value(value)}" for name, value in _flat(detail)))


def _flat(detail: Any) -> Iterator[tuple[str, Any]]:
    """Yield the fields of a detail and of what lies inside, but for names told elsewhere."""
    if not isinstance(detail, Mapping):
        return
    for name, value in cast("Mapping[str, Any]", detail).items():
        if isinstance(value, Mapping):
            yield from _flat(value)
        elif value is not None and name not in TOLD_ELSEWHERE:
            yield name, value


def _value(value: Any) -> str:
    text = str(value)
    return trimmed(text, 6) if DECIMAL.fullmatch(text) else text


COLUMNS: Final[Mapping[str, tuple[Column, ...]]] = {
    "signals": (
        of("id", "id", short),
        of("received", "received_at", moment),
        of("source", "source"),
        of("action", "action"),
        Column(title="SL/TP", show=_prices),
        of("status", "status", state),
        elastic("reason", "reason"),
    ),
    "orders": (
        of("order", "order_hash", short),
        of("created", "created_at", moment),
        of("side", "side", state),
        of("type", "type"),
        market(),
        of("outcome", "outcome"),
        right("price", "price"),
        Column(title="filled", show=_filled, justify="right"),
        of("state", "state", state),
    ),
    "fills": (
        of("trade", "trade_id", short),
        of("order", "order_hash", short),
        of("matched", "matched_at", moment),
        of("side", "side", state),
        market(),
        of("outcome", "outcome"),
        right("size", "size"),
        right("price", "price"),
        right("fee", "fee"),
        of("status", "status", state),
    ),
    "positions": (
        of("id", "id", short),
        market(),
        of("outcome", "outcome"),
        of("status", "status", state),
        right("size", "size"),
        right("average", "average_price"),
        right("now", "current_price"),
        right("open P&L", "unrealised_pnl", money),
        right("realised", "realised_pnl_average", money),
        right("SL", "current_sl"),
        right("TP", "current_tp"),
    ),
    "events": (
        of("at", "at", moment),
        of("what", "kind"),
        Column(title="to", show=_subject),
        of("who", "who"),
        Column(title="detail", show=_detail, is_elastic=True),
    ),
    "markets": (
        Column(title="slug", show=lambda row: Text(printable(str(row["slug"]))), is_elastic=True),
        Column(title="outcomes", show=_outcomes),
        right("tick", "tick_size", _tick),
        right("minimum", "min_size"),
        of("neg-risk", "neg_risk", _yes),
        of("takes orders", "accepting_orders", _yes),
    ),
    "accounts": (
        of("id", "id"),
        of("state", "state", state),
        of("since", "state_changed_at", moment),
        of("wallet", "wallet", short),
        elastic("reason", "state_reason"),
    ),
    "pnl": (
        of("id", "id", short),
        market(),
        of("outcome", "outcome"),
        right("size", "size"),
        right("open", "unrealised_pnl", money),
        right("realised avg", "realised_pnl_average", money),
        right("realised FIFO", "realised_pnl_fifo", money),
        right("fees", "fees_usd", _cents),
    ),
}

"""What an event says to people: its detail in a few words, without what stands elsewhere."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from infra.telemetry import printable
from workers.cli_client import Row
from workers.cli_tables import shortened, trimmed

# Ids have columns and tables of their own; the step's own time stands beside it.
TOLD_ELSEWHERE: Final = frozenset(
    {"order_hash", "intent_id", "account_id", "token_id", "condition_id", "workflow_id"}
    | {"trace_id", "signal_id", "trade_id", "fill", "seen", "at", "before", "reason", "words"}
    | {"state", "attempts", "answer"}
)
DECIMAL: Final = re.compile(r"-?\d+\.\d+", re.ASCII)
MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:", re.ASCII)
ARROW: Final = " → "


def told(event: Row) -> str:
    """Return what an event says, on one line."""
    detail: Row = event.get("detail") or {}
    fill = detail.get("fill")
    if isinstance(fill, dict):
        return printable(_of_fill(detail, cast("Row", fill)))
    if event.get("kind") == "order.prepared":
        return printable(_of_order(_inside(detail, "after")))
    parts = [_step(detail), _words(detail), *_rest(detail)]
    return printable(" · ".join(part for part in parts if part))


def _of_fill(detail: Row, fill: Row) -> str:
    """Return a fill as traders say it, and what it did to the position."""
    status = str(fill.get("status") or "")
    if detail.get("status_before"):
        status = f"{detail['status_before']}{ARROW}{status}"
    words = f"{_trade(fill)}, fee {trimmed(fill.get('fee'))} · {status}"
    before, after = _inside(detail, "before"), _inside(detail, "after")
    if "size" in after:
        words += f" · position {trimmed(before.get('size'))}{ARROW}{trimmed(after['size'])}"
    return words


def _of_order(order: Row) -> str:
    """Return an order as it was written down."""
    return f"{_trade(order)} · {order.get('type')} {order.get('time_in_force')}"


def _trade(row: Row) -> str:
    return f"{row.get('side')} {trimmed(row.get('size'))} at {trimmed(row.get('price'))}"


def _step(detail: Row) -> str:
    """Return the change of state: `SENT → LIVE`."""
    before, state = detail.get("before"), _inside(detail, "after").get("state")
    if state is None or state == before:
        return ""
    return f"{before}{ARROW}{state}" if isinstance(before, str) else str(state)


def _words(detail: Row) -> str:
    """Return what was said in words."""
    reason = detail.get("reason") or _inside(detail, "after").get("reason")
    said = [str(one) for one in (reason, detail.get("words")) if one]
    return " · ".join(dict.fromkeys(said))


def _rest(detail: Row) -> Iterator[str]:
    """Yield the other fields that say something: no ids, no moments, nothing empty."""
    for name, value in (detail | _inside(detail, "after")).items():
        text = str(value)
        is_empty = value in (None, False, "", "0")
        if is_empty or isinstance(value, dict | list) or name in TOLD_ELSEWHERE:
            continue
        if not MOMENT.match(text):
            shown = trimmed(text, 6) if DECIMAL.fullmatch(text) else text
            yield f"{name.replace('_', ' ')} {shortened(shown) if shown[:2] == '0x' else shown}"


def _inside(detail: Row, name: str) -> Row:
    """Return the fields under `name`, none where there are none."""
    value = detail.get(name)
    return dict(cast("Mapping[str, Any]", value)) if isinstance(value, dict) else {}

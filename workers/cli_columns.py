"""Which columns each kind of row shows to people."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, cast

from rich.text import Text

from infra.clock import utc_now
from infra.telemetry import printable
from workers.cli_client import Row
from workers.cli_tables import (
    BAD,
    GOOD,
    OVER,
    WAITING,
    Column,
    elastic,
    market,
    middle_out,
    moment,
    money,
    number,
    of,
    right,
    roomy,
    short,
    state,
    trimmed,
)
from workers.cli_telling import told

OUTCOME: Final = 10
OUTCOMES: Final = 16
WIDE: Final = 120  # of a terminal that has room for what is seldom asked for


def _cents(value: Any) -> Text:
    return number(value, 2)


def _outcome(value: Any) -> Text:
    return Text(middle_out(str(value or ""), OUTCOME))


def _milliseconds(value: Any) -> Text:
    return number(value, 1)


def _statuses(row: Row) -> Text:
    counts = cast("Mapping[str, int]", row.get("statuses") or {})
    return Text("  ".join(f"{printable(status)} {count}" for status, count in counts.items()))


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
    return Text(middle_out("/".join(str(token["outcome"]) for token in tokens), OUTCOMES))


def _wished(row: Row) -> Text:
    """Return the stop-loss and take-profit a signal asked for."""
    return _pair(row.get("prix_sl"), row.get("prix_tp"))


def _protection(row: Row) -> Text:
    """Return the stop-loss and take-profit a position has."""
    return _pair(row.get("current_sl"), row.get("current_tp"))


def _guarded(row: Row) -> Text:
    """Return what protects an open position now, of what is wished for it."""
    wished = {"stop": ("current_sl", "sl_order_id"), "target": ("current_tp", "tp_order_id")}
    asked = [word for word, (wish, _) in wished.items() if row.get(wish) is not None]
    if row.get("status") != "open" or not asked:
        return Text("")
    if row.get("unprotected_since") is not None:
        return Text(f"no, {_running(row):.0f} s", style=BAD)
    stands = [word for word in asked if row.get(wished[word][1]) is not None]
    if stands == asked:
        return Text("yes", style=GOOD)
    return Text(" ".join(stands) or "no", style=WAITING)


def _running(row: Row) -> float:
    """Return for how many seconds a position has been unprotected by now; 0 where it is not."""
    since = row.get("unprotected_since")
    if since is None:
        return 0.0
    return max((utc_now() - datetime.fromisoformat(str(since))).total_seconds(), 0.0)


def _unprotected(row: Row) -> Text:
    """Return for how many seconds a position was unprotected in all, what lasts included."""
    past = row.get("unprotected_seconds")
    total = float(past or 0) + _running(row)
    return Text(f"{total:.1f}" if past is not None or total else "")


def _pair(stop_loss: Any, take_profit: Any) -> Text:
    stop, profit = trimmed(stop_loss), trimmed(take_profit)
    return Text(f"{stop or '-'}/{profit or '-'}" if stop or profit else "")


def _left_to_lose(row: Row) -> Text:
    """Return what an account may still lose today; empty where nobody knows."""
    limits = cast("Mapping[str, Mapping[str, Any]]", row.get("limits") or {})
    return _cents(limits.get("max_daily_loss_fraction", {}).get("left"))


def _subject(row: Row) -> Text:
    return Text(printable(f"{row.get('subject_kind') or ''} ")).append_text(
        short(row.get("subject_id"))
    )


def _detail(row: Row) -> Text:
    return Text(told(row), no_wrap=True, overflow="ellipsis")


COLUMNS: Final[Mapping[str, tuple[Column, ...]]] = {
    "signals": (
        of("id", "id", short),
        of("received", "received_at", moment),
        roomy(of("source", "source")),
        of("action", "action"),
        Column(title="SL/TP", show=_wished),
        of("status", "status", state),
        elastic("reason", "reason"),
    ),
    "orders": (
        of("order", "order_hash", short),
        roomy(of("created", "created_at", moment)),
        of("side", "side", state),
        roomy(of("type", "type")),
        market(),
        of("outcome", "outcome", _outcome),
        right("price", "price"),
        Column(title="filled", show=_filled, justify="right"),
        of("state", "state", state),
    ),
    "fills": (
        roomy(of("trade", "trade_id", short)),
        of("order", "order_hash", short),
        of("matched", "matched_at", moment),
        of("side", "side", state),
        market(),
        of("outcome", "outcome", _outcome),
        right("size", "size"),
        right("price", "price"),
        roomy(right("fee", "fee")),
        of("status", "status", state),
    ),
    "positions": (
        of("id", "id", short),
        market(),
        of("outcome", "outcome", _outcome),
        of("status", "status", state),
        right("size", "size"),
        roomy(right("average", "average_price")),
        right("now", "current_price"),
        right("open", "unrealised_pnl", money),
        right("realised", "realised_pnl_average", money),
        Column(title="SL/TP", show=_protection),
        roomy(Column(title="guarded", show=_guarded)),
        Column(title="unprotected s", show=_unprotected, justify="right", least_width=WIDE),
    ),
    "events": (
        of("at", "at", moment),
        of("what", "kind"),
        Column(title="to", show=_subject),
        roomy(of("who", "who")),
        Column(title="detail", show=_detail, is_elastic=True),
    ),
    "markets": (
        elastic("slug", "slug"),
        Column(title="outcomes", show=_outcomes),
        right("tick", "tick_size", _tick),
        right("min", "min_size"),
        of("neg-risk", "neg_risk", _yes),
        of("open", "accepting_orders", _yes),
    ),
    "reconciliations": (
        of("at", "begun_at", moment),
        of("account", "account_id"),
        of("result", "result", state),
        of("differ", "findings", lambda found: Text(str(len(found)))),
        of("by", "asked_by"),
        elastic("reason", "reason"),
    ),
    "accounts": (
        of("id", "id"),
        of("state", "state", state),
        of("since", "state_changed_at", moment),
        roomy(of("wallet", "wallet", short)),
        right("began with", "starting_equity_usd", _cents),
        right("today", "pnl_today_usd", money),
        Column(title="to lose", show=_left_to_lose, justify="right"),
        elastic("reason", "state_reason"),
    ),
    "guardians": (
        of("guardian", "account_id"),
        of("last tick", "swept_at", moment),
        right("ago s", "age_seconds", _milliseconds),
        right("took s", "seconds", _milliseconds),
        right("guarded", "positions"),
        right("unprotected", "unprotected"),
        right("alarms", "alarm_count"),
    ),
    "calls": (
        Column(title="endpoint", show=lambda row: Text(printable(str(row["endpoint"])))),
        right("calls", "calls"),
        Column(title="by status", show=_statuses, is_elastic=True),
        right("retries", "retry_count"),
        right("first byte p50", "first_byte_ms_p50", _milliseconds),
        right("p50", "total_ms_p50", _milliseconds),
        right("p95", "total_ms_p95", _milliseconds),
        right("p99", "total_ms_p99", _milliseconds),
    ),
    "pnl": (
        of("id", "id", short),
        market(),
        of("outcome", "outcome", _outcome),
        right("size", "size"),
        right("open", "unrealised_pnl", money),
        right("realised avg", "realised_pnl_average", money),
        right("realised FIFO", "realised_pnl_fifo", money),
        roomy(right("fees", "fees_usd", _cents)),
    ),
}

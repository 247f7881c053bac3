"""How the documents that are no lists look to people: status, earnings, a story."""

from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from infra.telemetry import printable
from workers.cli_client import Row
from workers.cli_columns import COLUMNS
from workers.cli_tables import (
    BAD,
    GOOD,
    OVER,
    STATE_STYLES,
    Rows,
    exact_moment,
    money,
    plain,
    plain_table,
    short,
    trimmed,
)
from workers.cli_telling import told

COMPARED_WELL: Final = frozenset({"agreed", "mended"})
SUMS: Final = {
    "realised_pnl_average": "realised, by average price",
    "realised_pnl_fifo": "realised, by FIFO",
    "unrealised_pnl": "open",
}


def status(_: Namespace, document: Any) -> RenderableType:
    """Return how the engine stands: its parts, its accounts, its counts."""
    lines = [_counted(kind, document.get(kind) or {}) for kind in ("signals", "orders")]
    lines.append(_counted("positions", document.get("positions") or {}))
    waiting = int(document.get("waiting_signals") or 0)
    if waiting:
        lines.append(Text(f"{waiting} signals wait to be taken up", style=BAD))
    lines += _held_back(document.get("exchange") or {})
    return Group(
        _parts(document.get("parts") or {}),
        Rows(COLUMNS["accounts"], document.get("accounts") or []),
        Rows(COLUMNS["guardians"], document.get("guardians") or []),
        *_alarms(document.get("guardians") or []),
        *lines,
        *_compared(document.get("reconciliations") or []),
        *_periodic(document.get("schedules") or []),
    )


def _compared(rows: list[Row]) -> list[Text]:
    """Return a line for each account: how its last comparison with the exchange ended."""
    return [
        Text()
        .append(f"{'compared':<10}", style="bold")
        .append(f"{printable(str(row['account_id']))} ")
        .append(str(row["result"]), style=GOOD if row["result"] in COMPARED_WELL else BAD)
        .append(f" at {str(row['ended_at'])[:19]}: {row['differences']} differences")
        for row in rows
    ]


def _periodic(jobs: list[Row]) -> list[Text]:
    """Return a line for each periodic job."""
    lines: list[Text] = []
    for job in jobs:
        line = Text().append(f"{'periodic':<10}", style="bold").append(f"{job['name']} ")
        line.append(f"every {job['every']}, overlap {job['overlap']}", style=OVER)
        for name in ("last_run", "next_run"):
            if job.get(name):
                line.append(f", {name.replace('_', ' ')} {str(job[name])[:19]}", style=OVER)
        if job.get("last_error"):
            line.append(f" {printable(str(job['last_error']))}", style=BAD)
        lines.append(line)
    return lines


def calls(_: Namespace, document: Any) -> RenderableType:
    """Return what calls to the exchange took, in milliseconds."""
    items: list[Row] = document["items"]
    if not items:
        return Text("no calls to the exchange yet", style=OVER)
    note = f"milliseconds, the last {document['minutes']} minutes; a reading is at most 25 % high"
    return Group(Rows(COLUMNS["calls"], items), Text(note, style=OVER))


def _alarms(guardians: list[Row]) -> list[Text]:
    """Return a line for each alarm that stands."""
    return [
        Text(printable(f"{alarm['name']} {alarm['about']}: {alarm['words']}"), style=BAD)
        for guardian in guardians
        for alarm in guardian.get("alarms") or ()
    ]


def _held_back(exchange: Mapping[str, Any]) -> list[Text]:
    """Return a line for each group of calls that is held back, and the counts of an hour."""
    lines: list[Text] = []
    for one in exchange.get("circuits") or ():
        if one["state"] != "closed":
            words = f"{one['scope']} {one['call_group']}: circuit {one['state']}, {one['words']}"
            lines.append(Text(printable(words), style=BAD))
    if exchange:
        counts = ("circuit_open_count", "retry_count", "rate_limit_hits")
        lines.append(_counted("exchange", {name: exchange[name] for name in counts}))
    return lines


def pnl(args: Namespace, document: Any) -> RenderableType:
    """Return what each position earned, and the sums of each account."""
    items: list[Row] = document["items"]
    totals: list[Row] = document["accounts"]
    rows = items[: args.limit] if args.limit else items
    if not rows:
        return Text("nothing was traded yet", style=OVER)
    return Group(Rows(COLUMNS["pnl"], rows), *map(_sum, totals))


def story(args: Namespace, document: Any) -> RenderableType:
    """Return the story behind an id: what it is, where it is seen, then step by step."""
    head = (
        Text().append(f"{document['kind']} ", style="bold").append(printable(str(document["id"])))
    )
    head.append(f"\ntrace    {printable(str(document['trace_id'] or 'none'))}", style=OVER)
    for link in document["workflows"]:
        head.append(f"\nworkflow {printable(str(link['url'] or link['workflow_id']))}", style=OVER)
    tables: list[RenderableType] = [
        Rows(COLUMNS[kind], document[kind], kind)
        for kind in ("signals", "orders", "fills", "positions")
        if document[kind]
    ]
    steps = document["timeline"]
    tables.append(_steps(steps[-args.limit :] if args.limit else steps))
    return Group(head, *(part for table in tables for part in ("", table)))


def _parts(parts: Mapping[str, str]) -> Text:
    """Return the parts the API needs: ok, or what is wrong."""
    line = Text()
    for name, how in parts.items():
        is_well = how == "ok"
        line.append(f"{name} ").append(printable(how), style=GOOD if is_well else BAD).append("  ")
    return line


def _counted(kind: str, counts: Mapping[str, int]) -> Text:
    """Return how many rows of a kind there are, by state."""
    line = Text().append(f"{kind:<10}", style="bold")
    for one, count in sorted(counts.items()):
        line.append(f"{count} ").append(printable(one), style=STATE_STYLES.get(one, ""))
        line.append("  ")
    return line if counts else line.append("none", style=OVER)


def _sum(total: Row) -> Text:
    """Return an account's earnings on one line."""
    line = Text().append(f"account {printable(str(total['account_id']))}: ", style="bold")
    for name, words in SUMS.items():
        line.append(f"{words} ").append_text(money(total.get(name))).append("  ")
    line.append(f"fees {trimmed(total.get('fees_usd'), 2)}")
    unpriced = int(total.get("unpriced") or 0)
    return line.append(f"  {unpriced} not priced now", style=BAD) if unpriced else line


def _steps(steps: Iterable[Row]) -> Table:
    """Return what happened, step by step; long words are folded, not cut."""
    table = plain_table("story")
    table.show_header = False
    for _ in range(3):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold", ratio=1)
    for step in steps:
        detail = Text(f"{step['who']}: " if step.get("who") else "", style=OVER)
        detail.append(told(step))
        what = plain(step["kind"])
        table.add_row(exact_moment(step["at"]), what, short(step["subject_id"]), detail)
    return table


DRAWINGS: Final[Mapping[str, Callable[[Namespace, Any], RenderableType]]] = {
    "status": status,
    "pnl": pnl,
    "calls": calls,
    "why": story,
}

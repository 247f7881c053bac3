"""How rows look to people: tables that fit 100 columns, states coloured, numbers trimmed."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Literal

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from infra.clock import utc_now
from infra.telemetry import printable
from workers.cli_client import Row

COLUMNS_OF_A_PIPE: Final = 100
SHORT_ID: Final = 8
SLUG: Final = 26
ELLIPSIS: Final = "…"

GOOD: Final = "green"
WAITING: Final = "yellow"
BAD: Final = "red"
OVER: Final = "dim"

STATE_STYLES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("processed", "running", "open", "armed", "resting", "done"), GOOD),
    **dict.fromkeys(("LIVE", "FILLED", "CONFIRMED", "ok", "green"), GOOD),
    **dict.fromkeys(("received", "processing", "exiting", "settling", "firing"), WAITING),
    **dict.fromkeys(("NEW", "SENT", "DELAYED", "PARTIAL", "MATCHED", "MINED"), WAITING),
    **dict.fromkeys(("reconciling", "halting", "RETRYING", "yellow", "denied"), WAITING),
    "UNKNOWN": "bold yellow",
    **dict.fromkeys(("error", "halted", "stopped", "blocked", "red"), BAD),
    **dict.fromkeys(("REJECTED", "ABANDONED", "FAILED"), BAD),
    **dict.fromkeys(("CANCELLED", "EXPIRED", "expired", "flat", "dust", "redeemed"), OVER),
    "BUY": GOOD,
    "SELL": "magenta",
}


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: its title and what it shows of a row.

    Attributes:
        is_elastic: it gives way, with an ellipsis, where the terminal is narrow.
    """

    title: str
    show: Callable[[Row], Text]
    justify: Literal["left", "right"] = "left"
    is_elastic: bool = False


def console(*, is_error: bool = False) -> Console:
    """Return the terminal, or a page of 100 columns where output goes into a pipe."""
    made = Console(stderr=is_error, highlight=False, markup=False)
    if not made.is_terminal:
        made = Console(stderr=is_error, highlight=False, markup=False, width=COLUMNS_OF_A_PIPE)
    return made


def plain(value: Any) -> Text:
    """Return any value as harmless text; nothing for None."""
    return Text("" if value is None else printable(str(value)))


def state(value: Any) -> Text:
    """Return a state in its colour."""
    return Text(printable(str(value or "")), style=STATE_STYLES.get(str(value), ""))


def short(identity: Any) -> Text:
    """Return enough of an id to name it again: `0x12ab…9f` of a hash, the head of another."""
    return Text(printable(shortened(str(identity or ""))))


def shortened(identity: str) -> str:
    """Return the short form of an id, which the verbs take in the id's place."""
    if identity.startswith("0x"):
        return f"{identity[:6]}{ELLIPSIS}{identity[-2:]}" if len(identity) > SHORT_ID else identity
    return identity[:SHORT_ID]


def middle_out(text: str, widest: int) -> str:
    """Return `text` in at most `widest` characters, its middle left out."""
    if len(text) <= widest:
        return text
    tail = (widest - 1) * 2 // 5
    return f"{text[: widest - 1 - tail]}{ELLIPSIS}{text[-tail:]}"


def number(value: Any, places: int = 4) -> Text:
    """Return a Decimal without the zeros that say nothing."""
    return Text(trimmed(value, places))


def money(value: Any) -> Text:
    """Return a gain or loss in its colour, to the cent."""
    read = _decimal(value)
    if read is None:
        return plain(value)
    style = GOOD if read > 0 else BAD if read < 0 else OVER
    return Text(f"{read:+,.2f}" if read else "0.00", style=style)


def trimmed(value: Any, places: int = 4) -> str:
    """Return `value` rounded to `places`, without trailing zeros; "" for None."""
    read = _decimal(value)
    if read is None:
        return "" if value is None else printable(str(value))
    text = f"{read:.{places}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def moment(value: Any) -> Text:
    """Return a time of today as a clock shows it, an older one with its date; local time."""
    return _clock(value, "%H:%M:%S")


def exact_moment(value: Any) -> Text:
    """Return the same to the millisecond."""
    shown = _clock(value, "%H:%M:%S.%f")
    return Text(shown.plain[:-3] if "." in shown.plain else shown.plain, style=OVER)


def _clock(value: Any, today: str) -> Text:
    try:
        at = datetime.fromisoformat(str(value)).astimezone()
    except ValueError:
        return plain(value)
    is_today = at.date() == utc_now().astimezone().date()
    return Text(at.strftime(today if is_today else "%m-%d %H:%M"), style=OVER)


def of(title: str, name: str, show: Callable[[Any], Text] = plain) -> Column:
    """Return a column that shows one field."""
    return Column(title=title, show=lambda row: show(row.get(name)))


def right(title: str, name: str, show: Callable[[Any], Text] = number) -> Column:
    """Return a column of numbers."""
    return Column(title=title, show=lambda row: show(row.get(name)), justify="right")


def elastic(title: str, name: str) -> Column:
    """Return a column of text that gives way where the terminal is narrow."""
    return Column(title=title, show=lambda row: plain(row.get(name)), is_elastic=True)


def market(title: str = "market", name: str = "market_slug") -> Column:
    """Return a column that names a market, shortened in the middle."""
    return Column(title=title, show=lambda row: plain(middle_out(str(row.get(name) or ""), SLUG)))


def drawn(columns: Iterable[Column], rows: Iterable[Row], title: str | None = None) -> Table:
    """Return the table of `rows`."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    shown = tuple(columns)
    for column in shown:
        table.add_column(
            column.title,
            justify=column.justify,
            no_wrap=True,
            overflow="ellipsis",
            min_width=6 if column.is_elastic else None,
        )
    for row in rows:
        table.add_row(*(column.show(row) for column in shown))
    return table


def _decimal(value: Any) -> Decimal | None:
    try:
        read = None if value is None else Decimal(str(value))
    except InvalidOperation:
        return None
    return read if read is not None and read.is_finite() else None

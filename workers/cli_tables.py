"""How rows look to people: tables that fit 100 columns, states coloured, numbers trimmed."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Literal

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from infra.clock import utc_now
from infra.telemetry import printable
from workers.cli_client import Row

COLUMNS_OF_A_PIPE: Final = 100
SHORT_ID: Final = 8
SLUG: Final = 12
ELLIPSIS: Final = "…"

GOOD: Final = "green"
WAITING: Final = "yellow"
BAD: Final = "red"
OVER: Final = "dim"

STATE_STYLES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("processed", "running", "open", "armed", "resting", "done"), GOOD),
    **dict.fromkeys(("LIVE", "FILLED", "CONFIRMED", "ok", "green", "agreed", "mended"), GOOD),
    **dict.fromkeys(("received", "processing", "exiting", "settling", "firing"), WAITING),
    **dict.fromkeys(("NEW", "SENT", "DELAYED", "PARTIAL", "MATCHED", "MINED"), WAITING),
    **dict.fromkeys(("reconciling", "halting", "RETRYING", "yellow", "denied"), WAITING),
    "UNKNOWN": "bold yellow",
    **dict.fromkeys(("error", "halted", "stopped", "blocked", "red"), BAD),
    **dict.fromkeys(("REJECTED", "ABANDONED", "FAILED", "failed", "incomplete"), BAD),
    **dict.fromkeys(("waiting", "differs"), WAITING),
    **dict.fromkeys(("CANCELLED", "EXPIRED", "expired", "flat", "dust", "redeemed"), OVER),
    "BUY": GOOD,
    "SELL": "magenta",
}


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: its title and what it shows of a row.

    Attributes:
        is_elastic: it gives way where the terminal is narrow: folded, or cut if its text says so.
        least_width: of the terminal; in a narrower one the column is left out.
    """

    title: str
    show: Callable[[Row], RenderableType]
    justify: Literal["left", "right"] = "left"
    is_elastic: bool = False
    least_width: int = 0


def console() -> Console:
    """Return the terminal, or a page of 100 columns where output goes into a pipe."""
    is_pipe = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    width = COLUMNS_OF_A_PIPE if is_pipe else None
    return Console(highlight=False, markup=False, width=width)


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
    text = printable(text)
    if len(text) <= widest:
        return text
    tail = (widest - 1) * 2 // 5
    return f"{text[: widest - 1 - tail]}{ELLIPSIS}{text[len(text) - tail :]}"


@dataclass(frozen=True)
class Slug:
    """A name that loses its middle where there is no room: slugs differ at their ends."""

    text: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield as much as there is room for."""
        yield Text(middle_out(self.text, options.max_width), no_wrap=True)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Return how narrow it may become, and how wide it would like to be."""
        return Measurement(min(SLUG, len(self.text)), min(len(self.text), options.max_width))


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
    """Return a column of text that is folded where the terminal is narrow."""
    return Column(title=title, show=lambda row: plain(row.get(name)), is_elastic=True)


def market() -> Column:
    """Return the column that names a market."""
    return Column(
        title="market", show=lambda row: Slug(str(row.get("market_slug") or "")), is_elastic=True
    )


def roomy(column: Column) -> Column:
    """Return the same column, left out where the terminal is narrower than 100 columns."""
    return replace(column, least_width=COLUMNS_OF_A_PIPE)


@dataclass(frozen=True)
class Rows:
    """Rows as a table that takes the width there is."""

    columns: Sequence[Column]
    rows: Sequence[Row]
    title: str | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table."""
        table = plain_table(self.title)
        shown = [one for one in self.columns if one.least_width <= options.max_width]
        for column in shown:
            table.add_column(
                Text(column.title, no_wrap=True),
                justify=column.justify,
                no_wrap=not column.is_elastic,
                overflow="fold" if column.is_elastic else "ellipsis",
            )
        for row in self.rows:
            table.add_row(*(column.show(row) for column in shown))
        yield table


def plain_table(title: str | None = None) -> Table:
    """Return a table without lines, two spaces between its columns."""
    return Table(
        box=None,
        padding=(0, 2, 0, 0),
        pad_edge=False,
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="bold cyan",
    )


def _decimal(value: Any) -> Decimal | None:
    try:
        read = None if value is None else Decimal(str(value))
    except InvalidOperation:
        return None
    return read if read is not None and read.is_finite() else None

"""What the reading verbs show to people: once, or again every second."""

import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from typing import Final, NoReturn

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from workers.cli_client import Row, UnreachableError
from workers.cli_columns import COLUMNS
from workers.cli_drawings import DRAWINGS
from workers.cli_read import WATCH_SECONDS, fetch
from workers.cli_stack import Stack, found_stack
from workers.cli_tables import Rows, console

ROWS_SHOWN: Final = 30  # a screenful; --limit shows more


def show(args: Namespace) -> int:
    """Show what the verb names; with --watch, again every second until Ctrl-C."""
    with found_stack() as stack:
        if args.watch:
            _watched(stack, args)
        console().print(_drawn(stack, args))
    return 0


def _watched(stack: Stack, args: Namespace) -> NoReturn:
    """Redraw every second on a terminal; into a pipe, write one picture after the other."""
    screen = console()
    if not screen.is_terminal:
        _repeat(stack, args, screen.print)
    with Live(console=screen, auto_refresh=False, vertical_overflow="crop") as live:
        _repeat(stack, args, lambda picture: live.update(picture, refresh=True))


def _repeat(stack: Stack, args: Namespace, show: Callable[[RenderableType], None]) -> NoReturn:
    """Show again and again; a stack that is away for a while is waited for."""
    while True:
        try:
            show(_drawn(stack, args))
        except UnreachableError as error:
            show(Text(str(error), style="red"))
        time.sleep(WATCH_SECONDS)


def _drawn(stack: Stack, args: Namespace) -> RenderableType:
    read = fetch(stack, args, args.limit or ROWS_SHOWN)
    draw = DRAWINGS.get(args.verb)
    return _listed(args, read["items"]) if draw is None else draw(args, read)


def _listed(args: Namespace, rows: Sequence[Row]) -> RenderableType:
    """Return the table of `rows`, and where it stops short, how to see more."""
    if not rows:
        return Text(f"no {args.verb} yet", style="dim")
    table = Rows(COLUMNS[args.verb], rows)
    if args.limit or len(rows) < ROWS_SHOWN:
        return table
    return Group(table, Text(f"the first {len(rows)}; --limit N shows more", style="dim"))

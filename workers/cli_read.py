"""What the reading verbs ask for, and their answer as one JSON document."""

import time
from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import Any, Final

from workers.cli_output import write_document, write_line
from workers.cli_stack import Stack, found_stack
from workers.cli_story import story

WATCH_SECONDS: Final = 1.0


def fetch(stack: Stack, args: Namespace, limit: int | None) -> Any:
    """Return the document that `args.verb` asks for: for a kind of rows, newest first."""
    ask = DOCUMENTS.get(args.verb)
    return {"items": stack.api.rows(args.verb, limit)} if ask is None else ask(stack, args)


def write(args: Namespace) -> int:
    """Write the document; with --watch, one a line every second until Ctrl-C."""
    with found_stack() as stack:
        if not args.watch:
            write_document(fetch(stack, args, args.limit))
            return 0
        while True:
            write_line(fetch(stack, args, args.limit))
            time.sleep(WATCH_SECONDS)


def _status(stack: Stack, _: Namespace) -> Any:
    return stack.api.get("/status")


def _pnl(stack: Stack, _: Namespace) -> Any:
    return stack.api.get("/pnl")


def _calls(stack: Stack, _: Namespace) -> Any:
    return stack.api.get("/calls")


def _why(stack: Stack, args: Namespace) -> Any:
    return story(stack, args.id)


DOCUMENTS: Final[Mapping[str, Callable[[Stack, Namespace], Any]]] = {
    "status": _status,
    "pnl": _pnl,
    "calls": _calls,
    "why": _why,
}

"""The verbs that act on a position: they name it, ask once, and wait for what comes of it."""

import os
import time
from argparse import Namespace
from collections.abc import Callable
from typing import Final, cast
from urllib.parse import quote

from domain.ids import digest
from infra.clock import monotonic_seconds, utc_now
from workers.cli_act import SIGNAL_EXITS, Outcome, awaited, concluded
from workers.cli_client import (
    CONFLICT,
    FAILED,
    NOT_KNOWN_YET,
    PREFIX,
    WRONG_USE,
    Answer,
    CommandError,
    Row,
    UnreachableError,
    refusal,
)
from workers.cli_stack import Stack, found_stack
from workers.cli_story import ELLIPSIS, FEWEST, MOST_NAMED, NotNamedError

ASK_AGAIN_SECONDS: Final = 0.5
OPEN: Final = frozenset({"open", "exiting"})


def protect(args: Namespace) -> int:
    """Move a position's stop-loss and take-profit."""
    wish = {"stop_loss": args.sl, "take_profit": args.tp}
    body = {name: price for name, price in wish.items() if price is not None}
    if not body:
        raise CommandError("give --sl, --tp or both; 0 takes one away", WRONG_USE)
    with found_stack() as stack:
        position = named(stack, args.position)
        return _asked(args, stack, position, "protect", body)


def leave(args: Namespace) -> int:
    """Sell a position, and wait until it is flat."""
    with found_stack() as stack:
        position = named(stack, args.position)
        return _asked(args, stack, position, "exit", {"reason": args.reason})


def named(stack: Stack, given: str) -> Row:
    """Return the position that `given` names: id, token id, or market slug with its outcome.

    One that is held is meant before one that is over.

    Raises:
        NotNamedError: nothing is named so.
        CommandError: more than one thing is, or may be.
    """
    rows = stack.api.rows("positions")
    found = [row for row in rows if _fits(given)(row)]
    held = [row for row in found if row["status"] in OPEN]
    found = held or found
    if not found:
        raise NotNamedError(f"no position is named {given}: see `holdfast positions`", WRONG_USE)
    if len(found) > 1:
        shown = [f"{row['market_slug']}:{row['outcome']} ({row['id']})" for row in found]
        more = ", …" if len(shown) > MOST_NAMED else ""
        words = f"{given} may mean {', '.join(shown[:MOST_NAMED])}{more}: give more of it"
        raise CommandError(words, WRONG_USE)
    return found[0]


def _fits(given: str) -> Callable[[Row], bool]:
    """Return what tells whether a position is named so."""
    slug, _, outcome = given.partition(":")
    head, _, tail = given.replace("...", ELLIPSIS).partition(ELLIPSIS)

    def fits(row: Row) -> bool:
        identity = str(row["id"])
        is_id = len(head) >= FEWEST and identity.startswith(head) and identity.endswith(tail)
        is_outcome = not outcome or str(row.get("outcome")).casefold() == outcome.casefold()
        return is_id or row["token_id"] == given or (row.get("market_slug") == slug and is_outcome)

    return fits


def _asked(args: Namespace, stack: Stack, position: Row, verb: str, body: Row) -> int:
    """Ask for something and say what came of it."""
    path = f"/positions/{quote(str(position['id']))}/{verb}"
    until = monotonic_seconds() + args.wait
    answer = _posted(stack, path, body, args.id or _key(path), until)
    told = cast("Row", answer.body) if isinstance(answer.body, dict) else {}
    signal_id = str(told.get("signal_id") or "")
    if not signal_id:
        if answer.status == CONFLICT:
            outcome = Outcome(None, "conflict", answer.words)
            return concluded(args, outcome, FAILED, verb)
        raise refusal(answer, path)
    row = awaited(
        max(until - monotonic_seconds(), 0),
        lambda: stack.api.find("signals", signal_id),
        lambda found: found["status"] in SIGNAL_EXITS,
    )
    status = str((row or told).get("status", "unknown"))
    still = f"not known after {args.wait:g} s: `holdfast why {signal_id}` shows the rest"
    detail = (row or told).get("reason") or (None if status in SIGNAL_EXITS else still)
    outcome = Outcome(str(told["workflow_id"]), status, detail)
    what = f"{verb} {position['market_slug']}:{position['outcome']}"
    return concluded(args, outcome, SIGNAL_EXITS.get(status, NOT_KNOWN_YET), what)


def _key(path: str) -> str:
    """Return what makes asking again the same wish, and another run of the verb another."""
    return digest("cli", path, str(os.getpid()), utc_now().isoformat())


def _posted(stack: Stack, path: str, body: Row, key: str, until: float) -> Answer:
    """Ask, and again under the same key while the API is away for a moment."""
    while True:
        try:
            return stack.api.ask("POST", PREFIX + path, body=body, key=key)
        except UnreachableError:
            if monotonic_seconds() + ASK_AGAIN_SECONDS >= until:
                raise
        time.sleep(ASK_AGAIN_SECONDS)

"""Ids as people give them, and the story behind one."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from workers.cli_client import (
    NOT_FOUND,
    PREFIX,
    UNPROCESSABLE,
    WRONG_USE,
    CommandError,
    Row,
    refusal,
)
from workers.cli_stack import Stack

ARRIVAL: Final = "signal.received"
ELLIPSIS: Final = "…"
FEWEST: Final = 4  # characters of an id: fewer name too much
IDENTITIES: Final = {"signals": "id", "orders": "order_hash", "positions": "id"}
MOST_NAMED: Final = 4


class NotNamedError(CommandError):
    """Nothing has an id like the one given."""


def story(stack: Stack, given: str) -> Any:
    """Return the story of the signal, order or position that `given` names.

    Raises:
        CommandError: nothing, or more than one thing, is named so.
    """
    document = _told(stack, given)
    if document is None:
        document = _told(stack, resolved(stack, given, tuple(IDENTITIES)))
    if document is None:
        raise NotNamedError(f"nothing is told of {given}", WRONG_USE)
    return document | {"timeline": timeline(document)}


def timeline(document: Mapping[str, Any]) -> list[Row]:
    """Return what happened, oldest first: the arrival of each signal, then the events."""
    events: list[Row] = document["events"]
    known = {step["subject_id"] for step in events if step["kind"] == ARRIVAL}
    arrivals = [
        {
            "at": signal["received_at"],
            "kind": ARRIVAL,
            "subject_kind": "signal",
            "subject_id": signal["id"],
            "who": None,
            "detail": {name: signal.get(name) for name in ("source", "action")},
        }
        for signal in document["signals"]
        if signal["id"] not in known  # an order's events do not go back so far
    ]
    # Of two at the same moment the arrival comes first; events are in order already.
    return sorted([*arrivals, *events], key=lambda step: datetime.fromisoformat(step["at"]))


def resolved(
    stack: Stack, given: str, kinds: Sequence[str], query: Mapping[str, str] | None = None
) -> str:
    """Return the one whole id that `given` shortens, as tables do or by its beginning.

    `query` narrows the rows that are looked at.

    Raises:
        NotNamedError: nothing is named so.
        CommandError: more than one thing is, or may be.
    """
    what = " or ".join(kind.removesuffix("s") for kind in kinds)
    head, _, tail = given.replace("...", ELLIPSIS).partition(ELLIPSIS)
    if len(head.removeprefix("0x")) < FEWEST:
        raise CommandError(f"{given!r} is too short to name one {what}: give more of it", WRONG_USE)
    found = sorted(
        str(row[IDENTITIES[kind]])
        for kind in kinds
        for row in stack.api.rows(kind, query=query)
        if str(row[IDENTITIES[kind]]).startswith(head) and str(row[IDENTITIES[kind]]).endswith(tail)
    )
    if not found:
        raise NotNamedError(f"no {what} is named {given}", WRONG_USE)
    if len(found) > 1:
        named = ", ".join(found[:MOST_NAMED]) + (", …" if len(found) > MOST_NAMED else "")
        raise CommandError(f"{given} may mean {named}: give more of it", WRONG_USE)
    return found[0]


def _told(stack: Stack, identity: str) -> Any:
    """Return the API's story of `identity`, None where it knows none."""
    path = f"/why/{quote(identity, safe='')}"
    answer = stack.api.ask("GET", PREFIX + path)
    if answer.status in {NOT_FOUND, UNPROCESSABLE}:
        return None
    if not answer.is_good:
        raise refusal(answer, path)
    return answer.body

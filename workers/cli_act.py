"""The verbs that act: they ask, wait for the outcome, and say it in three words."""

import sys
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Final, cast
from urllib.parse import quote, urlsplit

from infra.clock import monotonic_seconds
from infra.telemetry import printable
from workers.cli_client import (
    CONFLICT,
    DENIED,
    FAILED,
    NOT_KNOWN_YET,
    PREFIX,
    UNPROCESSABLE,
    WRONG_USE,
    Answer,
    Caller,
    CommandError,
    Row,
    UnreachableError,
    refusal,
)
from workers.cli_output import write_document
from workers.cli_stack import Stack, found_stack
from workers.cli_story import NotNamedError, resolved

SOURCE: Final = "tradingview"
FIRST_PAUSE_SECONDS: Final = 0.05
LONGEST_PAUSE_SECONDS: Final = 0.5
HASH_LENGTH: Final = 66

SIGNAL_EXITS: Final = {"processed": 0, "denied": DENIED, "expired": FAILED, "error": FAILED}
LIVE_STATES: Final = "NEW,SENT,UNKNOWN,DELAYED,LIVE,PARTIAL"
ORDER_OVER: Final = frozenset({"FILLED", "CANCELLED", "EXPIRED", "REJECTED", "ABANDONED"})


@dataclass(frozen=True)
class Outcome:
    """What came of an act: the last thing an acting verb says."""

    workflow_id: str | None
    status: str
    detail: str | None


def send(args: Namespace) -> int:
    """Post a webhook as an alert sender would, and wait for what becomes of it."""
    with found_stack() as stack:
        hook = stack.told["webhooks"].get(SOURCE)
        if hook is None:
            raise CommandError(f"the stack has no webhook source {SOURCE}: see `config show`")
        answer = _posted(hook["url"], _alert(args) | {"secret": hook["secret"]})
        if not answer.is_good:
            return _refused(args, answer)
        signal_id = str(answer.body["signal_id"])
        row = awaited(
            args.wait,
            lambda: stack.api.find("signals", signal_id),
            lambda found: found["status"] in SIGNAL_EXITS,
        )
    status = str((row or answer.body)["status"])
    told = row or {}
    detail = told.get("reason") or (None if status in SIGNAL_EXITS else _still(args, "signal"))
    outcome = Outcome(told.get("workflow_id"), status, detail)
    return concluded(args, outcome, SIGNAL_EXITS.get(status, NOT_KNOWN_YET), f"signal {signal_id}")


def cancel(args: Namespace) -> int:
    """Cancel one order, and wait until it cannot match any more."""
    with found_stack() as stack:
        order_hash = _order_hash(stack, args.order)
        path = f"/orders/{quote(order_hash)}/cancel"
        answer = stack.api.ask("POST", PREFIX + path, body={})
        if not answer.is_good and answer.status != CONFLICT:
            raise refusal(answer, path)
        asked = cast("Row", answer.body) if answer.is_good else {}
        row = awaited(
            args.wait if answer.is_good else 0,
            lambda: stack.api.find("orders", order_hash),
            lambda found: found["state"] in ORDER_OVER,
        )
    told = row or {}
    state = str(told.get("state") or asked.get("status") or "unknown")
    workflow_id = asked.get("workflow_id") or told.get("workflow_id")
    outcome = Outcome(workflow_id, state, _of_cancel(args, told, answer))
    return concluded(args, outcome, _cancel_exit(state, answer), f"order {order_hash}")


def awaited(
    wait_seconds: float,
    look: Callable[[], Row | None],
    is_over: Callable[[Row], bool],
) -> Row | None:
    """Return the row once it is over, or as it is when the time is; None if it never showed.

    An API that is away for a moment (a restart) is asked again.
    """
    deadline = monotonic_seconds() + wait_seconds
    pause, row = FIRST_PAUSE_SECONDS, None
    while True:
        try:
            row = look() or row
        except UnreachableError:
            if monotonic_seconds() >= deadline:
                return row
        left = deadline - monotonic_seconds()
        if (row is not None and is_over(row)) or left <= 0:
            return row
        time.sleep(min(pause, left))
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


def concluded(args: Namespace, outcome: Outcome, exit_code: int, what: str) -> int:
    """Say the outcome and return the exit code."""
    if args.json:
        write_document(asdict(outcome))
        return exit_code
    words = f"{what}: {outcome.status}" + (f" ({outcome.detail})" if outcome.detail else "")
    line = words + (f"\nworkflow {outcome.workflow_id}" if outcome.workflow_id else "")
    shown = "\n".join(printable(one) for one in line.splitlines())
    (sys.stdout if exit_code in {0, NOT_KNOWN_YET} else sys.stderr).write(shown + "\n")
    return exit_code


def write_failure(words: str) -> None:
    """Write the document of an act that could not even be asked for."""
    write_document(asdict(Outcome(None, "failed", words)))


def _alert(args: Namespace) -> dict[str, str]:
    """Return the alert's own fields, as the sender would write them."""
    fields = {
        "action": args.action,
        "market": args.market,
        "outcome": _outcome(args),
        "percent": args.percent,
        "notional": args.notional,
        "size": args.size,
        "price": args.price,
        "stop_loss": args.sl,
        "take_profit": args.tp,
        "order_hash": args.order,
        "id": args.id,
    }
    return {name: str(value) for name, value in fields.items() if value is not None}


def _outcome(args: Namespace) -> str | None:
    """Return which side of the market is meant; a cancel without one means both."""
    is_cancel = args.action.casefold() == "cancel"
    return (args.outcome or (None if is_cancel else "Yes")) if args.market else None


def _posted(url: str, body: dict[str, str]) -> Answer:
    parts = urlsplit(url)
    with Caller(f"{parts.scheme}://{parts.netloc}") as sender:
        return sender.ask("POST", parts.path, body=body)


def _refused(args: Namespace, answer: Answer) -> int:
    """Say why the webhook was not taken; fields to be mended are the caller's mistake."""
    status = "conflict" if answer.status == CONFLICT else "error"
    exit_code = WRONG_USE if answer.status == UNPROCESSABLE else FAILED
    detail = answer.words or f"the API answers {answer.status}"
    return concluded(args, Outcome(None, status, detail), exit_code, "the signal")


def _order_hash(stack: Stack, given: str) -> str:
    """Return the whole hash of the order that `given` names."""
    if len(given) == HASH_LENGTH:
        return given
    try:
        return resolved(stack, given, ("orders",), {"state": LIVE_STATES})
    except NotNamedError:
        return resolved(stack, given, ("orders",))


def _cancel_exit(state: str, answer: Answer) -> int:
    if state == "FILLED":
        return FAILED
    if state in ORDER_OVER:
        return 0
    return NOT_KNOWN_YET if answer.is_good else FAILED


def _of_cancel(args: Namespace, order: Row, answer: Answer) -> str | None:
    """Return what there is to say of an order after its cancel."""
    state = order.get("state")
    if state == "FILLED":
        return "it was filled before the cancel"
    if not answer.is_good:
        return answer.words
    return order.get("reason") if state in ORDER_OVER else _still(args, "order")


def _still(args: Namespace, what: str) -> str:
    return f"not known after {args.wait:g} s: `holdfast {what}s` shows the rest"

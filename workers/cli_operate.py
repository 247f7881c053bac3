"""The verbs that stop accounts and let them trade again."""

from argparse import Namespace
from typing import Final
from urllib.parse import quote

from workers.cli_act import Outcome, awaited, concluded
from workers.cli_client import CONFLICT, DENIED, NOT_KNOWN_YET, PREFIX, CommandError, Row, refusal
from workers.cli_direct import kill_directly
from workers.cli_stack import Stack, found_stack

HALTED: Final = "halted"
RUNNING: Final = "running"
OPEN: Final = frozenset({"open", "exiting"})


def kill(args: Namespace) -> int:
    """Stop every account: no entries, nothing rests; and sell what is held where asked."""
    if args.direct:
        return concluded(args, *kill_directly(args.reason, closes=args.close_positions), "kill")
    with found_stack() as stack:
        body = {"reason": args.reason, "close_positions": args.close_positions}
        asked = [_asked(stack, account, "kill", body) for account in accounts_of(stack)]

        def stands() -> Row:
            return _standing(stack, wants_flat=args.close_positions)

        row = awaited(args.wait, stands, lambda found: found["is_done"]) or {"is_done": False}
    outcome = Outcome(asked[0], row.get("state", "unknown"), row.get("words"))
    return concluded(args, outcome, 0 if row["is_done"] else NOT_KNOWN_YET, "kill")


def resume(args: Namespace) -> int:
    """Let every stopped account trade again, unless a rule forbids it."""
    with found_stack() as stack:
        workflow_id: str | None = None
        for account in accounts_of(stack):
            path = f"/accounts/{quote(account)}/resume"
            answer = stack.api.ask("POST", PREFIX + path, body={"force": args.force})
            if answer.status == CONFLICT:
                outcome = Outcome(None, "refused", f"{account}: {answer.words}")
                return concluded(args, outcome, DENIED, "resume")
            if not answer.is_good:
                raise refusal(answer, path)
            workflow_id = str(answer.body["workflow_id"])
        row = awaited(
            args.wait,
            lambda: _states(stack),
            lambda found: set(found["states"]) == {RUNNING},
        )
    is_running = row is not None and set(row["states"]) == {RUNNING}
    outcome = Outcome(workflow_id, _worst(row), row["words"] if row else None)
    return concluded(args, outcome, 0 if is_running else NOT_KNOWN_YET, "resume")


def accounts_of(stack: Stack) -> list[str]:
    """Return the accounts of the stack.

    Raises:
        CommandError: there is none.
    """
    accounts = [str(row["id"]) for row in stack.api.rows("accounts")]
    if not accounts:
        raise CommandError("the stack has no account: see `holdfast config show`")
    return accounts


def _asked(stack: Stack, account: str, verb: str, body: Row) -> str:
    """Ask the API to act on one account and return the workflow that does."""
    path = f"/accounts/{quote(account)}/{verb}"
    answer = stack.api.ask("POST", PREFIX + path, body=body)
    if not answer.is_good:
        raise refusal(answer, path)
    return str(answer.body["workflow_id"])


def _states(stack: Stack) -> Row:
    """Return the states of all accounts, with their reasons."""
    rows = stack.api.rows("accounts")
    words = "; ".join(str(row["state_reason"]) for row in rows if row["state_reason"])
    return {"states": [str(row["state"]) for row in rows], "words": words or None}


def _worst(row: Row | None) -> str:
    """Return the one state that speaks for all accounts."""
    states = row["states"] if row else ["unknown"]
    return next((state for state in states if state != RUNNING), RUNNING)


def _standing(stack: Stack, *, wants_flat: bool) -> Row:
    """Return how far a kill has come."""
    known = _states(stack)
    is_done = set(known["states"]) == {HALTED}
    open_now = 0
    if wants_flat and is_done:
        rows = stack.api.rows("positions")
        open_now = sum(row["status"] in OPEN for row in rows)
    state = next((state for state in known["states"] if state != HALTED), HALTED)
    words = known["words"] + (f"; {open_now} positions still open" if open_now else "")
    return {"is_done": is_done and not open_now, "state": state, "words": words}

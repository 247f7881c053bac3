"""The verbs that compare with the exchange and that stop in good order."""

from argparse import Namespace
from dataclasses import asdict
from typing import Final
from urllib.parse import quote

from workers.cli_act import Outcome, awaited, concluded
from workers.cli_client import FAILED, NOT_KNOWN_YET, PREFIX, Row, refusal
from workers.cli_operate import accounts_of
from workers.cli_output import write_document
from workers.cli_stack import Stack, found_stack

EXITS: Final = {"waiting": NOT_KNOWN_YET, "incomplete": FAILED, "failed": FAILED}
WORST: Final = ("failed", "incomplete", "waiting", "differs", "mended", "agreed")
SNAPSHOT: Final = "account.snapshot"
SHOWN: Final = 20  # differences in the words for people


def reconcile(args: Namespace) -> int:
    """Compare every account with the exchange, and say what differed and what was done."""
    with found_stack() as stack:
        asked = [_asked(stack, one, "reconcile", _wish(args)) for one in accounts_of(stack)]
        reports = [_report(stack, args, one) for one in asked]
    workflow_id = str(asked[0]["workflow_id"])
    if None in reports:
        words = f"no report after {args.wait:g} s: `holdfast reconciliations` shows it later"
        return concluded(args, Outcome(workflow_id, "unknown", words), NOT_KNOWN_YET, "reconcile")
    told = [report for report in reports if report is not None]
    status = next(word for word in WORST if word in {report["result"] for report in told})
    outcome = Outcome(workflow_id, status, _words(told))
    if args.json:
        write_document(asdict(outcome) | {"reports": told})
        return EXITS.get(status, 0)
    return concluded(args, outcome, EXITS.get(status, 0), "reconcile")


def shutdown(args: Namespace) -> int:
    """Stop every account: no entries, nothing rests, compared with the exchange, written down."""
    with found_stack() as stack:
        accounts = accounts_of(stack)
        before = {one: _newest_snapshot(stack, one) for one in accounts}
        asked = [_asked(stack, one, "shutdown", {"reason": args.reason}) for one in accounts]

        def ended() -> Row:
            found = {one: _newest_snapshot(stack, one) for one in accounts}
            is_done = all(found[one] not in {None, before[one]} for one in accounts)
            rows = stack.api.rows("accounts")
            states = {str(row["state"]) for row in rows}
            is_done = is_done and states <= {"stopped", "halted"}
            words = "; ".join(str(row["state_reason"]) for row in rows if row["state_reason"])
            return {"is_done": is_done, "states": states, "words": words}

        row = awaited(args.wait, ended, lambda found: bool(found["is_done"]))
    if row is None or not row["is_done"]:
        words = f"still at work after {args.wait:g} s: see `holdfast status`"
        outcome = Outcome(str(asked[0]["workflow_id"]), "halting", words)
        return concluded(args, outcome, NOT_KNOWN_YET, "shutdown")
    state = "stopped" if row["states"] == {"stopped"} else "halted"
    outcome = Outcome(str(asked[0]["workflow_id"]), state, row["words"])
    exit_code = FAILED if "NOT CONFIRMED" in row["words"] else 0
    return concluded(args, outcome, exit_code, "shutdown")


def _wish(args: Namespace) -> Row:
    return {"report_only": args.report_only}


def _asked(stack: Stack, account: str, verb: str, body: Row) -> Row:
    """Ask the API to act on one account and return its answer."""
    path = f"/accounts/{quote(account)}/{verb}"
    answer = stack.api.ask("POST", PREFIX + path, body=body)
    if not answer.is_good:
        raise refusal(answer, path)
    return dict(answer.body) | {"account": account}


def _report(stack: Stack, args: Namespace, asked: Row) -> Row | None:
    """Return the report of the comparison that was asked for; None where it is not there yet."""

    def look() -> Row | None:
        query = {"account": str(asked["account"]), "since": str(asked["asked_at"])}
        found = stack.api.rows("reconciliations", query=query)
        wanted = [row for row in found if row["is_report_only"] == args.report_only]
        return wanted[-1] if wanted else None

    return awaited(args.wait, look, bool)


def _newest_snapshot(stack: Stack, account: str) -> object:
    """Return which snapshot of an account is the newest; None where there is none."""
    found = stack.api.rows("events", 1, query={"kind": SNAPSHOT, "account": account})
    return found[0]["seq"] if found else None


def _words(reports: list[Row]) -> str:
    """Return what differed, a line each."""
    lines = [f"{report['account_id']}: {report['result']}" for report in reports]
    for report in reports:
        findings = report["findings"]
        lines += [
            f"{one['kind']} {one['subject']}: ours {one['ours']}, theirs {one['theirs']}"
            f" -> {one['outcome']}" + (f", {one['words']}" if one["words"] else "")
            for one in findings[:SHOWN]
        ]
        lines += [f"{len(findings) - SHOWN} more"] if len(findings) > SHOWN else []
        lines += [f"warning: {words}" for words in report["warnings"]]
    return "\n".join(lines)

"""The command `holdfast`: what may be typed, and which function answers.

A verb's module is imported when the verb is used, so that none pays for another's libraries.
"""

import pkgutil
import sys
from argparse import (
    ArgumentParser,
    ArgumentTypeError,
    Namespace,
    RawDescriptionHelpFormatter,
)
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final, cast

from domain.errors import HoldfastError

FAILED: Final = 1
LONGEST_VERB: Final = 13  # its indent included
PAPER_PORT: Final = 7406  # where `up` would put it on a machine of its own
PAPER_FOLDER: Final = "~/.holdfast-paper"
LONGEST_WAIT_SECONDS: Final = 86_400
SCREEN: Final = "workers.cli_screen:show"
DOCUMENT: Final = "workers.cli_read:write"
ACTS: Final = "workers.cli_act"
OPERATES: Final = "workers.cli_operate"
POSITION: Final = "workers.cli_position"
COMPARES: Final = "workers.cli_compare"
ROLES: Final = "workers.cli_roles"
INTERRUPTED: Final = 130
PIPE_CLOSED: Final = 141

EXITS: Final = """\
exit codes: 0 done, 1 failed, 2 wrong use, 3 refused by a rule, 4 outcome not known yet
HOLDFAST_DATA_DIR names the running stack; without it, that of the last `holdfast up`."""

READS: Final = {
    "status": "how the engine stands",
    "signals": "what arrived and what became of it",
    "orders": "orders and their states",
    "fills": "shares that changed hands",
    "positions": "what is held, and what protects it",
    "pnl": "what was earned, by average price and by FIFO",
    "events": "the audit trail",
    "markets": "markets that may be traded",
    "accounts": "accounts and whether they may enter",
    "reconciliations": "comparisons with the exchange, and what they found",
    "calls": "calls to the exchange in the last hour: counts, times, retries",
}


Verbs = Any  # argparse gives its collection of subcommands no public name


class Help(RawDescriptionHelpFormatter):
    """Help with a column wide enough for every verb: argparse forgets their indent."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog)
        self._action_max_length = LONGEST_VERB


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code; a foreseeable fault is one line, no traceback."""
    args = parser().parse_args(argv)
    answer = cast("Callable[[Namespace], int]", pkgutil.resolve_name(_entry(args)))
    try:
        return answer(args)
    except HoldfastError as error:
        return _refused(args, error)
    except KeyboardInterrupt:
        return 0 if getattr(args, "watch", False) else INTERRUPTED
    except BrokenPipeError:  # the reader (`head`) has seen enough
        sys.stdout = None
        return PIPE_CLOSED


def parser() -> ArgumentParser:
    """Return everything that may be typed."""
    made = ArgumentParser(
        prog="holdfast",
        description="Durable trading engine for Polymarket.",
        epilog=EXITS,
        formatter_class=Help,
        allow_abbrev=False,
    )
    verbs = made.add_subparsers(dest="verb", required=True, metavar="VERB", title="verbs")
    _add_stack(verbs)
    _add_acts(verbs)
    _add_reads(verbs)
    _add_care(verbs)
    _add_roles(verbs)
    return made


def _add_stack(verbs: Verbs) -> None:
    """Add the verbs that run a whole stack on this machine."""
    up = _verb(verbs, "up", "run everything on this machine until Ctrl-C", f"{ROLES}:up")
    up.add_argument("--data-dir", metavar="DIR", help="where its state is kept (~/.holdfast)")
    up.add_argument("--fresh", action="store_true", help="begin anew: delete that state first")
    up.add_argument("--port-base", type=_port_base, metavar="N", help="use ports N to N+29")
    up.add_argument("--no-exchange", action="store_true", help="without the paper exchange")
    demo = _verb(verbs, "demo", "the story of README on a throw-away stack", f"{ROLES}:demo")
    demo.add_argument("--fast", action="store_true", help="end at once, do not stay up for a look")


def _add_acts(verbs: Verbs) -> None:
    """Add the verbs that act and wait for the outcome."""
    send = _verb(verbs, "send", "post a signal as an alert sender would", f"{ACTS}:send")
    send.add_argument(
        "action",
        metavar="ACTION",
        help=("BuyMarket, SellMarket, BuyLimit, SellLimit, MAJ, CLOSE, CLOSEALL, CANCEL or PING"),
    )
    send.add_argument("--market", metavar="SLUG", help="slug, condition id or token id")
    send.add_argument("--outcome", help="the outcome to trade (Yes); none cancels both sides")
    sizes = send.add_mutually_exclusive_group()
    sizes.add_argument("--percent", type=_positive, metavar="N", help="of free collateral, or held")
    sizes.add_argument("--notional", type=_positive, metavar="USD", help="collateral to spend")
    sizes.add_argument("--size", type=_positive, metavar="N", help="shares")
    send.add_argument("--price", type=_price, metavar="P", help="limit, or the worst price taken")
    send.add_argument("--sl", type=_price_or_none, metavar="P", help="stop-loss price")
    send.add_argument("--tp", type=_price_or_none, metavar="P", help="take-profit price")
    send.add_argument("--order", metavar="HASH", help="the order that CANCEL means")
    send.add_argument("--id", metavar="ID", help="the sender's own id: a repeat does nothing twice")
    protect, leave = _add_position_acts(verbs)
    cancel = _verb(verbs, "cancel", "cancel one order", f"{ACTS}:cancel")
    cancel.add_argument("order", metavar="ORDER", help="its hash, or enough of it to be the one")
    kill, resume = _add_switches(verbs)
    for act in (send, protect, leave, cancel, kill, resume, *_add_comparing(verbs)):
        act.add_argument(
            "--wait",
            type=_seconds,
            default=60.0,
            metavar="SECONDS",
            help="how long to wait for the outcome (60)",
        )
        _add_json(act)


def _add_switches(verbs: Verbs) -> tuple[ArgumentParser, ArgumentParser]:
    """Add the verbs that stop accounts and let them trade again."""
    kill = _verb(verbs, "kill", "stop every account: no entries, nothing rests", f"{OPERATES}:kill")
    kill.add_argument("--close-positions", action="store_true", help="sell what is held, too")
    kill.add_argument("--reason", default="by hand", metavar="R", help="kept in the audit trail")
    kill.add_argument(
        "--direct",
        action="store_true",
        help="break glass: by this command alone, with Temporal or the API down",
    )
    resume = _verb(verbs, "resume", "let stopped accounts trade again", f"{OPERATES}:resume")
    resume.add_argument("--force", action="store_true", help="before the cooldown is over")
    return kill, resume


def _add_comparing(verbs: Verbs) -> tuple[ArgumentParser, ArgumentParser]:
    """Add the verbs that stop in good order and that compare with the exchange."""
    shutdown = _verb(
        verbs, "shutdown", "stop in good order: no entries, nothing rests", f"{COMPARES}:shutdown"
    )
    shutdown.add_argument("--reason", default="by hand", metavar="R", help="kept in the trail")
    reconcile = _verb(
        verbs, "reconcile", "compare our books with the exchange", f"{COMPARES}:reconcile"
    )
    reconcile.add_argument("--report-only", action="store_true", help="tell, and change nothing")
    return shutdown, reconcile


def _add_position_acts(verbs: Verbs) -> tuple[ArgumentParser, ArgumentParser]:
    """Add the verbs that act on one position."""
    protect = _verb(verbs, "protect", "move a position's stop and target", f"{POSITION}:protect")
    protect.add_argument("--sl", type=_price_or_none, metavar="P", help="stop-loss; 0: none")
    protect.add_argument("--tp", type=_price_or_none, metavar="P", help="take-profit; 0: none")
    leave = _verb(verbs, "exit", "sell a position, all of it", f"{POSITION}:leave")
    leave.add_argument("--reason", default="by hand", metavar="R", help="kept in the audit trail")
    for act in (protect, leave):
        act.add_argument(
            "position", metavar="POSITION", help="its id or enough of it, slug:Outcome, or token id"
        )
        act.add_argument("--id", metavar="KEY", help="a repeat with the same key is the same wish")
    return protect, leave


def _add_reads(verbs: Verbs) -> None:
    """Add the verbs that read."""
    for name, words in READS.items():
        read = _verb(verbs, name, words, SCREEN)
        read.add_argument("--limit", type=_count, metavar="N", help="at most N rows, the newest")
        _add_reading(read)
    why = _verb(verbs, "why", "the whole story of a signal, order or position", SCREEN)
    why.add_argument("id", metavar="ID", help="an id, or enough of it to be the one")
    why.add_argument("--limit", type=_count, metavar="N", help="at most N steps, the newest")
    _add_reading(why)


def _add_care(verbs: Verbs) -> None:
    """Add the verbs that look after the stack."""
    doctor = _verb(
        verbs, "doctor", "numbered findings, each with its remedy", "workers.cli_doctor:doctor"
    )
    config = _verb(verbs, "config", "the configuration: `config check` or `config show`", "")
    about = config.add_subparsers(dest="what", required=True, metavar="WHAT")
    check = _verb(
        about, "check", "is it complete and free of unknown keys?", f"{ROLES}:config_check"
    )
    show = _verb(about, "show", "what holds, secrets masked", f"{ROLES}:config_show")
    migrate = _verb(verbs, "migrate", "bring the database's schema up to date", f"{ROLES}:migrate")
    for one in (doctor, check, show, migrate):
        _add_json(one)


def _add_roles(verbs: Verbs) -> None:
    """Add the roles that run for long, one each."""
    _verb(verbs, "api", "serve the HTTP API", f"{ROLES}:api")
    worker = _verb(verbs, "worker", "run one worker: `worker trading` or `worker streams`", "")
    which = worker.add_subparsers(dest="role", required=True, metavar="ROLE")
    _verb(which, "trading", "works orders, positions and guardians", f"{ROLES}:trading")
    _verb(which, "streams", "listens to prices and fills", f"{ROLES}:streams")
    paper = _verb(verbs, "paper", "the paper exchange by itself: `paper serve`", "")
    what = paper.add_subparsers(dest="what", required=True, metavar="WHAT")
    serve = _verb(what, "serve", "serve the paper exchange", f"{ROLES}:paper_serve")
    serve.add_argument(
        "--port", type=_port, default=PAPER_PORT, metavar="N", help=f"its port ({PAPER_PORT})"
    )
    serve.add_argument(
        "--data-dir",
        default=PAPER_FOLDER,
        metavar="DIR",
        help=f"where its ledger is kept ({PAPER_FOLDER})",
    )


def _verb(verbs: Verbs, name: str, words: str, entry: str) -> ArgumentParser:
    """Add a verb that the function named `entry` answers."""
    made = verbs.add_parser(
        name,
        help=words,
        description=f"{words[0].upper()}{words[1:]}.",
        epilog=EXITS,
        formatter_class=Help,
        allow_abbrev=False,
    )
    made.set_defaults(**({"entry": entry} if entry else {}))
    return made


def _add_json(verb: ArgumentParser) -> None:
    verb.add_argument("--json", action="store_true", help="one JSON document, Decimals as strings")


def _add_reading(verb: ArgumentParser) -> None:
    verb.add_argument("--watch", action="store_true", help="show again every second until Ctrl-C")
    _add_json(verb)


def _entry(args: Namespace) -> str:
    """Return the function that answers; a document is written without the library of tables."""
    is_document = args.entry == SCREEN and args.json
    return DOCUMENT if is_document else args.entry


def _refused(args: Namespace, error: HoldfastError) -> int:
    """Say in one line what is wrong; an acting verb says it in its document too."""
    if args.entry.startswith((ACTS, POSITION)) and args.json:
        pkgutil.resolve_name(f"{ACTS}:write_failure")(str(error))
    sys.stderr.write(f"holdfast: {error}\n")
    return int(getattr(error, "exit_code", FAILED))


def _positive(text: str) -> str:
    """Return a number above zero, as it was written."""
    return _within(text, None)


def _price(text: str) -> str:
    """Return a price, as it was written."""
    return _within(text, Decimal(1))


def _price_or_none(text: str) -> str:
    """Return a price as it was written, or 0 for none."""
    return "0" if text.strip() in {"0", "0.0", "0.00"} else _price(text)


def _within(text: str, below: Decimal | None) -> str:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ArgumentTypeError(f"{text!r} is not a number") from None
    if not number.is_finite() or number <= 0:
        raise ArgumentTypeError(f"{text} is not above 0")
    if below is not None and number >= below:
        raise ArgumentTypeError(f"{text} is not below {below}")
    return text


def _count(text: str) -> int:
    return _whole(text, 1, 1_000_000)


def _port(text: str) -> int:
    return _whole(text, 1, 65_535)


def _port_base(text: str) -> int:
    return _whole(text, 1024, 65_535 - 29)


def _whole(text: str, lowest: int, highest: int) -> int:
    if not text.isdecimal() or not lowest <= int(text) <= highest:
        raise ArgumentTypeError(f"{text!r} is not a whole number from {lowest} to {highest}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds") from None
    if not 0 <= seconds <= LONGEST_WAIT_SECONDS:
        raise ArgumentTypeError(f"{text} is not between 0 and {LONGEST_WAIT_SECONDS} seconds")
    return seconds


if __name__ == "__main__":
    sys.exit(main())

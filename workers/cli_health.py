"""What the doctor asks of the API and of the exchange."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, cast

from infra.clock import utc_now
from workers.cli_client import Answer, Caller, Row, UnreachableError
from workers.cli_finding import Finding, green, red, yellow
from workers.cli_stack import Stack

PATIENCE_SECONDS: Final = 3.0
SKEW_SEEN_SECONDS: Final = 2.0  # the exchange tells whole seconds
SKEW_REFUSED_SECONDS: Final = 10.0  # its signatures carry our time
GUARDIAN_SILENT_SECONDS: Final = 30.0
GUARDIAN_REMEDY: Final = (
    "a trading worker starts it within 5 s: is one running, and does Temporal answer? look at"
    " guardian-{account} in the Temporal UI for a task that fails"
)
WAITING: Final = timedelta(seconds=10)
IN_DOUBT: Final = timedelta(seconds=60)
NAMED: Final = 3
ACCESS_LOST: Final = "access lost"  # begins the reason of a halt because the keys are refused
KEYS_REMEDY: Final = (
    "check api_key, secret and passphrase of the account, and that the exchange lets it trade;"
    " then restart the trading worker: keys that work lift this halt"
)
REMEDIES: Final = {
    "database": "is PostgreSQL up? its log tells; `holdfast up` restarts it",
    "migrations": "run `holdfast migrate`",
    "durability": "ALTER SYSTEM SET … = on, as PostgreSQL's superuser, and restart the server",
    "temporal": "is the Temporal server up? its log tells; `holdfast up` restarts it",
}


def api_readiness(stack: Stack) -> Iterator[Finding]:
    """Yield whether the API answers and what it needs itself: the database and its schema."""
    logs = stack.folder / "logs"
    try:
        answer = stack.api.ask("GET", "/readyz")
    except UnreachableError as error:
        yield red("API", error.fact, f"start `holdfast up`, or read {logs}")
        return
    yield green("API", f"{stack.api.url} answers")
    parts = _parts(answer)
    if not parts:
        yield red("API ready", f"/readyz answers {answer.status}: {answer.words}", f"read {logs}")
    for part, told in parts.items():
        if told == "ok":
            yield green(f"API: {part}", "ok")
        else:
            yield red(f"API: {part}", told, REMEDIES.get(part, f"read {logs}"))


def exchange_clock(stack: Stack) -> Iterator[Finding]:
    """Yield whether the exchange answers and how far its clock is from ours."""
    url = str(stack.told["exchange"]["clob_url"])
    try:
        with Caller(url, timeout_seconds=PATIENCE_SECONDS) as exchange:
            alive, told = exchange.ask("GET", "/ok"), exchange.ask("GET", "/time")
    except UnreachableError as error:
        yield red("exchange", error.fact, "orders wait; see status.polymarket.com or the paper log")
        return
    if not alive.is_good:
        yield red("exchange", f"{url}/ok answers {alive.status}: {alive.words}", "wait, look again")
        return
    if alive.body != "OK":
        garbled = f"{url}/ok answers something else than OK: {alive.words}"
        yield red("exchange", garbled, "is that address the exchange's? if so wait, look again")
        return
    yield green("exchange", f"{url} answers")
    yield _skew(told)


def _skew(told: Answer) -> Finding:
    """Return how far our clock is from the exchange's."""
    try:
        skew = abs(utc_now().timestamp() - float(str(told.body)))
    except ValueError:
        return yellow("clock", f"the exchange tells no time: {told.words}", "look again")
    words = f"{skew:.1f} s from the exchange's"
    if skew > SKEW_REFUSED_SECONDS:
        return red("clock", words, "set this machine's clock (NTP): requests will be refused")
    if skew > SKEW_SEEN_SECONDS:
        return yellow("clock", words, "set this machine's clock (NTP)")
    return green("clock", f"within {SKEW_SEEN_SECONDS:g} s of the exchange's")


def registry(stack: Stack) -> Iterator[Finding]:
    """Yield whether the markets are known: without them every entry is denied."""
    first = stack.api.rows("markets", 1)
    if first:
        yield green("markets", f"loaded; the newest change is of {_age_of(first[0], 'updated_at')}")
    else:
        yield red("markets", "none is known", "the trading worker loads them: is it running?")


def account_states(stack: Stack) -> Iterator[Finding]:
    """Yield whether each account may enter."""
    accounts = stack.api.rows("accounts")
    if not accounts:
        yield red("accounts", "none is known", "name one in the configuration and start a worker")
    for row in accounts:
        words = f"{row['state']}" + (f": {row['state_reason']}" if row.get("state_reason") else "")
        if row["state"] == "running":
            yield green(f"account {row['id']}", words)
        elif str(row.get("state_reason")).startswith(ACCESS_LOST):
            yield red(f"account {row['id']}", words, KEYS_REMEDY)
        else:
            remedy = "entries wait; `holdfast events` tells what happened"
            yield yellow(f"account {row['id']}", words, remedy)
        yield from _limits(row)


def _limits(row: Row) -> Iterator[Finding]:
    """Yield what an account's limits keep it from, and whether anybody meant them."""
    check = f"limits of {row['id']}"
    limits = cast("dict[str, Row]", row.get("limits") or {})
    if row.get("limits_confirmed") is False:
        remedy = (
            "read them (`holdfast config show`), then write confirmed = true under"
            f" [accounts.{row['id']}.limits]: the trading worker does not start before"
        )
        yield red(check, "real money is at risk and nobody confirmed them", remedy)
    elif limits and row.get("starting_equity_usd") is None:
        remedy = "the guardian takes it within seconds: is the trading worker running?"
        yield yellow(check, "what today began with is not known: entries are denied", remedy)
    elif full := [name for name, one in limits.items() if _is_full(one)]:
        remedy = "entries are denied; `holdfast accounts --json` tells what uses them"
        yield yellow(check, f"used up: {', '.join(full)}", remedy)


def _is_full(limit: Row) -> bool:
    """Tell whether nothing is left; an account without collateral has nothing to lose."""
    return Decimal(str(limit["left"])) == 0 and Decimal(str(limit["limit"])) > 0


def guardians(stack: Stack) -> Iterator[Finding]:
    """Yield whether each account's guardian lives, and what it has to say."""
    told = cast("Row", stack.api.get("/status")).get("guardians") or ()
    known = {str(one["account_id"]): one for one in told}
    for account in stack.api.rows("accounts"):
        yield from _guardian(str(account["id"]), known.get(str(account["id"])))


def _guardian(account_id: str, last: Row | None) -> Iterator[Finding]:
    """Yield what is to say of one guardian."""
    check = f"guardian {account_id}"
    if last is None:
        yield red(check, "it has never looked at this account", GUARDIAN_REMEDY)
        return
    age = float(last["age_seconds"])
    words = f"looked {age:.0f} s ago at {last['positions']} positions"
    if age > GUARDIAN_SILENT_SECONDS:
        yield red(check, f"{words}: it should every 10 s", GUARDIAN_REMEDY)
    elif int(last["unprotected"]):
        remedy = (
            "it repairs them at each tick: `holdfast why POSITION` tells what stands in the way"
        )
        yield yellow(check, f"{words}, {last['unprotected']} unprotected", remedy)
    else:
        yield green(check, words)
    for alarm in last["alarms"]:
        alarmed = f"{alarm['about']}: {alarm['words']}"
        yield yellow(f"alarm {alarm['name']}", alarmed, "docs/guardian.md says what to do for each")


def held_back(stack: Stack) -> Iterator[Finding]:
    """Yield the calls to the exchange that are held back because they kept failing."""
    exchange: Row = cast("Row", stack.api.get("/status")).get("exchange") or {}
    opened = [one for one in exchange.get("circuits") or () if one["state"] != "closed"]
    for one in opened:
        check = f"{one['scope']} {one['call_group']}"
        if one["call_group"] == "access":
            yield red(check, f"the exchange refuses the keys: {one['words']}", KEYS_REMEDY)
        else:
            words = f"held back since {str(one['opened_at'])[:19]}: {one['words']}"
            yield red(check, words, "nothing to do: tried again by itself; is the exchange up?")
    if not opened:
        yield green("calls to the exchange", "nothing is held back")


def waiting_signals(stack: Stack) -> Iterator[Finding]:
    """Yield the signals that nobody has taken up."""
    late = _older(stack.api.rows("signals", query={"status": "received"}), "received_at", WAITING)
    if late:
        remedy = "is Temporal up? the sweep starts them once it is: see the findings above"
        yield red("waiting signals", _counted(late, "id", WAITING), remedy)
    else:
        yield green("waiting signals", f"none is older than {WAITING.seconds} s")


def old_doubts(stack: Stack) -> Iterator[Finding]:
    """Yield the orders whose outcome has been unknown for too long."""
    doubtful = stack.api.rows("orders", query={"state": "SENT,UNKNOWN"})
    late = _older(doubtful, "last_sent_at", IN_DOUBT)
    if late:
        remedy = "`holdfast why ID` tells its story; is the trading worker running?"
        yield red("orders in doubt", _counted(late, "order_hash", IN_DOUBT), remedy)
    else:
        yield green("orders in doubt", f"none is older than {IN_DOUBT.seconds} s")


def _older(rows: list[Row], name: str, age: timedelta) -> list[Row]:
    """Return the rows whose moment `name` is longer ago than `age`."""
    now = utc_now()
    return [row for row in rows if row.get(name) and now - _at(row, name) > age]


def _counted(rows: list[Row], identity: str, age: timedelta) -> str:
    named = ", ".join(str(row[identity]) for row in rows[:NAMED])
    more = ", …" if len(rows) > NAMED else ""
    return f"{len(rows)} older than {age.seconds} s: {named}{more}"


def _age_of(row: Row, name: str) -> str:
    return f"{_at(row, name):%Y-%m-%d %H:%M:%S} UTC"


def _at(row: Row, name: str) -> datetime:
    return datetime.fromisoformat(str(row[name]))


def _parts(answer: Answer) -> dict[str, str]:
    """Return what the API needs and how each part is: "ok", or why it is not."""
    if not isinstance(answer.body, dict):
        return {}
    told: Any = cast("Row", answer.body).get("parts")
    return cast("dict[str, str]", told) if isinstance(told, dict) else {}

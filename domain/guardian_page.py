"""What a guardian shows of the positions it watches: few rows, the worst first."""

from datetime import datetime
from decimal import Decimal
from heapq import nlargest
from typing import Final

from domain.guardian import Concern, Look, Verdict
from domain.guardian_rules import Held, case_of, exemption
from domain.risk import HALTS

MOST_ROWS: Final = 20
MOST_WORDS: Final = 80
HEAD: Final = ("market", "held", "bid", "stop-loss", "take-profit", "state", "unprotected")
NONE: Final = "-"


def rows(look: Look, found: Verdict) -> tuple[str, ...]:
    """Return the table's rows: what is not as it should be first, then the largest holdings."""
    concerns = {concern.held.position_id: concern for concern in found.concerns}
    worst = [concern.held for concern in found.concerns][:MOST_ROWS]
    others = (held for held in look.held if held.position_id not in concerns)
    rest = nlargest(MOST_ROWS - len(worst), others, key=lambda held: held.size)
    return tuple(_row(held, look, concerns.get(held.position_id)) for held in (*worst, *rest))


def table(lines: tuple[str, ...], positions: int) -> list[str]:
    """Return the table as markdown, with how many positions it leaves out."""
    if not lines:
        return ["nothing is held"]
    left_out = positions - len(lines)
    more = [f"… and {left_out} more: `holdfast positions`"] if left_out > 0 else []
    return [cells(HEAD), cells(["---"] * len(HEAD)), *lines, *(["", *more] if more else [])]


def cells(values: tuple[str, ...] | list[str]) -> str:
    """Return one row of a markdown table; nothing in it can open another cell."""
    return f"| {' | '.join(value.replace('|', '/') for value in values)} |"


def _row(held: Held, look: Look, concern: Concern | None) -> str:
    quote = look.quotes.get(held.token_id)
    since = held.unprotected_since
    return cells(
        [
            f"{held.market} {held.outcome}",
            told(held.size),
            told(quote.best_bid if quote is not None else None),
            told(held.stop_loss),
            told(held.take_profit),
            _state(held, look, concern)[:MOST_WORDS],
            NONE if since is None else _seconds(look.now, since),
        ]
    )


def _state(held: Held, look: Look, concern: Concern | None) -> str:
    """Return in words how a position stands."""
    if concern is not None:
        words = list(concern.why)
        if concern.crossing is not None:
            words.insert(0, f"beyond its stop at {told(concern.crossing.price)}")
        return "; ".join(words)
    case = case_of(held, look.listing, look.now, is_halted=look.state in HALTS)
    why_not = exemption(case)
    return why_not.words if why_not is not None else "protected"


def _seconds(now: datetime, since: datetime) -> str:
    return f"{(now - since).total_seconds():.0f} s"


def told(value: Decimal | None) -> str:
    """Return a number for people; a dash where there is none."""
    if value is None:
        return NONE
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text

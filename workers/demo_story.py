"""What every act of the demo uses: the story so far, alerts, books, and what to wait for."""

from dataclasses import dataclass, field
from typing import Any, Final

from rich.console import Console

from workers.demo_claims import Claim
from workers.demo_stage import Stage, StageError

OVER: Final = {"FILLED", "CANCELLED", "EXPIRED", "REJECTED", "ABANDONED"}
ACCEPTED: Final = 202

Row = dict[str, Any]


@dataclass
class Story:
    """The demo as it is told: what has been shown, and what has been claimed."""

    stage: Stage
    console: Console
    claims: list[Claim] = field(default_factory=list[Claim])

    def say(self, words: str) -> None:
        """Tell one step."""
        self.console.print(f"[green]✔[/green] {words}", highlight=False)

    def claim(self, words: str, *, exchange: object, engine: object) -> None:
        """Put one comparison on the list."""
        self.claims.append(Claim(words=words, exchange=str(exchange), engine=str(engine)))


async def accepted(stage: Stage, alert: Row) -> tuple[str, float]:
    """Send an alert that must be accepted; return its signal's id and the milliseconds."""
    status, answer, milliseconds = await stage.alert(alert)
    if status != ACCEPTED:
        raise StageError(f"the alert was answered {status}: {answer}")
    return str(answer["signal_id"]), milliseconds


def book(token: str, *, bids: list[list[str]], asks: list[list[str]]) -> Row:
    """Return the body that replaces a market's makers."""
    return {"token_id": token, "bids": bids, "asks": asks}


async def is_over(stage: Stage, signal_id: str) -> bool:
    """Tell whether the signal is answered and its orders are over."""
    orders = await stage.rows("orders", signal_id=signal_id)
    [signal] = [row for row in await stage.rows("signals") if row["id"] == signal_id]
    if signal["status"] in {"denied", "error", "expired"}:
        raise StageError(f"signal {signal_id} is {signal['status']}: {signal['reason']}")
    is_answered = signal["status"] == "processed"
    return is_answered and bool(orders) and all(order["state"] in OVER for order in orders)


async def is_settled(stage: Stage, token: str) -> bool:
    """Tell whether every fill is final with us and at the exchange."""
    fills = await stage.rows("fills", token=token)
    legs = await stage.ledger("trades", origin="api", token_id=token)
    final = {"CONFIRMED", "FAILED"}
    return len(fills) == len(legs) and all(row["status"] in final for row in [*fills, *legs])

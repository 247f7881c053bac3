"""What operators read of a position in Temporal's web interface."""

from decimal import Decimal

from domain.guarded import Guarded
from domain.protection import Protection


def position_story(now: Guarded | None, words: str, waiting: int) -> str:
    """Return a position as markdown: what is held, what protects it, and what is under way."""
    sales = f"{waiting} sales wait for their turn" if waiting else "no sale waits"
    if now is None:
        return f"Nothing was ever held here; {sales}."
    position = now.position
    rows = (
        ("held", f"**{_plain(position.size)}** at {_plain(position.average_price)}"),
        ("status", f"**{position.status}**"),
        ("stop", _row(now.plan.stop_loss, now.stop)),
        ("target", _row(now.plan.take_profit, now.take_profit)),
        ("exit", _row(now.exit.price if now.exit else None, now.exit)),
        ("not settled", _plain(now.unsettled_size)),
        ("trades not final", str(now.unconfirmed)),
        ("account", now.account.value),
        ("under way", words),
        ("sales", sales),
    )
    body = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return f"| | |\n|---|---|\n{body}"


def _row(price: Decimal | None, row: Protection | None) -> str:
    """Return a price of the plan and what is done about it."""
    wished = _plain(price) if price is not None else "none"
    if row is None:
        return wished
    why = f": {row.reason}" if row.reason else ""
    return f"{wished}, {row.status} for {_plain(row.size)} (`{row.id}`){why}"


def _plain(value: Decimal) -> str:
    return f"{value.normalize():f}"

"""What operators read of an order in Temporal's web interface."""

from collections.abc import Mapping
from typing import Final

from domain.order import Order, OrderState
from domain.signal import OrderRequest
from domain.sizing import Denied

S = OrderState
MEANING: Final[Mapping[OrderState, str]] = {
    S.NEW: "Signed and stored; not sent yet.",
    S.SENT: "Sent; the answer is awaited.",
    S.UNKNOWN: "Sent, and no proof of what came of it: it is looked up by its hash, and only "
    "the same bytes may be sent again.",
    S.DELAYED: "The exchange holds it back for a moment before matching.",
    S.LIVE: "Resting on the book, waiting for somebody to take the other side.",
    S.PARTIAL: "Partly filled; the rest is waiting.",
    S.FILLED: "Filled. Every share is recorded.",
    S.CANCELLED: "Dead; what was filled before is recorded.",
    S.EXPIRED: "Its time ran out; what was filled before is recorded.",
    S.REJECTED: "The exchange refused it; nothing exists there.",
    S.ABANDONED: "Never seen on the exchange, cancelled by its hash; still watched for a while.",
}


def story(wish: OrderRequest, order: Order | None, denied: Denied | None) -> str:
    """Return an order's story as markdown: what was asked, how it stands, what that means."""
    title = f"**{wish.side} {wish.type}** on {wish.market} {wish.outcome or ''}".rstrip()
    if denied is not None:
        return f"{title}\n\nDenied by rule `{denied.rule}`: {denied.words}"
    if order is None:
        return f"{title}\n\nBeing prepared: sized, signed and stored before anything is sent."
    return f"{title}\n\n{_table(order)}\n\n{MEANING[order.state]}"


def send_line(order: Order) -> str:
    """Return one line for the event list."""
    return f"send {order.side} {order.size:f} @ {order.price:f}, attempt {order.attempts + 1}"


def _table(order: Order) -> str:
    """Return the order as a markdown table."""
    last = f"{order.last_sent_at:%H:%M:%S} UTC" if order.last_sent_at else None
    rows = (
        ("state", f"**{order.state}**"),
        ("filled", f"{order.filled_size.normalize():f} of {order.size.normalize():f}"),
        ("limit", f"{order.price.normalize():f} ({order.time_in_force})"),
        ("sends", f"{order.attempts}, last {last}" if last else "none yet"),
        ("order hash", f"`{order.order_hash}`"),
        ("reason", order.reason or "-"),
        ("trace", f"`{order.trace_id}`"),
    )
    body = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return f"| | |\n|---|---|\n{body}"

"""The named points of a piece of work, from the alert to its last share, in causal order.

Each is a span of the signal's trace and, unless it is inner detail, a line in the log. What they
mean is told in docs/runbook.md; a test keeps the two together.
"""

import logging
from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Point(StrEnum):
    """What was reached."""

    SIGNAL_RECEIVED = "signal.received"
    SIGNAL_STORED = "signal.stored"
    SIGNAL_UNDERSTOOD = "signal.understood"
    SIGNAL_SWEPT = "signal.swept"
    SIGNAL_STARTED = "signal.started"
    SALES_DELIVERED = "sales.delivered"
    CANCEL_DELIVERED = "cancel.delivered"
    PROTECTION_DELIVERED = "protection.delivered"
    EXIT_DELIVERED = "exit.delivered"
    EXIT_LOOKED_AT = "exit.looked_at"
    ORDER_PREPARED = "order.prepared"
    ORDER_SIGNED = "order.signed"
    ORDER_ADMITTED = "order.admitted"
    ORDER_SENT = "order.sent"
    SEND_COUNTED = "send.counted"
    EXCHANGE_POSTED = "exchange.posted"
    ORDER_ANSWERED = "order.answered"
    ORDER_LOOKED_UP = "order.looked_up"
    EXCHANGE_ASKED = "exchange.asked"
    FILL_RECORDED = "fill.recorded"
    ORDER_RELOADED = "order.reloaded"
    ORDER_LEARNED = "order.learned"
    ORDER_CANCELLED = "order.cancelled"
    SIGNAL_SETTLED = "signal.settled"

    @property
    def level(self) -> int:
        """How loudly it is told: INFO what happened, DEBUG how."""
        return logging.DEBUG if self in INNER else logging.INFO


# Which activity is which point.
OF_ACTIVITY: Final[Mapping[str, Point]] = {
    "deliver_sales": Point.SALES_DELIVERED,
    "deliver_cancel": Point.CANCEL_DELIVERED,
    "deliver_protection": Point.PROTECTION_DELIVERED,
    "deliver_exit": Point.EXIT_DELIVERED,
    "look_at_exit": Point.EXIT_LOOKED_AT,
    "prepare": Point.ORDER_PREPARED,
    "submit": Point.ORDER_SENT,
    "record_answer": Point.ORDER_ANSWERED,
    "look": Point.ORDER_LOOKED_UP,
    "reload": Point.ORDER_RELOADED,
    "learn": Point.ORDER_LEARNED,
    "cancel": Point.ORDER_CANCELLED,
    "settle_signal": Point.SIGNAL_SETTLED,
}
INNER: Final = frozenset(
    {
        Point.SIGNAL_STORED,
        Point.SIGNAL_UNDERSTOOD,
        Point.ORDER_SIGNED,
        Point.ORDER_ADMITTED,
        Point.SEND_COUNTED,
        Point.EXCHANGE_POSTED,
        Point.EXCHANGE_ASKED,
        Point.EXIT_LOOKED_AT,  # every ten seconds until it is over
        Point.ORDER_LOOKED_UP,  # every few seconds as long as an order rests
        Point.ORDER_RELOADED,
    }
)

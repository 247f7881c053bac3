"""What comes back from one send, and what an order is after it."""

from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from domain.order import Order, OrderEvent, OrderState


class Answer(StrEnum):
    """What came back from one send."""

    LIVE = "live"
    MATCHED = "matched"
    DELAYED = "delayed"
    REJECTED = "rejected"
    BUSY = "busy"
    DUPLICATE = "duplicate"
    UNKNOWN = "unknown"
    HELD = "held"  # nothing left: the account is being compared with the exchange, it waits
    NOT_SENT = "not_sent"  # a halt, a cancel or the order's end came first


@dataclass(frozen=True, kw_only=True)
class Submission:
    """The outcome of one send of an order.

    Attributes:
        words: the exchange's words, or ours for NOT_SENT and UNKNOWN.
        matched_size: shares matched at once, where the answer says.
    """

    answer: Answer
    words: str = ""
    matched_size: Decimal | None = None
    retry_after_seconds: float | None = None


def answered(order: Order, submission: Submission, *, is_earlier_send_in_doubt: bool) -> Order:
    """Return the order once a send's outcome is known.

    A refusal ends an order only while no earlier send of it is in doubt: the first copy may have
    landed, and be the very reason why the second is refused. `is_earlier_send_in_doubt` says that
    the bytes left at least once before, with no proof that the exchange did not process them.
    """
    words = submission.words
    match submission.answer:
        case Answer.LIVE | Answer.MATCHED:
            matched = max(order.matched_size, submission.matched_size or Decimal(0))
            known = replace(order, matched_size=matched).after(OrderEvent.ACCEPT)
        case Answer.DELAYED:
            known = order.after(OrderEvent.DELAY)
        case Answer.REJECTED if not is_earlier_send_in_doubt:
            known = order.after(OrderEvent.REJECT, words)
        case Answer.REJECTED if order.state is OrderState.SENT:
            known = order.after(OrderEvent.LOSE)
        case Answer.DUPLICATE:
            known = replace(order, was_duplicate=True, absent_since=None).after(OrderEvent.LOSE)
        case Answer.UNKNOWN:
            known = order.after(OrderEvent.LOSE)
        case Answer.NOT_SENT if order.attempts == 0:
            known = order.after(OrderEvent.CANCEL, words)
        case _:
            known = order
    return known

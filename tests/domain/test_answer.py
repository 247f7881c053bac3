"""What an order is after each answer to a send."""

from decimal import Decimal

import pytest

from domain.answer import Answer, Submission, answered
from domain.errors import InvariantError
from domain.order import Order, OrderState
from tests.domain.making import NOW, an_order

S = OrderState


def _after(order: Order, answer: Answer, *, in_doubt: bool = False, matched: str = "") -> Order:
    matched_size = Decimal(matched) if matched else None
    submission = Submission(answer=answer, words="their words", matched_size=matched_size)
    return answered(order, submission, is_earlier_send_in_doubt=in_doubt)


def test_a_refusal_of_the_only_send_ends_the_order_with_the_exchanges_words() -> None:
    order = _after(an_order(), Answer.REJECTED)
    assert (order.state, order.reason) == (S.REJECTED, "their words")


@pytest.mark.parametrize("state", [state for state in S if state is not S.NEW])
def test_a_refusal_beside_a_send_in_doubt_ends_nothing(state: S) -> None:
    order = _after(an_order(state), Answer.REJECTED, in_doubt=True)
    assert order.state is (S.UNKNOWN if state is S.SENT else state)


def test_a_refusal_of_what_is_known_to_live_by_the_same_send_is_impossible() -> None:
    with pytest.raises(InvariantError):
        _after(an_order(S.LIVE), Answer.REJECTED)


def test_a_duplicate_says_seen_and_not_what_became_of_it() -> None:
    order = _after(an_order(absent_since=NOW), Answer.DUPLICATE)
    assert (order.state, order.was_duplicate, order.absent_since) == (S.UNKNOWN, True, None)


def test_a_match_told_by_the_answer_is_expected_in_the_fills() -> None:
    order = _after(an_order(), Answer.MATCHED, matched="4")
    assert (order.state, order.matched_size, order.filled_size) == (S.LIVE, Decimal(4), Decimal(0))
    assert _after(order, Answer.MATCHED).matched_size == Decimal(4)


@pytest.mark.parametrize("state", list(S))
def test_not_processed_changes_nothing(state: S) -> None:
    assert _after(an_order(state), Answer.BUSY) == an_order(state)


def test_what_was_not_sent_is_cancelled_only_where_it_never_was() -> None:
    assert _after(an_order(S.NEW), Answer.NOT_SENT).state is S.CANCELLED
    sent = an_order(S.UNKNOWN, attempts=1)
    assert _after(sent, Answer.NOT_SENT) == sent

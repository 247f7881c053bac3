"""News of one order in any order, and answers to any number of sends: machines, not examples."""

from dataclasses import replace
from decimal import Decimal

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from domain.answer import Answer, Submission, answered
from domain.order import COMPLETE_WITHIN, TERMINAL, OrderEvent, OrderState, Sighting, seen
from tests.domain.making import an_order, later

S, E = OrderState, OrderEvent
FILLS = [Decimal("2.5"), Decimal("3.5"), Decimal("3.995"), Decimal("0.005")]
TRUE_OF_A_LIVE_ORDER = [E.LOSE, E.ACCEPT, E.DELAY, E.SEE_LIVE, E.CANCEL, E.EXPIRE]


class NewsInAnyOrder(RuleBasedStateMachine):
    """An order that landed: the stream, polls and answers tell of it late, twice and shuffled."""

    def __init__(self) -> None:
        super().__init__()
        self.order = an_order(S.NEW).after(E.SEND)
        self.told: set[int] = set()
        self.seconds = 0.0
        self.before = self.order

    @rule(event=st.sampled_from(TRUE_OF_A_LIVE_ORDER))
    def news_arrives(self, event: OrderEvent) -> None:
        self.before, self.order = self.order, self.order.after(event, "words")

    @rule(index=st.integers(0, len(FILLS) - 1))
    def a_fill_is_recorded(self, index: int) -> None:
        self.told.add(index)
        self.before, self.order = self.order, self.order.with_fills(self._filled)

    @rule(
        is_active=st.booleans(),
        matched=st.none() | st.sampled_from([Decimal(0), Decimal(5), Decimal(10)]),
        after=st.floats(0, 20),
        is_cancelled=st.booleans(),
    )
    def somebody_looks(
        self, *, is_active: bool, matched: Decimal | None, after: float, is_cancelled: bool
    ) -> None:
        self.seconds += after
        sighting = Sighting(
            is_active=is_active, matched_size=matched, is_cancelled=is_cancelled and not is_active
        )
        self.before, self.order = self.order, seen(self.order, sighting, later(self.seconds))

    @precondition(lambda self: self.order.state in {S.SENT, S.UNKNOWN})
    @rule()
    def we_give_up(self) -> None:
        self.before, self.order = self.order, self.order.after(E.ABANDON)

    @property
    def _filled(self) -> Decimal:
        return sum((FILLS[index] for index in self.told), Decimal(0))

    @invariant()
    def a_fill_once_told_is_never_forgotten(self) -> None:
        assert self.order.filled_size == self._filled
        is_complete = self._filled > 0 and self.order.size - self._filled <= COMPLETE_WITHIN
        assert (self.order.state is S.FILLED) == is_complete

    @invariant()
    def what_is_matched_never_falls(self) -> None:
        assert self.order.matched_size >= max(self.before.matched_size, self.order.filled_size)

    @invariant()
    def an_open_order_with_fills_is_partial(self) -> None:
        is_open = self.order.state not in TERMINAL
        if is_open and self._filled:
            assert self.order.state is S.PARTIAL
        if self.order.state is S.PARTIAL:
            assert self._filled > 0

    @invariant()
    def what_is_open_again_has_no_reason_for_an_end(self) -> None:
        if self.before.state in TERMINAL and self.order.state not in TERMINAL:
            assert self.order.reason is None


class SendsAndAnswers(RuleBasedStateMachine):
    """The same bytes sent again and again: at most one send lands, and it is never denied.

    The exchange refuses every copy after the one that landed, with its own words or as a
    duplicate; any answer may be lost, and so may we be, before we write it down.
    """

    def __init__(self) -> None:
        super().__init__()
        self.order = an_order(S.NEW)
        self.has_landed = False
        self.not_processed = 0

    @precondition(lambda self: self.order.state in {S.NEW, S.SENT, S.UNKNOWN})
    @rule(
        fate=st.sampled_from(["busy", "refused", "lands"]),
        words=st.sampled_from([Answer.DUPLICATE, Answer.REJECTED]),
        is_heard=st.booleans(),
        is_written=st.booleans(),
    )
    def send(self, *, fate: str, words: Answer, is_heard: bool, is_written: bool) -> None:
        sent = self.order.after(E.SEND)
        self.order = replace(sent, attempts=sent.attempts + 1)
        answer = self._exchange(fate, words) if is_heard else self._unheard(fate, words)
        if is_written:
            self.not_processed += answer is Answer.BUSY
            in_doubt = self.order.attempts - self.not_processed > 1
            self.order = answered(
                self.order, Submission(answer=answer), is_earlier_send_in_doubt=in_doubt
            )

    def _unheard(self, fate: str, words: Answer) -> Answer:
        self._exchange(fate, words)
        return Answer.UNKNOWN

    def _exchange(self, fate: str, words: Answer) -> Answer:
        if fate == "busy":
            return Answer.BUSY
        if self.has_landed:
            return words
        if fate == "refused":
            return Answer.REJECTED
        self.has_landed = True
        return Answer.LIVE

    @rule(is_listed=st.booleans())
    def somebody_looks(self, *, is_listed: bool) -> None:
        sighting = Sighting(is_active=is_listed and self.has_landed)
        self.order = seen(self.order, sighting, later(0))

    @invariant()
    def an_order_that_landed_is_never_called_refused(self) -> None:
        if self.has_landed:
            assert self.order.state is not S.REJECTED


TestNewsInAnyOrder = NewsInAnyOrder.TestCase
TestSendsAndAnswers = SendsAndAnswers.TestCase

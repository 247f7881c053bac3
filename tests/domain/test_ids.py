"""Ids are derived, so that a repeat finds the first, and never confused."""

from hypothesis import given
from hypothesis import strategies as st

from domain import ids

texts = st.text(max_size=20)


@given(st.lists(texts, max_size=4), st.lists(texts, max_size=4))
def test_a_digest_stands_for_its_parts_and_for_no_others(one: list[str], two: list[str]) -> None:
    assert (ids.digest(*one) == ids.digest(*two)) == (one == two)


def test_the_ids_of_one_thing_never_change() -> None:
    """These are in databases and workflow histories: another value would forget them all."""
    signal = ids.signal_id("tradingview", "ab" * 32, 0)
    assert signal == "3f5a3bc0258e4107dfea"
    assert ids.trace_id(signal) == "b3dad086b2ea97547974f6029f644b41"
    assert ids.position_id("main", "111") == "4d44401de570238bac7c"
    assert ids.intent_id(signal, 1) == f"{signal}-1"


def test_workflow_ids_have_no_slash() -> None:
    made = [
        ids.order_workflow_id("i"),
        ids.signal_workflow_id("s"),
        ids.position_workflow_id("main", "111"),
    ]
    assert made == ["order-i", "signal-s", "position-main-111"]

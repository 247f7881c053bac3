"""What events say to people, and how ids, numbers and names are shortened."""

import pytest

from tests.cli.rows import an_event
from workers.cli_tables import middle_out, shortened, trimmed
from workers.cli_telling import told


def test_a_change_of_state_is_an_arrow() -> None:
    detail = {"before": "SENT", "after": {"state": "LIVE"}, "attempt": 1}
    assert told(an_event(detail=detail)) == "SENT → LIVE · attempt 1"


def test_a_fill_is_said_as_traders_do_with_what_it_did_to_the_position() -> None:
    detail = {
        "fill": {"side": "BUY", "size": "71.40", "price": "0.330", "fee": "0", "status": "MATCHED"},
        "before": {"size": "0"},
        "after": {"size": "71.4"},
        "status_before": None,
    }
    words = told(an_event(kind="fill.recorded", detail=detail))
    assert words == "BUY 71.4 at 0.33, fee 0 · MATCHED · position 0 → 71.4"


def test_a_later_status_of_a_fill_is_an_arrow() -> None:
    fill = {"side": "BUY", "size": "1", "price": "0.3", "fee": "0", "status": "MINED"}
    detail = {"fill": fill, "before": {}, "after": {}, "status_before": "MATCHED"}
    assert told(an_event(detail=detail)).endswith("MATCHED → MINED")


def test_ids_moments_and_what_is_empty_are_left_out() -> None:
    detail = {
        "at": "2026-11-21T04:03:12+00:00",
        "after": {"expires_at": "2026-11-21T04:03:12+00:00", "post_only": False, "note": None},
        "order_hash": "0x12",
        "rule": "max_open_orders",
        "words": "5 of 5",
    }
    assert told(an_event(detail=detail)) == "5 of 5 · rule max_open_orders"


def test_words_from_outside_are_written_out() -> None:
    assert told(an_event(detail={"reason": "a\x1b[2Jb"})) == "a\\x1b[2Jb"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0.450000000000000000", "0.45"),
        ("0E-18", "0"),
        ("-0.00000001", "0"),
        ("100.000000", "100"),
        ("1E+3", "1000"),
        ("0.33335", "0.3334"),
        (None, ""),
        ("many", "many"),
    ],
)
def test_a_decimal_is_shown_without_the_zeros_that_say_nothing(
    value: str | None, text: str
) -> None:
    assert trimmed(value) == text


def test_a_hash_and_an_id_keep_enough_to_be_named_by() -> None:
    assert shortened("0x12ab" + "0" * 58 + "9f") == "0x12ab…9f"
    assert shortened("075db8f59bd2157f1b78") == "075db8f5"


@pytest.mark.parametrize("widest", [5, 12, 26])
def test_a_name_loses_its_middle_and_keeps_its_end(widest: int) -> None:
    short = middle_out("will-the-committee-cut-rates-in-2027", widest)
    assert len(short) == widest
    assert short.startswith("wi")
    assert short.endswith("7")

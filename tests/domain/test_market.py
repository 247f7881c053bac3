"""Naming markets and outcomes."""

import pytest

from domain.errors import InvalidInputError
from domain.market import Book, nearest
from tests.domain.making import a_market


def test_an_outcome_is_known_whatever_its_case() -> None:
    assert a_market().token("yES").token_id == "111"


def test_an_unknown_outcome_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidInputError, match="use Yes or No"):
        a_market().token("Maybe")


def test_the_other_token_is_the_complement() -> None:
    assert a_market().other("111").token_id == "222"


def test_the_nearest_names_come_first_and_few() -> None:
    known = ["rain-in-paris", "rain-in-rome", "snow-in-oslo", "rain-in-lyon", "rain-in-bonn"]
    found = nearest("rain-in-pariss", known)
    assert found[0] == "rain-in-paris"
    assert len(found) == 3


def test_an_empty_book_has_no_best_price() -> None:
    book = Book(token_id="111", bids=(), asks=())
    assert (book.best_bid, book.best_ask) == (None, None)

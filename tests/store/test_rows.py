"""A value and its row hold the same, field by field."""

from dataclasses import fields
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.fill import Fill
from domain.market import Market, Token
from domain.order import Order
from domain.position import Lot, Position
from infra.store.events import Event
from infra.store.rows import Value, as_json, changes, columns_of, read, shortest, storable_text
from infra.store.signals import StoredSignal
from infra.store.tables import Table
from tests.store.making import a_fill, an_order

KEPT_APART = {"markets": {"tokens"}}
KEPT: list[tuple[type[Value], str]] = [
    (Order, "orders"),
    (Fill, "fills"),
    (Position, "positions"),
    (Lot, "lots"),
    (Market, "markets"),
    (Token, "tokens"),
    (Event, "events"),
    (StoredSignal, "signals"),
]


@pytest.mark.parametrize(("kind", "table"), KEPT)
def test_every_field_of_a_stored_value_has_a_column(kind: type[Value], table: str) -> None:
    columns = set(Table.metadata.tables[f"holdfast.{table}"].columns.keys())
    names = {field.name for field in fields(kind)} - KEPT_APART.get(table, set())
    assert names <= columns


def test_a_value_read_from_its_columns_is_the_value() -> None:
    for value in (an_order(), a_fill()):
        assert read(type(value), columns_of(value)) == value


def test_columns_hold_plain_words() -> None:
    columns = columns_of(an_order(), more="x")
    assert (columns["state"], type(columns["state"]), columns["more"]) == ("NEW", str, "x")


@given(st.decimals(allow_nan=False, allow_infinity=False, places=18))
def test_a_decimal_loses_only_its_padding(value: Decimal) -> None:
    short = shortest(value)
    assert short == value
    text = f"{short:f}"
    assert not ("." in text and text.endswith("0"))
    assert Decimal(as_json(value)) == value


@given(st.text())
def test_any_text_can_be_kept(text: str) -> None:
    kept = storable_text(text)
    assert "\0" not in kept
    assert kept.encode().decode() == kept
    assert storable_text(kept) == kept


def test_changes_are_exact_and_only_what_changed() -> None:
    before = an_order()
    moment = datetime(2026, 11, 21, tzinfo=UTC)
    after = an_order(filled_size=Decimal("0.000001"), last_sent_at=moment)
    assert changes(before, after) == {
        "filled_size": "0.000001",
        "last_sent_at": "2026-11-21T00:00:00+00:00",
    }

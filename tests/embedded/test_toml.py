"""What is written as TOML is read back as it was."""

import tomllib
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from infra.embedded.toml import merged, toml_text

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
PLAIN = st.one_of(TEXT, st.integers(-(2**60), 2**60), st.booleans())
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(PLAIN, st.lists(PLAIN, max_size=3)),
    lambda inner: st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(TEXT, VALUES, max_size=4))
def test_any_table_is_read_back_as_it_was(table: dict[str, Any]) -> None:
    assert tomllib.loads(toml_text(table)) == table


def test_a_list_of_tables_is_read_back() -> None:
    keys = [{"name": "up", "scopes": ["read", "operate"]}]

    assert tomllib.loads(toml_text({"api": {"keys": keys}})) == {"api": {"keys": keys}}


def test_a_decimal_is_written_with_all_its_digits() -> None:
    assert toml_text({"limit": Decimal("0.10")}) == '"limit" = "0.10"\n'


def test_the_upper_table_wins_key_by_key() -> None:
    below = {"api": {"host": "::", "port": 1}, "log_format": "console"}

    assert merged(below, {"api": {"port": 2}}) == {
        "api": {"host": "::", "port": 2},
        "log_format": "console",
    }

"""The unchanged older client makes every call it has against the paper exchange."""

import pytest

from tests.contract.older_calls import OLDER
from tests.contract.talk import Walk

pytestmark = pytest.mark.services


@pytest.mark.parametrize("name", OLDER)
def test_a_call_of_the_older_client_is_answered(older_walk: Walk, name: str) -> None:
    assert name not in older_walk.failures, older_walk.failures[name]

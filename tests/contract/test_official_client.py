"""The unchanged official clients make every call they have against the paper exchange."""

import pytest

from tests.contract.async_calls import ASYNC_PUBLIC, ASYNC_SECURE
from tests.contract.public_calls import PUBLIC
from tests.contract.secure_calls import SECURE
from tests.contract.talk import Walk

pytestmark = pytest.mark.services

TABLES = {
    "public": PUBLIC,
    "async_public": {**PUBLIC, **ASYNC_PUBLIC},
    "secure": {**PUBLIC, **SECURE},
    "async_secure": {**PUBLIC, **ASYNC_PUBLIC, **ASYNC_SECURE, **SECURE},
}


@pytest.mark.parametrize(
    ("client", "name"), [(client, name) for client, table in TABLES.items() for name in table]
)
def test_a_call_of_the_official_client_is_answered(
    walks: dict[str, Walk], client: str, name: str
) -> None:
    assert name not in walks[client].failures, walks[client].failures[name]

"""How all tests run: judged by what they show, never by time."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.postgres import *  # noqa: F403  # one server for every test that wants a database

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def _own_environment() -> Iterator[None]:
    """Keep what one test's commands write in the environment from leading the next elsewhere."""
    before = dict(os.environ)
    yield
    for name in set(os.environ) - set(before):
        del os.environ[name]
    os.environ.update(before)

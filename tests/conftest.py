"""How all tests run: shared out over two processes, and judged by what they show, never by time."""

from pathlib import Path

import pytest
from hypothesis import settings

from tests.postgres import *  # noqa: F403  # one server for every test that wants a database

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

TESTS = Path(__file__).parent
# Tests that raise whole stacks wait more than they work: one process runs them one after another,
# so that two stacks never fight for the machine, while the other process runs the rest.
STACKS = {"chaos", "e2e", "embedded", "outages"}


@pytest.hookimpl(tryfirst=True)  # before the groups are read
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep all stacks in one process, and each other file's tests together."""
    for item in items:
        place = item.path.relative_to(TESTS).parts
        group = "stacks" if place[0] in STACKS else "/".join(place)
        item.add_marker(pytest.mark.xdist_group(group))

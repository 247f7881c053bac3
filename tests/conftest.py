"""How all tests run: judged by what they show, never by time."""

from hypothesis import settings

from tests.postgres import *  # noqa: F403  # one server for every test that wants a database

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

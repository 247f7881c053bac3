"""The way to the Temporal server, with the one data converter."""

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from infra.settings import TemporalSettings


async def connect(settings: TemporalSettings, *, lazy: bool = False) -> Client:
    """Return a client of the server that `settings` name.

    A lazy one connects on its first call, so that a process can begin while the server is down;
    it cannot host a worker.

    Raises:
        RuntimeError: the server does not answer (never where `lazy`).
    """
    return await Client.connect(
        settings.address,
        namespace=settings.namespace,
        data_converter=pydantic_data_converter,
        lazy=lazy,
    )

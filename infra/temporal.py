"""The way to the Temporal server, with the one data converter and the interceptors of all."""

from functools import lru_cache
from typing import Any, Final

from pydantic import TypeAdapter
from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.contrib.pydantic import PydanticJSONPlainPayloadConverter
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultPayloadConverter,
    JSONPlainPayloadConverter,
)
from typing_extensions import override

from infra.following import Following
from infra.settings import TemporalSettings

MOST_ADAPTERS: Final = 512  # types that travel: a few dozen, and none is made while running


class JsonConverter(PydanticJSONPlainPayloadConverter):
    """Reads payloads with adapters that the whole process shares.

    The SDK makes a converter for every workflow run, and its own would each time build the
    adapters anew: milliseconds for every type.
    """

    @override
    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:
        """Return the value of `payload` as a `type_hint`."""
        return _adapter(Any if type_hint is None else type_hint).validate_json(payload.data)


@lru_cache(maxsize=MOST_ADAPTERS)
def _adapter(type_hint: Any) -> TypeAdapter[Any]:
    """Return what reads JSON as `type_hint`, built once."""
    return TypeAdapter(type_hint)


class PayloadConverter(CompositePayloadConverter):
    """The SDK's own converter but for JSON, which is pydantic's."""

    def __init__(self) -> None:
        super().__init__(
            *(
                JsonConverter() if isinstance(kind, JSONPlainPayloadConverter) else kind
                for kind in DefaultPayloadConverter.default_encoding_payload_converters
            )
        )


DATA_CONVERTER: Final = DataConverter(payload_converter_class=PayloadConverter)


async def connect(settings: TemporalSettings, *, lazy: bool = False) -> Client:
    """Return a client of the server that `settings` name; it follows each piece of work.

    A lazy one connects on its first call, so that a process can begin while the server is down;
    it cannot host a worker.

    Raises:
        RuntimeError: the server does not answer (never where `lazy`).
    """
    return await Client.connect(
        settings.address,
        namespace=settings.namespace,
        data_converter=DATA_CONVERTER,
        interceptors=[Following()],
        lazy=lazy,
    )

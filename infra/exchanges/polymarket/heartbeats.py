"""The chain of heartbeats: each carries the id that the one before was answered with."""

from domain.errors import InvalidInputError
from infra.exchanges.polymarket import wire


def beat_id(raw: object) -> str:
    """Return the id that the next beat has to carry."""
    return wire.text(wire.record(raw, "heartbeat"), "heartbeat_id")


def expected_beat(body: bytes) -> str | None:
    """Return the id that a refusal asks for; None where the refusal was for something else."""
    try:
        return wire.optional_text(wire.record(wire.decoded(body), "heartbeat"), "heartbeat_id")
    except InvalidInputError:
        return None

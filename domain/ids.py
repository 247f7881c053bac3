"""Identities, derived and never drawn, so that a repeat finds the first."""

import hashlib

ID_LENGTH = 20  # hex digits: 80 bits, far beyond any collision at our volumes
TRACE_ID_LENGTH = 32  # what W3C trace context asks for


def digest(*parts: str | bytes, length: int = ID_LENGTH) -> str:
    """Return `length` hex digits that stand for `parts`, each taken apart from the next."""
    sha = hashlib.sha256()
    for part in parts:
        raw = part if isinstance(part, bytes) else part.encode()
        sha.update(len(raw).to_bytes(8, "big"))
        sha.update(raw)
    return sha.hexdigest()[:length]


def signal_id(source: str, body_digest: str, occurrence: int) -> str:
    """Return the id of the `occurrence`-th distinct signal with this body from this source."""
    return digest("signal", source, body_digest, str(occurrence))


def stranger_id(source: str, body_digest: str) -> str:
    """Return the id of a message whose sender proved nothing; it comes before no signal."""
    return digest("stranger", source, body_digest)


def trace_id(of_signal_id: str) -> str:
    """Return the one trace id of everything this signal causes."""
    return digest("trace", of_signal_id, length=TRACE_ID_LENGTH)


def intent_id(of_signal_id: str, leg: int) -> str:
    """Return the id of the `leg`-th order a signal asks for."""
    return f"{of_signal_id}-{leg}"


def position_id(account_id: str, token_id: str) -> str:
    """Return the id of what `account_id` holds of `token_id`."""
    return digest("position", account_id, token_id)


def order_workflow_id(of_intent_id: str) -> str:
    """Return the id of the workflow that works an entry."""
    return f"order-{of_intent_id}"


def signal_workflow_id(of_signal_id: str) -> str:
    """Return the id of the workflow that carries out any other action."""
    return f"signal-{of_signal_id}"


def position_workflow_id(account_id: str, token_id: str) -> str:
    """Return the id of the one writer of this position's exits."""
    return f"position-{account_id}-{token_id}"


def guardian_workflow_id(account_id: str) -> str:
    """Return the id of the one workflow that watches over an account."""
    return f"guardian-{account_id}"


def reconcile_workflow_id(account_id: str) -> str:
    """Return the id of the one workflow that compares an account with the exchange."""
    return f"reconcile-{account_id}"


def shutdown_workflow_id(account_id: str) -> str:
    """Return the id of the one workflow that shuts an account down."""
    return f"shutdown-{account_id}"

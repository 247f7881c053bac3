"""What comes in at the door, as the inbox keeps it: one row, and the events that explain it."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from typing import Any, Final

from domain.ids import signal_id, stranger_id, trace_id
from domain.signal import Action, SignalStatus
from infra.store.events import Event
from infra.store.rows import storable_text

MOST_BODY_BYTES: Final = 65_536
LARGEST_PRICE: Final = Decimal(10) ** 20  # what the column holds before the point
REPEAT_OF: Final = "repeat of "
CONFLICT_WITH: Final = "conflict: "


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What a signal turned out to ask for.

    Attributes:
        workflow_of: from the signal's id to the workflow that is to carry it out; None where
            none is needed.
    """

    action: Action
    account_id: str
    workflow_of: Callable[[str], str] | None = None
    prix_sl: Decimal | None = None
    prix_tp: Decimal | None = None


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A message at the door, read: everything that is to be stored of it.

    Attributes:
        body: as it came; what is over 64 KiB is cut.
        status: what it is if no other came before: RECEIVED is still to be carried out.
        reason: why it is not, where it is over already.
        external_id: the sender's own id, also of a message that is refused.
        meaning: None where it was not understood.
        is_unproven: its sender did not prove itself: it silences nobody and opens no window.
    """

    source: str
    body: bytes
    received_at: datetime
    status: SignalStatus
    reason: str | None = None
    external_id: str | None = None
    meaning: Meaning | None = None
    is_unproven: bool = False

    @cached_property
    def body_digest(self) -> str:
        """What tells its bytes from others."""
        return hashlib.sha256(self.body).hexdigest()

    def identity(self, occurrence: int = 0) -> str:
        """Return the id of its row, if these bytes came so often before."""
        source = storable_text(self.source)
        if self.is_unproven:
            return stranger_id(source, self.body_digest)
        return signal_id(source, self.body_digest, occurrence)

    def row(self, identity: str) -> dict[str, Any]:
        """Return the columns of its row."""
        meaning = self.meaning
        named = meaning.workflow_of(identity) if meaning and meaning.workflow_of else None
        return {
            "id": identity,
            "source": storable_text(self.source),
            "external_id": _text(self.external_id),
            "received_at": self.received_at,
            "status": self.status.value,
            "reason": _text(self.reason),
            "action": meaning.action.value if meaning else None,
            "prix_sl": _price(meaning.prix_sl) if meaning else None,
            "prix_tp": _price(meaning.prix_tp) if meaning else None,
            "raw_payload": self.body[:MOST_BODY_BYTES],
            "body_digest": self.body_digest,
            "is_unproven": self.is_unproven,
            "account_id": _text(meaning.account_id) if meaning else None,
            "trace_id": trace_id(identity),
            "workflow_id": named,
        }

    def events(self, identity: str) -> list[Event]:
        """Return what its first moment was; a stranger's leaves no trace that cannot be removed."""
        if self.is_unproven:
            return []
        told = [event_of(identity, "received", {"source": self.source, "bytes": len(self.body)})]
        if self.meaning is not None:
            detail = {"action": self.meaning.action, "external_id": self.external_id}
            told.append(event_of(identity, "understood", detail))
        if self.status is not SignalStatus.RECEIVED:
            told.append(event_of(identity, self.status, {"reason": self.reason}))
        return told


class Verdict(StrEnum):
    """What an arrival is, beside those that came before it."""

    FIRST = "first"
    REPEAT = "repeat"
    CONFLICT = "conflict"


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What became of an arrival.

    Attributes:
        verdict: FIRST also where the same bytes came within the window: it is the same signal.
        signal_id, status, reason: of the signal that counts, the first with these bytes or this
            id.
        own_id: of the row that keeps this arrival's bytes.
        is_new: it is a signal of its own, and this arrival made it.
    """

    verdict: Verdict
    signal_id: str
    status: SignalStatus
    reason: str | None
    own_id: str
    is_new: bool


def event_of(signal_id: str, what: str, detail: dict[str, Any]) -> Event:
    """Return an event of a signal."""
    return Event(
        kind=f"signal.{what}",
        subject_kind="signal",
        subject_id=signal_id,
        signal_id=signal_id,
        trace_id=trace_id(signal_id),
        detail=detail,
    )


def _text(text: str | None) -> str | None:
    return None if text is None else storable_text(text)


def _price(price: Decimal | None) -> Decimal | None:
    """Return what the column can hold; a number beyond all prices is in the payload anyway."""
    if price is None or not price.is_finite() or abs(price) >= LARGEST_PRICE:
        return None
    return price

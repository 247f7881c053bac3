"""From a row of the inbox back to what is to be done: its bytes are read again."""

from api.commands import read_command
from api.inbox import judged
from api.problems import summary
from api.schemas import dialect, understand
from domain.signal import SignalTask
from infra.settings import COMMANDS, Settings
from infra.store.signals import StoredSignal


def recalled(settings: Settings, row: StoredSignal) -> SignalTask | str:
    """Return what a stored signal asks for, or why that cannot be told any more."""
    if row.source == COMMANDS:
        command = read_command(row.raw_payload)
        return command.task(row.id, row.received_at) if command else "not understood any more"
    known = settings.webhooks.get(row.source)
    if known is None:
        return f"no source {row.source} is configured"
    read = understand(row.raw_payload, dialect(row.source, known.aliases))
    found = judged(row.source, known, read, row.received_at)
    return found.task(row.id) if found.instruction is not None else summary(found.errors)

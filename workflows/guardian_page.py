"""The guardian's page in the Temporal UI: markdown, small, the same for an account of any size."""

from collections.abc import Mapping

from domain.guardian_page import cells, table
from workflows.guardian_ticks import Memory


def page(commands: Mapping[str, str | None], memory: Memory) -> str:
    """Return the page of an account.

    Args:
        commands: where the account stands and what it was told; what is None is left out.
        memory: what the ticks saw.
    """
    facts = {**commands, **_sweep(memory)}
    told = [cells([name, value]) for name, value in facts.items() if value is not None]
    return "\n".join(["| | |", "|---|---|", *told, *_alarms(memory), *_held(memory)])


def _sweep(memory: Memory) -> dict[str, str | None]:
    """Return how the last look at everything went."""
    if memory.last is None:
        return {"last tick": memory.fault}
    sweep = memory.last.sweep
    word = "" if sweep.is_whole else ", NOT COMPLETE: nothing was repaired"
    return {
        "last tick": f"{sweep.swept_at:%Y-%m-%d %H:%M:%S} UTC, {sweep.seconds} s{word}",
        "the tick after it failed": memory.fault,
        "positions guarded": str(sweep.positions),
        "unprotected now": str(sweep.unprotected),
        "alarms": str(sweep.alarm_count),
    }


def _alarms(memory: Memory) -> list[str]:
    """Return the alarms that stand."""
    if memory.last is None or not memory.last.sweep.alarms:
        return []
    alarms = memory.last.sweep.alarms
    return ["", "**Alarms**", "", *(f"- `{one.name}` {one.about}: {one.words}" for one in alarms)]


def _held(memory: Memory) -> list[str]:
    """Return the positions, and what was lately done for them."""
    last = memory.last
    if last is None:
        return []
    shown = ["", "**Positions**", "", *table(last.page, last.sweep.positions)]
    if not memory.repairs:
        return shown
    return [*shown, "", "**Last repairs**", "", *(f"- {words}" for words in memory.repairs)]

"""Whether what the database calls committed survives a crash of its machine."""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from infra.store.database import transaction

# Off, each of them answers "committed" for what a power cut takes back.
NEEDED: Final[Mapping[str, str]] = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
}


async def risks(engine: AsyncEngine) -> str | None:
    """Return which settings make a commit worthless, with the remedy; None where none does.

    Raises:
        UnavailableError: the database does not answer.
    """
    columns = ", ".join(f"current_setting('{name}') AS {name}" for name in NEEDED)
    async with transaction(engine) as connection:
        found = (await connection.execute(text(f"SELECT {columns}"))).mappings().one()
    wrong = [f"{name} = {found[name]}" for name in NEEDED if found[name] != NEEDED[name]]
    if not wrong:
        return None
    return f"a crash may take back what was committed: {', '.join(wrong)}; set each to on"

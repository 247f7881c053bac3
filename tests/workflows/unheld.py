"""Protection where nothing was ever held, for tests of sales alone."""

from datetime import datetime
from decimal import Decimal

from domain.guarded import Guarded
from domain.protection import Firing, Protect, Protection


class Unheld:
    """The port ProtectionStore where nothing was ever held; whatever else is asked is a fault."""

    async def guarded(self, account_id: str, token_id: str) -> Guarded | None:
        return None

    async def plan(self, account_id: str, token_id: str, wish: Protect, now: datetime) -> Guarded:
        raise AssertionError(wish)

    async def arm(self, account_id: str, token_id: str, now: datetime) -> Guarded:
        raise AssertionError(token_id)

    async def rest(
        self, account_id: str, token_id: str, size: Decimal, now: datetime
    ) -> Protection | None:
        raise AssertionError(size)

    async def rested(self, account_id: str, token_id: str) -> None:
        raise AssertionError(token_id)

    async def fire(
        self, account_id: str, token_id: str, firing: Firing, now: datetime
    ) -> Protection | None:
        raise AssertionError(firing)

    async def fire_again(self, account_id: str, token_id: str, now: datetime) -> Protection | None:
        raise AssertionError(token_id)

    async def block(self, account_id: str, token_id: str, words: str) -> None:
        raise AssertionError(words)

    async def close(self, account_id: str, token_id: str, *, is_dust: bool) -> Guarded | None:
        raise AssertionError(token_id)

"""The list of markets: Gamma's pages, and the CLOB where Gamma does not say enough."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Final

from domain.errors import HoldfastError, InvalidInputError
from domain.market import Listing, Market
from infra.exchanges.polymarket import wire
from infra.exchanges.polymarket.connection import Connection, Paging, Query
from infra.exchanges.polymarket.failures import NOT_FOUND, RequestRefusedError
from infra.exchanges.polymarket.market_parsing import (
    Fee,
    clob_fee,
    clob_market,
    gamma_fee,
    gamma_market,
)
from infra.exchanges.polymarket.wire import Json

log = logging.getLogger(__name__)

PATH: Final = "/markets/keyset"
GAMMA_PAGES: Final = Paging(rows="markets", parameter="after_cursor")
PAGE_SIZE: Final = "500"
FEES_AT_ONCE: Final = 8  # markets whose fee Gamma leaves out, read side by side
NAMED_AT_ONCE: Final = 100  # condition ids in one address, which is thereby below 8 kB


async def market_of_clob(clob: Connection, condition_id: str) -> Market:
    """Return one market as the CLOB lists it, open or closed.

    Raises:
        RequestRefusedError: there is none.
    """
    fee = await clob.read(f"/clob-markets/{condition_id}", clob_fee)
    return await clob.read(f"/markets/{condition_id}", lambda raw: clob_market(raw, fee))


class GammaMarkets:
    """Every open market, and the closed ones that are named.

    Args:
        named: condition ids to read whether open or closed, as those of what is held.
    """

    def __init__(
        self,
        gamma: Connection,
        clob: Connection,
        named: Callable[[], Awaitable[Collection[str]]],
    ) -> None:
        self._gamma = gamma
        self._clob = clob
        self._named = named
        self._fees: dict[str, Fee] = {}
        self._skipped: set[str] = set()

    async def listing(self) -> Listing:
        """Return every market that can be traded or is named; an incomplete list raises.

        What Gamma lists and nobody can trade, as markets without tokens, is left out. One market
        that cannot be read does not keep the others from being read.
        """
        unread: set[str] = set()
        found = await self._read({"closed": "false", "limit": PAGE_SIZE}, unread)
        missing = sorted(set(await self._named()) - found.keys())
        for start in range(0, len(missing), NAMED_AT_ONCE):
            some = missing[start : start + NAMED_AT_ONCE]
            closed: Query = {"closed": "true", "condition_ids": some, "limit": PAGE_SIZE}
            found |= await self._read(closed, unread)
        for condition_id in missing:
            if condition_id not in found:
                await self._add_from_clob(condition_id, found, unread)
        return Listing(markets=tuple(found.values()), unread=frozenset(unread - found.keys()))

    async def _read(self, query: Query, unread: set[str]) -> dict[str, Market]:
        """Return the markets of all pages by condition id, and add to `unread` what has none."""
        found: dict[str, Market] = {}
        turns = asyncio.Semaphore(FEES_AT_ONCE)

        async def market(row: Json) -> Market | None:
            async with turns:
                return await self._market(row, unread)

        async for page in self._gamma.pages(PATH, query, GAMMA_PAGES):
            markets = await asyncio.gather(*(market(row) for row in page))
            found |= {each.condition_id: each for each in markets if each is not None}
        return found

    async def _market(self, row: Json, unread: set[str]) -> Market | None:
        """Return one market of Gamma's list; None where it cannot be traded, or not be read."""
        named = wire.optional_text(row, "conditionId", "id") or ""
        try:
            fee = gamma_fee(row) or await self._clob_fee(wire.text(row, "conditionId"))
            market = gamma_market(row, fee)
        except InvalidInputError as error:
            self._skip(named, str(error), logging.INFO)
        except HoldfastError as error:
            self._skip(named, str(error), logging.WARNING)
        else:
            self._skipped.discard(named)
            return market
        unread.add(named)
        return None

    async def _clob_fee(self, condition_id: str) -> Fee:
        """Return a fee that Gamma announces without its amount; read once for each market."""
        if condition_id not in self._fees:
            self._fees[condition_id] = await self._clob.read(
                f"/clob-markets/{condition_id}", clob_fee
            )
        return self._fees[condition_id]

    async def _add_from_clob(
        self, condition_id: str, found: dict[str, Market], unread: set[str]
    ) -> None:
        """Add a named market that Gamma does not list; one that nobody knows is no market."""
        try:
            found[condition_id] = await market_of_clob(self._clob, condition_id)
        except HoldfastError as error:
            self._skip(condition_id, str(error), logging.WARNING)
            if not isinstance(error, RequestRefusedError) or error.status != NOT_FOUND:
                unread.add(condition_id)
        else:
            self._skipped.discard(condition_id)

    def _skip(self, condition_id: str, why: str, level: int) -> None:
        """Say once why a market is left out, until it can be read again."""
        if condition_id not in self._skipped:
            self._skipped.add(condition_id)
            log.log(level, "market.skipped", extra={"condition_id": condition_id, "why": why})

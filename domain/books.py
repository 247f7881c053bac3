"""The ports of a comparison with the exchange: what it reads of our books, and what it amends."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from domain.fill import Fill, FillStatus
from domain.order import Order
from domain.ports import ActiveOrder
from domain.reconciliation import Cash, EditedRow, Expected, Gap, Leg, Report


class BookStore(Protocol):
    """Reads of our books, and the comparison's own notes; orders and positions stay as they are."""

    async def known_fills(self, fills: Iterable[Fill]) -> dict[Leg, FillStatus]:
        """Return which of these fills are recorded, and at which status."""
        ...

    async def orders_by_hash(self, hashes: Collection[str]) -> dict[str, Order]:
        """Return which of these orders have a row."""
        ...

    async def edited_rows(self, account_id: str) -> list[EditedRow]:
        """Return the positions and orders whose rows are not the sum of their fills."""
        ...

    async def expected(self, account_id: str) -> list[Expected]:
        """Return what each token's balance should be, of what is held or was of late."""
        ...

    async def cash(self, account_id: str) -> Cash:
        """Return what the collateral was last agreed to be, and what has moved since."""
        ...

    async def gaps(self, account_id: str) -> dict[str, Gap]:
        """Return the gaps that wait for their second read, by token."""
        ...

    async def keep_gap(self, gap: Gap) -> None:
        """Have a gap wait for its second read; another one of its token is forgotten."""
        ...

    async def forget_gap(self, account_id: str, token_id: str) -> None:
        """Forget the gap of a token whose balance agrees."""
        ...

    async def agree(self, account_id: str, balance_usd: Decimal, cash_usd: Decimal) -> None:
        """Keep that the collateral and the books' cash belong together as they are now."""
        ...

    async def keep(self, report: Report) -> None:
        """Keep a report; told again, it is the same one."""
        ...

    async def latest(self, account_id: str, since: datetime) -> Report | None:
        """Return the newest whole comparison begun at `since` or later."""
        ...


class AmendStore(Protocol):
    """Changes to our books, each one transaction with its event and its notice."""

    async def adopt(self, order: Order) -> bool:
        """Write a stranger's order as one of ours; False where it has a row already."""
        ...

    async def count_again(self, edited: EditedRow, now: datetime) -> bool:
        """Make a row again what its fills add up to; False where it is so already."""
        ...

    async def adjust(self, gap: Gap, condition_id: str, now: datetime) -> bool:
        """Close a proved gap by an entry; False where something has moved since it was seen."""
        ...

    async def adjust_collateral(self, gap: Gap, cash: Cash) -> None:
        """Take a proved movement of collateral, which no trade explains, into the baseline."""
        ...

    async def tell_cancelled(self, account_id: str, active: ActiveOrder) -> None:
        """Tell that a stranger's order was cancelled by policy."""
        ...

    async def snapshot(self, account_id: str, by: str, found: Mapping[str, object]) -> None:
        """Write how an account stands at the end of a shutdown."""
        ...

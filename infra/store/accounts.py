"""Accounts and whether they may enter: the gate that every admission and every send reads."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlmodel import col

from domain.errors import InvariantError
from domain.halt import Standing
from domain.risk import AccountState
from infra.store.database import rerun, transaction
from infra.store.events import Event, announce, write
from infra.store.rows import columns_of, storable_text
from infra.store.tables import Accounts as Table

ACCESS_LOST: Final = "access lost"  # begins the reason of a halt because the keys are refused


@dataclass(frozen=True, kw_only=True)
class Account:
    """An account as it is configured."""

    id: str
    wallet: str
    signature_type: int


@dataclass(frozen=True)
class Accounts:
    """Rows of `accounts`."""

    engine: AsyncEngine

    @rerun
    async def ensure(self, account: Account, now: datetime) -> AccountState:
        """Write an account that has no row yet, as reconciling; return the state of the row.

        A row that exists keeps its state: a halt outlives every restart.

        Raises:
            InvariantError: the id belongs to another wallet; fills and positions would be mixed.
        """
        row = columns_of(account, state=AccountState.RECONCILING, created_at=now)
        mine = col(Table.id) == account.id
        query = select(col(Table.state), col(Table.wallet)).where(mine)
        async with transaction(self.engine) as connection:
            added = insert(Table).values(row).on_conflict_do_nothing(index_elements=["id"])
            await connection.execute(added)
            state, wallet = (await connection.execute(query)).one()
            if wallet.casefold() != account.wallet.casefold():
                raise InvariantError(f"account {account.id} is of another wallet, {wallet}")
        return AccountState(state)

    async def state(self, account_id: str) -> AccountState:
        """Return whether the account may enter.

        Raises:
            InvariantError: no such account.
        """
        query = select(col(Table.state)).where(col(Table.id) == account_id)
        async with transaction(self.engine) as connection:
            state = (await connection.execute(query)).scalar_one_or_none()
        if state is None:
            raise InvariantError(f"there is no account {account_id}")
        return AccountState(state)

    async def regained_access(self, account_id: str) -> AccountState:
        """End a halt that was for refused keys and for nothing else; return where it stands."""
        reason = col(Table.state_reason)
        query = select(reason).where(col(Table.id) == account_id)
        async with transaction(self.engine) as connection:
            told = (await connection.execute(query)).scalar_one_or_none()
        if not (told or "").startswith(ACCESS_LOST):
            return await self.state(account_id)
        return await self.set_state(
            account_id,
            AccountState.RUNNING,
            reason="the exchange takes the keys again",
            only_from=(AccountState.HALTED,),
        )

    async def standing(self, account_id: str) -> Standing:
        """Return whether the account may enter, why, and since when.

        Raises:
            InvariantError: no such account.
        """
        about = col(Table.state), col(Table.state_reason), col(Table.state_changed_at)
        query = select(*about).where(col(Table.id) == account_id)
        async with transaction(self.engine) as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            raise InvariantError(f"there is no account {account_id}")
        state, reason, since = row
        return Standing(state=AccountState(state), reason=reason, since=since)

    @rerun
    async def set_state(
        self,
        account_id: str,
        to: AccountState,
        *,
        reason: str,
        who: str | None = None,
        only_from: Collection[AccountState] = tuple(AccountState),
    ) -> AccountState:
        """Move the account to `to` if it stands in one of `only_from`; return where it stands.

        It waits for admissions under way, so that each comes wholly before or after a halt.

        Args:
            account_id: which account.
            to: the new state.
            reason: why, for the audit trail.
            who: the operator; None is the engine itself.
            only_from: states that may be left; the others are kept.
        """
        query = select(col(Table.state)).where(col(Table.id) == account_id).with_for_update()
        async with transaction(self.engine) as connection:
            known = (await connection.execute(query)).scalar_one_or_none()
            if known is None:
                raise InvariantError(f"there is no account {account_id}")
            before = AccountState(known)
            if before is to or before not in only_from:
                return before
            await move(connection, account_id, before, to, reason=reason, who=who)
        return to


async def move(  # noqa: PLR0913  # a change of state is all of this
    connection: AsyncConnection,
    account_id: str,
    before: AccountState,
    to: AccountState,
    *,
    reason: str,
    who: str | None,
) -> None:
    """Move an account whose row this transaction has locked, and tell of it."""
    values = {"state": to.value, "state_reason": storable_text(reason)}
    moved = update(Table).where(col(Table.id) == account_id)
    at = func.clock_timestamp()
    await connection.execute(moved.values(**values, state_changed_at=at))
    detail = {"before": before.value, "after": {"state": to.value}, "reason": reason}
    await _tell(connection, account_id, who, detail)


async def _tell(
    connection: AsyncConnection, account_id: str, who: str | None, detail: dict[str, Any]
) -> None:
    """Write the event and the notice of a change of state."""
    event = Event(
        kind=f"account.{detail['after']['state']}",
        subject_kind="account",
        subject_id=account_id,
        account_id=account_id,
        who=who,
        detail=detail,
    )
    await write(connection, event)
    await announce(connection, event.kind, detail | {"account_id": account_id, "who": who})

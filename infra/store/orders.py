"""Orders as intended and as known: whatever changes one commits together with its event."""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlmodel import col

from domain.answer import Answer, Submission, answered
from domain.errors import InvariantError
from domain.order import RESTING, SENDABLE, Order, OrderEvent, Side, Sighting, seen
from domain.ports import SendPermit
from domain.risk import (
    DAY_UNKNOWN,
    HALTS,
    TRIPPED_BY,
    AccountState,
    Limits,
    denied,
    reason_of_trip,
)
from domain.sizing import Denied, Funds, Terms
from infra.points import Point
from infra.store import tables
from infra.store.accounts import move
from infra.store.database import ConflictError, rerun, retried, statement, transaction
from infra.store.events import Event, order_event, write, write_broken
from infra.store.order_rows import (
    POSITION_ID,
    by_hash,
    by_intent,
    insert_order,
    store_order,
)
from infra.store.protection_rows import carry_out
from infra.store.rows import as_json, read
from infra.store.sealing import Cipher
from infra.store.stakes import exposure, stakes
from infra.telemetry import work_of
from infra.tracing import point

ANSWERED: Final = "order.answered"

Detail = dict[str, Any]
Fold = Callable[["Recorded"], Order]


def _listed(words: Iterable[StrEnum]) -> str:
    """Return words of ours as SQL lists them."""
    return ", ".join(f"'{word}'" for word in sorted(words))


# One statement, so that it is one commit and one way to the server and back.
_BEGIN_SEND: Final = text(
    f"""
    WITH sent AS (
        UPDATE holdfast.orders AS mine
        SET state = CASE mine.state WHEN 'NEW' THEN 'SENT' ELSE mine.state END,
            attempts = mine.attempts + 1,
            last_sent_at = :now,
            updated_at = clock_timestamp()
        WHERE mine.order_hash = :order_hash
            AND mine.state IN ({_listed(SENDABLE)})
            AND mine.signed_order IS NOT NULL
            AND EXISTS (
                SELECT 1 FROM holdfast.accounts AS account WHERE account.id = mine.account_id AND (
                    account.state = '{AccountState.RUNNING}' OR (
                        mine.side = '{Side.SELL}' AND NOT (
                            mine.time_in_force IN ({_listed(RESTING)})
                            AND account.state IN ({_listed(HALTS)})
                        )
                    )
                )
            )
        RETURNING mine.*
    ), told AS (
        INSERT INTO holdfast.events
            (kind, subject_kind, subject_id, account_id, signal_id, order_hash, position_id,
            trace_id, detail)
        SELECT 'order.sent', 'order', order_hash, account_id, signal_id, order_hash,
            {POSITION_ID}, trace_id,
            jsonb_build_object('attempt', attempts, 'after', jsonb_build_object(
                'state', state, 'attempts', attempts, 'last_sent_at', CAST(:at AS text)
            ))
        FROM sent
    )
    SELECT * FROM sent
    """  # noqa: S608  # only our own words are put in
)
_READ: Final = text(
    f"""
    SELECT mine.*, CAST(mine.xmin AS text) AS version, (
        SELECT count(DISTINCT detail ->> 'attempt') FROM holdfast.events
        WHERE order_hash = mine.order_hash
            AND kind = '{ANSWERED}' AND detail ->> 'answer' = '{Answer.BUSY}'
    ) AS busy
    FROM holdfast.orders AS mine WHERE mine.order_hash = :order_hash
    """  # noqa: S608
)


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """An order as its row stands.

    Attributes:
        version: of the row; another one after every change.
        busy: how many of its sends were answered with "not processed".
    """

    order: Order
    version: str
    busy: int

    @property
    def sends_in_doubt(self) -> int:
        """How many sends were begun and not answered with "not processed".

        The send that is being answered is one of them. Rows tell it, not the state: a process
        that died within a send left no word of it.
        """
        return self.order.attempts - self.busy


@dataclass(frozen=True)
class Orders:
    """The port OrderStore on PostgreSQL.

    Args:
        cipher: seals the signed bytes, which are worth money to whoever reads them; None in a
            process that neither stores nor sends orders.
    """

    engine: AsyncEngine
    cipher: Cipher | None

    @property
    def _sealing(self) -> Cipher:
        """The cipher of a process that has one."""
        if self.cipher is None:
            raise InvariantError("this process was given no storage key: it does not send orders")
        return self.cipher

    async def by_intent(self, intent_id: str) -> Order | None:
        """Return the order of an intent, if it was ever prepared."""
        async with statement(self.engine) as connection:
            return await by_intent(connection, intent_id)

    async def by_hash(self, order_hash: str) -> Order | None:
        """Return an order of ours."""
        async with statement(self.engine) as connection:
            return await by_hash(connection, order_hash)

    async def open_orders(self, account_id: str) -> list[Order]:
        """Return every order of an account that may still match, or may yet turn up."""
        mine = col(tables.Orders.account_id) == account_id
        query = select(tables.Orders).where(mine, col(tables.Orders.state).in_(tables.OPEN_STATES))
        async with transaction(self.engine) as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [read(Order, row) for row in rows]

    async def funds(self, account_id: str, token_id: str, collateral_usd: Decimal) -> Funds:
        """Return what is left of `collateral_usd` and of the shares held, all promises kept.

        Collateral leaves the account when a trade is mined: until then a matched buy is promised.
        """
        async with statement(self.engine) as connection:
            staked = await stakes(connection, account_id, token_id)
        return Funds(
            free_usd=collateral_usd - staked.promised_usd,
            free_shares=staked.free_shares,
            unsettled_shares=staked.unsettled_shares,
        )

    async def admit(self, draft: Order, payload: bytes, limits: Limits) -> Order | Denied:
        """Under the account's lock: check every limit, then insert the order as NEW.

        The first insert of an intent wins; a later caller gets the first one's order back, also
        where the limits would refuse it by now. A refusal that trips closes the account's gate in
        the same transaction. Without what the day began with nothing is admitted: the caller
        takes it and asks again.

        Raises:
            InvariantError: no such account, or another intent has the same signed order.
        """
        with point(Point.ORDER_ADMITTED, work_of(draft)):
            signed = self._sealing.seal(payload, draft.order_hash)
            return await retried(lambda: self._admitted(draft, signed, limits))

    async def _admitted(self, draft: Order, signed: bytes, limits: Limits) -> Order | Denied:
        """Admit, as one transaction."""
        async with transaction(self.engine) as connection:
            state = await _locked_account(connection, draft.account_id)
            refusal = await _refusal(connection, draft, state, limits)
            if refusal is None:
                if not await insert_order(connection, draft, signed):
                    return await _first(connection, draft.intent_id)
                if draft.side is Side.SELL:
                    await carry_out(connection, draft)
                return draft
            known = await by_intent(connection, draft.intent_id)
            if known is not None:
                return known
            if refusal.rule != DAY_UNKNOWN:
                await _tell_denied(connection, draft, state, refusal)
            return refusal

    @rerun
    async def begin_send(self, order_hash: str, now: datetime) -> SendPermit:
        """Count the send and commit it, if the order's state and (for buys) the account allow.

        Raises:
            InvariantError: no such order, or its bytes do not open with our key.
        """
        with point(Point.SEND_COUNTED) as here:
            async with statement(self.engine) as connection:
                asked = {"order_hash": order_hash, "now": now, "at": as_json(now)}
                row = (await connection.execute(_BEGIN_SEND, asked)).mappings().one_or_none()
                if row is None:
                    return await _why_not(connection, order_hash)
            here.note(send=row["attempts"])
        return SendPermit(payload=self._sealing.open(row["signed_order"], order_hash))

    async def learn(
        self, order_hash: str, event: OrderEvent, words: str | None, now: datetime
    ) -> Order:
        """Apply one piece of news and write its event.

        Raises:
            InvariantError: no such order, or the news is impossible in its state.
        """

        def fold(known: Recorded) -> Order:
            return known.order.after(event, words)

        detail = {"news": event.value, "words": words, "at": now}
        return await self._changed(order_hash, fold, detail, unchanged_kind=None)

    async def answered(self, order_hash: str, submission: Submission, now: datetime) -> Order:
        """Apply the outcome of a send and write its event.

        Raises:
            InvariantError: no such order, or the outcome is impossible in its state.
        """

        def fold(known: Recorded) -> Order:
            is_earlier = known.sends_in_doubt > 1
            return answered(known.order, submission, is_earlier_send_in_doubt=is_earlier)

        detail = {"answer": submission.answer.value, "words": submission.words, "at": now}
        return await self._changed(order_hash, fold, detail, unchanged_kind=ANSWERED)

    async def sighted(self, order_hash: str, sighting: Sighting, now: datetime) -> Order:
        """Apply one look at the exchange and write its event if anything changed.

        Raises:
            InvariantError: no such order, or the exchange shows alive what was never sent.
        """

        def fold(known: Recorded) -> Order:
            return seen(known.order, sighting, now)

        detail = {"seen": sighting, "at": now}
        return await self._changed(order_hash, fold, detail, unchanged_kind=None)

    async def _changed(
        self, order_hash: str, fold: Fold, detail: Detail, *, unchanged_kind: str | None
    ) -> Order:
        """Fold news into the order, with the event that tells of it.

        What is written must follow from what was read: a row that changed in between is read
        again. News that changes nothing is told under `unchanged_kind`, or not at all.
        """

        async def run() -> Order:
            async with statement(self.engine) as connection:
                known = await _recorded(connection, order_hash)
                before, after = known.order, fold(known)
                told = {**detail, "attempt": before.attempts}
                if after != before:
                    if not await store_order(connection, before, after, told, known.version):
                        raise ConflictError(f"order {order_hash} changed meanwhile")
                elif unchanged_kind is not None:
                    await _tell_once(connection, before, unchanged_kind, told)
            return after

        async with self._alarmed(order_hash, detail):
            return await retried(run)

    @asynccontextmanager
    async def _alarmed(self, order_hash: str, detail: Detail) -> AsyncGenerator[None]:
        """Leave a record of a broken rule, for its transaction leaves none."""
        try:
            yield
        except InvariantError as error:
            event = Event(
                kind="invariant.broken",
                subject_kind="order",
                subject_id=order_hash,
                order_hash=order_hash,
                detail=detail | {"error": str(error)},
            )
            await write_broken(self.engine, event, str(error))
            raise


async def _first(connection: AsyncConnection, intent_id: str) -> Order:
    """Return the order that won the race for an intent."""
    order = await by_intent(connection, intent_id)
    if order is None:
        raise InvariantError(f"intent {intent_id} has an order that cannot be read")
    return order


async def _locked_account(connection: AsyncConnection, account_id: str) -> AccountState:
    """Return the account's state, locked: admissions to one account follow each other."""
    found = select(col(tables.Accounts.state)).where(col(tables.Accounts.id) == account_id)
    state = (await connection.execute(found.with_for_update())).scalar_one_or_none()
    if state is None:
        raise InvariantError(f"there is no account {account_id}")
    return AccountState(state)


async def _refusal(
    connection: AsyncConnection, draft: Order, state: AccountState, limits: Limits
) -> Denied | None:
    """Return the rule that refuses `draft` against what is committed now."""
    asked = Terms(
        side=draft.side, time_in_force=draft.time_in_force, price=draft.price, size=draft.size
    )
    return denied(asked, await exposure(connection, draft, state, limits), limits)


async def _tell_denied(
    connection: AsyncConnection, draft: Order, state: AccountState, refusal: Denied
) -> None:
    """Write what was denied and why; where the account is to stop, its gate closes with it."""
    detail = {"rule": refusal.rule, "words": refusal.words}
    await write(connection, order_event(draft, "order.denied", detail))
    if refusal.trips:
        to, reason = AccountState.HALTING, reason_of_trip(refusal.words)
        await move(connection, draft.account_id, state, to, reason=reason, who=TRIPPED_BY)


async def _why_not(connection: AsyncConnection, order_hash: str) -> SendPermit:
    """Return why a send was not counted."""
    order = (await _recorded(connection, order_hash)).order
    if order.state not in SENDABLE:
        return SendPermit(payload=None, refusal=f"the order is {order.state}")
    found = select(col(tables.Accounts.state)).where(col(tables.Accounts.id) == order.account_id)
    state = AccountState((await connection.execute(found)).scalar_one())
    if order.side is Side.BUY:
        # The account may have begun to run between the two statements: that is a wait as well.
        waits = state in {AccountState.RECONCILING, AccountState.RUNNING}
        return SendPermit(payload=None, refusal=f"the account is {state}: no entries", waits=waits)
    if order.may_rest and state in HALTS:
        return SendPermit(payload=None, refusal=f"the account is {state}: nothing may rest")
    return SendPermit(payload=None, refusal="the order was not signed here")


async def _recorded(connection: AsyncConnection, order_hash: str) -> Recorded:
    """Return an order as it is recorded now."""
    row = (await connection.execute(_READ, {"order_hash": order_hash})).mappings().one_or_none()
    if row is None:
        raise InvariantError(f"there is no order {order_hash}")
    return Recorded(order=read(Order, row), version=row["version"], busy=row["busy"])


async def _tell_once(
    connection: AsyncConnection, order: Order, kind: str, detail: Mapping[str, Any]
) -> None:
    """Write that the answer to a send changed nothing, unless an event tells of it already."""
    event = tables.Events
    same = {name: detail[name] for name in ("attempt", "answer", "words")}
    known = select(col(event.seq)).where(
        col(event.order_hash) == order.order_hash, col(event.detail).contains(as_json(same))
    )
    if (await connection.execute(known.limit(1))).first() is None:
        await write(connection, order_event(order, kind, detail))

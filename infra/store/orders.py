"""Orders as intended and as known: every method is one transaction that ends with its event."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import and_, case, exists, func, not_, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlmodel import col

from domain.answer import Answer, Submission, answered
from domain.errors import InvariantError
from domain.order import RESTING, SENDABLE, Order, OrderEvent, OrderState, Side, Sighting, seen
from domain.ports import SendPermit
from domain.risk import HALTS, AccountState, Exposure, Limits, denied
from domain.sizing import Denied, Funds, Terms
from infra.store import tables
from infra.store.database import rerun, retried, transaction
from infra.store.events import Event, order_event, write, write_broken
from infra.store.order_rows import by_hash, by_intent, locked_order, store_order
from infra.store.rows import as_json, columns_of, read
from infra.store.sealing import Cipher
from infra.store.stakes import stakes

ANSWERED: Final = "order.answered"

Detail = dict[str, Any]
Fold = Callable[[AsyncConnection, Order], Awaitable[Order]]


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
        async with transaction(self.engine) as connection:
            return await by_intent(connection, intent_id)

    async def by_hash(self, order_hash: str) -> Order | None:
        """Return an order of ours."""
        async with transaction(self.engine) as connection:
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
        async with transaction(self.engine) as connection:
            staked = await stakes(connection, account_id, "", token_id)
        return Funds(
            free_usd=collateral_usd - staked.promised_usd,
            free_shares=staked.free_shares,
            unsettled_shares=staked.unsettled_shares,
        )

    async def admit(self, draft: Order, payload: bytes, limits: Limits) -> Order | Denied:
        """Under the account's lock: check every limit, then insert the order as NEW.

        The first insert of an intent wins; a later caller gets the first one's order back, also
        where the limits would refuse it by now.

        Raises:
            InvariantError: no such account, or another intent has the same signed order.
        """
        row = columns_of(draft, signed_order=self._sealing.seal(payload, draft.order_hash))
        return await retried(lambda: self._admitted(draft, row, limits))

    async def _admitted(
        self, draft: Order, row: Mapping[str, Any], limits: Limits
    ) -> Order | Denied:
        """Admit, as one transaction."""
        async with transaction(self.engine) as connection:
            state = await _locked_account(connection, draft.account_id)
            known = await by_intent(connection, draft.intent_id)
            if known is not None:
                return known
            refusal = await _refusal(connection, draft, state, limits)
            if refusal is not None:
                detail = {"rule": refusal.rule, "words": refusal.words}
                await write(connection, order_event(draft, "order.denied", detail))
                return refusal
            added = (
                insert(tables.Orders)
                .values(row)
                .on_conflict_do_nothing(index_elements=["intent_id"])
            )
            if (await connection.execute(added)).rowcount == 0:
                return await _first(connection, draft.intent_id)
            detail = {"after": columns_of(draft)}
            await write(connection, order_event(draft, "order.prepared", detail))
        return draft

    @rerun
    async def begin_send(self, order_hash: str, now: datetime) -> SendPermit:
        """Count the send and commit it, if the order's state and (for buys) the account allow.

        Raises:
            InvariantError: no such order, or its bytes do not open with our key.
        """
        async with transaction(self.engine) as connection:
            rows = await connection.execute(_counted_send(order_hash, now))
            row = rows.mappings().one_or_none()
            if row is None:
                return SendPermit(payload=None, refusal=await _why_not(connection, order_hash))
            order = read(Order, row)
            detail = {"attempt": order.attempts, "after": _sent(order)}
            await write(connection, order_event(order, "order.sent", detail))
        return SendPermit(payload=self._sealing.open(row["signed_order"], order_hash))

    async def learn(
        self, order_hash: str, event: OrderEvent, words: str | None, now: datetime
    ) -> Order:
        """Apply one piece of news and write its event.

        Raises:
            InvariantError: no such order, or the news is impossible in its state.
        """

        async def fold(_: AsyncConnection, order: Order) -> Order:
            return order.after(event, words)

        detail = {"news": event.value, "words": words, "at": now}
        return await self._changed(order_hash, fold, detail, unchanged_kind=None)

    async def answered(self, order_hash: str, submission: Submission, now: datetime) -> Order:
        """Apply the outcome of a send and write its event.

        Raises:
            InvariantError: no such order, or the outcome is impossible in its state.
        """

        async def fold(connection: AsyncConnection, order: Order) -> Order:
            in_doubt = await _sends_in_doubt(connection, order)
            return answered(order, submission, is_earlier_send_in_doubt=in_doubt > 1)

        detail = {"answer": submission.answer.value, "words": submission.words, "at": now}
        return await self._changed(order_hash, fold, detail, unchanged_kind=ANSWERED)

    async def sighted(self, order_hash: str, sighting: Sighting, now: datetime) -> Order:
        """Apply one look at the exchange and write its event if anything changed.

        Raises:
            InvariantError: no such order, or the exchange shows alive what was never sent.
        """

        async def fold(_: AsyncConnection, order: Order) -> Order:
            return seen(order, sighting, now)

        detail = {"seen": sighting, "at": now}
        return await self._changed(order_hash, fold, detail, unchanged_kind=None)

    async def _changed(
        self, order_hash: str, fold: Fold, detail: Detail, *, unchanged_kind: str | None
    ) -> Order:
        """Fold news into the order under its lock, with the event that tells of it.

        News that changes nothing is told under `unchanged_kind`, or not at all.
        """

        async def run() -> Order:
            async with transaction(self.engine) as connection:
                before = await locked_order(connection, order_hash)
                after = await fold(connection, before)
                told = {**detail, "attempt": before.attempts}
                if after != before:
                    await store_order(connection, before, after, told)
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
    staked = await stakes(connection, draft.account_id, draft.condition_id, draft.token_id)
    exposure = Exposure(
        state=state,
        open_orders=staked.open_orders,
        market_usd=staked.market_usd,
        free_shares=staked.free_shares,
    )
    asked = Terms(
        side=draft.side, time_in_force=draft.time_in_force, price=draft.price, size=draft.size
    )
    return denied(asked, exposure, limits)


def _counted_send(order_hash: str, now: datetime) -> Any:
    """Return the statement that counts a send where one is allowed, and returns the order."""
    row = tables.Orders
    state, account_id = col(row.state), col(row.account_id)
    account = tables.Accounts
    mine, standing = col(account.id) == account_id, col(account.state)
    may_enter = exists().where(mine, standing == AccountState.RUNNING.value)
    is_halted = exists().where(mine, standing.in_([each.value for each in HALTS]))
    rests = col(row.time_in_force).in_([each.value for each in RESTING])
    may_leave = and_(col(row.side) == Side.SELL.value, not_(and_(rests, is_halted)))
    return (
        update(row)
        .where(col(row.order_hash) == order_hash)
        .where(state.in_([each.value for each in SENDABLE]))
        .where(col(row.signed_order).is_not(None))
        .where(or_(may_leave, may_enter))
        .values(
            state=case((state == OrderState.NEW.value, OrderState.SENT.value), else_=state),
            attempts=col(row.attempts) + 1,
            last_sent_at=now,
            updated_at=func.clock_timestamp(),
        )
        .returning(row)
    )


async def _why_not(connection: AsyncConnection, order_hash: str) -> str:
    """Return why a send was not counted."""
    order = await locked_order(connection, order_hash)
    if order.state not in SENDABLE:
        return f"the order is {order.state}"
    found = select(col(tables.Accounts.state)).where(col(tables.Accounts.id) == order.account_id)
    state = AccountState((await connection.execute(found)).scalar_one())
    if order.side is Side.BUY:
        return f"the account is {state}: no entries"
    if order.may_rest and state in HALTS:
        return f"the account is {state}: nothing may rest"
    return "the order was not signed here"


def _sent(order: Order) -> Detail:
    """Return the fields that a send changes."""
    return {
        "state": order.state,
        "attempts": order.attempts,
        "last_sent_at": order.last_sent_at,
    }


async def _sends_in_doubt(connection: AsyncConnection, order: Order) -> int:
    """Return how many sends were begun and not answered with "not processed".

    The send that is being answered is one of them. Rows tell it, not the state: a process that
    died within a send left no word of it.
    """
    event = tables.Events
    attempt = col(event.detail)["attempt"].as_integer()
    busy = (
        select(func.count(attempt.distinct()))
        .where(col(event.order_hash) == order.order_hash, col(event.kind) == ANSWERED)
        .where(col(event.detail)["answer"].as_string() == Answer.BUSY.value)
    )
    return order.attempts - (await connection.execute(busy)).scalar_one()


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

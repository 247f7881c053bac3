"""E2, I23: a commit whose answer was lost has happened or not; run again, it ends the same."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.answer import Answer, Submission
from domain.errors import UnavailableError
from domain.fill import FillStatus, SeenBy
from domain.ids import signal_id
from domain.order import OrderEvent, Sighting
from domain.risk import AccountState
from domain.signal import Action, SignalStatus
from infra.failpoints import from_environment
from infra.store.accounts import Account, Accounts
from infra.store.arrivals import Arrival, Meaning
from infra.store.database import open_database
from infra.store.fills import Fills
from infra.store.inbox import Inbox
from infra.store.markets import Markets
from infra.store.orders import Orders
from infra.store.sealing import Cipher
from infra.store.signals import Signals
from infra.store.tables import Table
from tests.proxy import Link
from tests.store.making import ACCOUNT, KEY, NOW, WALLET, WIDE, a_fill, a_market, an_order, rows
from tests.store.making import later as at

pytestmark = pytest.mark.services

COMMIT = b"COMMIT\0"
# What commits by itself, in the one statement that it is.
ALONE = b"UPDATE holdfast.orders"
COMMITTING: dict[str, bytes] = dict.fromkeys(
    (
        "orders.answered",
        "orders.answered unknown",
        "orders.learn",
        "orders.sighted",
    ),
    ALONE,
) | {"signals.settle": b"UPDATE holdfast.signals"}
# Written by the database's own clock, sealed with a fresh nonce, or only a number in line.
VOLATILE = {"at", "updated_at", "state_changed_at", "signed_order", "seq", "created_at"}


class Stores(NamedTuple):
    """Every store, on one pool."""

    accounts: Accounts
    orders: Orders
    fills: Fills
    signals: Signals
    markets: Markets


Step = Callable[[Stores], Awaitable[Any]]

ORDER = an_order()
HASH = ORDER.order_hash
PREPARED: tuple[Step, ...] = (lambda on: on.orders.admit(ORDER, b"signed", WIDE),)
SENT: tuple[Step, ...] = (*PREPARED, lambda on: on.orders.begin_send(HASH, at(1)))
HELD: tuple[Step, ...] = (*SENT, lambda on: on.fills.record(a_fill(), SeenBy.STREAM, at(2)))
BODY = b'{"action": "PING"}'
SIGNAL = signal_id("tradingview", hashlib.sha256(BODY).hexdigest(), 0)
ARRIVAL = Arrival(
    source="tradingview",
    body=BODY,
    received_at=NOW,
    status=SignalStatus.RECEIVED,
    external_id="mine",
    meaning=Meaning(action=Action.BUY_MARKET, account_id=ACCOUNT),
)


async def _take(on: Stores) -> None:
    address = on.signals.engine.url.set(drivername="postgresql")
    inbox = Inbox(on.signals.engine, address.render_as_string(hide_password=False))
    await inbox.take(ARRIVAL)
    await inbox.close()


LIVE = Submission(answer=Answer.LIVE)
LOST = Submission(answer=Answer.UNKNOWN, words="cut off")
SEEN = Sighting(is_active=True, matched_size=Decimal(1))
WRITERS: dict[str, tuple[tuple[Step, ...], Step]] = {
    "accounts.ensure": (
        (),
        lambda on: on.accounts.ensure(Account(id="b", wallet=WALLET, signature_type=0), NOW),
    ),
    "accounts.set_state": (
        (),
        lambda on: on.accounts.set_state(ACCOUNT, AccountState.HALTED, reason="why", who="me"),
    ),
    "orders.admit": ((), PREPARED[0]),
    "orders.answered": (SENT, lambda on: on.orders.answered(HASH, LIVE, at(2))),
    "orders.answered unknown": (SENT, lambda on: on.orders.answered(HASH, LOST, at(2))),
    "orders.learn": (SENT, lambda on: on.orders.learn(HASH, OrderEvent.CANCEL, "dead", at(2))),
    "orders.sighted": (SENT, lambda on: on.orders.sighted(HASH, SEEN, at(2))),
    "fills.record": (SENT, HELD[-1]),
    "fills.record reversed": (
        HELD,
        lambda on: on.fills.record(
            replace(a_fill(), status=FillStatus.FAILED), SeenBy.STREAM, at(3)
        ),
    ),
    "fills.advance_cursor": ((), lambda on: on.fills.advance_cursor(ACCOUNT, at(5))),
    "fills.mark": (
        HELD,
        lambda on: on.fills.mark(ACCOUNT, {ORDER.token_id: Decimal("0.5")}, at(4)),
    ),
    "signals.settle": (
        (_take,),
        lambda on: on.signals.settle(SIGNAL, SignalStatus.PROCESSED, "done"),
    ),
    "markets.replace": ((), lambda on: on.markets.replace([a_market(), a_market("snow")], NOW)),
}
"""Each writing method, after what must have happened before it."""


def stores(engine: AsyncEngine) -> Stores:
    return Stores(
        Accounts(engine),
        Orders(engine, Cipher(KEY)),
        Fills(engine, from_environment({})),
        Signals(engine),
        Markets(engine),
    )


async def dump(engine: AsyncEngine) -> dict[str, list[dict[str, Any]]]:
    """Return everything stored, but for what no two runs have in common."""
    found: dict[str, list[dict[str, Any]]] = {}
    for table in Table.metadata.sorted_tables:
        kept = [
            {name: value for name, value in row.items() if name not in VOLATILE}
            for row in await rows(engine, f"SELECT * FROM {table}")  # noqa: S608  # our tables
        ]
        found[table.name] = sorted(kept, key=repr)
    return found


async def undisturbed(url: str, before: tuple[Step, ...], write: Step, runs: int) -> Any:
    """Return what is stored after `runs` runs that nothing disturbs, and emptied again."""
    engine = open_database(url)
    await _account(Accounts(engine))
    for step in (*before, *[write] * runs):
        await step(stores(engine))
    stored = await dump(engine)
    tables = ", ".join(str(table) for table in Table.metadata.sorted_tables)
    async with engine.begin() as connection:
        await connection.exec_driver_sql("SET session_replication_role = replica")
        await connection.exec_driver_sql(f"TRUNCATE {tables} RESTART IDENTITY")
    await engine.dispose()
    return stored


async def _account(accounts: Accounts) -> None:
    await accounts.ensure(Account(id=ACCOUNT, wallet=WALLET, signature_type=0), NOW)
    await accounts.set_state(ACCOUNT, AccountState.RUNNING, reason="reconciled")


@pytest.mark.parametrize("name", WRITERS)
async def test_e2_a_write_whose_commit_was_not_answered_is_run_again_and_changes_nothing(
    database_url: str, linked_url: str, link: Link, name: str
) -> None:
    before, write = WRITERS[name]
    once = await undisturbed(database_url, before, write, runs=1)
    engine = open_database(linked_url)
    await _account(Accounts(engine))
    for step in before:
        await step(stores(engine))

    link.lose_answer_to(COMMITTING.get(name, COMMIT))
    with pytest.raises(UnavailableError):
        await write(stores(engine))
    await link.heal()
    committed = await dump(engine)
    await write(stores(engine))

    assert link.lost_answers > 0
    assert committed == once
    assert await dump(engine) == once
    await engine.dispose()


async def test_e2_an_arrival_whose_commit_was_not_answered_is_stored_once_and_is_new(
    linked_url: str, link: Link
) -> None:
    engine = open_database(linked_url)
    inbox = Inbox(engine, linked_url)
    assert (await inbox.take(replace(ARRIVAL, body=b"{}", external_id=None))).is_new
    await inbox.started("nothing yet")
    link.lose_answer_to(b"tradingview")

    taken = await inbox.take(ARRIVAL)

    assert link.lost_answers == 1
    assert (taken.signal_id, taken.is_new) == (SIGNAL, True)
    found = await rows(engine, f"SELECT repeats FROM signals WHERE id = '{SIGNAL}'")  # noqa: S608
    assert [row["repeats"] for row in found] == [0]
    assert len(await rows(engine, f"SELECT 1 FROM events WHERE signal_id = '{SIGNAL}'")) == 2  # noqa: S608

    link.lose_answer_to(SIGNAL.encode())
    await inbox.started(SIGNAL)

    assert link.lost_answers == 2
    assert len(await rows(engine, f"SELECT 1 FROM events WHERE signal_id = '{SIGNAL}'")) == 3  # noqa: S608
    await inbox.close()
    await engine.dispose()


async def test_e2_a_send_whose_count_was_not_answered_sends_nothing_and_is_counted_again(
    linked_url: str, link: Link
) -> None:
    engine = open_database(linked_url)
    await _account(Accounts(engine))
    on = stores(engine)
    await PREPARED[0](on)
    link.lose_answer_to(ALONE)
    with pytest.raises(UnavailableError):  # no permit, so nothing leaves
        await on.orders.begin_send(HASH, at(1))

    permit = await on.orders.begin_send(HASH, at(2))

    order = await on.orders.by_hash(HASH)
    assert permit.payload == b"signed"
    assert order is not None
    assert (order.attempts, order.last_sent_at) == (2, at(2))
    await engine.dispose()

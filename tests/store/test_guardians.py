"""What a guardian reads in one statement, and what it leaves behind."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import event, update
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.guardian import Alarm, Stray, Sweep
from domain.guardian_rules import Held
from domain.guardian_store import Watched
from domain.ids import position_id
from domain.order import Order, OrderEvent, OrderState, OrderType, Side
from domain.risk import AccountState
from infra.store import tables
from infra.store.fills import Fills
from infra.store.guardians import Guardians
from infra.store.markets import Markets
from infra.store.orders import Orders
from infra.store.protections import Protections
from tests.store.making import ACCOUNT, NOW, WIDE, YES, a_market, an_order, kinds, later, one, rows
from tests.store.test_protections import STOP, TARGET, an_entry, bought, resting

pytestmark = pytest.mark.services

HERE = position_id(ACCOUNT, YES)
STALE = Alarm(name="order_unknown", about="0x9", words="rests and is not in our books")


@pytest.fixture
def guardians(orders: Orders) -> Guardians:
    return Guardians(orders.engine)


@pytest.fixture
def protections(orders: Orders) -> Protections:
    return Protections(orders.engine)


@contextmanager
def statements(engine: AsyncEngine) -> Generator[list[str]]:
    """Note every statement that is sent meanwhile."""
    sent: list[str] = []

    def note(_connection: object, _cursor: object, sql: str, *_: object) -> None:
        sent.append(sql)

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    yield sent
    event.remove(engine.sync_engine, "before_cursor_execute", note)


def a_sweep(*alarms: Alarm) -> Sweep:
    return Sweep(
        account_id=ACCOUNT,
        swept_at=later(10),
        seconds=Decimal("0.1"),
        is_whole=True,
        positions=1,
        unprotected=0,
        alarms=alarms,
        alarm_count=len(alarms),
    )


def a_note(*alarms: Alarm, **fields: Any) -> Watched:
    nothing: dict[str, Any] = {"opened": {}, "closed": (), "begun": (), "ended": ()}
    return Watched(sweep=a_sweep(*alarms), **(nothing | fields))


async def seen_one(guardians: Guardians, *listed: str) -> Held:
    (held,) = (await guardians.seen(ACCOUNT, listed)).held
    return held


async def test_one_statement_reads_what_is_held_and_all_that_protects_it(
    orders: Orders, fills: Fills, protections: Protections, guardians: Guardians
) -> None:
    await Markets(orders.engine).replace([a_market()], NOW)
    await bought(orders, fills, an_entry())
    profit = await resting(orders, protections)
    with statements(orders.engine) as sent:
        seen = await guardians.seen(ACCOUNT, [profit.order_hash])
    assert len(sent) == 1
    assert seen.standing.state is AccountState.RUNNING
    assert (seen.strays, seen.alarms) == ([], ())
    (held,) = seen.held
    assert held == Held(
        position_id=HERE,
        token_id=YES,
        status="open",
        size=Decimal(10),
        unsettled_size=Decimal(0),
        promised_size=Decimal(0),
        stop_loss=STOP,
        take_profit=TARGET,
        unprotected_since=None,
        market="rain",
        outcome="Yes",
        tick_size=Decimal("0.01"),
        min_size=Decimal(5),
        accepting_orders=True,
        closed=False,
        stop_status="armed",
        stop_price=STOP,
        stop_size=Decimal(10),
        profit_id=f"{HERE}:tp:1",
        profit_price=TARGET,
        order_hash=profit.order_hash,
        order_state="LIVE",
        order_price=TARGET,
        order_left=Decimal(10),
        order_sent_at=later(2),
        exit_status=None,
    )


async def test_shares_promised_to_another_sale_or_not_settled_are_told_apart(
    orders: Orders, fills: Fills, guardians: Guardians
) -> None:
    await bought(orders, fills, an_entry())
    await orders.admit(
        an_order("sale", side=Side.SELL, size=Decimal(3), type=OrderType.LIMIT), b"signed", WIDE
    )
    held = await seen_one(guardians)
    assert (held.promised_size, held.unsettled_size) == (Decimal(3), Decimal(0))
    matched = update(tables.Fills).values(status="MATCHED")
    async with orders.engine.begin() as connection:
        await connection.execute(matched)
    held = await seen_one(guardians)
    assert (held.promised_size, held.unsettled_size) == (Decimal(3), Decimal(10))


async def test_what_is_flat_or_over_is_not_read(
    orders: Orders, fills: Fills, protections: Protections, guardians: Guardians
) -> None:
    await bought(orders, fills, an_entry())
    profit = await resting(orders, protections)
    await orders.learn(profit.order_hash, OrderEvent.CANCEL, "by hand", later(3))
    await protections.rested(ACCOUNT, YES)
    held = await seen_one(guardians)
    assert (held.profit_id, held.order_hash) == (None, None)
    flat = update(tables.Positions).values(size=0)
    async with orders.engine.begin() as connection:
        await connection.execute(flat)
    assert (await guardians.seen(ACCOUNT, ())).held == []


async def test_listed_orders_that_we_lack_or_call_dead_are_strays(
    orders: Orders, guardians: Guardians
) -> None:
    live = await orders.admit(an_order("1"), b"signed", WIDE)
    dead = await orders.admit(an_order("2"), b"signed", WIDE)
    assert isinstance(live, Order)
    assert isinstance(dead, Order)
    await orders.learn("0x2", OrderEvent.CANCEL, "by hand", NOW)
    seen = await guardians.seen(ACCOUNT, ["0x1", "0x2", "0x3"])
    assert sorted(seen.strays) == [Stray("0x2", OrderState.CANCELLED), Stray("0x3", None)]


async def test_a_quiet_sweep_is_written_by_one_statement(guardians: Guardians) -> None:
    with statements(guardians.engine) as sent:
        await guardians.watched(a_note(), later(10))
    assert len(sent) == 1
    assert await one(guardians.engine, "SELECT positions FROM guardians") == 1
    assert await kinds(guardians.engine) == ["account.running"]


async def test_unprotected_time_is_counted_from_the_first_sweep_that_saw_it_to_the_last(
    orders: Orders, fills: Fills, guardians: Guardians
) -> None:
    await bought(orders, fills, an_entry())
    await guardians.watched(a_note(opened={HERE: later(10)}), later(10))
    assert (await seen_one(guardians)).unprotected_since == later(10)
    await guardians.watched(a_note(opened={HERE: later(20)}), later(20))
    assert (await seen_one(guardians)).unprotected_since == later(10)
    await guardians.watched(a_note(closed={HERE}), later(30))
    assert (await seen_one(guardians)).unprotected_since is None
    seconds = await one(guardians.engine, "SELECT unprotected_seconds FROM positions")
    assert seconds == (later(30) - later(10)) / timedelta(seconds=1)
    assert [kind for kind in await kinds(guardians.engine) if "protected" in kind] == [
        "position.unprotected",
        "position.unprotected",
        "position.protected",
    ]


async def test_an_alarm_is_an_event_and_a_notice_when_it_begins_and_when_it_ends(
    guardians: Guardians,
) -> None:
    await guardians.watched(a_note(STALE, begun=[STALE]), later(10))
    assert (await guardians.seen(ACCOUNT, ())).alarms == (STALE,)
    await guardians.watched(a_note(ended=[STALE]), later(20))
    assert (await guardians.seen(ACCOUNT, ())).alarms == ()
    told = [row["kind"] for row in await rows(guardians.engine, "SELECT kind FROM outbox")]
    assert [kind for kind in told if kind.startswith("alarm.")] == ["alarm.raised", "alarm.ended"]
    assert (await kinds(guardians.engine))[-2:] == ["alarm.raised", "alarm.ended"]


async def test_o5_a_guardian_that_was_ended_leaves_an_event_that_says_by_whom(
    guardians: Guardians,
) -> None:
    await guardians.restarted(ACCOUNT, "terminated: by mistake", "ann@desk")
    query = "SELECT kind, who, detail FROM events ORDER BY seq DESC LIMIT 1"
    (row,) = await rows(guardians.engine, query)
    assert (row["kind"], row["who"]) == ("guardian.restarted", "ann@desk")
    assert row["detail"]["words"] == "terminated: by mistake"

"""A small world made by the real parts: store, signer, activities and a paper exchange.

Only Temporal is missing: the steps of an order's life are called by hand, one after another. It
holds one of everything: fills at once, in parts and failed, a sale, cancels, an order that rests,
a denial, a repeat, a conflict and an alert that nobody understands.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.testing import ActivityEnvironment

from activities.orders import Answered, OrderActivities
from activities.orders import Desk as Behind
from domain.fill import FINAL, SeenBy
from domain.ids import order_workflow_id, position_workflow_id
from domain.order import Order, OrderSource
from domain.ports import Failpoint
from domain.risk import AccountState, Limits
from domain.signal import (
    Action,
    Instruction,
    SignalStatus,
    SignalTask,
    SizeKind,
    Sizing,
    order_request,
)
from infra.clock import utc_now
from infra.store.accounts import Account, Accounts
from infra.store.arrivals import Arrival, Meaning, Verdict
from infra.store.days import Days
from infra.store.fills import Fills
from infra.store.inbox import Inbox
from infra.store.markets import Markets
from infra.store.orders import Orders
from infra.store.sealing import Cipher
from infra.store.signals import Signals
from tests.chaos.evidence import OK, REFUSED, Evidence, Ledger, Row, Sent
from tests.exchanges.desk import Desk, eventually
from tests.store.making import ACCOUNT, KEY
from tests.workflows.calls import Calls

SOURCE = "tradingview"
LIMITS = Limits(
    max_order_notional_usd=Decimal(1000),
    max_market_exposure_usd=Decimal(5000),
    max_open_orders=100,
)


def _meaning(action: Action) -> Meaning:
    return Meaning(action=action, account_id=ACCOUNT, workflow_of="w-{}".format)


@dataclass
class SmallWorld:
    """The engine's parts around one account, and the log of what was sent to them."""

    desk: Desk
    engine: AsyncEngine
    failpoint: Failpoint
    sent: list[Sent] = field(default_factory=list[Sent])
    opening: list[Row] = field(default_factory=list[Row])

    def __post_init__(self) -> None:
        self.signals = Signals(self.engine)
        address = self.engine.url.set(drivername="postgresql")
        self.inbox = Inbox(self.engine, address.render_as_string(hide_password=False))
        self.orders = Orders(self.engine, Cipher(KEY))
        self.fills = Fills(self.engine, self.failpoint)
        self.activities = OrderActivities(
            desks={
                ACCOUNT: Behind(
                    exchange=self.desk.account, exits=self.desk.account.for_exits(), limits=LIMITS
                )
            },
            orders=self.orders,
            fills=self.fills,
            markets=Markets(self.engine),
            signals=self.signals,
            days=Days(self.engine),
            workflows=Calls(),
            clock=utc_now,
            failpoint=self.failpoint,
        )

    async def open(self) -> None:
        """Write what the workers write when they start, and take the opening balances."""
        who = self.desk.settings.accounts[ACCOUNT]
        accounts, now = Accounts(self.engine), utc_now()
        row = Account(id=ACCOUNT, wallet=who.wallet, signature_type=who.signature_type)
        await accounts.ensure(row, now)
        await accounts.set_state(ACCOUNT, AccountState.RUNNING, reason="reconciled")
        await Markets(self.engine).replace([self.desk.market], now)
        async with httpx.AsyncClient(trust_env=False) as http:
            self.opening = await self._ledger(http).balances()

    async def evidence(self) -> Evidence:
        """Return what the outside says now."""
        async with httpx.AsyncClient(trust_env=False) as http:
            return await self._ledger(http).read(self.opening, self.sent)

    def _ledger(self, http: httpx.AsyncClient) -> Ledger:
        return Ledger(
            admin_url=f"{self.desk.exchange.url}/_paper",
            clob_url=f"{self.desk.exchange.url}/clob",
            wallet=self.desk.account.who.wallet,
            http=http,
        )

    async def alert(self, name: str, wish: dict[str, Any], *, note: str = "") -> str | None:
        """Deliver an alert; return its signal where it is the first of its name."""
        body = json.dumps({**wish, "id": name, "comment": note}).encode()
        begun = utc_now().timestamp()
        action = Action(wish["action"]) if wish["action"] in set(Action) else None
        arrival = Arrival(
            source=SOURCE,
            body=body,
            received_at=utc_now(),
            status=SignalStatus.RECEIVED if action else SignalStatus.ERROR,
            reason=None if action else "action: unknown",
            external_id=name,
            meaning=_meaning(action) if action else None,
        )
        taken = await self.inbox.take(arrival)
        if action is None or taken.verdict is Verdict.CONFLICT:
            return self._answered(name, body, begun, None)
        self._answered(name, body, begun, taken.signal_id)
        return taken.signal_id if taken.is_new else None

    def _answered(self, name: str, body: bytes, begun: float, signal_id: str | None) -> None:
        one = Sent(
            alert=name,
            body=body,
            outcome=REFUSED if signal_id is None else OK,
            status=422 if signal_id is None else 202,
            signal_id=signal_id,
            begun_at=begun,
            answered_at=utc_now().timestamp(),
        )
        self.sent.append(one)

    async def sent_order(self, name: str, action: Action, size: str, price: str | None) -> Order:
        """Deliver an alert and bring its order to the exchange."""
        wish = {"action": action.value, "size": size, "price": price}
        signal_id = await self.alert(name, wish)
        assert signal_id is not None
        await self.inbox.started(signal_id)
        prepared = await self.activities.prepare(self._request(signal_id, action, size, price))
        assert prepared.order is not None, prepared
        order = prepared.order
        submission = await ActivityEnvironment().run(self.activities.submit, order)
        answered = Answered(
            order_hash=order.order_hash,
            signal_id=order.signal_id,
            trace_id=order.trace_id,
            submission=submission,
        )
        return await self.activities.record_answer(answered)

    def _request(self, signal_id: str, action: Action, size: str, price: str | None) -> Any:
        task = SignalTask(
            signal_id=signal_id,
            account_id=ACCOUNT,
            source=OrderSource.WEBHOOK,
            instruction=Instruction(
                action=action,
                market=self.desk.market.slug,
                outcome=self.desk.market.tokens[0].outcome,
                sizing=Sizing(kind=SizeKind.SIZE, value=Decimal(size)),
                price=None if price is None else Decimal(price),
            ),
        )
        is_entry = action in {Action.BUY_LIMIT, Action.BUY_MARKET}
        owner = position_workflow_id(ACCOUNT, self.desk.yes)
        return order_request(task, order_workflow_id(f"{signal_id}-0") if is_entry else owner)

    async def processed(self, order: Order) -> None:
        """Tell the order's sender that it rests or is over."""
        assert order.signal_id is not None
        await self.signals.settle(order.signal_id, SignalStatus.PROCESSED, None)

    async def followed(self, order: Order, enough: Callable[[Order], bool]) -> Order:
        """Look at an order again and again until it is as it should be."""
        return await eventually(lambda: self.activities.look(order), enough)

    async def settled(self) -> None:
        """Record every trade's later statuses until all are final."""

        async def record() -> bool:
            fills = await self.desk.account.fills()
            for fill in fills:
                await self.fills.record(fill, SeenBy.CATCH_UP, utc_now())
            return all(fill.status in FINAL for fill in fills)

        await eventually(record, lambda is_done: is_done)

    def quote(self, bid: str, ask: str, size: str) -> None:
        """Replace the makers of the market."""
        self.desk.book([(bid, "500")], [(ask, size)])


def is_over(order: Order) -> bool:
    return order.is_over


Story = Callable[[SmallWorld], Awaitable[None]]


async def lived(world: SmallWorld) -> None:
    """Let one of everything happen."""
    await world.open()
    await _bought_and_sold(world)
    await _filled_in_parts(world)
    await _rested_and_cancelled(world)
    await _turned_away(world)
    await world.settled()


async def _bought_and_sold(world: SmallWorld) -> None:
    world.quote("0.40", "0.50", "500")
    bought = await world.sent_order("bought", Action.BUY_MARKET, "20", None)
    await world.processed(await world.followed(bought, is_over))
    await world.settled()
    sold = await world.sent_order("sold", Action.SELL_MARKET, "8", None)
    await world.processed(await world.followed(sold, is_over))
    world.desk.exchange.admin("POST", "/settlement", {"delay_s": 0.05, "fail_next": 1})
    failed = await world.sent_order("failed", Action.BUY_MARKET, "10", None)
    await world.processed(await world.followed(failed, is_over))
    await world.settled()


async def _filled_in_parts(world: SmallWorld) -> None:
    world.quote("0.40", "0.60", "500")
    order = await world.sent_order("in-parts", Action.BUY_LIMIT, "30", "0.50")
    await world.processed(await world.followed(order, lambda seen: seen.state == "LIVE"))
    for piece in ("12", "7"):
        before = (await world.activities.reload(order)).filled_size
        world.quote("0.40", "0.50", piece)
        await world.followed(order, lambda seen, before=before: seen.filled_size > before)
    assert (await world.activities.cancel(order)).is_over


async def _rested_and_cancelled(world: SmallWorld) -> None:
    for name in ("cancelled", "rests"):
        order = await world.sent_order(name, Action.BUY_LIMIT, "25", "0.45")
        await world.processed(await world.followed(order, lambda seen: seen.state == "LIVE"))
        if name == "cancelled":
            assert (await world.activities.cancel(order)).is_over


async def _turned_away(world: SmallWorld) -> None:
    ping = {"action": "PING"}
    signal_id = await world.alert("again", ping)
    assert signal_id is not None
    await world.signals.settle(signal_id, SignalStatus.PROCESSED, None)
    assert await world.alert("again", ping) is None
    assert await world.alert("again", ping, note="something else") is None
    assert await world.alert("nonsense", {"action": "Gamble"}) is None
    denied = await world.alert("denied", {"action": "MAJ"})
    assert denied is not None
    await world.signals.settle(denied, SignalStatus.DENIED, "not in this version")

"""The ledger of fills and the positions it makes.

One transaction records a fill, whoever saw it. It locks position, then order; admissions lock the
account only: none of ours can wait for each other in a ring. Against strangers there is the rerun.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlmodel import col

from domain.errors import InvariantError
from domain.fill import FINAL, RANK, FeeAsset, FeeDoubt, Fill, FillStatus, SeenBy, is_news
from domain.order import Order
from domain.ports import Failpoint, Recorded, UnsettledTrade
from domain.position import Holding, Position, rebuilt
from infra.clock import utc_now
from infra.points import Point
from infra.store import tables
from infra.store.charges import as_charged, doubts, prove
from infra.store.database import rerun, retried, transaction
from infra.store.events import fill_event, write_and_announce
from infra.store.holdings import fills_of, locked_holding, store_holding
from infra.store.order_rows import by_hash, locked_order, store_order
from infra.store.plans import Moved, protect_held
from infra.store.rows import changes, columns_of, inserting, read
from infra.telemetry import work_of
from infra.tracing import Origin, point

log = logging.getLogger(__name__)

_NAMES: Final = (*(field.name for field in fields(Fill)), "seen_by", "recorded_at")
_INSERT: Final = text(inserting("fills", _NAMES))
_KNOWN: Final = text(
    "SELECT * FROM holdfast.fills WHERE trade_id = :trade_id AND order_hash = :order_hash"
)
SAME_AT_EVERY_STATUS: Final = ("side", "price", "size", "fee", "fee_asset", "token_id")


@dataclass(frozen=True)
class Fills:
    """The port FillStore on PostgreSQL."""

    engine: AsyncEngine
    failpoint: Failpoint

    async def record(self, fill: Fill, seen_by: SeenBy, now: datetime) -> Recorded:
        """Write a fill, its order, its position, its event and its notice: all or none.

        A fill known at this status, or at a later one, changes nothing. One that turns FAILED is
        kept and its position counted again without it.
        """
        await self.failpoint("fill.before_tx")
        began_at = utc_now()
        recorded, order = await retried(lambda: self._recorded(fill, seen_by, now))
        if recorded.is_new:
            _tell_of(fill, order, seen_by, began_at)
        await self.failpoint("fill.after_tx")
        return recorded

    async def _recorded(
        self, fill: Fill, seen_by: SeenBy, now: datetime
    ) -> tuple[Recorded, Order | None]:
        """Record, as one transaction; return also whose fill it is."""
        async with transaction(self.engine) as connection:
            return await entered(connection, fill, seen_by, now, self.failpoint)

    async def unsettled(self, account_id: str) -> list[UnsettledTrade]:
        """Return every trade that is still neither confirmed nor failed, oldest first."""
        row = tables.Fills
        query = (
            select(row)
            .where(col(row.account_id) == account_id)
            .where(col(row.status).not_in([status.value for status in FINAL]))
            .order_by(col(row.seq))
        )
        async with transaction(self.engine) as connection:
            rows = (await connection.execute(query)).mappings().all()
        trades: dict[str, UnsettledTrade] = {}
        for leg in (read(Fill, each) for each in rows):
            known = trades.get(leg.trade_id)
            if known is None or RANK[leg.status] < RANK[known.status]:
                trades[leg.trade_id] = UnsettledTrade(
                    trade_id=leg.trade_id, condition_id=leg.condition_id, status=leg.status
                )
        return list(trades.values())

    async def fee_doubts(self, account_id: str, token_id: str | None = None) -> list[FeeDoubt]:
        """Return tokens of which no trade is unsettled and the buyers' fee asset is not known."""
        async with transaction(self.engine) as connection:
            return await doubts(connection, account_id, token_id)

    @rerun
    async def prove_fee_asset(self, doubt: FeeDoubt, asset: FeeAsset, balance: Decimal) -> None:
        """Write what a balance proved of a market's fees, and count its positions again by it.

        The first proof stays; one that is not about the fills as they are now writes nothing.
        """
        async with transaction(self.engine) as connection:
            await prove(connection, doubt, asset, balance)

    async def cursor(self, account_id: str) -> datetime | None:
        """Return how far the account's trades have been read; None before the first time."""
        query = select(col(tables.Accounts.trades_cursor)).where(_is_account(account_id))
        async with transaction(self.engine) as connection:
            return (await connection.execute(query)).scalar_one_or_none()

    @rerun
    async def advance_cursor(self, account_id: str, to: datetime) -> None:
        """Move the cursor forward, never back.

        Raises:
            InvariantError: no such account.
        """
        cursor = col(tables.Accounts.trades_cursor)
        statement = update(tables.Accounts).where(_is_account(account_id))
        # greatest() passes over null, which is what an account begins with.
        moved = statement.values(trades_cursor=func.greatest(cursor, to))
        async with transaction(self.engine) as connection:
            if (await connection.execute(moved)).rowcount == 0:
                raise InvariantError(f"there is no account {account_id}")

    @rerun
    async def mark(self, account_id: str, prices: dict[str, Decimal], now: datetime) -> None:
        """Write the current price and unrealised P&L of the positions in these tokens.

        A price older than the one written changes nothing.
        """
        row = tables.Positions
        query = (
            select(row)
            .where(col(row.account_id) == account_id, col(row.token_id).in_(prices))
            .where(func.coalesce(col(row.priced_at) <= now, True))
            .order_by(col(row.id))  # marks at the same time lock in the same order
            .with_for_update()
        )
        async with transaction(self.engine) as connection:
            held = [read(Position, each) for each in (await connection.execute(query)).mappings()]
            for position in held:
                price = prices[position.token_id]
                values = {
                    "current_price": price,
                    "priced_at": now,
                    "unrealised_pnl": position.unrealised_pnl(price),
                }
                mine = col(row.id) == position.id
                await connection.execute(update(row).where(mine).values(values))

    async def open_tokens(self, account_id: str, *, opened_by: datetime | None = None) -> list[str]:
        """Return the tokens held now; with `opened_by`, those held since then or longer."""
        row = tables.Positions
        query = select(col(row.token_id)).where(
            col(row.account_id) == account_id, col(row.size) != 0
        )
        if opened_by is not None:
            opened_at = col(row.opened_at)
            query = query.where(or_(opened_at.is_(None), opened_at <= opened_by))
        async with transaction(self.engine) as connection:
            return list((await connection.execute(query.order_by(col(row.token_id)))).scalars())


async def entered(
    connection: AsyncConnection, fill: Fill, seen_by: SeenBy, now: datetime, failpoint: Failpoint
) -> tuple[Recorded, Order | None]:
    """Enter a fill into the ledger, within a transaction that somebody else opened."""
    ours = await by_hash(connection, fill.order_hash)
    if ours is not None:
        fill = replace(fill, account_id=ours.account_id, source=ours.source)
    fill = await as_charged(connection, fill)
    before = await locked_holding(connection, fill)
    known = await _known(connection, fill)
    if known is not None and not is_news(known.status, fill.status):
        return Recorded(is_new=False, workflow_id=None), ours
    if known is None:
        await _insert(connection, fill, seen_by, now)
    else:
        fill = _advanced(known, fill)
        await _set_status(connection, fill)
    await failpoint("fill.mid_tx")
    told: str | None = None
    if known is None and ours is not None:
        ours, told = await _advance_order(connection, fill)
    after = await _held_after(connection, before, known, fill)
    if after != before:
        await store_holding(connection, before, after, now)
    step = _Step(fill, known, ours, before.position, after.position)
    await _tell(connection, step)
    position = await protect_held(connection, step.moved, now)
    _warn_of_short(before.position, after.position)
    # A trade's later statuses change nothing that the order's workflow waits for.
    return Recorded(is_new=True, workflow_id=told, position=position), ours


@dataclass(frozen=True)
class _Step:
    """What recording a fill did."""

    fill: Fill
    known: Fill | None
    order: Order | None
    before: Position
    after: Position

    @property
    def moved(self) -> Moved:
        """What it did to the position."""
        return Moved(
            fill=self.fill,
            is_first=self.known is None,
            order=self.order,
            before=self.before,
            after=self.after,
        )

    @property
    def kind(self) -> str:
        """The name of the event."""
        if self.known is None:
            return "fill.recorded"
        return "fill.reversed" if self.fill.status is FillStatus.FAILED else "fill.status"


def _warn_of_short(before: Position, after: Position) -> None:
    """Say that more was sold than was held: the exchange would not have let us."""
    if after.size < min(before.size, 0):
        short = {"token_id": after.token_id, "size": f"{after.size:f}"}
        log.critical("position.short", extra=short)


async def _known(connection: AsyncConnection, fill: Fill) -> Fill | None:
    """Return the fill as it is recorded; the position's lock keeps it so."""
    about = {"trade_id": fill.trade_id, "order_hash": fill.order_hash}
    row = (await connection.execute(_KNOWN, about)).mappings().one_or_none()
    return read(Fill, row) if row is not None else None


async def _insert(connection: AsyncConnection, fill: Fill, seen_by: SeenBy, now: datetime) -> None:
    row = columns_of(fill, seen_by=seen_by, recorded_at=now)
    await connection.execute(_INSERT, row)


def _advanced(known: Fill, told: Fill) -> Fill:
    """Return the known fill at its new status; a difference in anything else is told aloud."""
    differing = [
        name for name in SAME_AT_EVERY_STATUS if getattr(known, name) != getattr(told, name)
    ]
    if differing:
        log.warning(
            "fill.differs",
            extra={"trade_id": known.trade_id, "order_hash": known.order_hash, "in": differing},
        )
    return replace(known, status=told.status)


async def _set_status(connection: AsyncConnection, fill: Fill) -> None:
    values = {"status": fill.status.value}
    await connection.execute(update(tables.Fills).where(_is_fill(fill)).values(values))


async def _advance_order(connection: AsyncConnection, fill: Fill) -> tuple[Order, str | None]:
    """Return our order after all its fills, and whom to tell of it.

    Failed fills count, too: a match is never taken back. An order in doubt is being sent, and is
    read again with the answer: a word would only have Temporal refuse that step and run it anew.
    """
    before, filled = await locked_order(connection, fill.order_hash)
    after = before.with_fills(filled)
    if after != before:
        await store_order(connection, before, after, {"fill": fill.trade_id})
    return after, None if before.is_in_doubt else after.workflow_id


async def filled_size(connection: AsyncConnection, order_hash: str) -> Decimal:
    """Return the shares that the fills of an order add up to."""
    sizes = select(func.coalesce(func.sum(col(tables.Fills.size)), 0))
    found = await connection.execute(sizes.where(col(tables.Fills.order_hash) == order_hash))
    return Decimal(found.scalar_one())


async def _held_after(
    connection: AsyncConnection, before: Holding, known: Fill | None, fill: Fill
) -> Holding:
    """Return the holding once the fill, or its failure, has happened."""
    if fill.status is FillStatus.FAILED:
        if known is None:
            return before
        history = await fills_of(connection, fill.account_id, fill.token_id)
        return rebuilt(before, history)
    return before.after(fill) if known is None else before


async def _tell(connection: AsyncConnection, step: _Step) -> None:
    """Write the event and the notice of what happened."""
    moved: Mapping[str, Any] = changes(step.before, step.after)
    earlier = columns_of(step.before)
    detail = {
        "fill": step.fill,
        "status_before": step.known.status if step.known is not None else None,
        "before": {name: earlier[name] for name in moved},
        "after": moved,
    }
    event = fill_event(step.fill, step.order, step.kind, detail)
    await write_and_announce(connection, event, columns_of(step.fill))


def _tell_of(fill: Fill, order: Order | None, seen_by: SeenBy, began_at: datetime) -> None:
    """Name the point, under the trace of the order that the fill turned out to belong to."""
    work = work_of(order) if order is not None else {"order_hash": fill.order_hash}
    told = {"trade_id": fill.trade_id, "fill_status": fill.status.value, "seen_by": seen_by.value}
    with point(Point.FILL_RECORDED, work, Origin(began_at=began_at), **told):
        if fill.status is FillStatus.FAILED:
            log.warning("fill.reversed", extra={"trade_id": fill.trade_id})


def _is_fill(fill: Fill) -> Any:
    row = tables.Fills
    return (col(row.trade_id) == fill.trade_id) & (col(row.order_hash) == fill.order_hash)


def _is_account(account_id: str) -> Any:
    return col(tables.Accounts.id) == account_id

"""What each market takes a buyer's fee in: assumed to be collateral until a balance proves it.

A market's fills and its proof meet under one lock: shared by whoever records a fill that the proof
would change, alone by whoever writes the proof. So no fill is ever counted by the wrong one.
"""

from decimal import Decimal
from typing import Final

from sqlalchemy import exists, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from domain.fill import PROVISIONAL, FeeAsset, FeeDoubt, Fill, FillStatus
from domain.order import Side
from domain.position import rebuilt
from infra.store.events import announce, fill_event, write
from infra.store.holdings import fills_of, locked_holding, store_holding
from infra.store.order_rows import by_hash
from infra.store.rows import as_json, changes, columns_of, read
from infra.store.tables import Charges, Fills

_LOCK: Final = "SELECT pg_advisory_xact_lock{mode}(hashtextextended(:market, 0))"
_SHARED: Final = text(_LOCK.format(mode="_shared"))
_ALONE: Final = text(_LOCK.format(mode=""))


async def as_charged(connection: AsyncConnection, fill: Fill) -> Fill:
    """Return a fill with the fee its market is known to take; nothing is proved meanwhile."""
    if not fill.share_fee:
        return fill
    await connection.execute(_SHARED, {"market": fill.condition_id})
    query = select(col(Charges.asset)).where(col(Charges.condition_id) == fill.condition_id)
    asset = (await connection.execute(query)).scalar_one_or_none()
    return fill.with_fee_in_shares() if asset == FeeAsset.SHARES.value else fill


async def doubts(
    connection: AsyncConnection, account_id: str, token_id: str | None
) -> list[FeeDoubt]:
    """Return tokens of which no trade is unsettled and the buyers' fee asset is not known."""
    size, status = col(Fills.size), col(Fills.status)
    bought = col(Fills.side) == Side.BUY.value
    fee_shares = func.coalesce(func.sum(col(Fills.share_fee)).filter(bought), 0)
    provisional = status.in_([each.value for each in PROVISIONAL])
    known = exists().where(col(Charges.condition_id) == col(Fills.condition_id))
    query = (
        select(
            col(Fills.account_id),
            col(Fills.token_id),
            col(Fills.condition_id),
            (
                func.coalesce(func.sum(size).filter(bought), 0)
                - func.coalesce(func.sum(size).filter(~bought), 0)
            ).label("held_shares"),
            fee_shares.label("fee_shares"),
        )
        .where(col(Fills.account_id) == account_id, status != FillStatus.FAILED.value, ~known)
        .group_by(col(Fills.account_id), col(Fills.token_id), col(Fills.condition_id))
        .having(fee_shares > 0, ~func.bool_or(provisional))
        .order_by(col(Fills.token_id))
    )
    if token_id is not None:
        query = query.where(col(Fills.token_id) == token_id)
    rows = (await connection.execute(query)).mappings()
    return [read(FeeDoubt, row) for row in rows]


async def prove(
    connection: AsyncConnection, doubt: FeeDoubt, asset: FeeAsset, balance: Decimal
) -> None:
    """Write a market's fee asset and count again what it changes."""
    await connection.execute(_ALONE, {"market": doubt.condition_id})
    if doubt not in await doubts(connection, doubt.account_id, doubt.token_id):
        return
    row = {
        "condition_id": doubt.condition_id,
        "asset": asset.value,
        "evidence": as_json({**columns_of(doubt), "balance": balance}),
        "proved_at": func.clock_timestamp(),
    }
    await connection.execute(insert(Charges).values(row))
    if asset is FeeAsset.SHARES:
        for fill in await _one_of_each_position(connection, doubt.condition_id):
            await _charge_in_shares(connection, fill)


async def _one_of_each_position(connection: AsyncConnection, condition_id: str) -> list[Fill]:
    """Return a fill of each position whose fees are to be counted again, in one order of locks."""
    query = (
        select(Fills)
        .where(col(Fills.condition_id) == condition_id, col(Fills.share_fee) > 0)
        .order_by(col(Fills.account_id), col(Fills.token_id))
    )
    fills = [read(Fill, row) for row in (await connection.execute(query)).mappings()]
    return list({(fill.account_id, fill.token_id): fill for fill in fills}.values())


async def _charge_in_shares(connection: AsyncConnection, one: Fill) -> None:
    """Charge the fees of one position in shares, as if they had been recorded so."""
    before = await locked_holding(connection, one)
    history = await fills_of(connection, one.account_id, one.token_id)
    charged = [fill.with_fee_in_shares() for fill in history]
    after = rebuilt(before, charged)
    moment = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
    await store_holding(connection, before, after, moment)
    moved = changes(before.position, after.position)
    earlier = columns_of(before.position)
    about = {"before": {name: earlier[name] for name in moved}, "after": moved}
    for fill in charged:
        if not fill.share_fee:
            continue
        mine = (col(Fills.trade_id) == fill.trade_id) & (col(Fills.order_hash) == fill.order_hash)
        values = {"fee": fill.fee, "fee_asset": fill.fee_asset.value}
        await connection.execute(update(Fills).where(mine).values(values))
        order = await by_hash(connection, fill.order_hash)
        await write(connection, fill_event(fill, order, "fill.charged", {"fill": fill, **about}))
        await announce(connection, "fill.charged", columns_of(fill))

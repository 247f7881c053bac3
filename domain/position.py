"""What is held of one token, what it cost, and what was earned: by average price and by FIFO.

Identity, exact at all times: cash_usd + cost_usd + fees_usd - realised_pnl_average = 0.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import Final

from domain.fill import FeeAsset, Fill, FillStatus
from domain.ids import position_id

STORED_PLACES: Final = Decimal(1).scaleb(-18)  # numeric(38, 18): what the database keeps


class PositionStatus(StrEnum):
    """Where a position stands."""

    OPEN = "open"
    EXITING = "exiting"
    FLAT = "flat"
    DUST = "dust"
    SETTLING = "settling"
    REDEEMED = "redeemed"


@dataclass(frozen=True, kw_only=True)
class Lot:
    """Shares still held from one fill; negative where more was sold than held.

    Attributes:
        number: place in the queue, oldest first.
    """

    number: int
    trade_id: str
    order_hash: str
    size: Decimal
    price: Decimal


@dataclass(frozen=True, kw_only=True)
class Position:
    """One account's holding of one token.

    Attributes:
        cost_usd: what the shares held cost, at average price; negative for a short.
        cash_usd: all collateral that came minus all that went, fees included.
        fees_usd: fees paid in collateral; fees taken in shares are in `size`.
        realised_pnl_average, realised_pnl_fifo: before fees.
        lots_opened: how many lots there ever were; numbers the next.
    """

    id: str
    account_id: str
    token_id: str
    condition_id: str
    status: PositionStatus = PositionStatus.FLAT
    size: Decimal = Decimal(0)
    cost_usd: Decimal = Decimal(0)
    average_price: Decimal = Decimal(0)
    cash_usd: Decimal = Decimal(0)
    fees_usd: Decimal = Decimal(0)
    realised_pnl_average: Decimal = Decimal(0)
    realised_pnl_fifo: Decimal = Decimal(0)
    lots_opened: int = 0

    def unrealised_pnl(self, price: Decimal) -> Decimal:
        """Return what selling all of it at `price` would earn, before fees, at average cost."""
        return _stored(self.size * price) - self.cost_usd


@dataclass(frozen=True, kw_only=True)
class Holding:
    """A position with the lots behind it, oldest first."""

    position: Position
    lots: tuple[Lot, ...] = ()

    def after(self, fill: Fill) -> "Holding":
        """Return the holding once `fill` has happened."""
        shares = fill.shares
        fees = Decimal(0) if fill.fee_asset is FeeAsset.SHARES else fill.fee
        moved = _at_average(self.position, shares, fill.notional_usd)
        lots, realised_fifo = _through_lots(self.lots, fill, moved.lots_opened)
        position = replace(
            moved,
            cash_usd=moved.cash_usd + fill.cash_usd,
            fees_usd=moved.fees_usd + fees,
            realised_pnl_fifo=moved.realised_pnl_fifo + realised_fifo,
            lots_opened=moved.lots_opened + 1,
            status=_standing(self.position.status, moved.size),
        )
        return Holding(position=position, lots=lots)


def _standing(before: PositionStatus, size: Decimal) -> PositionStatus:
    """Return where a position of this size stands; one that is being left is, until it is flat."""
    if size == 0:
        return PositionStatus.FLAT
    return before if before is PositionStatus.EXITING else PositionStatus.OPEN


def empty(account_id: str, token_id: str, condition_id: str) -> Holding:
    """Return the holding before anything happened."""
    identity = position_id(account_id, token_id)
    return Holding(
        position=Position(
            id=identity, account_id=account_id, token_id=token_id, condition_id=condition_id
        )
    )


def rebuilt(start: Holding, fills: Iterable[Fill]) -> Holding:
    """Return the holding as if only the fills that did not fail had ever happened, in order.

    A failed trade never took place, so what later sales earned changes with it: the whole is
    counted again rather than patched.
    """
    origin = start.position
    holding = empty(origin.account_id, origin.token_id, origin.condition_id)
    for fill in fills:
        if fill.status is not FillStatus.FAILED:
            holding = holding.after(fill)
    status = _standing(origin.status, holding.position.size)
    return replace(holding, position=replace(holding.position, status=status))


def _at_average(position: Position, shares: Decimal, notional_usd: Decimal) -> Position:
    """Return the position with `shares` more (or fewer), costed at average price."""
    size, cost = position.size, position.cost_usd
    if size == 0 or (size > 0) == (shares > 0):
        spent = notional_usd if shares > 0 else -notional_usd
        return _costed(position, size + shares, cost + spent, Decimal(0))
    closing = min(abs(shares), abs(size))
    opening = abs(shares) - closing
    closed_cost = _stored(cost * closing / abs(size)) if closing != abs(size) else cost
    opened_usd = _stored(notional_usd * opening / abs(shares)) if opening else Decimal(0)
    closed_usd = notional_usd - opened_usd
    sign = Decimal(1) if shares < 0 else Decimal(-1)
    realised = sign * closed_usd - closed_cost
    left = cost - closed_cost - sign * opened_usd
    return _costed(position, size + shares, left, realised)


def _costed(position: Position, size: Decimal, cost: Decimal, realised: Decimal) -> Position:
    """Return the position with this size and cost and so much more realised."""
    return replace(
        position,
        size=size,
        cost_usd=cost,
        average_price=_stored(cost / size) if size else Decimal(0),
        realised_pnl_average=position.realised_pnl_average + realised,
    )


def _through_lots(
    lots: tuple[Lot, ...], fill: Fill, number: int
) -> tuple[tuple[Lot, ...], Decimal]:
    """Return the lots after `fill` and what it realised, oldest shares first."""
    left, queue, realised = fill.shares, list(lots), Decimal(0)
    price = _stored(fill.notional_usd / abs(left)) if left else Decimal(0)
    while left and queue and (queue[0].size > 0) != (left > 0):
        oldest = queue[0]
        closing = min(abs(left), abs(oldest.size))
        gain = (price - oldest.price) * closing
        realised += gain if oldest.size > 0 else -gain
        step = closing if left > 0 else -closing
        left -= step
        rest = replace(oldest, size=oldest.size + step)
        queue[:1] = [rest] if rest.size else []
    if left:
        opened = Lot(
            number=number,
            trade_id=fill.trade_id,
            order_hash=fill.order_hash,
            size=left,
            price=price,
        )
        queue.append(opened)
    return tuple(queue), _stored(realised)


def _stored(value: Decimal) -> Decimal:
    """Return `value` to the places the database keeps, so that memory and table never differ."""
    return value.quantize(STORED_PLACES)

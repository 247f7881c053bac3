"""Our orders and our legs of trades, from the exchange's JSON: REST answers and user channel."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, auto
from typing import Final

from domain.errors import InvalidInputError
from domain.fill import FeeAsset, Fill, FillStatus, taker_fee, taker_share_fee
from domain.market import Market
from domain.order import COMPLETE_WITHIN, IMMEDIATE, OrderSource, Side, Sighting, TimeInForce
from domain.placed import Placed
from domain.ports import ActiveOrder, Cancelled, OrderSeen
from infra.exchanges.polymarket import wire
from infra.exchanges.polymarket.wire import Json

log = logging.getLogger(__name__)

MarketLookup = Callable[[str], Awaitable[Market]]  # by condition id

STATUSES: Final = {status.value: status for status in FillStatus} | {
    "MATCHED_NOT_BROADCASTED": FillStatus.MATCHED
}
DEAD: Final = ("CANCEL", "INVALID", "EXPIRED")  # beginnings; free text may follow
PLACES: Final = Decimal(1).scaleb(-18)  # what the database keeps of a price


class Life(Enum):
    """What an order's status says."""

    ALIVE = auto()
    ENDED = auto()  # off the book, and not said to be cancelled
    CANCELLED = auto()
    UNKNOWN = auto()


LIVES: Final = {
    "LIVE": Life.ALIVE,
    "DELAYED": Life.ALIVE,
    "MATCHED": Life.ENDED,
    "UNMATCHED": Life.ENDED,
}


@dataclass(frozen=True, kw_only=True)
class Identity:
    """An account in our words and in the exchange's."""

    account_id: str
    wallet: str
    api_key: str

    def owns(self, leg: Json) -> bool:
        """Tell whether a leg of a trade is ours."""
        owner = wire.optional_text(leg, "owner")
        wallet = wire.optional_text(leg, "maker_address") or ""
        return owner == self.api_key or wallet.casefold() == self.wallet.casefold()


@dataclass(frozen=True, kw_only=True)
class _Leg:
    """One order's part in a trade."""

    order_hash: str
    token_id: str
    side: Side
    price: Decimal
    size: Decimal
    fee: Decimal
    share_fee: Decimal = Decimal(0)


async def fills_of(raw: object, who: Identity, markets: MarketLookup) -> list[Fill]:
    """Return every leg of a trade that is ours.

    Raises:
        InvalidInputError: a field that a fill needs is missing or not understood.
    """
    trade = wire.record(raw, "trade")
    market = None
    if _is_taker(trade, who):
        market = await markets(wire.text(trade, "market"))
    return own_fills(trade, who, market)


def own_fills(trade: Json, who: Identity, market: Market | None) -> list[Fill]:
    """Return every leg of `trade` that is ours; `market` prices the taker's fee.

    Raises:
        InvalidInputError: a field that a fill needs is missing or not understood.
    """
    makers = wire.records(trade.get("maker_orders") or [], "maker_orders")
    legs = [_maker_leg(trade, maker) for maker in makers if who.owns(maker)]
    if _is_taker(trade, who):
        if market is None:
            raise InvalidInputError("market", "the taker's fee needs the market")
        legs.insert(0, _taker_leg(trade, makers, market))
    if not legs:
        trade_id = wire.optional_text(trade, "id")
        log.warning("trade.no_leg_of_ours", extra={"trade_id": trade_id})
    return [_fill(trade, leg, who) for leg in legs]


def _is_taker(trade: Json, who: Identity) -> bool:
    """Tell whether we took; the top level of a trade describes its taker."""
    told = (wire.optional_text(trade, "trader_side") or "TAKER").upper()
    return told == "TAKER" and who.owns(trade)


def _taker_leg(trade: Json, makers: list[Json], market: Market) -> _Leg:
    """Return our taking leg: one fill, priced by what each maker got."""
    size, asset = wire.size(trade, "size"), wire.text(trade, "asset_id")
    if size == 0:
        raise InvalidInputError("size", "expected a trade of more than 0 shares")
    matches = _matches(trade, makers, asset, size)
    cash = sum((price * amount for price, amount in matches.items()), Decimal(0))
    fees = [taker_fee(market, price, amount) for price, amount in matches.items()]
    share_fees = [taker_share_fee(market, price, amount) for price, amount in matches.items()]
    side = wire.side(trade)
    return _Leg(
        order_hash=wire.text(trade, "taker_order_id"),
        token_id=asset,
        side=side,
        price=(cash / sum(matches.values())).quantize(PLACES),
        size=size,
        fee=sum(fees, Decimal(0)),
        share_fee=sum(share_fees, Decimal(0)) if side is Side.BUY else Decimal(0),
    )


def _matches(trade: Json, makers: list[Json], asset: str, size: Decimal) -> dict[Decimal, Decimal]:
    """Return the shares that a taker got at each price; a trade's own price is only an average."""
    matches: dict[Decimal, Decimal] = {}
    for maker in makers:
        price = _taker_price(maker, asset)
        matches[price] = matches.get(price, Decimal(0)) + wire.size(maker, "matched_amount")
    matched = sum(matches.values(), Decimal(0))
    if matched > 0 and abs(matched - size) <= COMPLETE_WITHIN:
        return matches
    if makers:
        trade_id = wire.optional_text(trade, "id")
        log.warning("trade.makers_do_not_add_up", extra={"trade_id": trade_id})
    return {wire.price(trade): size}


def _taker_price(leg: Json, taker_asset: str) -> Decimal:
    """Return what the taker paid; a maker of the complement pays the rest of the dollar."""
    price = wire.price(leg)
    return price if wire.text(leg, "asset_id") == taker_asset else 1 - price


def _maker_leg(trade: Json, maker: Json) -> _Leg:
    """Return one resting order of ours that was matched; everything but time is its own."""
    return _Leg(
        order_hash=wire.text(maker, "order_id"),
        token_id=wire.text(maker, "asset_id"),
        side=_maker_side(trade, maker),
        price=wire.price(maker),
        size=wire.size(maker, "matched_amount"),
        fee=Decimal(0),
    )


def _maker_side(trade: Json, leg: Json) -> Side:
    """Return the side of a maker; older trades leave it to be inferred from the tokens."""
    told = wire.optional_side(leg)
    if told is not None:
        return told
    taker = wire.side(trade)
    if wire.text(leg, "asset_id") != wire.text(trade, "asset_id"):
        return taker  # both bought or both sold, and a pair was minted or merged
    return Side.SELL if taker is Side.BUY else Side.BUY


def _fill(trade: Json, leg: _Leg, who: Identity) -> Fill:
    """Return a leg with what all legs of a trade have in common."""
    return Fill(
        trade_id=wire.text(trade, "id"),
        order_hash=leg.order_hash.casefold(),
        account_id=who.account_id,
        token_id=leg.token_id,
        condition_id=wire.text(trade, "market"),
        side=leg.side,
        price=leg.price,
        size=leg.size,
        fee=leg.fee,
        fee_asset=FeeAsset.COLLATERAL,  # no trade says; the store knows markets that differ
        share_fee=leg.share_fee,
        status=fill_status(trade),
        source=OrderSource.MANUAL,  # the store knows better where the order is ours
        matched_at=wire.moment(trade, "match_time", "matchtime", "last_update", "timestamp"),
    )


def fill_status(trade: Json) -> FillStatus:
    """Return how far a trade is, with or without the exchange's prefix."""
    raw = wire.text(trade, "status")
    status = STATUSES.get(raw.upper().removeprefix("TRADE_STATUS_"))
    if status is None:
        raise InvalidInputError("status", f"unknown status of a trade: {wire.shown(raw)}")
    return status


def active_order(raw: object) -> ActiveOrder | None:
    """Return an order the exchange lists as open; None where its own status says it is dead.

    An unknown status counts as active: the list it stands on is that of the open orders.
    """
    order = wire.record(raw, "order")
    original, matched = wire.size(order, "original_size"), _matched(order)
    life = _life(order)
    if life in {Life.ENDED, Life.CANCELLED}:
        return None
    order_hash = wire.text(order, "id").casefold()
    if life is Life.UNKNOWN:
        status = wire.shown(order.get("status"))
        log.warning("order.status_unknown", extra={"order_hash": order_hash, "status": status})
    return ActiveOrder(
        order_hash=order_hash,
        token_id=wire.text(order, "asset_id"),
        size=original,
        matched_size=matched or Decimal(0),
        placed=_placed(order),
    )


def _placed(order: Json) -> Placed | None:
    """Return what an order that we did not place is known by; None where not all of it is told."""
    try:
        kind = wire.text(order, "order_type").upper()
        expiration = wire.optional_number(order, "expiration")
        return Placed(
            condition_id=wire.text(order, "market"),
            side=wire.side(order),
            price=wire.price(order),
            time_in_force=TimeInForce(kind) if kind in set(TimeInForce) else TimeInForce.GTC,
            expires_at=wire.moment(order, "expiration") if expiration else None,
            created_at=wire.moment(order, "created_at"),
        )
    except InvalidInputError as error:
        log.info("order.not_described", extra={"why": str(error)})
        return None


def order_seen(raw: object) -> OrderSeen:
    """Return what an order event of the user channel says.

    Raises:
        InvalidInputError: neither its type nor its status is understood.
    """
    order = wire.record(raw, "order")
    life, kind = _life(order), (wire.optional_text(order, "type") or "").upper()
    if kind == "CANCELLATION":
        life = Life.CANCELLED
    if life is Life.UNKNOWN:
        status = wire.shown(order.get("status"))
        raise InvalidInputError("status", f"unknown status of an order: {status} ({kind})")
    sighting = Sighting(
        is_active=life is Life.ALIVE,
        matched_size=_matched(order),
        is_cancelled=life is Life.CANCELLED,
    )
    return OrderSeen(order_hash=wire.text(order, "id").casefold(), sighting=sighting)


def _life(order: Json) -> Life:
    """Return what an order's status says, whatever prefix or words come with it."""
    status = (wire.optional_text(order, "status") or "").upper().removeprefix("ORDER_STATUS_")
    if status.startswith(DEAD):
        return Life.CANCELLED
    return LIVES.get(status, Life.UNKNOWN)


def _matched(order: Json) -> Decimal | None:
    """Return the shares matched; None where the exchange leaves them out, as for killed orders."""
    matched, original = (
        wire.optional_number(order, "size_matched"),
        wire.optional_number(order, "original_size"),
    )
    if matched is None:
        return None
    # A purchase that may not rest fills up to its dollars: a better price buys more shares.
    may_exceed = (wire.optional_text(order, "order_type") or "").upper() in IMMEDIATE
    most = None if original is None or may_exceed else original + COMPLETE_WITHIN
    if matched < 0 or (most is not None and matched > most):
        raise InvalidInputError("size_matched", f"{matched} cannot be matched of {original}")
    return matched


def balance(raw: object) -> Decimal:
    """Return a balance in whole units; the exchange counts it in whole millionths.

    Raises:
        InvalidInputError: it has a decimal point: the unit is unsure, and the two readings
            lie a million apart.
    """
    units = wire.text(wire.record(raw, "balance"), "balance")
    if not units.isdecimal():
        raise InvalidInputError("balance", f"expected whole millionths, got {wire.shown(units)}")
    return Decimal(units).scaleb(-6)


def cancelled(raw: object, order_hash: str) -> Cancelled:
    """Return what the answer to a cancel says of one order."""
    answer, ours = wire.record(raw, "cancel"), order_hash.casefold()
    dead = answer.get("canceled")
    if wire.is_list(dead) and ours in (str(one).casefold() for one in dead):
        return Cancelled(is_cancelled=True)
    reasons = wire.record(answer.get("not_canceled") or {}, "not_canceled")
    words = {name.casefold(): str(reason) for name, reason in reasons.items()}
    return Cancelled(is_cancelled=False, words=words.get(ours, "the answer does not name it"))

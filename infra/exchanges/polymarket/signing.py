"""Orders signed for exactly what was asked, and the bytes in which they are stored."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from json import dumps, loads
from typing import Any, Final

from polymarket.errors import PolymarketError
from polymarket.models.clob import SignedOrder as SdkOrder

from domain.errors import RejectedError
from domain.market import Market
from domain.order import IMMEDIATE, Side, TimeInForce
from domain.ports import SignedOrder
from domain.sizing import CENT, LOT, Terms
from infra.exchanges.polymarket.hashing import order_hash
from infra.exchanges.polymarket.sdk import SdkClient

MICRO: Final = Decimal(10) ** 6  # the contracts count in millionths
SALE_STEP: Final = Decimal("0.0001")  # finest proceeds of a sale that may not rest


@dataclass(frozen=True, kw_only=True)
class SignedBytes:
    """A signed order as it is stored: all that another process needs to send it."""

    order_hash: str
    neg_risk: bool
    order: SdkOrder

    def payload(self) -> bytes:
        """Return the bytes to store."""
        return dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def of(cls, payload: bytes) -> "SignedBytes":
        """Return what `payload` holds."""
        stored: Mapping[str, Any] = loads(payload)
        return cls(
            order_hash=stored["order_hash"],
            neg_risk=stored["neg_risk"],
            order=SdkOrder(**stored["order"]),
        )


class Signer:
    """Signs one account's orders.

    Args:
        wallet: the address that must be the maker of every order.
    """

    def __init__(self, client: SdkClient, wallet: str) -> None:
        self._client = client
        self._wallet = wallet

    async def sign(
        self, terms: Terms, market: Market, token_id: str, expires_at: datetime | None
    ) -> SignedOrder:
        """Return an order for exactly `terms`.

        Raises:
            RejectedError: the exchange would not take such an order, or the SDK would change it.
        """
        _check(terms, market, token_id)
        self._client.facts.learn(market)
        try:
            order = await self._signed(terms, token_id, expires_at)
        except PolymarketError as error:
            raise RejectedError(f"the order cannot be signed: {error}") from error
        self._check_signed(order, terms, token_id)
        signed = SignedBytes(
            order_hash=order_hash(order, neg_risk=market.neg_risk),
            neg_risk=market.neg_risk,
            order=order,
        )
        return SignedOrder(
            order_hash=signed.order_hash,
            payload=signed.payload(),
            price=terms.price,
            size=terms.size,
        )

    async def _signed(self, terms: Terms, token_id: str, expires_at: datetime | None) -> SdkOrder:
        """Return the SDK's signed order; it is not sent."""
        price, size, spend = str(terms.price), str(terms.size), str(terms.notional_usd)
        if terms.time_in_force is TimeInForce.GTC or terms.time_in_force is TimeInForce.GTD:
            return await self._client.create_limit_order(
                token_id=token_id,
                price=price,
                size=size,
                side=terms.side.value,
                expiration=_expiration(terms, expires_at),
                post_only=terms.post_only,
            )
        if terms.side is Side.BUY:
            return await self._client.create_market_order(
                token_id=token_id,
                side="BUY",
                amount=spend,
                max_price=price,
                order_type=terms.time_in_force.value,
            )
        return await self._client.create_market_order(
            token_id=token_id,
            side="SELL",
            shares=size,
            min_price=price,
            order_type=terms.time_in_force.value,
        )

    def _check_signed(self, order: SdkOrder, terms: Terms, token_id: str) -> None:
        """Refuse an order that says anything but what was asked for."""
        shares, collateral = terms.size * MICRO, terms.notional_usd * MICRO
        is_buy = terms.side is Side.BUY
        amounts = (collateral, shares) if is_buy else (shares, collateral)
        asked = (terms.side.value, token_id, self._wallet.casefold(), *amounts)
        signed = (
            order.side,
            str(order.token_id),
            order.maker.casefold(),
            Decimal(order.maker_amount),
            Decimal(order.taker_amount),
        )
        if asked != signed or order.order_type != terms.time_in_force.value:
            raise RejectedError(f"signed {signed} where {asked} was asked for")


def _expiration(terms: Terms, expires_at: datetime | None) -> int | None:
    """Return the unix second at which a dated order ends."""
    if terms.time_in_force is TimeInForce.GTC:
        return None
    if expires_at is None:
        raise RejectedError("a GTD order needs a date")
    return int(expires_at.timestamp())


def _check(terms: Terms, market: Market, token_id: str) -> None:
    """Refuse what the exchange would refuse for its price, size or accuracy.

    Raises:
        RejectedError: with the rule that is broken.
    """
    price, size, tick = terms.price, terms.size, market.tick_size
    if token_id not in {token.token_id for token in market.tokens}:
        raise RejectedError(f"{market.slug} has no token {token_id}")
    if price % tick or not tick <= price <= 1 - tick:
        raise RejectedError(f"price {price} is off the grid of {tick}")
    if size <= 0 or size % LOT:
        raise RejectedError(f"size {size} is not a positive multiple of {LOT}")
    if terms.time_in_force not in IMMEDIATE:
        return
    step = CENT if terms.side is Side.BUY else SALE_STEP
    if terms.notional_usd % step:
        raise RejectedError(f"{size} x {price} is not a multiple of ${step}")

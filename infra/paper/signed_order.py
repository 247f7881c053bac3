"""The signed order as it is posted, parsed and checked for shape."""

import re
from dataclasses import dataclass
from typing import Final

from infra.paper.wire import Json, RefusedError, json_object

MALFORMED: Final = "Invalid order payload"
ORDER_TYPES: Final = frozenset({"GTC", "GTD", "FOK", "FAK"})

_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")
_WORD: Final = re.compile(r"0x[0-9a-fA-F]{64}")
_HEX: Final = re.compile(r"0x([0-9a-fA-F]{2})+")
_DIGITS: Final = re.compile(r"[0-9]{1,78}")
_LARGEST: Final = 2**256


@dataclass(frozen=True, slots=True)
class SignedOrder:
    """The eleven signed fields of a V2 order, its signature and its unsigned expiration.

    Amounts are micro-units: `maker_amount` is what the maker gives, `taker_amount` what it gets.
    """

    salt: int
    maker: str
    signer: str
    token_id: str
    maker_amount: int
    taker_amount: int
    side: str
    signature_type: int
    timestamp: int
    metadata: str
    builder: str
    signature: str
    expiration: int


@dataclass(frozen=True, slots=True)
class PostedOrder:
    """A signed order with what its poster says about it."""

    order: SignedOrder
    owner: str
    order_type: str
    post_only: bool


def _text(source: Json, key: str, shape: re.Pattern[str]) -> str:
    value = source.get(key)
    if not isinstance(value, str) or shape.fullmatch(value) is None:
        raise RefusedError(400, MALFORMED)
    return value


def _integer(source: Json, key: str) -> int:
    value = source.get(key)
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _LARGEST:
        raise RefusedError(400, MALFORMED)
    return value


def parse_signed(source: Json) -> SignedOrder:
    """Return the signed order in a JSON object. Raises RefusedError when it is malformed."""
    side = source.get("side")
    if side not in {"BUY", "SELL"}:
        raise RefusedError(400, MALFORMED)
    return SignedOrder(
        salt=_integer(source, "salt"),
        maker=_text(source, "maker", _ADDRESS),
        signer=_text(source, "signer", _ADDRESS),
        token_id=_text(source, "tokenId", _DIGITS),
        maker_amount=_integer(source, "makerAmount"),
        taker_amount=_integer(source, "takerAmount"),
        side=str(side),
        signature_type=_integer(source, "signatureType"),
        timestamp=_integer(source, "timestamp"),
        metadata=_text(source, "metadata", _WORD),
        builder=_text(source, "builder", _WORD),
        signature=_text(source, "signature", _HEX),
        expiration=_integer(source, "expiration") if "expiration" in source else 0,
    )


def parse_posted(value: object) -> PostedOrder:
    """Return one posted order. Unknown keys are ignored, as production does.

    Raises RefusedError when it is malformed.
    """
    body = json_object(value, MALFORMED)
    order_type = body.get("orderType", "GTC")
    owner = body.get("owner")
    if order_type not in ORDER_TYPES or not isinstance(owner, str):
        raise RefusedError(400, MALFORMED)
    return PostedOrder(
        order=parse_signed(json_object(body.get("order"), MALFORMED)),
        owner=owner,
        order_type=str(order_type),
        post_only=body.get("postOnly") is True,
    )

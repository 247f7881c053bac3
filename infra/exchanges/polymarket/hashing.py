"""The exchange's id of an order, computed by ourselves: the EIP-712 hash of what was signed.

Independent of the SDK on purpose: the hash is the order's identity before anything is sent, so two
programs must agree on it. Source: polymarket.md 4.1, 4.2 and 13.
"""

from typing import Final

from eth_utils.crypto import keccak
from polymarket.models.clob import SignedOrder

CHAIN_ID: Final = 137
EXCHANGE: Final = "0xE111180000d2663C0091e4f400237545B87B996B"
NEG_RISK_EXCHANGE: Final = "0xe2222d279d744050d28e00520010520000310F59"
POSITION_EXCHANGE: Final = "0xe3333700cA9d93003F00f0F71f8515005F6c00Aa"

ORDER_TYPE: Final = (
    "Order(uint256 salt,address maker,address signer,uint256 tokenId,uint256 makerAmount,"
    "uint256 takerAmount,uint8 side,uint8 signatureType,uint256 timestamp,bytes32 metadata,"
    "bytes32 builder)"
)
DOMAIN_TYPE: Final = (
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
DOMAIN_NAME: Final = "Polymarket CTF Exchange"
ORDER_TYPE_HASH: Final = keccak(text=ORDER_TYPE)
DOMAIN_TYPE_HASH: Final = keccak(text=DOMAIN_TYPE)
DOMAIN_NAME_HASH: Final = keccak(text=DOMAIN_NAME)
POSITION_ID_ZEROS: Final = ((1 << 64) - 1) << 40  # bits 40-103 of a protocol-v2 position id


def order_hash(order: SignedOrder, *, neg_risk: bool) -> str:
    """Return the exchange's id of `order`; the expiration is not part of it."""
    domain = domain_separator(order.token_id, neg_risk=neg_risk)
    return "0x" + keccak(b"\x19\x01" + domain + contents_hash(order)).hex()


def domain_separator(token_id: str, *, neg_risk: bool) -> bytes:
    """Return the hash of the contract that will settle the token's orders."""
    version, contract = "2", NEG_RISK_EXCHANGE if neg_risk else EXCHANGE
    if is_position_id(token_id):
        version, contract = "3", POSITION_EXCHANGE
    return keccak(
        DOMAIN_TYPE_HASH
        + DOMAIN_NAME_HASH
        + keccak(text=version)
        + _word(CHAIN_ID)
        + _address(contract)
    )


def is_position_id(token_id: str) -> bool:
    """Tell whether a token belongs to the newer protocol, which has a contract of its own."""
    return int(token_id) & POSITION_ID_ZEROS == 0


def contents_hash(order: SignedOrder) -> bytes:
    """Return the hash of the order's eleven signed fields."""
    return keccak(
        ORDER_TYPE_HASH
        + _word(order.salt)
        + _address(order.maker)
        + _address(order.signer)
        + _word(int(order.token_id))
        + _word(order.maker_amount)
        + _word(order.taker_amount)
        + _word(0 if order.side == "BUY" else 1)
        + _word(order.signature_type)
        + _word(order.timestamp)
        + bytes.fromhex(order.metadata.removeprefix("0x"))
        + bytes.fromhex(order.builder.removeprefix("0x"))
    )


def _word(value: int) -> bytes:
    """Return an unsigned integer as the EVM writes it."""
    return value.to_bytes(32, "big")


def _address(address: str) -> bytes:
    """Return an address padded to a word."""
    return bytes.fromhex(address.removeprefix("0x")).rjust(32, b"\x00")

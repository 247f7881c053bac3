"""What is signed of an order, and the exchange's id of it: EIP-712 hashes, computed by ourselves.

Independent of the SDK on purpose: the hash is the order's identity before anything is sent, so two
programs must agree on it. A struct of fixed fields needs no general encoder, which makes this some
ten times quicker than the SDK's way (docs/decisions/0010).
"""

from functools import lru_cache
from typing import Final

from Crypto.Hash.keccak import new as new_keccak
from polymarket._internal.actions.orders.types import UnsignedOrder
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
WRAPPED_TYPE: Final = (
    "TypedDataSign(Order contents,string name,string version,uint256 chainId,"
    f"address verifyingContract,bytes32 salt){ORDER_TYPE}"
)
POSITION_ID_ZEROS: Final = ((1 << 64) - 1) << 40  # bits 40-103 of a protocol-v2 position id
DEPOSIT_WALLET: Final = 3  # the signature type of a wallet that checks signatures by a contract


OrderFields = UnsignedOrder | SignedOrder  # what is signed has the same names in both


def keccak(text: str | bytes) -> bytes:
    """Return the hash that the contracts use."""
    raw = text.encode() if isinstance(text, str) else text
    return new_keccak(digest_bits=256, data=raw).digest()


def order_hash(order: OrderFields, *, neg_risk: bool) -> str:
    """Return the exchange's id of `order`; the expiration is not part of it."""
    domain = domain_separator(*settled_by(order.token_id, neg_risk=neg_risk))
    return "0x" + keccak(b"\x19\x01" + domain + contents_hash(order)).hex()


def settled_by(token_id: str, *, neg_risk: bool) -> tuple[str, str]:
    """Return the contract that settles a token's orders, and its version."""
    if is_position_id(token_id):
        return POSITION_EXCHANGE, "3"
    return NEG_RISK_EXCHANGE if neg_risk else EXCHANGE, "2"


@lru_cache(maxsize=16)
def domain_separator(contract: str, version: str) -> bytes:
    """Return the hash of the contract that will settle an order."""
    return keccak(
        DOMAIN_TYPE_HASH + DOMAIN_NAME_HASH + keccak(version) + CHAIN_WORD + _address(contract)
    )


def signed_digest(order: OrderFields, domain: bytes) -> bytes:
    """Return what the key signs: the order, or for a deposit wallet the order in its wrapping."""
    contents = contents_hash(order)
    if order.signature_type == DEPOSIT_WALLET:
        wallet = _address(order.signer)
        contents = keccak(WRAPPED_TYPE_HASH + contents + WALLET_DOMAIN + wallet + bytes(32))
    return keccak(b"\x19\x01" + domain + contents)


def completed(order: OrderFields, domain: bytes, signature: bytes) -> str:
    """Return the signature as it is sent; a deposit wallet's tells the contract what was signed."""
    if order.signature_type == DEPOSIT_WALLET:
        kind = ORDER_TYPE.encode()
        signature += domain + contents_hash(order) + kind + len(kind).to_bytes(2, "big")
    return "0x" + signature.hex()


def is_position_id(token_id: str) -> bool:
    """Tell whether a token belongs to the newer protocol, which has a contract of its own."""
    return int(token_id) & POSITION_ID_ZEROS == 0


def contents_hash(order: OrderFields) -> bytes:
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


@lru_cache(maxsize=256)
def _address(address: str) -> bytes:
    """Return an address padded to a word."""
    return bytes.fromhex(address.removeprefix("0x")).rjust(32, b"\x00")


ORDER_TYPE_HASH: Final = keccak(ORDER_TYPE)
DOMAIN_TYPE_HASH: Final = keccak(DOMAIN_TYPE)
DOMAIN_NAME_HASH: Final = keccak(DOMAIN_NAME)
WRAPPED_TYPE_HASH: Final = keccak(WRAPPED_TYPE)
CHAIN_WORD: Final = _word(CHAIN_ID)
WALLET_DOMAIN: Final = keccak("DepositWallet") + keccak("1") + CHAIN_WORD

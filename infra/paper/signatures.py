"""EIP-712 digests of orders and logins, and who signed them."""

from functools import lru_cache
from typing import Final

from coincurve import PublicKey
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from infra.paper.signed_order import SignedOrder

CHAIN_ID: Final = 137
EXCHANGE: Final = "0xE111180000d2663C0091e4f400237545B87B996B"
NEG_RISK_EXCHANGE: Final = "0xe2222d279d744050d28e00520010520000310F59"
NEG_RISK_ADAPTER: Final = "0xd91E80cF2E7be2e162c6513ceD06f1dD0dA35296"

ORDER_TYPE: Final = (
    b"Order(uint256 salt,address maker,address signer,uint256 tokenId,uint256 makerAmount,"
    b"uint256 takerAmount,uint8 side,uint8 signatureType,uint256 timestamp,bytes32 metadata,"
    b"bytes32 builder)"
)
_ORDER_TYPE_HASH: Final = keccak(ORDER_TYPE)
_DOMAIN_TYPE_HASH: Final = keccak(
    b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
_WRAPPED_TYPE_HASH: Final = keccak(
    b"TypedDataSign(Order contents,string name,string version,uint256 chainId,"
    b"address verifyingContract,bytes32 salt)" + ORDER_TYPE
)
_WALLET_NAME_HASH: Final = keccak(b"DepositWallet")
_WALLET_VERSION_HASH: Final = keccak(b"1")
_LOGIN_TYPE_HASH: Final = keccak(
    b"ClobAuth(address address,string timestamp,uint256 nonce,string message)"
)
_LOGIN_MESSAGE_HASH: Final = keccak(b"This message attests that I control the given wallet")

PLAIN_LENGTH: Final = 65
_RECOVERY_OFFSET: Final = 27
_HALF_ORDER: Final = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
POLY_1271: Final = 3


def _word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def _address_word(address: str) -> bytes:
    return bytes.fromhex(address[2:]).rjust(32, b"\x00")


_LOGIN_DOMAIN: Final = keccak(
    keccak(b"EIP712Domain(string name,string version,uint256 chainId)")
    + keccak(b"ClobAuthDomain")
    + keccak(b"1")
    + _word(CHAIN_ID)
)


@lru_cache(maxsize=4096)
def checksum(address: str) -> str:
    """Return an address in its mixed-case form. Raises ValueError when it is none."""
    return str(to_checksum_address(address))


@lru_cache(maxsize=2)
def domain_separator(exchange: str) -> bytes:
    """Return the EIP-712 domain separator of one exchange contract."""
    return keccak(
        _DOMAIN_TYPE_HASH
        + keccak(b"Polymarket CTF Exchange")
        + keccak(b"2")
        + _word(CHAIN_ID)
        + _address_word(exchange)
    )


def exchange_of(*, neg_risk: bool) -> str:
    """Return the contract that settles a market."""
    return NEG_RISK_EXCHANGE if neg_risk else EXCHANGE


def contents_hash(order: SignedOrder) -> bytes:
    """Return the EIP-712 struct hash of an order."""
    return keccak(
        _ORDER_TYPE_HASH
        + _word(order.salt)
        + _address_word(order.maker)
        + _address_word(order.signer)
        + _word(int(order.token_id))
        + _word(order.maker_amount)
        + _word(order.taker_amount)
        + _word(0 if order.side == "BUY" else 1)
        + _word(order.signature_type)
        + _word(order.timestamp)
        + bytes.fromhex(order.metadata[2:])
        + bytes.fromhex(order.builder[2:])
    )


def order_hash(order: SignedOrder, *, neg_risk: bool) -> str:
    """Return the order's id: its EIP-712 digest under the market's exchange."""
    separator = domain_separator(exchange_of(neg_risk=neg_risk))
    return "0x" + keccak(b"\x19\x01" + separator + contents_hash(order)).hex()


def recovered(digest: bytes, signature: bytes) -> str | None:
    """Return the address that made a 65-byte signature, or None if nobody can have."""
    if len(signature) != PLAIN_LENGTH or int.from_bytes(signature[32:64], "big") > _HALF_ORDER:
        return None
    recovery = signature[64] - _RECOVERY_OFFSET
    if recovery not in (0, 1):
        return None
    try:
        key = PublicKey.from_signature_and_message(
            signature[:64] + bytes((recovery,)), digest, hasher=None
        )
    except ValueError:
        return None
    return checksum("0x" + keccak(key.format(compressed=False)[1:])[12:].hex())


def order_signer(order: SignedOrder, *, neg_risk: bool) -> str | None:
    """Return the EOA that signed an order, or None when the signature holds nothing valid.

    Types 0, 1 and 2 are plain signatures of the order's digest; type 3 is the ERC-7739 wrapping
    of a deposit wallet, whose trailer must repeat the domain, the contents and the order's type.
    """
    try:
        signature = bytes.fromhex(order.signature[2:])
    except ValueError:
        return None
    separator = domain_separator(exchange_of(neg_risk=neg_risk))
    contents = contents_hash(order)
    if order.signature_type != POLY_1271:
        return recovered(keccak(b"\x19\x01" + separator + contents), signature)
    trailer = separator + contents + ORDER_TYPE + len(ORDER_TYPE).to_bytes(2, "big")
    if signature[PLAIN_LENGTH:] != trailer:
        return None
    wrapped = keccak(
        _WRAPPED_TYPE_HASH
        + contents
        + _WALLET_NAME_HASH
        + _WALLET_VERSION_HASH
        + _word(CHAIN_ID)
        + _address_word(order.signer)
        + bytes(32)
    )
    return recovered(keccak(b"\x19\x01" + separator + wrapped), signature[:PLAIN_LENGTH])


def login_signer(address: str, timestamp: str, nonce: int, signature: str) -> str | None:
    """Return the EOA that signed an L1 login, or None."""
    try:
        raw = bytes.fromhex(signature.removeprefix("0x"))
        who = _address_word(checksum(address))
    except ValueError:
        return None
    contents = keccak(
        _LOGIN_TYPE_HASH + who + keccak(text=timestamp) + _word(nonce) + _LOGIN_MESSAGE_HASH
    )
    return recovered(keccak(b"\x19\x01" + _LOGIN_DOMAIN + contents), raw)

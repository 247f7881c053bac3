"""Signatures: who signed, and that nothing else passes."""

from dataclasses import replace
from typing import Any

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from infra.paper.signatures import (
    contents_hash,
    domain_separator,
    login_signer,
    order_hash,
    order_signer,
)
from infra.paper.signed_order import SignedOrder, parse_signed
from tests.paper.traders import EXCHANGE, NEG_RISK_EXCHANGE, ZERO, typed_order

KEY = "0x" + "11" * 32
ADDRESS = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
WALLET = "0x7a57144fAfde87F5cE4a880D570BAe58eeBC83f2"
GROUP_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141  # of secp256k1
TOKEN = "71321045679252212594626385532706912750332728571942532289631379312455583992563"


def an_order(**changes: Any) -> dict[str, Any]:
    return {
        "salt": 12345,
        "maker": ADDRESS,
        "signer": ADDRESS,
        "tokenId": TOKEN,
        "makerAmount": "5000000",
        "takerAmount": "10000000",
        "side": "BUY",
        "signatureType": 0,
        "timestamp": "1795224517867",
        "metadata": ZERO,
        "builder": ZERO,
        "expiration": "0",
        "signature": "0x00",
        **changes,
    }


def plainly_signed(exchange: str = EXCHANGE, **changes: Any) -> SignedOrder:
    order = an_order(**changes)
    signed = Account.sign_typed_data(KEY, full_message=typed_order(order, exchange))
    return parse_signed({**order, "signature": "0x" + signed.signature.hex().removeprefix("0x")})


def wallet_signed() -> SignedOrder:
    order = an_order(maker=WALLET, signer=WALLET, signatureType=3)
    standard = typed_order(order)
    document = {
        **standard,
        "types": {
            **standard["types"],
            "TypedDataSign": [
                {"name": "contents", "type": "Order"},
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
                {"name": "salt", "type": "bytes32"},
            ],
        },
        "primaryType": "TypedDataSign",
        "message": {
            "contents": standard["message"],
            "name": "DepositWallet",
            "version": "1",
            "chainId": 137,
            "verifyingContract": WALLET,
            "salt": bytes(32),
        },
    }
    inner = Account.sign_typed_data(KEY, full_message=document).signature
    parsed = parse_signed(order)
    kind = (
        b"Order(uint256 salt,address maker,address signer,uint256 tokenId,uint256 makerAmount,"
        b"uint256 takerAmount,uint8 side,uint8 signatureType,uint256 timestamp,bytes32 metadata,"
        b"bytes32 builder)"
    )
    trailer = domain_separator(EXCHANGE) + contents_hash(parsed) + kind + b"\x00\xba"
    return replace(parsed, signature="0x" + (bytes(inner) + trailer).hex())


def test_the_published_vector_of_a_deposit_wallet_order_has_its_published_id() -> None:
    order = wallet_signed()

    assert contents_hash(order).hex() == (
        "d43b92757bc5f5b3434b744ac8108979f2f1f94e23a8d18cf476a811ef645a2b"
    )
    assert order_hash(order, neg_risk=False) == (
        "0x09ebc108628dbd42b04ec3b7c7475084f999ce01d123e6bccd8125b27d99c5f6"
    )
    assert domain_separator(NEG_RISK_EXCHANGE).hex() == (
        "9b858f53327b0bd13af8ec14cfb35234fb9eb7b0504d1a4e61f433840d30e81a"
    )


def test_a_plain_signature_names_its_signer() -> None:
    assert order_signer(plainly_signed(), neg_risk=False) == ADDRESS


def test_a_deposit_wallet_signature_names_the_owner() -> None:
    order = wallet_signed()

    assert len(bytes.fromhex(order.signature[2:])) == 317
    assert order_signer(order, neg_risk=False) == ADDRESS


def test_an_order_for_one_exchange_is_not_signed_for_the_other() -> None:
    order = plainly_signed(NEG_RISK_EXCHANGE)

    assert order_signer(order, neg_risk=True) == ADDRESS
    assert order_signer(order, neg_risk=False) != ADDRESS


TAMPERED = {
    "salt": 12346,
    "maker": "0x" + "ab" * 20,
    "token_id": str(int(TOKEN) + 1),
    "maker_amount": 5000001,
    "taker_amount": 9999999,
    "side": "SELL",
    "timestamp": 1795224517868,
    "metadata": "0x" + "01" * 32,
    "builder": "0x" + "01" * 32,
}


@pytest.mark.parametrize("name", TAMPERED)
@pytest.mark.parametrize("kind", ["plain", "wallet"])
def test_no_signed_field_can_be_changed_afterwards(name: str, kind: str) -> None:
    order = plainly_signed() if kind == "plain" else wallet_signed()

    assert order_signer(replace(order, **{name: TAMPERED[name]}), neg_risk=False) != ADDRESS


@given(place=st.integers(0, 316), flip=st.integers(1, 255))
def test_no_byte_of_a_deposit_wallet_signature_can_be_changed(place: int, flip: int) -> None:
    order = wallet_signed()
    raw = bytearray.fromhex(order.signature[2:])
    raw[place] ^= flip

    changed = replace(order, signature="0x" + raw.hex())

    assert order_signer(changed, neg_risk=False) != ADDRESS


@pytest.mark.parametrize(
    "signature", ["0x00", "0x" + "00" * 65, "0x" + "ff" * 65, "0x" + "11" * 480]
)
def test_rubbish_is_nobodys_signature(signature: str) -> None:
    order = replace(plainly_signed(), signature=signature)

    assert order_signer(order, neg_risk=False) is None


def test_the_second_signature_that_every_signature_implies_is_nobodys() -> None:
    order = plainly_signed()
    raw = bytes.fromhex(order.signature[2:])
    other = (GROUP_ORDER - int.from_bytes(raw[32:64], "big")).to_bytes(32, "big")
    twin = raw[:32] + other + bytes([27 + 28 - raw[64]])

    assert order_signer(replace(order, signature="0x" + twin.hex()), neg_risk=False) is None


def test_the_expiration_is_not_signed() -> None:
    order = replace(plainly_signed(), expiration=1_900_000_000)

    assert order_signer(order, neg_risk=False) == ADDRESS


def test_a_login_names_its_signer_and_cannot_be_moved_to_another_moment() -> None:
    document = {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
            ],
            "ClobAuth": [
                {"name": "address", "type": "address"},
                {"name": "timestamp", "type": "string"},
                {"name": "nonce", "type": "uint256"},
                {"name": "message", "type": "string"},
            ],
        },
        "primaryType": "ClobAuth",
        "domain": {"name": "ClobAuthDomain", "version": "1", "chainId": 137},
        "message": {
            "address": ADDRESS,
            "timestamp": "1795224517",
            "nonce": 3,
            "message": "This message attests that I control the given wallet",
        },
    }
    signature = "0x" + Account.sign_typed_data(KEY, full_message=document).signature.hex()
    signature = signature.replace("0x0x", "0x")

    assert login_signer(ADDRESS, "1795224517", 3, signature) == ADDRESS
    assert login_signer(ADDRESS, "1795224518", 3, signature) != ADDRESS
    assert login_signer(ADDRESS, "1795224517", 4, signature) != ADDRESS
    assert login_signer(ADDRESS, "1795224517", 3, "0xzz") is None

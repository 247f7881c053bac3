"""What is signed is what was asked, under an id that two programs agree on, without a request."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import httpx
import pytest
from eth_keys.datatypes import Signature
from eth_utils.crypto import keccak
from polymarket._internal.actions.orders.post import build_post_order_request
from polymarket._internal.actions.orders.typed_data import (
    _app_domain_separator,  # pyright: ignore[reportPrivateUsage]  # the SDK's own hash, to compare
    _order_contents_hash,  # pyright: ignore[reportPrivateUsage]
)
from polymarket._internal.actions.orders.types import UnsignedOrder
from polymarket.models.clob import SignedOrder as SdkOrder
from polymarket.models.types import TokenId
from polymarket.types import EvmAddress, HexString

from domain.errors import InvalidInputError, InvariantError, RejectedError
from domain.order import Side, TimeInForce
from domain.sizing import Terms
from infra.clock import utc_now
from infra.exchanges.polymarket import hashing
from infra.exchanges.polymarket.connection import pooled_client
from infra.exchanges.polymarket.sdk import Credentials, SdkClient, signer_of
from infra.exchanges.polymarket.signing import SignedBytes
from infra.settings import ExchangeSettings
from tests.exchanges.scripted import (
    DEPOSIT_WALLET,
    KEYS,
    MARKET,
    NO,
    PRIVATE_KEY,
    YES,
    account_on,
    terms,
)

BUY, SELL = Side.BUY, Side.SELL
GTC, GTD = TimeInForce.GTC, TimeInForce.GTD
FAK, FOK = TimeInForce.FAK, TimeInForce.FOK
ZERO = HexString("0x" + "00" * 32)
NOWHERE = "http://127.0.0.1:9"
WRAPPED = "6ba028565cb324c2aa02bb714b9816d0bddd557a2f33bb36cf13272a4256bd42"

VECTOR = SdkOrder(
    builder=ZERO,
    expiration=0,
    maker=EvmAddress(DEPOSIT_WALLET),
    maker_amount=5_000_000,
    metadata=ZERO,
    order_type="GTC",
    salt=12345,
    side="BUY",
    signature=HexString("0x"),
    signature_type=3,
    signer=EvmAddress(DEPOSIT_WALLET),
    taker_amount=10_000_000,
    timestamp=1795224517867,
    token_id=TokenId(YES),
)


def sdk_hash(order: SdkOrder, exchange: str, version: str = "2") -> str:
    unsigned = UnsignedOrder(
        chain_id=137,
        builder=order.builder,
        exchange_address=EvmAddress(exchange),
        expiration=order.expiration,
        maker=order.maker,
        maker_amount=order.maker_amount,
        metadata=order.metadata,
        order_type=order.order_type,
        salt=order.salt,
        side=order.side,
        signature_type=order.signature_type,
        signer=order.signer,
        taker_amount=order.taker_amount,
        timestamp=order.timestamp,
        token_id=order.token_id,
    )
    domain = bytes.fromhex(_app_domain_separator(unsigned, protocol_version=version)[2:])
    return "0x" + keccak(b"\x19\x01" + domain + _order_contents_hash(unsigned)).hex()


@pytest.fixture
def no_requests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Refuse and note every request that anything in this process tries to make."""
    asked: list[str] = []

    async def refuse(_: httpx.AsyncClient, request: httpx.Request, **__: object) -> None:
        asked.append(str(request.url))
        raise httpx.ConnectError("no request may be made")

    monkeypatch.setattr(httpx.AsyncClient, "send", refuse)
    return asked


def test_the_published_vector_has_its_published_id() -> None:
    contents = "d43b92757bc5f5b3434b744ac8108979f2f1f94e23a8d18cf476a811ef645a2b"
    order_id = "0x09ebc108628dbd42b04ec3b7c7475084f999ce01d123e6bccd8125b27d99c5f6"
    assert hashing.contents_hash(VECTOR).hex() == contents
    assert hashing.order_hash(VECTOR, neg_risk=False) == order_id


def test_each_exchange_has_its_published_domain() -> None:
    plain = hashing.domain_separator(*hashing.settled_by(YES, neg_risk=False)).hex()
    neg_risk = hashing.domain_separator(*hashing.settled_by(YES, neg_risk=True)).hex()
    assert plain == "3264e159346253e26a64e00b69032db0e7d32f94628de3e6eecb50304d7af3d2"
    assert neg_risk == "9b858f53327b0bd13af8ec14cfb35234fb9eb7b0504d1a4e61f433840d30e81a"


@pytest.mark.parametrize(
    "order",
    [
        VECTOR,
        replace(VECTOR, side="SELL", signature_type=0),
        replace(VECTOR, expiration=1795228888),
        replace(VECTOR, token_id=TokenId("5")),
    ],
)
def test_our_order_id_is_the_sdks(order: SdkOrder) -> None:
    plain, neg_risk, version = hashing.EXCHANGE, hashing.NEG_RISK_EXCHANGE, "2"
    if hashing.is_position_id(order.token_id):
        plain, neg_risk, version = hashing.POSITION_EXCHANGE, hashing.POSITION_EXCHANGE, "3"
    assert hashing.order_hash(order, neg_risk=False) == sdk_hash(order, plain, version)
    assert hashing.order_hash(order, neg_risk=True) == sdk_hash(order, neg_risk, version)


@pytest.mark.parametrize(
    ("asked", "gives", "gets"),
    [
        (terms(BUY, GTC, "0.57", "10.12"), 5_768_400, 10_120_000),
        (terms(SELL, GTC, "0.57", "33.33"), 33_330_000, 18_998_100),
        (terms(BUY, GTD, "0.01", "5"), 50_000, 5_000_000),
        (terms(BUY, FAK, "0.6", "8.35"), 5_010_000, 8_350_000),
        (terms(BUY, FOK, "0.99", "100"), 99_000_000, 100_000_000),
        (terms(SELL, FAK, "0.33", "7.77"), 7_770_000, 2_564_100),
        (terms(SELL, FOK, "0.01", "0.01"), 10_000, 100),
    ],
)
async def test_signing_makes_no_request_and_signs_price_times_size_exactly(
    no_requests: list[str], asked: Terms, gives: int, gets: int
) -> None:
    dated = asked.time_in_force is GTD
    expires_at = utc_now() + timedelta(hours=1) if dated else None
    async with account_on(NOWHERE) as account:
        signed = await account.sign(asked, MARKET, NO, expires_at)
    order = SignedBytes.of(signed.payload).order
    assert no_requests == []
    assert (order.maker_amount, order.taker_amount) == (gives, gets)
    assert (order.side, order.token_id, order.maker) == (asked.side, NO, DEPOSIT_WALLET)
    assert (order.order_type, order.post_only) == (asked.time_in_force, False)
    assert order.expiration == (int(expires_at.timestamp()) if expires_at else 0)
    assert (signed.price, signed.size) == (asked.price, asked.size)
    assert signed.order_hash == sdk_hash(order, hashing.EXCHANGE)


async def test_a_neg_risk_market_is_signed_for_its_own_exchange() -> None:
    async with account_on(NOWHERE) as account:
        signed = await account.sign(terms(), replace(MARKET, neg_risk=True), YES, None)
    assert signed.order_hash == sdk_hash(
        SignedBytes.of(signed.payload).order, hashing.NEG_RISK_EXCHANGE
    )


async def test_the_signature_is_that_of_the_deposit_wallets_key() -> None:
    async with account_on(NOWHERE) as account:
        signed = await account.sign(terms(), MARKET, YES, None)
    order = SignedBytes.of(signed.payload).order
    raw = bytes.fromhex(order.signature[2:])
    domain, contents = (
        hashing.domain_separator(*hashing.settled_by(YES, neg_risk=False)),
        hashing.contents_hash(order),
    )
    wallet = bytes.fromhex(order.maker[2:]).rjust(32, b"\0")
    wrapped = keccak(
        bytes.fromhex(WRAPPED)
        + contents
        + keccak(text="DepositWallet")
        + keccak(text="1")
        + (137).to_bytes(32, "big")
        + wallet
        + bytes(32)
    )
    digest = keccak(b"\x19\x01" + domain + wrapped)
    recovered = Signature(raw[:64] + bytes([raw[64] - 27])).recover_public_key_from_msg_hash(digest)
    assert recovered.to_checksum_address() == signer_of(PRIVATE_KEY).address
    assert raw[65:129] == domain + contents
    assert raw[129:] == hashing.ORDER_TYPE.encode() + (186).to_bytes(2, "big")


@pytest.mark.parametrize(
    ("asked", "token_id", "words"),
    [
        (terms(price="0.575"), YES, "off the grid"),
        (terms(price="1.00"), YES, "off the grid"),
        (terms(price="0.00"), YES, "off the grid"),
        (terms(size="10.125"), YES, "multiple of 0.01"),
        (terms(size="0"), YES, "positive"),
        (terms(), "5", "no token"),
        (terms(BUY, FAK, "0.57", "10.01"), YES, "multiple of $0.01"),
        (terms(BUY, GTD), YES, "needs a date"),
    ],
)
async def test_an_order_the_exchange_would_refuse_is_not_signed(
    no_requests: list[str], asked: Terms, token_id: str, words: str
) -> None:
    async with account_on(NOWHERE) as account:
        with pytest.raises(RejectedError, match=words.replace("$", r"\$")):
            await account.sign(asked, MARKET, token_id, None)
    assert no_requests == []


async def test_a_sale_at_a_fine_tick_keeps_its_proceeds_to_four_places() -> None:
    fine = replace(MARKET, tick_size=Decimal("0.001"))
    async with account_on(NOWHERE) as account:
        with pytest.raises(RejectedError, match="multiple of"):
            await account.sign(terms(SELL, FAK, "0.123", "33.33"), fine, YES, None)
        signed = await account.sign(terms(SELL, FAK, "0.123", "33.3"), fine, YES, None)
    assert SignedBytes.of(signed.payload).order.taker_amount == 4_095_900


async def test_a_date_too_near_is_refused_in_words() -> None:
    async with account_on(NOWHERE) as account:
        with pytest.raises(RejectedError, match="180 seconds"):
            await account.sign(terms(BUY, GTD), MARKET, YES, utc_now() + timedelta(seconds=60))


async def test_a_tick_that_changed_is_believed_at_once() -> None:
    async with account_on(NOWHERE) as account:
        await account.sign(terms(price="0.57"), MARKET, YES, None)
        finer = replace(MARKET, tick_size=Decimal("0.001"))
        signed = await account.sign(terms(price="0.571"), finer, YES, None)
        with pytest.raises(RejectedError):
            await account.sign(terms(price="0.571"), MARKET, YES, None)
    assert SignedBytes.of(signed.payload).order.maker_amount == 57_100_000


async def test_stored_bytes_make_the_same_order_again() -> None:
    async with account_on(NOWHERE) as account:
        signed = await account.sign(terms(), MARKET, YES, None)
    again = SignedBytes.of(signed.payload)
    assert again.payload() == signed.payload
    assert again.order_hash == signed.order_hash == hashing.order_hash(again.order, neg_risk=False)
    _, body = build_post_order_request(again.order, owner_api_key="k")
    assert body["order"]["salt"] == again.order.salt


async def test_a_wallet_that_is_not_the_keys_is_refused_when_opened() -> None:
    http = pooled_client(NOWHERE)
    for wallet, kind in [("0x" + "ab" * 20, 3), (DEPOSIT_WALLET, 2)]:
        who = Credentials(wallet=wallet, signature_type=kind, keys=KEYS, private_key=PRIVATE_KEY)
        with pytest.raises(InvalidInputError, match="wallet"):
            SdkClient(ExchangeSettings(), http, who)
    await http.aclose()


async def test_a_process_without_the_private_key_cannot_sign_or_send() -> None:
    async with account_on(NOWHERE, private_key=None) as reader:
        with pytest.raises(InvariantError):
            await reader.sign(terms(), MARKET, YES, None)
        with pytest.raises(InvariantError):
            await reader.submit(b"{}")


def test_no_secret_shows_in_a_representation() -> None:
    who = Credentials(wallet=DEPOSIT_WALLET, signature_type=3, keys=KEYS, private_key=PRIVATE_KEY)
    for secret in (PRIVATE_KEY, KEYS.secret, KEYS.passphrase):
        assert secret not in repr(who)

"""The quick way of signing makes what the unchanged SDK makes, for every wallet and any order."""

import asyncio
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from polymarket import AsyncSecureClient
from polymarket._internal.actions.orders import orders as sdk_orders
from polymarket._internal.actions.orders.post import build_post_order_request
from polymarket._internal.actions.orders.types import OrderDraft
from polymarket.models.clob import SignedOrder
from polymarket.models.types import TokenId
from polymarket.types import EvmAddress, HexString

from domain.errors import InvariantError
from infra.exchanges.polymarket import hashing, sdk
from infra.exchanges.polymarket.connection import pooled_client
from infra.exchanges.polymarket.sdk import Credentials, SdkClient, signer_of
from infra.settings import ExchangeSettings
from tests.exchanges.desk import wallet_of
from tests.exchanges.scripted import KEYS, PRIVATE_KEY

NOWHERE = "http://127.0.0.1:9"
EXCHANGES = [hashing.EXCHANGE, hashing.NEG_RISK_EXCHANGE, hashing.POSITION_EXCHANGE]
AMOUNTS = st.integers(1, 10**15)
BYTES32 = st.binary(min_size=32, max_size=32).map(lambda raw: HexString("0x" + raw.hex()))
TOKENS = st.one_of(st.integers(0, 2**256 - 1), st.integers(0, 2**40 - 1))


@cache
def client_of(kind: int) -> SdkClient:
    """The product's client for a wallet of one type; it never makes a request."""
    who = Credentials(
        wallet=wallet_of(PRIVATE_KEY, kind),
        signature_type=kind,
        keys=KEYS,
        private_key=PRIVATE_KEY,
    )
    return SdkClient(ExchangeSettings(), pooled_client(NOWHERE), who)


@st.composite
def drafts(draw: st.DrawFn) -> OrderDraft:
    wallet = client_of(draw(st.integers(0, 3))).wallet
    return OrderDraft(
        chain_id=hashing.CHAIN_ID,
        exchange_address=EvmAddress(draw(st.sampled_from(EXCHANGES))),
        expiration=draw(st.integers(0, 2**40)),
        funder_address=EvmAddress(wallet),
        offered_amount=draw(AMOUNTS),
        order_type=draw(st.sampled_from(["GTC", "GTD", "FOK", "FAK"])),
        side=draw(st.sampled_from(["BUY", "SELL"])),
        signer=EvmAddress(signer_of(PRIVATE_KEY).address),
        requested_amount=draw(AMOUNTS),
        asset_id=TokenId(str(draw(TOKENS))),
        builder_code=draw(st.none() | BYTES32),
    )


async def signed_both_ways(draft: OrderDraft, post_only: object) -> tuple[SignedOrder, SignedOrder]:
    (kind,) = (one for one in range(4) if client_of(one).wallet == draft.funder_address)
    client = client_of(kind)
    quick = await client._sign_order(draft, post_only=bool(post_only))  # pyright: ignore[reportPrivateUsage]  # noqa: SLF001
    slow = await AsyncSecureClient._sign_order(client, draft, post_only=bool(post_only))  # pyright: ignore[reportPrivateUsage]  # noqa: SLF001
    return quick, slow


@given(
    draft=drafts(),
    is_maker=st.booleans(),
    salt=st.integers(0, 2**53 - 1),
    timestamp=st.integers(0, 2**43),
)
def test_any_order_of_any_wallet_is_signed_and_posted_as_the_unchanged_sdk_does(
    draft: OrderDraft, is_maker: object, salt: int, timestamp: int
) -> None:
    post_only = bool(is_maker) and draft.order_type in {"GTC", "GTD"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sdk_orders, "_generate_salt", lambda: salt)
        patch.setattr(sdk_orders, "_current_timestamp_ms", lambda: timestamp)
        quick, slow = asyncio.run(signed_both_ways(draft, post_only))
    assert quick == slow
    assert posted(quick) == posted(slow)


def posted(order: SignedOrder) -> tuple[str, dict[str, Any]]:
    path, body = build_post_order_request(order, owner_api_key=KEYS.key)
    return path, dict(body)


def test_an_sdk_that_signs_otherwise_than_we_know_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client_of.cache_clear()
    own = sdk.build_order_typed_data

    def of_another_version(order: Any) -> dict[str, Any]:
        return own(order, protocol_version="9")

    monkeypatch.setattr(sdk, "build_order_typed_data", of_another_version)
    with pytest.raises(InvariantError, match="sign nothing"):
        client_of(3)

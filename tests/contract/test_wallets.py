"""Each kind of wallet that a client can sign for trades on the paper exchange."""

# pyright: reportMissingTypeStubs=false

from typing import Any

import pytest
from eth_account import Account
from polymarket import SecureClient
from polymarket._internal.environment import PRODUCTION_CONFIG
from polymarket._internal.wallet import (
    derive_proxy_wallet_address,
    derive_safe_wallet_address,
    derive_uups_deposit_wallet_address,
)
from polymarket.errors import RequestRejectedError
from polymarket.models.clob.order_response import AcceptedOrder
from py_clob_client_v2 import ClobClient
from py_clob_client_v2.clob_types import OrderArgsV2

from tests.contract.conftest import environment_of
from tests.paper.conftest import Server

pytestmark = pytest.mark.services

KEY = "0x" + "b7" * 32
ADDRESS = str(Account.from_key(KEY).address)
DERIVATION = PRODUCTION_CONFIG.wallet_derivation
WALLETS = {
    0: ADDRESS,
    1: derive_proxy_wallet_address(ADDRESS, DERIVATION),
    2: derive_safe_wallet_address(ADDRESS, DERIVATION),
    3: derive_uups_deposit_wallet_address(ADDRESS, DERIVATION),
}


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def funded(server: Server, kind: int) -> str:
    body = {"wallet": WALLETS[kind], "signer": ADDRESS, "signature_type": kind}
    server.admin("POST", "/accounts", body)
    market = server.get("/gamma/markets/slug/will-the-us-enter-a-recession-in-2027")
    token_id: str = market["clobTokenIds"].split('"')[1]
    return token_id


@pytest.mark.parametrize("kind", WALLETS)
def test_a_wallet_trades_through_the_official_client(server: Server, kind: int) -> None:
    token_id = funded(server, kind)
    with SecureClient.create(
        private_key=KEY, wallet=WALLETS[kind], environment=environment_of(server)
    ) as client:
        signed = client.create_limit_order(asset_id=token_id, side="BUY", price="0.02", size=10)
        answer = client.post_order(signed)
        assert isinstance(answer, AcceptedOrder)
        assert (signed.signature_type, signed.maker) == (kind, WALLETS[kind])
        assert client.get_balance_allowance(asset_type="COLLATERAL").balance == 10_000_000_000
        assert client.cancel_all().canceled == (answer.order_id,)


@pytest.mark.parametrize("kind", WALLETS)
def test_a_wallet_trades_through_the_older_client(server: Server, kind: int) -> None:
    token_id = funded(server, kind)
    url = server.url + "/clob"
    client: Any = ClobClient(url, 137, key=KEY, signature_type=kind, funder=WALLETS[kind])
    client.set_api_creds(client.create_or_derive_api_key())
    answer = client.create_and_post_order(OrderArgsV2(token_id, 0.02, 10, "BUY"))
    assert answer["status"] == "live"
    assert client.get_order(answer["orderID"])["maker_address"] == WALLETS[kind]
    assert client.cancel_all()["canceled"] == [answer["orderID"]]


def test_a_wallet_that_is_not_the_keys_own_is_refused(server: Server) -> None:
    token_id = funded(server, 3)
    with SecureClient.create(
        private_key=KEY, wallet="0x" + "77" * 20, environment=environment_of(server)
    ) as client:
        signed = client.create_limit_order(asset_id=token_id, side="BUY", price="0.02", size=10)
        with pytest.raises(RequestRejectedError, match="invalid signature"):
            client.post_order(signed)

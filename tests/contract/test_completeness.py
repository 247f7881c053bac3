"""No call of either client is left out: a new version with a new one turns this red."""

# pyright: reportMissingTypeStubs=false

import pytest
from polymarket import AsyncPublicClient, AsyncSecureClient, PublicClient, SecureClient
from py_clob_client_v2 import ClobClient

from tests.contract.older_calls import OLDER
from tests.contract.test_official_client import TABLES

CLIENTS = {
    "public": PublicClient,
    "async_public": AsyncPublicClient,
    "secure": SecureClient,
    "async_secure": AsyncSecureClient,
}
CHAIN = "ends at the same relayer's route as split_position, redeem_positions and approve_erc20"
COMBO = "needs an answer that this exchange never gives: combos are not served"
PERPS = "signs before it asks; the whole service is refused, as its other calls show"
SESSION = "ends at the relayer's route of session keys, which is refused"
NOT_CALLED = {
    "close": "makes no request",
    "approve_erc1155_for_all": CHAIN,
    "transfer_erc20": CHAIN,
    "execute_transaction": CHAIN,
    "merge_positions": CHAIN,
    "merge_multiple_positions": CHAIN,
    "setup_trading_approvals": CHAIN,
    "setup_gasless_wallet": "makes no request for a wallet that is deployed, as all are here",
    "authorize_session_key": SESSION,
    "revoke_session_key": SESSION,
    "accept_combo_quote": COMBO,
    "execute_collateral_return_plan": COMBO,
    "open_rfq_session": COMBO,
    "deposit_to_perps": PERPS,
    "open_perps_session": PERPS,
    "revoke_perps_credentials": PERPS,
    "withdraw_from_perps": PERPS,
}
NOT_CALLED_OLDER = {
    "assert_level_1_auth": "makes no request",
    "assert_level_2_auth": "makes no request",
}


def calls_of(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


@pytest.mark.parametrize("client", CLIENTS)
def test_every_call_of_the_official_client_is_made_or_excused(client: str) -> None:
    assert calls_of(CLIENTS[client]) - set(TABLES[client]) - set(NOT_CALLED) == set()


def test_every_call_of_the_older_client_is_made_or_excused() -> None:
    assert calls_of(ClobClient) - set(OLDER) - set(NOT_CALLED_OLDER) == set()


def test_no_excuse_outlives_its_call() -> None:
    every = set[str]().union(*(calls_of(kind) for kind in CLIENTS.values()))
    made = set[str]().union(*TABLES.values())
    assert set(NOT_CALLED) - every == set()
    assert set(NOT_CALLED) & made == set()

"""Our derivation of a deposit wallet is the SDK's."""

import pytest
from eth_account import Account
from polymarket._internal.environment import PRODUCTION_CONFIG
from polymarket._internal.wallet import derive_uups_deposit_wallet_address

from infra.embedded.wallet import deposit_wallet, signing_address


@pytest.mark.parametrize("number", [1, 2, 0xABCDEF, 2**255])
def test_a_deposit_wallet_is_the_one_the_sdk_derives(number: int) -> None:
    key = f"0x{number:064x}"
    signer: str = Account.from_key(key).address

    assert signing_address(key) == signer
    derivation = PRODUCTION_CONFIG.wallet_derivation
    assert deposit_wallet(signer) == derive_uups_deposit_wallet_address(signer, derivation)

"""The accounts this process may speak for, opened from its configuration."""

from typing import Final

from domain.errors import InvalidInputError
from infra.exchanges.circuits import BreakerRows
from infra.exchanges.gate import Barred, Gate
from infra.exchanges.polymarket.client import Means, PolymarketAccount
from infra.exchanges.polymarket.connection import ApiKeys, pooled_client
from infra.exchanges.polymarket.limits import PolymarketLimits
from infra.exchanges.polymarket.parsing import Identity, MarketLookup
from infra.exchanges.polymarket.sdk import Credentials, SdkClient, signer_of
from infra.exchanges.polymarket.user_stream import PolymarketUserStream
from infra.settings import AccountSettings, ExchangeSettings, Settings

PLAIN_KEY: Final = 0  # the signature type whose wallet is the signing key's own address


def open_gate(
    settings: Settings, breakers: BreakerRows | None = None, on_barred: Barred | None = None
) -> Gate:
    """Return what every request of this process passes; without rows it shares its breakers."""
    return Gate(PolymarketLimits(settings.exchange.rate_tier), breakers, on_barred)


def open_accounts(
    settings: Settings, market_lookup: MarketLookup, gate: Gate | None = None
) -> dict[str, PolymarketAccount]:
    """Return the accounts whose exchange credentials are configured; no request is made.

    Raises:
        InvalidInputError: an account's keys and addresses do not belong together.
    """
    accounts: dict[str, PolymarketAccount] = {}
    gate = gate or open_gate(settings)
    for account_id, account in settings.accounts.items():
        credentials = _credentials(account_id, account)
        if credentials is not None:
            who = Identity(
                account_id=account_id, wallet=account.wallet, api_key=credentials.keys.key
            )
            accounts[account_id] = open_account(
                settings.exchange, who, credentials, market_lookup, gate
            )
    return accounts


def open_account(
    exchange: ExchangeSettings,
    who: Identity,
    credentials: Credentials,
    lookup: MarketLookup,
    gate: Gate,
) -> PolymarketAccount:
    """Return one account; without a private key it can look and cancel, but not sign or send."""
    http = pooled_client(exchange.clob_url)
    sdk = None
    if credentials.private_key is not None:
        sdk = SdkClient(exchange, http, credentials)
    return PolymarketAccount(who, credentials, Means(http=http, gate=gate, sdk=sdk, lookup=lookup))


def user_stream(exchange: ExchangeSettings, account: PolymarketAccount) -> PolymarketUserStream:
    """Return the live news of an account."""
    return PolymarketUserStream(
        exchange.user_ws_url, account.credentials.keys, account.who, account.market
    )


def _credentials(account_id: str, account: AccountSettings) -> Credentials | None:
    """Return what an account shows to the exchange; None where this process has no keys of it."""
    if account.api_key is None or account.secret is None or account.passphrase is None:
        return None
    private_key = account.private_key.get_secret_value() if account.private_key else None
    keys = ApiKeys(
        address=_signer(account_id, account, private_key),
        key=account.api_key.get_secret_value(),
        secret=account.secret.get_secret_value(),
        passphrase=account.passphrase.get_secret_value(),
    )
    return Credentials(
        wallet=account.wallet,
        signature_type=account.signature_type,
        keys=keys,
        private_key=private_key,
    )


def _signer(account_id: str, account: AccountSettings, private_key: str | None) -> str:
    """Return the address of the account's signing key: every signed request names it."""
    if private_key is not None:
        return signer_of(private_key).address
    if account.signer is not None:
        return account.signer
    if account.signature_type == PLAIN_KEY:
        return account.wallet
    raise InvalidInputError(
        f"accounts.{account_id}.signer", "give the address of the key that signs for the wallet"
    )

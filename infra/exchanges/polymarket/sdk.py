"""The SDK's client, opened without a request and kept to our addresses, pool and market facts.

The one module that reaches into the SDK: its public way of opening a client makes requests, and a
public way of pointing it at other addresses does not exist (polymarket.md 1.1 and 1.2). The SDK is
pinned to one version for this reason.
"""

import dataclasses
import logging
from collections.abc import Mapping
from decimal import Decimal
from typing import Final, cast

import httpx
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_keys.backends import get_backend_class
from eth_utils.address import to_checksum_address
from polymarket import AsyncSecureClient
from polymarket._internal.actions.orders.cache import AsyncOrderMetadataCache
from polymarket._internal.actions.orders.market_data import MarketInfo, PlatformFeeInfo
from polymarket._internal.context import AsyncClientContext, AsyncSecureClientContext
from polymarket._internal.environment import (
    PRODUCTION_CONFIG,
    EnvironmentConfig,
    create_environment,
)
from polymarket._internal.eoa.rpc import JsonRpcClient
from polymarket._internal.wallet import (
    AccountClassification,
    classify_account,
    signature_type_for,
)
from polymarket.clients._transport import AsyncTransport
from polymarket.clients.async_secure import (
    _CREATE_TOKEN,  # pyright: ignore[reportPrivateUsage]  # else the SDK opens ten pools of its own
)
from polymarket.models.clob import ApiKeyCreds
from polymarket.models.types import ClobAssetId, TokenId
from polymarket.types import EvmAddress
from typing_extensions import override

from domain.errors import InvalidInputError
from domain.market import Market
from infra.exchanges.polymarket.connection import ApiKeys
from infra.settings import ExchangeSettings

log = logging.getLogger(__name__)

OWNER: Final = "OWNER"  # the alternative, a session key, signs what the exchange refuses


class RegistryFacts(AsyncOrderMetadataCache):
    """What the SDK must know of a market to sign, answered from our registry."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[str, MarketInfo] = {}

    def learn(self, market: Market) -> None:
        """Take a market as it stands now."""
        facts = MarketInfo(
            fee_info=PlatformFeeInfo(rate=market.fee_rate, exponent=Decimal(market.fee_exponent)),
            neg_risk=market.neg_risk,
            tick_size=market.tick_size,
            token_ids=frozenset(TokenId(token.token_id) for token in market.tokens),
        )
        for token in market.tokens:
            self._known[token.token_id] = facts

    @override
    async def resolve_market(self, ctx: AsyncClientContext, *, token_id: ClobAssetId) -> MarketInfo:
        return self._known[token_id]

    @override
    async def fetch_current_market(
        self, ctx: AsyncClientContext, *, token_id: ClobAssetId
    ) -> MarketInfo:
        return self._known[token_id]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Credentials:
    """All that an account shows to the exchange.

    Attributes:
        wallet: the address that holds the collateral and makes the orders.
        signature_type: 0 plain key, 1 proxy, 2 Safe, 3 deposit wallet.
        private_key: None in a process that only reads.
    """

    wallet: str
    signature_type: int
    keys: ApiKeys
    private_key: str | None = dataclasses.field(repr=False)


class NoRequests(httpx.AsyncBaseTransport):
    """Refuses every request: what the SDK asks apart from sending orders is a mistake of ours."""

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raise httpx.UnsupportedProtocol(f"the SDK may not ask for {request.url}", request=request)


class SdkClient(AsyncSecureClient):
    """The SDK's client, of which only `create_*_order` and `post_order` are used.

    Args:
        http: the pool that orders are sent through.

    Raises:
        InvalidInputError: there is no private key, or the wallet is not of its type.
    """

    def __init__(
        self, exchange: ExchangeSettings, http: httpx.AsyncClient, who: Credentials
    ) -> None:
        self.facts = RegistryFacts()
        context = _context(exchange, http, who, self.facts)
        super().__init__(ctx=context, _create_token=_CREATE_TOKEN)
        log.info("signing.backend", extra={"backend": get_backend_class().__name__})


def _context(
    exchange: ExchangeSettings, http: httpx.AsyncClient, who: Credentials, facts: RegistryFacts
) -> AsyncSecureClientContext:
    """Return the SDK's parts: orders go through `http`, and no other request is possible."""
    config, signer = _config(exchange), signer_of(who.private_key or "")
    kind = _checked_kind(who, signer, config)
    nobody = httpx.AsyncClient(transport=NoRequests(), trust_env=False)
    closed = AsyncTransport(base_url="", client=nobody)
    creds = ApiKeyCreds(key=who.keys.key, secret=who.keys.secret, passphrase=who.keys.passphrase)
    return AsyncSecureClientContext(
        environment=create_environment(name="configured", config=config),
        signer=signer,
        signer_type=kind.signer_type,
        wallet=EvmAddress(to_checksum_address(who.wallet)),
        wallet_type=kind.wallet_type,
        credentials=creds,
        api_key=None,
        order_metadata=facts,
        secure_clob=_transport(exchange, http, who.keys),
        clob=closed,
        gamma=closed,
        data=closed,
        rfq=closed,
        perps=closed,
        relayer=closed,
        combos=closed,
        builder_gateway=closed,
        rpc=JsonRpcClient(closed),
    )


def _checked_kind(
    who: Credentials, signer: LocalAccount, config: EnvironmentConfig
) -> AccountClassification:
    """Return what the wallet is to the key; a wallet of another key would sign in vain."""
    kind = classify_account(
        signer=signer.address, wallet=who.wallet, config=config.wallet_derivation
    )
    if kind.signer_type != OWNER or signature_type_for(kind.wallet_type) != who.signature_type:
        remedy = f"is no wallet of type {who.signature_type} that belongs to the private key"
        raise InvalidInputError("wallet", f"{who.wallet} {remedy}")
    return kind


def signer_of(private_key: str) -> LocalAccount:
    """Return what signs with a private key.

    Raises:
        InvalidInputError: it is no private key.
    """
    try:
        return cast(LocalAccount, Account.from_key(private_key))
    except ValueError as error:
        raise InvalidInputError("private_key", "expected 32 bytes in hex") from error


def _config(exchange: ExchangeSettings) -> EnvironmentConfig:
    """Return the SDK's own contracts with our addresses."""
    return dataclasses.replace(
        PRODUCTION_CONFIG,
        clob_url=exchange.clob_url,
        clob_market_ws_url=exchange.market_ws_url,
        clob_user_ws_url=exchange.user_ws_url,
        gamma_url=exchange.gamma_url,
        data_url=exchange.data_url,
        relayer_url=exchange.relayer_url,
        rpc_url=exchange.rpc_url,
    )


def _transport(
    exchange: ExchangeSettings, http: httpx.AsyncClient, keys: ApiKeys
) -> AsyncTransport:
    """Return the SDK's transport over our own pool, with our deadlines and no proxies."""

    async def headers(method: str, path: str, body: str | None) -> Mapping[str, str]:
        return keys.headers(method, path, body)

    return AsyncTransport(base_url=exchange.clob_url, client=http, header_resolver=headers)

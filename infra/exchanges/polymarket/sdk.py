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
from coincurve import PrivateKey
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_keys.backends import get_backend_class
from eth_utils.address import to_checksum_address
from polymarket import AsyncSecureClient
from polymarket._internal.actions.orders.cache import AsyncOrderMetadataCache
from polymarket._internal.actions.orders.market_data import MarketInfo, PlatformFeeInfo
from polymarket._internal.actions.orders.orders import create_signed_order, create_unsigned_order
from polymarket._internal.actions.orders.typed_data import (
    build_order_signature,
    build_order_typed_data,
)
from polymarket._internal.actions.orders.types import OrderDraft, UnsignedOrder
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
from polymarket.models.clob import ApiKeyCreds, SignedOrder
from polymarket.models.types import ClobAssetId, TokenId
from polymarket.types import EvmAddress, HexString
from typing_extensions import override

from domain.errors import InvalidInputError, InvariantError
from domain.market import Market
from infra.exchanges.polymarket.connection import ApiKeys
from infra.exchanges.polymarket.hashing import (
    CHAIN_ID,
    EXCHANGE,
    completed,
    domain_separator,
    signed_digest,
)
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
        self._key = PrivateKey(bytes(context.signer.key))
        self._compare()
        log.info("signing.backend", extra={"backend": get_backend_class().__name__})

    @override
    async def _sign_order(self, draft: OrderDraft, *, post_only: bool) -> SignedOrder:
        """Sign as the SDK would, in a tenth of the time."""
        order = create_unsigned_order(
            draft, wallet=self._ctx.wallet, wallet_type=self._ctx.wallet_type
        )
        return create_signed_order(order, self._signature(order), post_only=post_only)

    def _signature(self, order: UnsignedOrder) -> HexString:
        """Return the signature of an order, in the form that its kind of wallet needs."""
        domain = domain_separator(order.exchange_address, order.protocol_version)
        # The library leaves the type of one parameter of this function open.
        raw = self._key.sign_recoverable(  # pyright: ignore[reportUnknownMemberType]
            signed_digest(order, domain), hasher=None
        )
        return HexString(completed(order, domain, raw[:64] + bytes([raw[64] + 27])))

    def _compare(self) -> None:
        """Check once that our quick way signs what the SDK's own way signs.

        Raises:
            InvariantError: the SDK signs something else; its version is not the one we know.
        """
        order = _specimen(self._ctx)
        if self._signature(order) != sdk_signature(self._ctx.signer, order):
            raise InvariantError("our signature of an order differs from the SDK's: sign nothing")


def sdk_signature(signer: LocalAccount, order: UnsignedOrder) -> HexString:
    """Return the signature of an order by the SDK's own general encoder."""
    signed = signer.sign_typed_data(full_message=build_order_typed_data(order))
    return build_order_signature(order, HexString("0x" + signed.signature.hex()))


def _specimen(context: AsyncSecureClientContext) -> UnsignedOrder:
    """Return an order of the account's kind, none of whose numbers are alike."""
    draft = OrderDraft(
        chain_id=CHAIN_ID,
        exchange_address=EvmAddress(EXCHANGE),
        expiration=0,
        funder_address=context.wallet,
        offered_amount=5_768_400,
        order_type="GTC",
        side="SELL",
        signer=EvmAddress(context.signer.address),
        requested_amount=10_120_000,
        asset_id=TokenId(str(1 << 255 | 1 << 64)),
    )
    return create_unsigned_order(draft, wallet=context.wallet, wallet_type=context.wallet_type)


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

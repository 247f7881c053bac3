"""A funded account and a market of its own on a running paper exchange."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from json import dumps
from typing import Any, TypeVar

from polymarket._internal.environment import PRODUCTION_CONFIG
from polymarket._internal.wallet import (
    derive_beacon_deposit_wallet_address,
    derive_proxy_wallet_address,
    derive_safe_wallet_address,
)
from pydantic import SecretStr

from domain.answer import Answer
from domain.fill import Fill, FillStatus
from domain.ids import digest
from domain.market import Market
from domain.order import Side, TimeInForce
from domain.ports import Connected, FillSeen, StreamItem
from infra.exchanges.polymarket.accounts import open_accounts, user_stream
from infra.exchanges.polymarket.client import PolymarketAccount
from infra.exchanges.polymarket.connection import Connection, pooled_client
from infra.exchanges.polymarket.registry import GammaMarkets
from infra.exchanges.polymarket.sdk import signer_of
from infra.settings import AccountSettings, ExchangeSettings, Settings
from tests.exchanges.scripted import a_gate, terms
from tests.paper.conftest import Server

T = TypeVar("T")
PATIENCE_SECONDS = 20.0


@dataclass(frozen=True, kw_only=True)
class Desk:
    """One funded account and one market of its own, both new to each test."""

    exchange: Server
    settings: Settings
    account: PolymarketAccount
    market: Market

    @property
    def yes(self) -> str:
        return self.market.tokens[0].token_id

    @property
    def no(self) -> str:
        return self.market.tokens[1].token_id

    async def send(self, side: Side, kind: TimeInForce, price: str, size: str) -> str:
        """Sign and send an order on Yes that must be accepted; return its hash."""
        signed = await self.account.sign(
            terms(side, kind, price, size), self.market, self.yes, None
        )
        submission = await self.account.submit(signed.payload)
        assert submission.answer in {Answer.LIVE, Answer.MATCHED}, submission
        return signed.order_hash

    def book(self, bids: list[tuple[str, str]], asks: list[tuple[str, str]]) -> None:
        book = {"token_id": self.yes, "bids": bids, "asks": asks}
        self.exchange.admin("POST", "/book", book)

    def fault(self, when: str, do: Mapping[str, object], path: str = "/order") -> None:
        match = {"method": "POST", "path": path}
        self.exchange.admin("POST", "/faults", {"match": match, "when": when, "do": do})

    def ledger(self, of: str) -> list[dict[str, Any]]:
        wallet = self.account.who.wallet
        rows: list[dict[str, Any]] = self.exchange.admin("GET", f"/ledger/{of}?wallet={wallet}")
        return rows


@asynccontextmanager
async def a_desk(
    exchange: Server, name: str, kind: int = 3, **market: object
) -> AsyncGenerator[Desk, None]:
    """Fund an account of one wallet type and list a market."""
    seed = digest(name, length=20)
    key = "0x" + digest(name, length=64)
    credentials = exchange.admin(
        "POST",
        "/accounts",
        {
            "wallet": wallet_of(key, kind),
            "signer": signer_of(key).address,
            "signature_type": kind,
            "collateral": "10000",
        },
    )
    rules = {"fee_rate": "0.05", "fee_exponent": 1, "tick_size": "0.01"} | market
    exchange.admin("POST", "/markets", {"slug": seed, "question": name, **rules})
    settings = settings_of(exchange, credentials, key)
    markets = {one.slug: one for one in await registry_of(settings)}
    by_condition = {one.condition_id: one for one in markets.values()}

    async def lookup(condition_id: str) -> Market:
        return by_condition[condition_id]

    account = open_accounts(settings, lookup)["main"]
    yield Desk(exchange=exchange, settings=settings, account=account, market=markets[seed])
    await account.close()
    exchange.admin("DELETE", "/faults")


def wallet_of(private_key: str, kind: int) -> str:
    """The wallet of each type that belongs to a key."""
    signer, contracts = signer_of(private_key).address, PRODUCTION_CONFIG.wallet_derivation
    if kind == 0:
        return str(signer)
    derived = {
        1: derive_proxy_wallet_address,
        2: derive_safe_wallet_address,
        3: derive_beacon_deposit_wallet_address,
    }
    return derived[kind](str(signer), contracts)


def settings_of(exchange: Server, credentials: dict[str, Any], private_key: str) -> Settings:
    account = AccountSettings(
        wallet=credentials["wallet"],
        signature_type=credentials["signature_type"],
        signer=credentials["signer"],
        private_key=SecretStr(private_key),
        api_key=SecretStr(credentials["api_key"]),
        secret=SecretStr(credentials["secret"]),
        passphrase=SecretStr(credentials["passphrase"]),
    )
    streams = f"ws://127.0.0.1:{exchange.port}/ws"
    return Settings(
        database_url=SecretStr("postgresql:///unused"),
        exchange=ExchangeSettings(
            clob_url=f"{exchange.url}/clob",
            gamma_url=f"{exchange.url}/gamma",
            data_url=f"{exchange.url}/data-api",
            market_ws_url=f"{streams}/market",
            user_ws_url=f"{streams}/user",
        ),
        accounts={"main": account},
    )


async def registry_of(settings: Settings) -> Sequence[Market]:
    async def nothing() -> list[str]:
        return []

    gate = a_gate()
    gamma = pooled_client(settings.exchange.gamma_url)
    clob = pooled_client(settings.exchange.clob_url)
    async with gamma, clob:
        source = GammaMarkets(
            Connection(gamma, gate, "gamma"), Connection(clob, gate, "markets"), nothing
        )
        return (await source.listing()).markets


async def eventually(look: Callable[[], Awaitable[T]], enough: Callable[[T], object]) -> T:
    """Look again and again until it is enough, or fail after a while."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            found = await look()
            if enough(found):
                return found
            await asyncio.sleep(0.05)


@asynccontextmanager
async def listening(desk: Desk) -> AsyncGenerator["Ear", None]:
    """Follow the account's user channel; it is open on entering."""
    stream = user_stream(desk.settings.exchange, desk.account)
    async with aclosing(stream.follow()) as following:
        ear = Ear(following)
        await ear.until(lambda items: Connected() in items)
        yield ear
    assert stream.unreadable == 0


class Ear:
    """Everything heard so far."""

    def __init__(self, following: AsyncGenerator[StreamItem, None]) -> None:
        self._following = following
        self.items: list[StreamItem] = []

    @property
    def fills(self) -> list[Fill]:
        return [item.fill for item in self.items if isinstance(item, FillSeen)]

    async def until(self, enough: Callable[[list[StreamItem]], object]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not enough(self.items):
                self.items.append(await anext(self._following))

    async def until_status(self, *statuses: FillStatus) -> None:
        wanted = set(statuses)
        await self.until(lambda _: wanted <= {fill.status for fill in self.fills})


def told_settings(desk: Desk) -> str:
    """The settings as another process reads them, secrets and all."""
    account = desk.settings.accounts["main"]
    secrets = {
        name: getattr(account, name).get_secret_value()
        for name in ("private_key", "api_key", "secret", "passphrase")
    }
    plain = account.model_dump(mode="json", exclude={*secrets, "limits"})
    whole = Settings.model_construct(exchange=desk.settings.exchange)
    return dumps(
        {
            "database_url": "postgresql:///unused",
            "exchange": whole.exchange.model_dump(mode="json"),
            "accounts": {"main": plain | secrets},
        }
    )

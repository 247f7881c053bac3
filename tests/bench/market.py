"""The benchmark's account and markets, for whoever trades there without the product."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from decimal import Decimal

from domain.market import Market, Token
from infra.exchanges.polymarket.accounts import open_account
from infra.exchanges.polymarket.client import PolymarketAccount
from infra.exchanges.polymarket.sdk import Credentials
from infra.settings import ExchangeSettings
from tests.bench.exchange import MARKETS, condition, slug, tokens
from tests.exchanges.scripted import DEPOSIT_WALLET, KEYS, ME, PRIVATE_KEY, a_gate


def market(number: int) -> Market:
    """Return one of the markets."""
    yes, no = tokens(number)
    return Market(
        condition_id=condition(number),
        slug=slug(number),
        question="",
        tokens=(
            Token(token_id=yes, outcome="Yes", position=0),
            Token(token_id=no, outcome="No", position=1),
        ),
        neg_risk=False,
        tick_size=Decimal("0.01"),
        min_size=Decimal(5),
        fee_rate=Decimal(0),
        fee_exponent=0,
        accepting_orders=True,
        closed=False,
        end_at=None,
    )


BY_SLUG = {slug(number): market(number) for number in range(MARKETS)}
BY_CONDITION = {one.condition_id: one for one in BY_SLUG.values()}


def market_named(name: str) -> Market:
    """Return the market with this slug."""
    return BY_SLUG[name]


async def _lookup(condition_id: str) -> Market:
    return BY_CONDITION[condition_id]


@asynccontextmanager
async def account_on_bench(clob_url: str) -> AsyncGenerator[PolymarketAccount]:
    """Open the account that signs and sends."""
    credentials = Credentials(
        wallet=DEPOSIT_WALLET, signature_type=3, keys=KEYS, private_key=PRIVATE_KEY
    )
    exchange = ExchangeSettings(clob_url=clob_url)
    account = open_account(exchange, ME, credentials, _lookup, a_gate())
    try:
        yield account
    finally:
        await account.close()

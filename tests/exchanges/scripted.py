"""A real HTTP server that answers what a test tells it to, byte for byte, and an account on it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from json import dumps, loads
from typing import Any
from urllib.parse import parse_qs, urlsplit

from domain.errors import InvalidInputError
from domain.market import Market, Token
from domain.order import Side, TimeInForce
from domain.sizing import Terms
from infra.exchanges.gate import Gate
from infra.exchanges.polymarket.accounts import open_account
from infra.exchanges.polymarket.client import PolymarketAccount
from infra.exchanges.polymarket.connection import ApiKeys
from infra.exchanges.polymarket.limits import PolymarketLimits
from infra.exchanges.polymarket.parsing import Identity
from infra.exchanges.polymarket.sdk import Credentials, signer_of
from infra.settings import ExchangeSettings

PRIVATE_KEY = "0x" + "11" * 32
DEPOSIT_WALLET = "0x7a57144fAfde87F5cE4a880D570BAe58eeBC83f2"
YES = "71321045679252212594626385532706912750332728571942532289631379312455583992563"
NO = "52114319501245915516055106046884209969926127482827954674443846427813813222426"
CONDITION = "0xdd22472e552920b8438158ea7238bfadfa4f736aa4cee91a6b86c39ead110917"
MARKET = Market(
    condition_id=CONDITION,
    slug="will-it-rain",
    question="Will it rain?",
    tokens=(
        Token(token_id=YES, outcome="Yes", position=0),
        Token(token_id=NO, outcome="No", position=1),
    ),
    neg_risk=False,
    tick_size=Decimal("0.01"),
    min_size=Decimal(5),
    fee_rate=Decimal("0.05"),
    fee_exponent=1,
    accepting_orders=True,
    closed=False,
    end_at=None,
)
KEYS = ApiKeys(
    address=signer_of(PRIVATE_KEY).address,
    key="00000000-0000-0000-0000-000000000001",
    secret="c2VjcmV0",
    passphrase="pp",
)
ME = Identity(account_id="main", wallet=DEPOSIT_WALLET, api_key=KEYS.key)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One answer; `cut` bytes of it never arrive, and `fate` may replace it altogether."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict[str, str])
    cut: int = 0
    fate: str = "answer"  # or "drop" or "hang"


def says(value: object, status: int = 200, **headers: str) -> Reply:
    """Return an answer in JSON."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(
        status=status,
        body=dumps(value).encode(),
        headers={"Content-Type": "application/json", **named},
    )


@dataclass(frozen=True, kw_only=True)
class Request:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return loads(self.body)


class ScriptedServer:
    """Answers `METHOD /path` with the replies laid out for it; the last one is repeated.

    `otherwise` answers all that has none.
    """

    def __init__(self) -> None:
        self.replies: dict[str, list[Reply]] = {}
        self.requests: list[Request] = []
        self.otherwise = says({"error": "no script"}, 404)
        self.address = ""

    def script(self, what: str, *replies: Reply) -> None:
        self.replies[what] = list(replies)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._serve_one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, target, _ = head[0].split(" ")
        pairs = [line.split(": ", 1) for line in head[1:] if line]
        headers = {name.lower(): value for name, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        url = urlsplit(target)
        asked = Request(
            method=method, path=url.path, query=parse_qs(url.query), headers=headers, body=body
        )
        self.requests.append(asked)
        waiting = self.replies.get(f"{method} {url.path}", [self.otherwise])
        reply = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        if reply.fate == "hang":
            await reader.read()
        if reply.fate != "answer":
            return False
        writer.write(_http(reply))
        await writer.drain()
        return reply.cut == 0


def _http(reply: Reply) -> bytes:
    lines = [f"HTTP/1.1 {reply.status} Told", f"Content-Length: {len(reply.body)}"]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + reply.body[: len(reply.body) - reply.cut]


@asynccontextmanager
async def scripted_server() -> AsyncGenerator[ScriptedServer, None]:
    """Run a server on a free port of this machine."""
    script = ScriptedServer()
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    script.address = f"http://{host}:{port}"
    try:
        yield script
    finally:
        server.close()


async def known_market(condition_id: str) -> Market:
    """Look a market up in a registry that lists one."""
    if condition_id != CONDITION:
        raise InvalidInputError("market", "not listed")
    return MARKET


def a_gate() -> Gate:
    """Return a gate that shares with nobody."""
    return Gate(PolymarketLimits())


@asynccontextmanager
async def account_on(
    address: str,
    *,
    private_key: str | None = PRIVATE_KEY,
    prefix: str = "",
    gate: Gate | None = None,
) -> AsyncGenerator[PolymarketAccount, None]:
    """Open the account on a server."""
    credentials = Credentials(
        wallet=DEPOSIT_WALLET, signature_type=3, keys=KEYS, private_key=private_key
    )
    exchange = ExchangeSettings(clob_url=address + prefix, gamma_url=address, data_url=address)
    account = open_account(exchange, ME, credentials, known_market, gate or a_gate())
    try:
        yield account
    finally:
        await account.close()


def terms(
    side: Side = Side.BUY,
    time_in_force: TimeInForce = TimeInForce.GTC,
    price: str = "0.57",
    size: str = "100",
) -> Terms:
    """Return what to sign."""
    return Terms(side=side, time_in_force=time_in_force, price=Decimal(price), size=Decimal(size))

"""A fast exchange for the benchmark, in a process of its own: it notes when each POST comes in.

It verifies and matches nothing: what may not rest is matched in full at its own limit, the rest
rests. So what is measured is the engine and not the exchange. Started as
`python -m tests.bench.exchange HTTP_PORT STREAM_PORT`.
"""

import asyncio
import sys
from dataclasses import dataclass, field
from json import dumps, loads
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

from infra.clock import monotonic_seconds, utc_now
from infra.paper.signatures import order_hash
from infra.paper.signed_order import SignedOrder, parse_posted
from tests.exchanges.scripted import DEPOSIT_WALLET, KEYS

HOST: Final = "127.0.0.1"
END: Final = "LTE="
MICRO: Final = 1_000_000
MARKETS: Final = 20
IMMEDIATE: Final = frozenset({"FAK", "FOK"})
REASONS: Final = {200: "OK", 404: "Not Found"}

Json = dict[str, Any]


def slug(number: int) -> str:
    """Return the name of one of the markets."""
    return f"bench-{number % MARKETS}"


def condition(number: int) -> str:
    """Return a market's condition id."""
    return f"0x{number + 1:064x}"


def tokens(number: int) -> tuple[str, str]:
    """Return a market's two token ids."""
    first = 10**75 + 2 * number
    return str(first), str(first + 1)


CONDITIONS: Final = {token: condition(n) for n in range(MARKETS) for token in tokens(n)}


def listed(number: int) -> Json:
    """Return a market as Gamma lists it."""
    return {
        "conditionId": condition(number),
        "slug": slug(number),
        "question": f"Is it fast ({number})?",
        "clobTokenIds": dumps(tokens(number)),
        "outcomes": dumps(["Yes", "No"]),
        "negRisk": False,
        "orderPriceMinTickSize": 0.01,
        "orderMinSize": 5,
        "acceptingOrders": True,
        "active": True,
        "enableOrderBook": True,
        "closed": False,
        "feesEnabled": False,
    }


def micro_text(amount: int) -> str:
    """Return millionths as the exchange writes them."""
    return f"{amount / MICRO:.6f}"


@dataclass
class Exchange:
    """What was posted, and what came of it.

    Attributes:
        posts: hash, moment and sender's port of each POST, as it came in.
        may_answer: while it is not set, answers to orders are withheld.
    """

    posts: list[tuple[str, float, int]] = field(default_factory=list[tuple[str, float, int]])
    resting: dict[str, Json] = field(default_factory=dict[str, Json])
    trades: dict[str, list[Json]] = field(default_factory=dict[str, list[Json]])
    listeners: set[ServerConnection] = field(default_factory=set[ServerConnection])
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        """Answer at once until told otherwise."""
        self.may_answer.set()

    async def answer(self, method: str, target: str, body: bytes, port: int) -> tuple[int, object]:
        """Return status and document of one answer."""
        url = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path == "/clob/order":
            return 200, await (self.post(body, port) if method == "POST" else self.cancel(body))
        if url.path.startswith("/clob/data/order/"):
            resting = self.resting.get(url.path.rpartition("/")[2])
            return (200, resting) if resting else (404, {"error": "not found"})
        if url.path.startswith("/bench/"):
            return 200, self.command(url.path, query)
        return 200, self.read(url.path, query)

    def command(self, path: str, query: dict[str, str]) -> object:
        """Do what the benchmark asks for."""
        if path == "/bench/hold":
            (self.may_answer.clear if query["on"] == "1" else self.may_answer.set)()
            return []
        posts, self.posts = self.posts, []
        return posts

    def read(self, path: str, query: dict[str, str]) -> object:
        """Answer what is only read."""
        match path:
            case "/gamma/markets/keyset":
                return {"markets": [listed(n) for n in range(MARKETS)]}
            case "/clob/data/orders":
                return page(list(self.resting.values()))
            case "/clob/data/trades":
                return page(self.traded(query))
            case "/clob/balance-allowance":
                return {"balance": str(10**15), "allowances": {}}
            case "/clob/book":
                levels = {"bids": [level("0.49")], "asks": [level("0.50")]}
                return {"asset_id": query["token_id"], **levels}
            case _:
                return {}

    def traded(self, query: dict[str, str]) -> list[Json]:
        """Return the trades of a market, newest first, or one by its id."""
        if "id" in query:
            every = (trade for trades in self.trades.values() for trade in trades)
            return [trade for trade in every if trade["id"] == query["id"]]
        after = int(query.get("after", "0"))
        own = self.trades.get(query.get("market", ""), [])
        return [trade for trade in reversed(own) if int(trade["match_time"]) >= after]

    async def post(self, body: bytes, port: int) -> Json:
        """Take an order."""
        came_at = monotonic_seconds()
        posted = parse_posted(loads(body))
        order = posted.order
        identity = order_hash(order, neg_risk=False)
        self.posts.append((identity, came_at, port))
        trade_ids = list[str]()
        if posted.order_type in IMMEDIATE:
            trade_ids = [self.match(order, identity)]
        else:
            self.rest(order, identity, posted.order_type)
        await self.may_answer.wait()
        return {
            "errorMsg": "",
            "orderID": identity,
            "makingAmount": micro_text(order.maker_amount) if trade_ids else "",
            "takingAmount": micro_text(order.taker_amount) if trade_ids else "",
            "status": "matched" if trade_ids else "live",
            "success": True,
            "tradeIDs": trade_ids,
        }

    def match(self, order: SignedOrder, identity: str) -> str:
        """Fill an order in full, final at once, and tell who listens."""
        market, now = CONDITIONS[order.token_id], str(int(utc_now().timestamp()))
        trade: Json = {
            "id": f"t-{identity[2:22]}",
            "taker_order_id": identity,
            "market": market,
            "asset_id": order.token_id,
            "side": order.side,
            "size": micro_text(shares(order)),
            "price": f"{cash(order) / shares(order):.4f}",
            "status": "CONFIRMED",
            "match_time": now,
            "last_update": now,
            "owner": KEYS.key,
            "maker_address": DEPOSIT_WALLET,
            "trader_side": "TAKER",
            "maker_orders": [],
        }
        self.trades.setdefault(market, []).append(trade)
        broadcast(self.listeners, dumps({**trade, "event_type": "trade", "type": "TRADE"}))
        return str(trade["id"])

    def rest(self, order: SignedOrder, identity: str, order_type: str) -> None:
        """Put an order on the book, where it stays."""
        self.resting[identity] = {
            "id": identity,
            "status": "LIVE",
            "owner": KEYS.key,
            "maker_address": DEPOSIT_WALLET,
            "market": CONDITIONS[order.token_id],
            "asset_id": order.token_id,
            "side": order.side,
            "original_size": micro_text(shares(order)),
            "size_matched": "0",
            "price": f"{cash(order) / shares(order):.4f}",
            "order_type": order_type,
        }

    async def cancel(self, body: bytes) -> Json:
        """Take an order off the book."""
        identity = str(loads(body)["orderID"])
        if self.resting.pop(identity, None) is None:
            return {"canceled": [], "not_canceled": {identity: "not found"}}
        return {"canceled": [identity], "not_canceled": {}}

    async def listen(self, socket: ServerConnection) -> None:
        """Serve one connection of the user channel."""
        async for frame in socket:
            if frame == "PING":
                await socket.send("PONG")
            else:
                self.listeners.add(socket)
        self.listeners.discard(socket)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection of the REST side."""
        port = int(writer.get_extra_info("peername")[1])
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                method, target, _ = head.split(" ", 2)
                body = await reader.readexactly(length_in(head))
                status, document = await self.answer(method, target, body, port)
                writer.write(http(status, document))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def shares(order: SignedOrder) -> int:
    """Return an order's size in millionths."""
    return order.taker_amount if order.side == "BUY" else order.maker_amount


def cash(order: SignedOrder) -> int:
    """Return an order's collateral in millionths."""
    return order.maker_amount if order.side == "BUY" else order.taker_amount


def level(price: str) -> Json:
    """Return one row of a book."""
    return {"price": price, "size": "1000000"}


def page(rows: list[Json]) -> Json:
    """Return a list as one page."""
    return {"data": rows, "next_cursor": END}


def length_in(head: str) -> int:
    """Return how long the body after a request's head is."""
    lines = head.lower().split("\r\n")
    found = [line for line in lines if line.startswith("content-length:")]
    return int(found[0].partition(":")[2]) if found else 0


def http(status: int, document: object) -> bytes:
    """Return an answer as it goes over the wire."""
    body = dumps(document).encode()
    head = f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def run(http_port: int, stream_port: int) -> None:
    """Serve until the process is ended."""
    exchange = Exchange()
    async with serve(exchange.listen, HOST, stream_port, compression=None):
        server = await asyncio.start_server(exchange.serve, HOST, http_port)
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(run(int(sys.argv[1]), int(sys.argv[2])))

"""What the outside says of a run, loaded beside the engine's own tables: schema `px`.

The exchange's ledger and the sender's own log come from neither the engine's code nor its
database, so a comparison with them by SQL shows what the engine cannot know of itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import httpx
import psycopg

Row = dict[str, Any]

OK, REFUSED, UNKNOWN = "ok", "refused", "unknown"

SCHEMA: Final = """
CREATE SCHEMA IF NOT EXISTS px;
CREATE TABLE IF NOT EXISTS px.orders(
    order_hash text PRIMARY KEY, token_id text, side text, price numeric, size numeric,
    filled_size numeric, status text, type text, origin text, first_seen_at timestamptz);
CREATE TABLE IF NOT EXISTS px.legs(
    trade_id text, order_hash text, token_id text, side text, price numeric, size numeric,
    fee numeric, fee_asset text, status text);
CREATE TABLE IF NOT EXISTS px.balances(moment text, token_id text, balance numeric);
CREATE TABLE IF NOT EXISTS px.posts(
    n bigint, order_hash text, at timestamptz, status int, outcome text);
CREATE TABLE IF NOT EXISTS px.markets(
    token_id text PRIMARY KEY, tick_size numeric, min_size numeric);
CREATE TABLE IF NOT EXISTS px.sent(
    n bigint, alert text, body bytea, outcome text, status int, signal_id text,
    begun_at timestamptz, answered_at timestamptz);
CREATE TABLE IF NOT EXISTS px.edges(before text, after text);
CREATE OR REPLACE AGGREGATE px.folded(jsonb) (
    sfunc = jsonb_concat, stype = jsonb, initcond = '{}');
"""

# The life of an order as docs/architecture.md tells it, written down a second time: the engine's
# own table is what is being checked.
_REVIVED: Final = ("LIVE", "PARTIAL", "FILLED")
_SENT: Final = (*_REVIVED, "DELAYED", "CANCELLED", "EXPIRED", "REJECTED", "ABANDONED")
EDGES: Final[Mapping[str, Sequence[str]]] = {
    "NEW": ("SENT", "CANCELLED"),
    "SENT": ("UNKNOWN", *_SENT),
    "UNKNOWN": _SENT,
    "DELAYED": ("LIVE", "PARTIAL", "FILLED", "REJECTED", "CANCELLED", "EXPIRED"),
    "LIVE": ("PARTIAL", "FILLED", "CANCELLED", "EXPIRED"),
    "PARTIAL": ("FILLED", "CANCELLED", "EXPIRED"),
    "FILLED": (),
    "CANCELLED": _REVIVED,
    "EXPIRED": _REVIVED,
    "REJECTED": _REVIVED,
    "ABANDONED": (*_REVIVED, "CANCELLED", "EXPIRED"),
}


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One attempt to deliver an alert, as its sender knows it.

    Attributes:
        alert: which alert; the same one is sent again until it is answered.
        outcome: ok, refused, or unknown: it may have been taken, now or later, or never.
        signal_id: what an ok answer named.
        begun_at, answered_at: unix seconds; the end of waiting where no answer came.
    """

    alert: str
    body: bytes
    outcome: str
    status: int
    signal_id: str | None
    begun_at: float
    answered_at: float


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything the outside says.

    Attributes:
        opening, closing: the wallet's balances before the first alert and now.
        posts: every order that reached the exchange's door, taken or not.
        markets: tick and smallest size by token, as the exchange says.
    """

    orders: list[Row]
    legs: list[Row]
    opening: list[Row]
    closing: list[Row]
    posts: list[Row]
    markets: list[Row]
    sent: list[Sent] = field(default_factory=list[Sent])


@dataclass
class Ledger:
    """The paper exchange's own record of one wallet.

    Args:
        admin_url, clob_url: its addresses.
    """

    admin_url: str
    clob_url: str
    wallet: str
    http: httpx.AsyncClient
    _markets: dict[str, Row] = field(default_factory=dict[str, Row])

    async def read(self, opening: list[Row], sent: list[Sent]) -> Evidence:
        """Return all there is to know of it now."""
        orders = await self._rows("orders")
        posts = [row for row in await self._rows("requests") if is_post(row)]
        return Evidence(
            orders=orders,
            legs=await self._rows("trades"),
            opening=opening,
            closing=await self.balances(),
            posts=posts,
            markets=[
                await self._market(token) for token in sorted({row["token_id"] for row in orders})
            ],
            sent=sent,
        )

    async def balances(self) -> list[Row]:
        """Return what the wallet owns."""
        return await self._rows("balances")

    async def _rows(self, kind: str) -> list[Row]:
        query = {"wallet": self.wallet}
        answer = await self.http.get(f"{self.admin_url}/ledger/{kind}", params=query)
        answer.raise_for_status()
        rows: list[Row] = answer.json()
        return [row for row in rows if row["wallet"] == self.wallet]

    async def _market(self, token_id: str) -> Row:
        if token_id not in self._markets:
            query = {"token_id": token_id}
            answer = await self.http.get(f"{self.clob_url}/book", params=query)
            answer.raise_for_status()
            self._markets[token_id] = answer.json()
        return self._markets[token_id]


def is_post(request: Row) -> bool:
    """Tell whether a request of the ledger was an order at the door."""
    return request["method"] == "POST" and request["path"] == "/order" and request["order_hash"]


_INSERTS: Final = {
    "orders": "%(order_hash)s, %(token_id)s, %(side)s, %(price)s, %(size)s, %(filled_size)s, "
    "%(status)s, %(type)s, %(origin)s, to_timestamp(%(first_seen_at)s::numeric)",
    "legs": "%(trade_id)s, %(order_hash)s, %(token_id)s, %(side)s, %(price)s, %(size)s, %(fee)s, "
    "%(fee_asset)s, %(status)s",
    "balances": "%(moment)s, %(token_id)s, %(balance)s",
    "posts": "%(n)s, %(order_hash)s, to_timestamp(%(at)s::numeric), %(status)s, %(outcome)s",
    "markets": "%(asset_id)s, %(tick_size)s, %(min_order_size)s",
    "sent": "%(n)s, %(alert)s, %(body)s, %(outcome)s, %(status)s, %(signal_id)s, "
    "to_timestamp(%(begun_at)s), to_timestamp(%(answered_at)s)",
    "edges": "%(before)s, %(after)s",
}


def loaded(connection: psycopg.Connection[Any], evidence: Evidence) -> None:
    """Replace everything in `px`, within the connection's transaction."""
    connection.execute(SCHEMA)
    balances = [("opening", row) for row in evidence.opening]
    balances += [("closing", row) for row in evidence.closing]
    rows: dict[str, list[Row]] = {
        "orders": evidence.orders,
        "legs": evidence.legs,
        "balances": [
            {"moment": moment, "token_id": row["token_id"] or "", "balance": row["balance"]}
            for moment, row in balances
        ],
        "posts": [row | {"n": n} for n, row in enumerate(evidence.posts)],
        "markets": evidence.markets,
        "sent": [asdict(one) | {"n": n} for n, one in enumerate(evidence.sent)],
        "edges": [{"before": one, "after": other} for one in EDGES for other in EDGES[one]],
    }
    with connection.cursor() as cursor:
        for table, values in _INSERTS.items():
            cursor.execute(f"TRUNCATE px.{table}".encode())
            insert = f"INSERT INTO px.{table} VALUES ({values})"  # noqa: S608 - our own words
            cursor.executemany(insert.encode(), rows[table])

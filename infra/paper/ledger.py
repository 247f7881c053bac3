"""The durable ledger: one SQLite file, written through inside one transaction per request."""

import sqlite3
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, cast

import orjson

from infra.paper.book import Order
from infra.paper.trades import Leg, Trade, TradeStatus
from infra.paper.wire import Json

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS markets(
    condition_id TEXT PRIMARY KEY, place INTEGER NOT NULL, document BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS accounts(
    wallet TEXT PRIMARY KEY, signer TEXT NOT NULL, signature_type INTEGER NOT NULL,
    allowance TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS keys(
    api_key TEXT PRIMARY KEY, address TEXT NOT NULL, nonce INTEGER NOT NULL,
    secret TEXT NOT NULL, passphrase TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS balances(
    wallet TEXT NOT NULL, asset TEXT NOT NULL, amount INTEGER NOT NULL,
    PRIMARY KEY(wallet, asset)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen(order_hash TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS orders(
    seq INTEGER PRIMARY KEY AUTOINCREMENT, order_hash TEXT NOT NULL UNIQUE,
    condition_id TEXT NOT NULL, token_id TEXT NOT NULL, "index" INTEGER NOT NULL,
    outcome TEXT NOT NULL, side TEXT NOT NULL, price INTEGER NOT NULL, size INTEGER NOT NULL,
    type TEXT NOT NULL, wallet TEXT NOT NULL, address TEXT NOT NULL, api_key TEXT NOT NULL,
    origin TEXT NOT NULL, created_at INTEGER NOT NULL, expiration INTEGER NOT NULL,
    filled INTEGER NOT NULL, status TEXT NOT NULL, due_at INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS orders_open ON orders(status) WHERE status IN ('LIVE', 'DELAYED');
CREATE TABLE IF NOT EXISTS trades(
    seq INTEGER PRIMARY KEY AUTOINCREMENT, trade_id TEXT NOT NULL UNIQUE,
    condition_id TEXT NOT NULL, taker_order TEXT NOT NULL, bucket INTEGER NOT NULL,
    transaction_hash TEXT NOT NULL, matched_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
    next_at INTEGER NOT NULL, will_fail INTEGER NOT NULL, status TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS trades_open ON trades(status)
    WHERE status IN ('MATCHED', 'MINED', 'RETRYING');
CREATE INDEX IF NOT EXISTS trades_of_market ON trades(condition_id, seq);
CREATE TABLE IF NOT EXISTS legs(
    trade_id TEXT NOT NULL, place INTEGER NOT NULL, role TEXT NOT NULL, order_hash TEXT NOT NULL,
    condition_id TEXT NOT NULL, token_id TEXT NOT NULL, "index" INTEGER NOT NULL,
    outcome TEXT NOT NULL, side TEXT NOT NULL, price INTEGER NOT NULL, size INTEGER NOT NULL,
    cash INTEGER NOT NULL, fee INTEGER NOT NULL, fee_asset TEXT NOT NULL, wallet TEXT NOT NULL,
    address TEXT NOT NULL, api_key TEXT NOT NULL, origin TEXT NOT NULL,
    matched_at INTEGER NOT NULL, PRIMARY KEY(trade_id, place)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS legs_of_address ON legs(address, matched_at);
CREATE INDEX IF NOT EXISTS legs_of_wallet ON legs(wallet, matched_at);
CREATE TABLE IF NOT EXISTS requests(
    id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, method TEXT NOT NULL,
    path TEXT NOT NULL, wallet TEXT NOT NULL, order_hash TEXT NOT NULL, token_id TEXT NOT NULL,
    status INTEGER NOT NULL, outcome TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS side_keys(
    api_key TEXT PRIMARY KEY, kind TEXT NOT NULL, address TEXT NOT NULL, secret TEXT NOT NULL,
    passphrase TEXT NOT NULL, created_at INTEGER NOT NULL, revoked_at INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS builders(
    order_hash TEXT PRIMARY KEY, builder TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notices(
    id INTEGER PRIMARY KEY AUTOINCREMENT, address TEXT NOT NULL, wallet TEXT NOT NULL,
    owner TEXT NOT NULL, kind INTEGER NOT NULL, condition_id TEXT NOT NULL,
    document BLOB NOT NULL, at INTEGER NOT NULL, dropped INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS notices_of_address ON notices(address, id);
"""
_MOST_REQUESTS: Final = 2_000_000
_PRUNE_EVERY: Final = 10_000
_MOST_HELD_BACK: Final = 200


@dataclass(frozen=True, slots=True)
class RequestRow:
    """One CLOB request as the ledger keeps it; status 0 means no answer was sent."""

    at: int
    method: str
    path: str
    wallet: str
    order_hash: str
    token_id: str
    status: int
    outcome: str


def _insert(table: str, columns: Iterable[str], *, replace: bool = False) -> str:
    names = list(columns)
    verb = "INSERT OR REPLACE" if replace else "INSERT"
    listed = ", ".join(f'"{name}"' for name in names)
    return f"{verb} INTO {table}({listed}) VALUES ({', '.join('?' * len(names))})"


def _columns(kind: type, *, without: str = "") -> list[str]:
    return [column.name for column in fields(kind) if column.name != without]


_ORDER_COLUMNS: Final = _columns(Order)
_TRADE_COLUMNS: Final = _columns(Trade, without="legs")
_LEG_COLUMNS: Final = _columns(Leg)
_REQUEST_COLUMNS: Final = _columns(RequestRow)
_order_values = attrgetter(*_ORDER_COLUMNS)
_trade_values = attrgetter(*_TRADE_COLUMNS)
_leg_values = attrgetter(*_LEG_COLUMNS)
_request_values = attrgetter(*_REQUEST_COLUMNS)
_INSERT_ORDER: Final = _insert("orders", _ORDER_COLUMNS)
_KEEP_ORDER: Final = (
    _INSERT_ORDER + " ON CONFLICT(order_hash) DO UPDATE SET "
    "filled = excluded.filled, status = excluded.status"
)
_INSERT_TRADE: Final = _insert("trades", _TRADE_COLUMNS)
_INSERT_LEG: Final = _insert("legs", _LEG_COLUMNS)
_INSERT_REQUEST: Final = _insert("requests", _REQUEST_COLUMNS)


class Ledger:
    """Orders, trades, balances, markets, accounts and requests in one file.

    Args:
        path: the SQLite file; created when missing.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)
        self._reads: list[RequestRow] = []
        self._written = 0

    def close(self) -> None:
        """Close the file."""
        with self.transaction():
            pass
        self._db.close()

    @contextmanager
    def transaction(self) -> Generator[None]:
        """Commit everything written inside, or nothing of it."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.flush_requests()
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def rows(self, sql: str, values: Iterable[object] = ()) -> list[Json]:
        """Return a query's rows by column name."""
        found = self._db.execute(sql, cast("tuple[Any, ...]", tuple(values)))
        return [cast("Json", dict(row)) for row in found]

    def write(self, sql: str, values: Iterable[object]) -> None:
        """Run one statement; inside a transaction."""
        self._db.execute(sql, cast("tuple[Any, ...]", tuple(values)))

    def set_meta(self, key: str, value: object) -> None:
        """Keep one small JSON document."""
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, orjson.dumps(value)))

    def meta(self, key: str) -> object | None:
        """Return a document kept by `set_meta`, or None."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else cast("object", orjson.loads(row["value"]))

    def save_market(self, condition_id: str, place: int, document: Json) -> None:
        """Insert or replace a market's document."""
        values = (condition_id, place, orjson.dumps(document))
        self._db.execute("INSERT OR REPLACE INTO markets VALUES (?, ?, ?)", values)

    def market_documents(self) -> list[Json]:
        """Return all markets in their order."""
        found = self.rows("SELECT document FROM markets ORDER BY place")
        return [cast("Json", orjson.loads(cast("bytes", row["document"]))) for row in found]

    def save_account(self, wallet: str, signer: str, signature_type: int, allowance: str) -> None:
        """Insert or replace an account."""
        values = (wallet, signer, signature_type, allowance)
        self._db.execute("INSERT OR REPLACE INTO accounts VALUES (?, ?, ?, ?)", values)

    def save_key(self, values: tuple[str, str, int, str, str]) -> None:
        """Insert or replace an API key: key, address, nonce, secret, passphrase."""
        self._db.execute("INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?, ?)", values)

    def delete_key(self, api_key: str) -> None:
        """Forget an API key."""
        self._db.execute("DELETE FROM keys WHERE api_key = ?", (api_key,))

    def save_balance(self, wallet: str, asset: str, amount: int) -> None:
        """Write one settled balance."""
        values = (wallet, asset, amount)
        self._db.execute("INSERT OR REPLACE INTO balances VALUES (?, ?, ?)", values)

    def see(self, order_hash: str, at: int) -> None:
        """Index an order id as processed, whatever came of it."""
        self._db.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (order_hash, at))

    def has_seen(self, order_hash: str) -> bool:
        """Tell whether an order id was processed before."""
        found = self._db.execute("SELECT 1 FROM seen WHERE order_hash = ?", (order_hash,))
        return found.fetchone() is not None

    def attribute(self, order_hash: str, builder: str) -> None:
        """Remember the builder's code signed into an order, if there is one."""
        if int(builder, 16):
            values = (order_hash, builder.lower())
            self._db.execute("INSERT OR IGNORE INTO builders VALUES (?, ?)", values)

    def add_order(self, order: Order) -> None:
        """Insert an accepted order."""
        self._db.execute(_INSERT_ORDER, _order_values(order))

    def keep_maker(self, order: Order) -> None:
        """Insert an exchange maker's order, or write its progress when it is there."""
        self._db.execute(_KEEP_ORDER, _order_values(order))

    def save_progress(self, order: Order) -> None:
        """Write an order's filled size and status."""
        self._db.execute(
            "UPDATE orders SET filled = ?, status = ?, due_at = ? WHERE order_hash = ?",
            (order.filled, order.status, order.due_at, order.order_hash),
        )

    def drop_order(self, order_hash: str) -> None:
        """Remove an exchange maker's order that never traded."""
        self._db.execute("DELETE FROM orders WHERE order_hash = ?", (order_hash,))

    def open_orders(self) -> list[Order]:
        """Return all orders that are still open, oldest first."""
        sql = "SELECT * FROM orders WHERE status IN ('LIVE', 'DELAYED') ORDER BY seq"
        found = self._db.execute(sql)
        return [Order(**{name: row[name] for name in _ORDER_COLUMNS}) for row in found]

    def add_trade(self, trade: Trade) -> None:
        """Insert a trade with its legs."""
        self._db.execute(_INSERT_TRADE, _trade_values(trade))
        self._db.executemany(_INSERT_LEG, [_leg_values(leg) for leg in trade.legs])

    def save_trade_status(self, trade: Trade) -> None:
        """Write where a trade stands."""
        self._db.execute(
            "UPDATE trades SET status = ?, updated_at = ?, next_at = ? WHERE trade_id = ?",
            (trade.status, trade.updated_at, trade.next_at, trade.trade_id),
        )

    def trades(self, where: str, values: Iterable[object]) -> list[Trade]:
        """Return trades with their legs. `where` is SQL over `trades`, with its ordering."""
        sql = f"SELECT * FROM trades WHERE {where}"  # noqa: S608 - callers pass constants
        return [self._trade(row) for row in self.rows(sql, values)]

    def pending_trades(self) -> list[Trade]:
        """Return all trades that are not over."""
        return self.trades("status IN ('MATCHED', 'MINED', 'RETRYING') ORDER BY seq", ())

    def _trade(self, row: Json) -> Trade:
        known = {name: row[name] for name in _TRADE_COLUMNS}
        known["status"] = TradeStatus(str(row["status"]))
        known["will_fail"] = bool(row["will_fail"])
        trade = Trade(**cast("dict[str, Any]", known))
        sql = "SELECT * FROM legs WHERE trade_id = ? ORDER BY place"
        trade.legs = [
            Leg(**{name: leg[name] for name in _LEG_COLUMNS})
            for leg in self._db.execute(sql, (trade.trade_id,))
        ]
        return trade

    @property
    def has_backlog(self) -> bool:
        """Tell whether many requests wait to be written."""
        return len(self._reads) >= _MOST_HELD_BACK

    def note(self, row: RequestRow) -> None:
        """Keep a request; reads are held back until the next transaction."""
        self._reads.append(row)

    def flush_requests(self) -> None:
        """Write the requests held back; inside a transaction."""
        if not self._reads:
            return
        self._db.executemany(_INSERT_REQUEST, [_request_values(row) for row in self._reads])
        self._written += len(self._reads)
        self._reads.clear()
        if self._written >= _PRUNE_EVERY:
            self._written = 0
            self._db.execute(
                "DELETE FROM requests WHERE id <= (SELECT MAX(id) FROM requests) - ?",
                (_MOST_REQUESTS,),
            )

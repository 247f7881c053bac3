"""The ledger as oracles read it: orders, trades, balances and requests, as they are."""

from collections.abc import Callable
from typing import Final

from infra.paper.exchange import Exchange
from infra.paper.routes import Routes
from infra.paper.wire import Answer, Json, RefusedError, Request, answered, micro_of, text_of

_ORDERS: Final = (
    "SELECT order_hash, wallet, token_id, side, price, size, filled, status, type, origin, "
    "created_at FROM orders"
)
_TRADES: Final = (
    "SELECT legs.trade_id, legs.order_hash, legs.wallet, legs.token_id, legs.side, legs.price, "
    "legs.size, legs.cash, legs.fee, legs.fee_asset, legs.role, legs.origin, trades.status, "
    "trades.transaction_hash, legs.matched_at, trades.updated_at "
    "FROM legs JOIN trades ON trades.trade_id = legs.trade_id"
)
_REQUESTS: Final = (
    "SELECT at, method, path, wallet, order_hash, token_id, status, outcome FROM requests"
)


class LedgerViews:
    """Answers `/_paper/ledger/…`, all rows, oldest first.

    Args:
        exchange: whose ledger it shows.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def register(self, routes: Routes) -> None:
        """Add its paths."""
        routes.add("GET", "/ledger/", self._answer)

    def _answer(self, request: Request) -> Answer:
        kinds: dict[str, Callable[[Request], list[Json]]] = {
            "orders": self._orders,
            "trades": self._trades,
            "balances": self._balances,
            "requests": self._requests,
        }
        rows = kinds.get(request.tail)
        if rows is None:
            raise RefusedError(404, "not found")
        return answered(rows(request))

    def _orders(self, request: Request) -> list[Json]:
        where, values = _where(request, "created_at", has_origin=True)
        found = self._exchange.ledger.rows(f"{_ORDERS}{where} ORDER BY seq", values)
        return [
            {
                "order_hash": row["order_hash"],
                "wallet": row["wallet"],
                "token_id": row["token_id"],
                "side": row["side"],
                "price": _text(row, "price"),
                "size": _text(row, "size"),
                "filled_size": _text(row, "filled"),
                "status": row["status"],
                "type": row["type"],
                "origin": row["origin"],
                "first_seen_at": _text(row, "created_at"),
            }
            for row in found
        ]

    def _trades(self, request: Request) -> list[Json]:
        where, values = _where(request, "legs.matched_at", has_origin=True)
        order = " ORDER BY trades.seq, legs.place"
        found = self._exchange.ledger.rows(f"{_TRADES}{where}{order}", values)
        decimals = ("price", "size", "cash", "fee", "matched_at", "updated_at")
        return [{**row, **{name: _text(row, name) for name in decimals}} for row in found]

    def _balances(self, request: Request) -> list[Json]:
        wanted = request.one("token_id")
        accounts = self._exchange.engine.accounts
        return [
            {
                "wallet": wallet,
                "token_id": asset or None,
                "asset": asset or "collateral",
                "balance": text_of(amount),
                "available": text_of(accounts.available(wallet, asset)),
            }
            for (wallet, asset), amount in sorted(accounts.all_balances().items())
            if not wanted or asset == wanted
        ]

    def _requests(self, request: Request) -> list[Json]:
        self._exchange.ledger.flush_requests()
        where, values = _where(request, "at", has_origin=False)
        found = self._exchange.ledger.rows(f"{_REQUESTS}{where} ORDER BY id", values)
        return [{**row, "time": _text(row, "at"), "at": _text(row, "at")} for row in found]


def _text(row: Json, name: str) -> str:
    return text_of(int(str(row[name])))


def _where(request: Request, moment: str, *, has_origin: bool) -> tuple[str, list[object]]:
    """Return the SQL condition of the filters origin, token_id, wallet and since (seconds)."""
    clauses: list[str] = []
    values: list[object] = []
    legs = "legs." if moment.startswith("legs.") else ""
    origins = request.many("origin")
    if origins and has_origin:
        clauses.append(f"{legs}origin IN ({', '.join('?' * len(origins))})")
        values += origins
    for name in ("token_id", "wallet", "order_hash"):
        if request.one(name):
            clauses.append(f"{legs}{name} = ? COLLATE NOCASE")
            values.append(request.one(name))
    if request.one("since"):
        clauses.append(f"{moment} >= ?")
        values.append(micro_of(request.one("since")))
    return (" WHERE " + " AND ".join(clauses) if clauses else ""), values

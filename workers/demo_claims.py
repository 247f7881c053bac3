"""What the demo claims, each compared with the exchange's own ledger."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from workers.demo_stage import Stage

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One thing the demo says, with both sides of the comparison.

    Attributes:
        exchange: what the exchange's ledger says.
        engine: what the engine says.
    """

    words: str
    exchange: str
    engine: str

    @property
    def holds(self) -> bool:
        """Both sides say the same."""
        return self.exchange == self.engine


@dataclass(frozen=True, kw_only=True)
class Account:
    """An account's state as counted from the exchange's trades alone, by the textbook."""

    size: Decimal
    cash_usd: Decimal
    average_price: Decimal
    realised_average: Decimal
    realised_fifo: Decimal


def counted(legs: Iterable[Row]) -> Account:
    """Count an account from the ledger's legs, apart from the engine's own arithmetic."""
    size = cash = cost = realised = realised_fifo = Decimal(0)
    queue: list[tuple[Decimal, Decimal]] = []
    for leg in legs:
        shares, price, fee = (Decimal(leg[name]) for name in ("size", "price", "fee"))
        if leg["side"] == "BUY":
            size, cost, cash = size + shares, cost + shares * price, cash - shares * price - fee
            queue.append((shares, price))
            continue
        sold_cost = cost * shares / size
        realised += shares * price - sold_cost
        size, cost, cash = size - shares, cost - sold_cost, cash + shares * price - fee
        while shares > 0:
            held, paid = queue.pop(0)
            taken = min(held, shares)
            realised_fifo += taken * (price - paid)
            shares -= taken
            if held > taken:
                queue.insert(0, (held - taken, paid))
    return Account(
        size=size,
        cash_usd=cash,
        average_price=cost / size if size else Decimal(0),
        realised_average=realised,
        realised_fifo=realised_fifo,
    )


def shown(value: Any) -> str:
    """Return a number without trailing zeros, to eight places."""
    number = Decimal(value).quantize(Decimal("0.00000001")).normalize()
    return f"{number:f}" if number else "0"


async def order_claims(stage: Stage, signal_id: str) -> list[Claim]:
    """Claim that one alert made one order, filled to the last share and counted once."""
    orders = await stage.rows("orders", signal_id=signal_id)
    token = str(orders[0]["token_id"])
    theirs = await stage.ledger("orders", origin="api", token_id=token)
    legs = await stage.ledger("trades", origin="api", token_id=token)
    fills = await stage.rows("fills", token=token)
    return [
        Claim(
            words="one alert, one order, by the same hash",
            exchange=", ".join(sorted(short(row["order_hash"]) for row in theirs)),
            engine=", ".join(sorted(short(row["order_hash"]) for row in orders)),
        ),
        Claim(
            words="shares filled, of the same size",
            exchange=_filled(theirs),
            engine=_filled(orders),
        ),
        Claim(words="every fill once", exchange=_fills(legs), engine=_fills(fills)),
    ]


async def account_claims(stage: Stage, token_id: str) -> list[Claim]:
    """Claim that position, cash and P&L are what the exchange's ledger comes to."""
    legs = await stage.ledger("trades", origin="api", token_id=token_id)
    truth = counted(sorted(legs, key=lambda leg: float(leg["matched_at"])))
    [position] = await stage.rows("positions", token=token_id)
    balances = await stage.ledger("balances", wallet=stage.wallet, token_id=token_id)
    held = sum((Decimal(row["balance"]) for row in balances), Decimal(0))
    return [
        Claim(
            words="shares held (the exchange's balance)",
            exchange=shown(held),
            engine=shown(position["size"]),
        ),
        Claim(
            words="average price",
            exchange=shown(truth.average_price),
            engine=shown(position["average_price"]),
        ),
        Claim(
            words="realised P&L, average price",
            exchange=shown(truth.realised_average),
            engine=shown(position["realised_pnl_average"]),
        ),
        Claim(
            words="realised P&L, first in first out",
            exchange=shown(truth.realised_fifo),
            engine=shown(position["realised_pnl_fifo"]),
        ),
        Claim(
            words="cash moved, fees included",
            exchange=shown(truth.cash_usd),
            engine=shown(position["cash_usd"]),
        ),
    ]


def short(order_hash: str) -> str:
    """Return enough of a hash to tell it from the others."""
    return f"{order_hash[:10]}…{order_hash[-4:]}"


def _filled(orders: list[Row]) -> str:
    """Return what is filled of what, over all orders."""
    filled = sum((Decimal(row["filled_size"]) for row in orders), Decimal(0))
    size = sum((Decimal(row["size"]) for row in orders), Decimal(0))
    return f"{shown(filled)} of {shown(size)}"


def _fills(legs: list[Row]) -> str:
    """Return the fills as a sorted list of shares and prices, with their count."""
    parts = sorted(f"{shown(leg['size'])}@{shown(leg['price'])}" for leg in legs)
    identities = {leg["trade_id"] for leg in legs}
    return f"{len(identities)}: {' + '.join(parts)}"

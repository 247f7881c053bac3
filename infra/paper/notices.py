"""What an account is notified of: cancels, fills, failed fills, resolutions and redemptions."""

import hashlib
from enum import IntEnum
from typing import Final, cast

import orjson

from infra.paper.accounts import Account
from infra.paper.book import Order
from infra.paper.catalogue import Market
from infra.paper.ledger import Ledger
from infra.paper.trades import Leg, Trade, TradeStatus
from infra.paper.wire import Json, text_of

_INSERT: Final = (
    "INSERT INTO notices(address, wallet, owner, kind, condition_id, document, at) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_MOST_LISTED: Final = 500


class Kind(IntEnum):
    """The numbers production gives to kinds of notifications."""

    CANCELLED = 1
    FILLED = 2
    RESOLVED = 4
    FILL_FAILED = 8
    REDEEMED = 9


_OF_STATUS: Final = {TradeStatus.MATCHED: Kind.FILLED, TradeStatus.FAILED: Kind.FILL_FAILED}


class Notices:
    """Writes notifications inside the transaction that causes them.

    Args:
        ledger: where they are kept until their owner drops them, and after.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def cancelled(self, order: Order, at: int) -> None:
        """Note that an order of an account is gone."""
        sizes = (order.size, order.filled)
        document = {**_order_part(order, sizes), "transaction_hash": "", "trade_id": ""}
        self._write(Kind.CANCELLED, order, document, at)

    def traded(self, trade: Trade) -> None:
        """Note a fresh match, or one given up, for each party's own order."""
        kind = _OF_STATUS.get(trade.status)
        if kind is None:
            return
        for leg in trade.legs:
            if leg.address:
                self._write(kind, leg, self._fill_part(trade, leg), trade.updated_at)

    def _fill_part(self, trade: Trade, leg: Leg) -> Json:
        sql = "SELECT size, filled, type FROM orders WHERE order_hash = ?"
        row = self._ledger.rows(sql, (leg.order_hash,))[0]
        sizes = (cast("int", row["size"]), cast("int", row["filled"]))
        return {
            **_order_part(leg, sizes),
            "type": row["type"],
            "transaction_hash": trade.transaction_hash,
            "trade_id": trade.trade_id,
        }

    def resolved(self, holder: Account | None, market: Market, at: int) -> None:
        """Note for a holder that a market has its outcome."""
        if holder is not None:
            self._write_for(Kind.RESOLVED, holder, market, {}, at)

    def redeemed(self, holder: Account | None, market: Market, paid: int, at: int) -> None:
        """Note for a holder that its winning shares were paid out on its behalf."""
        if holder is None or not paid:
            return
        seed = f"redeem/{holder.wallet}/{market.condition_id}"
        document: Json = {
            "proxyWallet": holder.wallet,
            "amount": text_of(paid),
            "conditionId": market.condition_id,
            "question": market.question,
            "image": "",
            "slug": market.slug,
            "negRisk": market.neg_risk,
            "txnHash": "0x" + hashlib.sha256(seed.encode()).hexdigest(),
        }
        self._write_for(Kind.REDEEMED, holder, market, document, at)

    def _write(self, kind: Kind, part: Order | Leg, document: Json, at: int) -> None:
        owner = (part.address, part.wallet, part.api_key)
        values = (*owner, kind, part.condition_id, orjson.dumps(document), at)
        self._ledger.write(_INSERT, values)

    def _write_for(
        self, kind: Kind, holder: Account, market: Market, document: Json, at: int
    ) -> None:
        values = (kind, market.condition_id, orjson.dumps(document), at)
        self._ledger.write(_INSERT, (holder.signer, holder.wallet, "", *values))

    def listed(self, address: str) -> list[Json]:
        """Return an account's notifications that it has not dropped, oldest first."""
        sql = "SELECT * FROM notices WHERE address = ? AND NOT dropped ORDER BY id DESC LIMIT ?"
        return self._ledger.rows(sql, (address, _MOST_LISTED))[::-1]

    def drop(self, address: str, ids: list[int]) -> None:
        """Show some of an account's notifications no more."""
        for notice_id in ids:
            sql = "UPDATE notices SET dropped = 1 WHERE address = ? AND id = ?"
            self._ledger.write(sql, (address, notice_id))

    def redemptions(self, wallet: str) -> list[Json]:
        """Return what a wallet was paid out, newest first."""
        sql = "SELECT * FROM notices WHERE wallet = ? AND kind = ? ORDER BY id DESC"
        return self._ledger.rows(sql, (wallet, Kind.REDEEMED))


def _order_part(part: Order | Leg, sizes: tuple[int, int]) -> Json:
    """Return what is said of an order; `sizes` are its original and its matched size."""
    size, filled = sizes
    return {
        "order_id": part.order_hash,
        "asset_id": part.token_id,
        "market": part.condition_id,
        "side": part.side,
        "type": part.type if isinstance(part, Order) else "",
        "price": text_of(part.price),
        "original_size": text_of(size),
        "matched_size": text_of(filled),
        "remaining_size": text_of(size - filled),
        "outcome": part.outcome,
        "outcome_index": part.index,
    }

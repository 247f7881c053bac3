"""The Data API: what a wallet holds and traded, in both of its versions."""

from dataclasses import dataclass
from typing import Final

from infra.paper.accounts import COLLATERAL
from infra.paper.catalogue import Market
from infra.paper.clob_public import price_of
from infra.paper.engine import Engine
from infra.paper.exchange import Exchange
from infra.paper.routes import Routes
from infra.paper.signatures import checksum
from infra.paper.trades import Leg
from infra.paper.wire import (
    MICRO,
    Answer,
    Json,
    RefusedError,
    Request,
    answered,
    number_of,
    text_of,
)

_DEFAULT_LIMIT: Final = 100
_MOST: Final = 1000
_OF_WALLET: Final = "trade_id IN (SELECT trade_id FROM legs WHERE wallet = ?)"
_SETTLED: Final = f"status IN ('MINED', 'CONFIRMED') AND {_OF_WALLET} ORDER BY seq LIMIT ? OFFSET ?"
_NOT_FAILED: Final = f"status != 'FAILED' AND {_OF_WALLET} ORDER BY seq DESC LIMIT ? OFFSET ?"


@dataclass(slots=True)
class Holding:
    """A wallet's history in one token: shares now, and what they cost, in micro-units."""

    market: Market
    index: int
    size: int
    bought: int = 0
    cost: int = 0
    fees: int = 0
    realized: int = 0
    first_at: int = 0
    last_at: int = 0
    entry: int = 0

    @property
    def average(self) -> int:
        """Return the average entry price."""
        return self.cost * MICRO // self.entry if self.entry else 0

    def apply(self, leg: Leg) -> None:
        """Add a settled leg: a purchase at cost, a sale at the average."""
        self.first_at = self.first_at or leg.matched_at
        self.last_at = leg.matched_at
        if leg.fee_asset == "collateral":
            self.fees += leg.fee
        if leg.side == "BUY":
            self.bought += leg.size
            self.entry += leg.size
            self.cost += leg.cash
            return
        sold = min(leg.size, self.entry)
        given = self.cost * sold // self.entry if self.entry else 0
        self.entry -= sold
        self.cost -= given
        self.realized += leg.cash - given


class Portfolio:
    """Answers the Data API from settled trades and balances.

    Args:
        exchange: the exchange it speaks for.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    @property
    def _engine(self) -> Engine:
        return self._exchange.engine

    def register(self, routes: Routes) -> None:
        """Add its paths."""
        routes.add_all(
            ("GET", "/v2/positions", self._positions),
            ("GET", "/v2/value", self._value),
            ("GET", "/v2/trades", self._trades),
            ("GET", "/v2/resolutions", self._resolutions),
            ("GET", "/positions", self._old_positions),
            ("GET", "/value", self._old_value),
            ("GET", "/trades", self._old_trades),
        )

    def holdings(self, wallet: str) -> list[Holding]:
        """Return what a wallet holds or held."""
        found: dict[str, Holding] = {}
        for (owner, asset), amount in self._engine.accounts.all_balances().items():
            if owner == wallet and asset != COLLATERAL and asset in self._engine.by_token:
                market = self._engine.by_token[asset]
                found[asset] = Holding(market, market.index_of(asset), amount)
        for leg in self._legs(wallet, _SETTLED, (-1, 0)):
            if leg.token_id in found:
                found[leg.token_id].apply(leg)
        return list(found.values())

    def _legs(self, wallet: str, which: str, window: tuple[int, int]) -> list[Leg]:
        trades = self._engine.ledger.trades(which, (wallet, *window))
        return [leg for trade in trades for leg in trade.legs if leg.wallet == wallet]

    def _positions(self, request: Request) -> Answer:
        wallet = _wallet(request)
        wanted, conditions = set(request.many("status")), set(request.many("condition_id"))
        rows = [
            row
            for holding in self.holdings(wallet)
            if (row := self._position(wallet, holding))
            and (row["status"] in wanted if wanted else row["status"] != "CLOSED")
            and (not conditions or row["condition_id"] in conditions)
        ]
        return _page(request, rows)

    def _position(self, wallet: str, held: Holding) -> Json:
        market, index = held.market, held.index
        price = price_of(self._exchange, market, index)
        value, gain = self._worth(held, price)
        other = self._engine.accounts.balance(wallet, market.token_ids[1 - index])
        percent = number_of(gain * 100 * MICRO // held.cost) if held.cost else 0
        return {
            "proxy_wallet": wallet,
            "token_id": market.token_ids[index],
            "condition_id": market.condition_id,
            "current_size": text_of(held.size),
            "avg_price": text_of(held.average),
            "entry_cost_usdc": text_of(held.cost),
            "entry_fees_usdc": text_of(held.fees),
            "total_cost_usdc": text_of(held.cost + held.fees),
            "current_price": text_of(price),
            "current_value": text_of(value),
            "total_size": text_of(held.bought),
            "realized_pnl": text_of(held.realized),
            "unrealized_pnl": text_of(gain),
            "total_pnl": text_of(held.realized + gain),
            "percent_pnl": percent,
            "percent_realized_pnl": 0,
            "status": _status(held),
            "redeemable": market.payouts is not None and held.size > 0,
            "mergeable": other > 0 and held.size > 0,
            "negative_risk": market.neg_risk,
            "archived": False,
            "verified": True,
            "event_id": market.event_id,
            "last_event_at": held.last_at // MICRO,
            "first_entry_at": held.first_at // MICRO,
            **_described(market, index),
        }

    def _worth(self, held: Holding, price: int) -> tuple[int, int]:
        value = held.size * price // MICRO
        return value, value - held.cost

    def _total(self, wallet: str) -> int:
        return sum(
            self._worth(held, price_of(self._exchange, held.market, held.index))[0]
            for held in self.holdings(wallet)
        )

    def _value(self, request: Request) -> Answer:
        wallet = _wallet(request)
        value = text_of(self._total(wallet))
        return answered({"data": {"proxy_wallet": wallet, "value": value}})

    def _old_value(self, request: Request) -> Answer:
        wallet = _wallet(request)
        return answered([{"user": wallet, "value": number_of(self._total(wallet))}])

    def _trades(self, request: Request) -> Answer:
        start = _number(request.one("cursor"), 0)
        limit = _limit(request)
        legs = self._legs(_wallet(request), _NOT_FAILED, (limit + 1, start))
        rows = [self._trade(leg) for leg in legs[:limit]]
        return answered(
            {
                "data": rows,
                "pagination": {
                    "has_more": len(legs) > limit,
                    "next_cursor": str(start + limit) if len(legs) > limit else None,
                },
            }
        )

    def _trade(self, leg: Leg) -> Json:
        market = self._engine.markets[leg.condition_id]
        return {
            "proxy_wallet": leg.wallet,
            "token_id": leg.token_id,
            "condition_id": leg.condition_id,
            "side": leg.side,
            "size": text_of(leg.size),
            "price": text_of(leg.price),
            "timestamp": leg.matched_at // MICRO,
            "transaction_hash": self._hash_of(leg),
            **_described(market, leg.index),
        }

    def _hash_of(self, leg: Leg) -> str:
        sql = "SELECT transaction_hash FROM trades WHERE trade_id = ?"
        return str(self._engine.ledger.rows(sql, (leg.trade_id,))[0]["transaction_hash"])

    def _old_trades(self, request: Request) -> Answer:
        window = (_limit(request), _number(request.one("offset"), 0))
        legs = self._legs(_wallet(request), _NOT_FAILED, window)
        return answered([self._old_trade(leg) for leg in legs])

    def _old_trade(self, leg: Leg) -> Json:
        market = self._engine.markets[leg.condition_id]
        return {
            "proxyWallet": leg.wallet,
            "side": leg.side,
            "asset": leg.token_id,
            "conditionId": leg.condition_id,
            "size": number_of(leg.size),
            "price": number_of(leg.price),
            "timestamp": leg.matched_at // MICRO,
            "transactionHash": self._hash_of(leg),
            "title": market.question,
            "slug": market.slug,
            "eventSlug": market.event_slug,
            "outcome": leg.outcome,
            "outcomeIndex": leg.index,
        }

    def _old_positions(self, request: Request) -> Answer:
        wallet = _wallet(request)
        start = _number(request.one("offset"), 0)
        held = [holding for holding in self.holdings(wallet) if holding.size > 0]
        return answered(
            [self._old_position(wallet, row) for row in held[start : start + _limit(request)]]
        )

    def _old_position(self, wallet: str, held: Holding) -> Json:
        market, index = held.market, held.index
        price = price_of(self._exchange, market, index)
        value, gain = self._worth(held, price)
        other = self._engine.accounts.balance(wallet, market.token_ids[1 - index])
        return {
            "proxyWallet": wallet,
            "asset": market.token_ids[index],
            "conditionId": market.condition_id,
            "size": number_of(held.size),
            "avgPrice": number_of(held.average),
            "initialValue": number_of(held.cost),
            "currentValue": number_of(value),
            "cashPnl": number_of(gain),
            "percentPnl": number_of(gain * 100 * MICRO // held.cost) if held.cost else 0,
            "totalBought": number_of(held.bought),
            "realizedPnl": number_of(held.realized),
            "curPrice": number_of(price),
            "redeemable": market.payouts is not None,
            "mergeable": other > 0,
            "title": market.question,
            "slug": market.slug,
            "eventSlug": market.event_slug,
            "outcome": market.outcomes[index],
            "outcomeIndex": index,
            "oppositeOutcome": market.outcomes[1 - index],
            "oppositeAsset": market.token_ids[1 - index],
            "endDate": market.end_date[:10],
            "negativeRisk": market.neg_risk,
        }

    def _resolutions(self, request: Request) -> Answer:
        wanted = set(request.many("condition_id") or request.many("condition_ids"))
        now = self._exchange.now() // MICRO
        rows: list[Json] = [
            {
                "condition_id": market.condition_id,
                "status": "resolved" if market.payouts is not None else "initialized",
                "extended_review": False,
                "was_disputed": False,
                "new_version_q": False,
                "last_update_timestamp": now,
                "payouts": [text_of(0)] if market.payouts is None else list(market.payouts),
            }
            for market in self._engine.markets.values()
            if market.condition_id in wanted
        ]
        return _page(request, rows)


def _described(market: Market, index: int) -> Json:
    return {
        "title": market.question,
        "slug": market.slug,
        "icon": "",
        "event_slug": market.event_slug,
        "outcome": market.outcomes[index],
        "outcome_index": index,
        "opposite_outcome": market.outcomes[1 - index],
        "opposite_token_id": market.token_ids[1 - index],
        "end_date": market.end_date[:10],
    }


def _status(held: Holding) -> str:
    if held.size == 0:
        return "CLOSED"
    return "OPEN" if held.market.payouts is None else "REDEEMABLE"


def _wallet(request: Request) -> str:
    try:
        return checksum(request.one("user"))
    except ValueError as error:
        raise RefusedError(400, "required query param 'user' not provided") from error


def _number(text: str, default: int) -> int:
    if text and not text.isdecimal():
        raise RefusedError(400, "invalid number")
    return int(text) if text else default


def _limit(request: Request) -> int:
    return min(_MOST, max(1, _number(request.one("limit"), _DEFAULT_LIMIT)))


def _page(request: Request, rows: list[Json]) -> Answer:
    start, limit = _number(request.one("cursor"), 0), _limit(request)
    has_more = len(rows) > start + limit
    cursor = str(start + limit) if has_more else None
    return answered(
        {
            "data": rows[start : start + limit],
            "pagination": {"has_more": has_more, "next_cursor": cursor},
        }
    )

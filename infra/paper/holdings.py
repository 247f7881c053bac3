"""What a wallet holds and held, counted from its settled trades, its balances and its payouts."""

from dataclasses import dataclass

from infra.paper.accounts import COLLATERAL, FEES
from infra.paper.catalogue import Market
from infra.paper.exchange import Exchange
from infra.paper.prices import price_of
from infra.paper.signatures import checksum
from infra.paper.trades import Leg
from infra.paper.wire import MICRO, RefusedError, Request, micro_of

_SETTLED = (
    "status IN ('MINED', 'CONFIRMED') AND "
    "trade_id IN (SELECT trade_id FROM legs WHERE wallet = ?) ORDER BY seq"
)


@dataclass(slots=True)
class Holding:
    """A wallet's history in one token: shares now, and what they cost, in micro-units.

    `entry` are the shares still held at `cost`; `bought` and `paid` count all purchases.
    """

    wallet: str
    market: Market
    index: int
    size: int
    price: int
    bought: int = 0
    paid: int = 0
    cost: int = 0
    fees: int = 0
    realized: int = 0
    first_at: int = 0
    last_at: int = 0
    entry: int = 0
    opposite: int = 0

    @property
    def token_id(self) -> str:
        """Return the token held."""
        return self.market.token_ids[self.index]

    @property
    def average(self) -> int:
        """Return the average entry price, of what is held or else of all that was bought."""
        if self.entry:
            return self.cost * MICRO // self.entry
        return self.paid * MICRO // self.bought if self.bought else 0

    @property
    def value(self) -> int:
        """Return what the shares are worth now."""
        return self.size * self.price // MICRO

    @property
    def gain(self) -> int:
        """Return what the shares held would gain now."""
        return self.value - self.cost

    @property
    def status(self) -> str:
        """Return OPEN, REDEEMABLE or CLOSED."""
        if self.size == 0:
            return "CLOSED"
        return "OPEN" if self.market.payouts is None else "REDEEMABLE"

    def apply(self, leg: Leg) -> None:
        """Add a settled leg: a purchase at cost, a sale at the average."""
        self.first_at = self.first_at or leg.matched_at
        self.last_at = leg.matched_at
        if leg.fee_asset == "collateral":
            self.fees += leg.fee
        if leg.side == "BUY":
            self.bought += leg.size
            self.paid += leg.cash
            self.entry += leg.size
            self.cost += leg.cash
            return
        sold = min(leg.size, self.entry)
        given = self.cost * sold // self.entry if self.entry else 0
        self.entry -= sold
        self.cost -= given
        self.realized += leg.cash - given

    def close(self) -> None:
        """Count what was redeemed as sold at the payout, once no share is left."""
        if self.size or not self.entry or self.market.payouts is None:
            return
        payout = micro_of(self.market.payouts[self.index])
        self.realized += self.entry * payout // MICRO - self.cost
        self.entry = self.cost = 0


def wallet_of(request: Request, *, is_needed: bool = True) -> str:
    """Return the wallet asked for, or "" where none is needed. Raises RefusedError (400)."""
    if not request.one("user") and not is_needed:
        return ""
    try:
        return checksum(request.one("user"))
    except ValueError as error:
        raise RefusedError(400, "required query param 'user' not provided") from error


def holdings(exchange: Exchange, wallet: str) -> list[Holding]:
    """Return what a wallet holds or held."""
    engine, found = exchange.engine, dict[str, Holding]()
    for (owner, asset), amount in engine.accounts.all_balances().items():
        if owner == wallet and asset != COLLATERAL and asset in engine.by_token:
            market = engine.by_token[asset]
            index = market.index_of(asset)
            price = price_of(exchange, market, index)
            found[asset] = Holding(wallet, market, index, amount, price)
    for trade in exchange.ledger.trades(_SETTLED, (wallet,)):
        for leg in trade.legs:
            if leg.wallet == wallet and leg.token_id in found:
                found[leg.token_id].apply(leg)
    for held in found.values():
        held.opposite = engine.accounts.balance(wallet, held.market.token_ids[1 - held.index])
        held.close()
    return list(found.values())


def wallets(exchange: Exchange) -> list[str]:
    """Return every wallet that owns or owned something, the fee collector left out."""
    owners = {wallet for wallet, _ in exchange.engine.accounts.all_balances()}
    return sorted(owners - {FEES})

"""A position and everything that protects it, as its rows stand at one moment."""

from dataclasses import dataclass
from decimal import Decimal

from domain.order import TERMINAL, Order
from domain.position import Position, PositionStatus
from domain.protection import Plan, Protection, ProtectionKind
from domain.risk import HALTS, AccountState

SHORT_NAMES = {
    ProtectionKind.STOP_LOSS: "sl",
    ProtectionKind.TAKE_PROFIT: "tp",
    ProtectionKind.EXIT: "exit",
}


def protection_id(position_id: str, kind: ProtectionKind, n: int) -> str:
    """Return the id of a row, which is the intent of its order as well."""
    return f"{position_id}:{SHORT_NAMES[kind]}:{n}"


@dataclass(frozen=True, kw_only=True)
class Guarded:
    """What is held, what is wished for it, and what is done about it.

    Attributes:
        stop, take_profit, exit: the row of each kind that is not over; None where there is none.
        orders: its sales that are not over, and the order of each row above that has one.
        unsettled_size: shares bought that cannot be sold yet.
        unconfirmed: how many of its trades are neither confirmed nor failed.
    """

    position: Position
    plan: Plan
    stop: Protection | None
    take_profit: Protection | None
    exit: Protection | None
    orders: tuple[Order, ...]
    unsettled_size: Decimal
    unconfirmed: int
    account: AccountState

    @property
    def settled_size(self) -> Decimal:
        """Shares that can be sold, what is promised to a sale included."""
        return max(self.position.size - self.unsettled_size, Decimal(0))

    @property
    def is_halted(self) -> bool:
        """Nothing of the account may rest."""
        return self.account in HALTS

    @property
    def is_dust(self) -> bool:
        """What is left of it cannot be sold."""
        return self.position.status is PositionStatus.DUST

    def order_of(self, protection: Protection | None) -> Order | None:
        """Return the order that carries a row out, if it was ever prepared."""
        if protection is None:
            return None
        return next((each for each in self.orders if each.intent_id == protection.id), None)

    @property
    def resting(self) -> tuple[Order, ...]:
        """The sales that may still match, or whose matched shares are not all recorded."""
        return tuple(order for order in self.orders if not order.is_over)

    @property
    def promised_size(self) -> Decimal:
        """Shares that other sales than the take-profit may still take."""
        mine = self.take_profit.id if self.take_profit is not None else None
        return sum((_taking(each) for each in self.orders if each.intent_id != mine), Decimal(0))

    @property
    def taken_size(self) -> Decimal:
        """Shares that any sale may still take, or has taken without its fill being recorded."""
        return sum((_taking(each) for each in self.orders), Decimal(0))


def _taking(order: Order) -> Decimal:
    """Return the shares that an order may still take from what is held."""
    most = order.matched_size if order.state in TERMINAL else order.size
    return max(most - order.filled_size, Decimal(0))

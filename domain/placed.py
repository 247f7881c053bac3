"""What is known of an order that somebody else placed with an account of ours."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from domain.order import Side, TimeInForce


@dataclass(frozen=True, kw_only=True)
class Placed:
    """What the exchange says of an order that somebody else placed for us."""

    condition_id: str
    side: Side
    price: Decimal
    time_in_force: TimeInForce
    expires_at: datetime | None
    created_at: datetime

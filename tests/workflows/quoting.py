"""The part of the exchange in memory that tells prices."""

from dataclasses import dataclass
from decimal import Decimal

from domain.stop import Quote


@dataclass(kw_only=True)
class Quoting:
    """An ask, and a bid two cents below it."""

    ask: Decimal = Decimal("0.50")

    async def quotes(self, token_ids: list[str]) -> dict[str, Quote]:
        bid = self.ask - Decimal("0.02")
        return {one: Quote(token_id=one, best_bid=bid, best_ask=self.ask) for one in token_ids}

    async def beat(self) -> None:
        """Live."""

"""What can be traded: markets, their tokens, and their books."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from difflib import get_close_matches

from domain.errors import InvalidInputError

NEAREST_NAMES = 3


@dataclass(frozen=True, kw_only=True)
class Token:
    """One outcome of a market: the thing that is traded.

    Attributes:
        outcome: the exchange's word for it ("Yes", "No", a team's name).
        position: 0 or 1, its place among the market's two outcomes.
    """

    token_id: str
    outcome: str
    position: int


@dataclass(frozen=True, kw_only=True)
class Market:
    """A question with two outcomes, and the rules of its book.

    Attributes:
        tick_size: smallest step in price.
        min_size: fewest shares a resting order may have.
        fee_rate, fee_exponent: taker fee = shares x rate x (p (1 - p)) ^ exponent.
        event_id: of the exchange's event it belongs to; markets of one event are one bet. None
            where the exchange does not say.
    """

    condition_id: str
    slug: str
    question: str
    tokens: tuple[Token, ...]
    neg_risk: bool
    tick_size: Decimal
    min_size: Decimal
    fee_rate: Decimal
    fee_exponent: int
    accepting_orders: bool
    closed: bool
    end_at: datetime | None
    event_id: str | None = None

    def token(self, outcome: str) -> Token:
        """Return the token of `outcome`, told apart without regard to case.

        Raises:
            InvalidInputError: there is no such outcome; the remedy names those there are.
        """
        for token in self.tokens:
            if token.outcome.casefold() == outcome.casefold():
                return token
        known = " or ".join(token.outcome for token in self.tokens)
        raise InvalidInputError("outcome", f"{self.slug} has no outcome {outcome!r}; use {known}")

    def other(self, token_id: str) -> Token:
        """Return the complement of `token_id`: the outcome that pays when it does not."""
        return next(token for token in self.tokens if token.token_id != token_id)


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What an exchange lists at one time.

    Attributes:
        markets: those that could be read.
        unread: condition ids that are listed and could not be read: nothing new is known of them.
    """

    markets: tuple[Market, ...]
    unread: frozenset[str] = frozenset()


def nearest(name: str, known: list[str]) -> list[str]:
    """Return up to three of `known` that look most like `name`."""
    return get_close_matches(name, known, n=NEAREST_NAMES, cutoff=0.3)


@dataclass(frozen=True, kw_only=True)
class Level:
    """One price of a book and the shares that wait there."""

    price: Decimal
    size: Decimal


@dataclass(frozen=True, kw_only=True)
class Book:
    """A token's resting orders; best price first on both sides."""

    token_id: str
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]

    @property
    def best_bid(self) -> Decimal | None:
        """The highest price somebody pays, or None where nobody bids."""
        return self.bids[0].price if self.bids else None

    @property
    def best_ask(self) -> Decimal | None:
        """The lowest price somebody asks, or None where nobody offers."""
        return self.asks[0].price if self.asks else None

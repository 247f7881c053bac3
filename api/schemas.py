"""From named values to an instruction, or to every reason why there is none."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from difflib import get_close_matches
from typing import Final, TypeVar

from api import values
from api.documents import Document, FieldError, Json, read_document, shown_name
from api.vocabulary import FIELDS, REMARKS, SIZES, YIELDING, Name, plain
from domain.signal import Action, Instruction, SizeKind, Sizing

T = TypeVar("T")

MAX_PERCENT: Final = Decimal(100)
MAX_NOTIONAL_USD: Final = Decimal(10_000_000)
MAX_SHARES: Final = Decimal(1_000_000_000)

_TOKEN_ID: Final = re.compile(r"\d{20,80}", re.ASCII)

_TRADES: Final = frozenset({Action.BUY_MARKET, Action.SELL_MARKET, Action.BUY_LIMIT}) | frozenset(
    {Action.SELL_LIMIT, Action.CLOSE}
)
_BUYS: Final = frozenset({Action.BUY_MARKET, Action.BUY_LIMIT})
_LIMITS: Final = frozenset({Action.BUY_LIMIT, Action.SELL_LIMIT})
_OF_A_TOKEN: Final = _TRADES | {Action.MAJ}


@dataclass(frozen=True, kw_only=True)
class Understood:
    """A signal that can be carried out, as far as its words go."""

    instruction: Instruction
    external_id: str | None


@dataclass(frozen=True, kw_only=True)
class Misunderstood:
    """A signal that cannot be carried out, and every reason."""

    errors: tuple[FieldError, ...]
    external_id: str | None = None


Reading = Understood | Misunderstood


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How one source writes.

    Attributes:
        aliases: its ticker to `market-slug:Outcome`.
        is_free: it may carry fields of its own, which are passed over.
    """

    aliases: Mapping[str, str] = field(default_factory=dict[str, str])
    is_free: bool = False


def dialect(source: str, aliases: Mapping[str, str]) -> Dialect:
    """Return how `source` writes; TradingView's users add placeholders of their own."""
    return Dialect(aliases=aliases, is_free=source.startswith("tradingview"))


def understand(raw: bytes, spoken: Dialect) -> Reading:
    """Return what `raw` asks for; the same bytes always mean the same."""
    document = read_document(raw)
    if isinstance(document, FieldError):
        return Misunderstood(errors=(document,))
    return understand_document(document, spoken)


def understand_document(document: Mapping[str, Json], spoken: Dialect) -> Reading:
    """Return what named values ask for."""
    reading = _Reading(document, spoken)
    external_id = reading.get(Name.EXTERNAL_ID, values.identity)
    instruction = _instruction(reading)
    if instruction is None or reading.errors:
        return Misunderstood(errors=tuple(reading.errors), external_id=external_id)
    return Understood(instruction=instruction, external_id=external_id)


def secret_of(document: Document) -> str | None:
    """Return the secret that a body itself carries."""
    if isinstance(document, FieldError):
        return None
    for name, value in document.items():
        if FIELDS.get(plain(name)) is Name.SECRET and isinstance(value, str):
            return value
    return None


class _Reading:
    """One document being read: values by meaning, and the errors met on the way."""

    def __init__(self, document: Mapping[str, Json], spoken: Dialect) -> None:
        self.errors: list[FieldError] = []
        self.spoken = spoken
        self._values: dict[Name, tuple[str, Json]] = {}
        for written, value in document.items():
            self._take(written, value)

    def has(self, name: Name) -> bool:
        """Tell whether the sender gave a value for `name`."""
        return name in self._values

    def written(self, name: Name) -> str:
        """Return the sender's own word for `name`, or ours where it gave none."""
        return self._values[name][0] if name in self._values else name.value

    def get(self, name: Name, read: Callable[[Json], T]) -> T | None:
        """Return the value of `name`, None where there is none or it is wrong."""
        if name not in self._values:
            return None
        try:
            return read(self._values[name][1])
        except values.WrongError as wrong:
            self.refuse(self.written(name), wrong.problem, wrong.remedy)
            return None

    def require(self, name: Name, remedy: str) -> None:
        """Note that `name` is missing, if it is."""
        if name not in self._values:
            self.refuse(name.value, "missing", remedy)

    def refuse(self, written: str, problem: str, remedy: str) -> None:
        """Note one reason for refusal."""
        self.errors.append(FieldError(field=shown_name(written), problem=problem, remedy=remedy))

    def _take(self, written: str, value: Json) -> None:
        word = plain(written)
        name = FIELDS.get(word)
        if name is None:
            self._pass_over(written, word)
        elif value is None or value == "":
            return
        elif name not in self._values or plain(self._values[name][0]) in YIELDING - {word}:
            self._values[name] = (written, value)
        elif word not in YIELDING and self._values[name][1] != value:
            first = self._values[name][0]
            self.refuse(written, f"says the same as {shown_name(first)}", "give one of the two")

    def _pass_over(self, written: str, word: str) -> None:
        if self.spoken.is_free or word in REMARKS:
            return
        nearest = get_close_matches(word, [*FIELDS], n=1, cutoff=0.5)
        remedy = f"leave it out, or write {FIELDS[nearest[0]].value}" if nearest else "leave it out"
        self.refuse(written, "unknown field", remedy)


def _instruction(reading: _Reading) -> Instruction | None:
    """Return what is asked for; None, with the reason noted, where the action is not known."""
    reading.require(Name.ACTION, f"one of {values.KNOWN_ACTIONS}")
    action = reading.get(Name.ACTION, values.action)
    if action is None:
        return None
    if action is Action.PING:
        return Instruction(action=action)
    market, outcome = _market(reading, action)
    stop_loss, take_profit = _protection(reading, action)
    return Instruction(
        action=action,
        market=market,
        outcome=outcome,
        sizing=_sizing(reading, action),
        price=_limit(reading, action),
        stop_loss=stop_loss,
        take_profit=take_profit,
        order_hash=_order_hash(reading, action),
        rests_seconds=_rests(reading, action),
        sells_by_complement=_complement(reading, action),
        sent_at=reading.get(Name.SENT_AT, values.moment),
    )


def _market(reading: _Reading, action: Action) -> tuple[str | None, str | None]:
    """Return market and outcome, the sender's ticker translated."""
    if action in _OF_A_TOKEN:
        reading.require(Name.MARKET, "the market's slug, condition id or token id")
    named = reading.get(Name.MARKET, values.text)
    outcome = reading.get(Name.OUTCOME, values.text)
    if named is None:
        return None, outcome
    market, _, implied = _translated(named, reading.spoken.aliases).partition(":")
    if not market:
        reading.refuse(reading.written(Name.MARKET), "names no market", "write slug:Outcome")
    outcome = outcome or implied or None
    if outcome is None and action in _OF_A_TOKEN and not _TOKEN_ID.fullmatch(market):
        reading.require(Name.OUTCOME, 'the outcome to trade, such as "Yes"')
    return market, outcome


def _translated(ticker: str, aliases: Mapping[str, str]) -> str:
    """Return what the source's settings say `ticker` means; exchange prefixes are optional."""
    known = {plain(name): meaning for name, meaning in aliases.items()}
    for name in (ticker, ticker.rpartition(":")[2]):
        if plain(name) in known:
            return known[plain(name)]
    return ticker


def _sizing(reading: _Reading, action: Action) -> Sizing | None:
    """Return how much; a sale without a size is of everything held."""
    if action not in _TRADES:
        return None
    given = [name for name in SIZES if reading.has(name)]
    if not given and action in _BUYS:
        reading.require(Name.PERCENT, "exactly one of percent (PourCent), notional, size")
        return None
    for extra in given[1:]:
        other = shown_name(reading.written(given[0]))
        problem = f"a second size beside {other}"
        reading.refuse(reading.written(extra), problem, "give percent, notional or size")
    if not given:
        return Sizing(kind=SizeKind.PERCENT, value=MAX_PERCENT)
    kind = SIZES[given[0]]
    value = reading.get(given[0], _SIZE_READERS[kind])
    return None if value is None else Sizing(kind=kind, value=value)


def _limit(reading: _Reading, action: Action) -> Decimal | None:
    if action in _LIMITS:
        reading.require(Name.PRICE, "the limit price, between 0 and 1")
    return reading.get(Name.PRICE, values.price) if action in _TRADES else None


def _protection(reading: _Reading, action: Action) -> tuple[Decimal | None, Decimal | None]:
    """Return stop-loss and take-profit; what we hold gains as its price rises."""
    if action not in _BUYS | {Action.MAJ}:
        return None, None
    read = values.price_or_none if action is Action.MAJ else values.price
    stop_loss = reading.get(Name.STOP_LOSS, read)
    take_profit = reading.get(Name.TAKE_PROFIT, read)
    if stop_loss and take_profit and stop_loss >= take_profit:
        words = f"not below {shown_name(reading.written(Name.TAKE_PROFIT))}"
        reading.refuse(reading.written(Name.STOP_LOSS), words, "a stop-loss under the take-profit")
    if action is Action.MAJ and not reading.has(Name.TAKE_PROFIT):
        reading.require(Name.STOP_LOSS, "stop_loss (PrixSL), take_profit (PrixTP) or both")
    return stop_loss, take_profit


def _order_hash(reading: _Reading, action: Action) -> str | None:
    if action is not Action.CANCEL:
        return None
    if not reading.has(Name.MARKET):
        reading.require(Name.ORDER_HASH, "the order's hash, or the market to cancel all orders of")
    return reading.get(Name.ORDER_HASH, values.order_hash)


def _rests(reading: _Reading, action: Action) -> int | None:
    return reading.get(Name.RESTS_SECONDS, values.seconds) if action in _LIMITS else None


def _complement(reading: _Reading, action: Action) -> bool:
    """Tell whether a sale is made by buying the other outcome."""
    if action is not Action.SELL_MARKET or not reading.has(Name.SHORT):
        return False
    chosen = reading.get(Name.SHORT, values.short) == "complement"
    if chosen and not any(reading.has(name) for name in SIZES):
        reading.require(Name.PERCENT, "a size: buying the other outcome is an entry")
    return chosen


_SIZE_READERS: Final[Mapping[SizeKind, Callable[[Json], Decimal]]] = {
    SizeKind.PERCENT: values.up_to(MAX_PERCENT),
    SizeKind.NOTIONAL: values.up_to(MAX_NOTIONAL_USD),
    SizeKind.SIZE: values.up_to(MAX_SHARES),
}

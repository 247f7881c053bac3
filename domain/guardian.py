"""What a guardian makes of one look at everything an account holds: rules, and nothing else.

What it orders is a hint: the position's own workflow looks again before it does anything. The
rules about single positions are in domain/guardian_rules.py.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from domain.guardian_rules import Held, Listing, case_of, exemption, gaps, is_judged, stop_of
from domain.halt import Standing
from domain.order import TERMINAL
from domain.protection import Crossing, ProtectionStatus
from domain.risk import HALTS, AccountState
from domain.stop import Quote, StopRule, is_beyond, is_proved

GUARDIAN: Final = "guardian"
LONG_UNPROTECTED: Final = timedelta(seconds=25)  # two ticks and a repair


class Stray(NamedTuple):
    """An order that the exchange lists and that works for none of the positions seen.

    Attributes:
        state: of our row; None where there is none.
    """

    order_hash: str
    state: str | None


@dataclass(frozen=True, kw_only=True)
class Look:
    """Everything one sweep saw of an account.

    Attributes:
        state: where the account stands.
        listing: what the exchange lists, read before everything else.
        quotes: the tops of the books that were asked for.
        beyond: tokens whose price was beyond the stop at the look before, and since when.
    """

    account_id: str
    state: AccountState
    held: Sequence[Held]
    strays: Sequence[Stray]
    listing: Listing
    quotes: Mapping[str, Quote]
    rule: StopRule
    now: datetime
    beyond: Mapping[str, datetime] = field(default_factory=dict[str, datetime])


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """Something about the account that a person should know.

    Attributes:
        name: which; docs/guardian.md says what to do.
        about: what it concerns; with the name, its identity.
    """

    name: str
    about: str
    words: str


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What came of one sweep, as it is kept and shown.

    Attributes:
        swept_at: when it was over; `seconds` it took.
        is_whole: everything could be read; otherwise nothing was repaired.
        alarms: the first of `alarm_count`.
    """

    account_id: str
    swept_at: datetime
    seconds: Decimal
    is_whole: bool
    positions: int
    unprotected: int
    alarms: tuple[Alarm, ...]
    alarm_count: int


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What our own books say of an account at one moment.

    Attributes:
        strays: listed orders that our books lack, or call dead.
        alarms: of the sweep before, so that each is told once.
    """

    standing: Standing
    held: Sequence[Held]
    strays: Sequence[Stray]
    alarms: tuple[Alarm, ...]


@dataclass(frozen=True, kw_only=True)
class Concern:
    """A position that is not as it should be.

    Attributes:
        why: the words of every rule that holds; empty where only the price is beyond the stop.
        is_repaired: its workflow is told.
    """

    held: Held
    why: tuple[str, ...]
    is_repaired: bool
    crossing: Crossing | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is to be done after one look.

    Attributes:
        unprotected: positions that lack something now, and since when.
        beyond: what the next look is to be given as `beyond`.
        exempt: how many positions each exemption leaves alone.
    """

    concerns: tuple[Concern, ...]
    alarms: tuple[Alarm, ...]
    unprotected: Mapping[str, datetime]
    beyond: Mapping[str, datetime]
    exempt: Mapping[str, int]


def verdict(look: Look) -> Verdict:
    """Return what is to be done after one look."""
    return _Judge(look).verdict()


class _Judge:
    """One look being judged."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._concerns: list[Concern] = []
        self._alarms: list[Alarm] = []
        self._unprotected: dict[str, datetime] = {}
        self._beyond: dict[str, datetime] = {}
        self._exempt: dict[str, int] = {}

    def verdict(self) -> Verdict:
        """Return what every position and the account ask for."""
        is_halted = self._look.state in HALTS
        for held in self._look.held:
            self._judge(held, is_halted=is_halted)
        self._alarms += _stray_alarms(self._look, is_halted=is_halted)
        return Verdict(
            concerns=tuple(self._concerns),
            alarms=tuple(self._alarms),
            unprotected=self._unprotected,
            beyond=self._beyond,
            exempt=self._exempt,
        )

    def _judge(self, held: Held, *, is_halted: bool) -> None:
        """Judge one position."""
        look = self._look
        case = case_of(held, look.listing, look.now, is_halted=is_halted)
        crossing = self._crossing(held) if is_judged(held) else None
        why_not = exemption(case)
        if why_not is not None:
            self._exempt[why_not.name] = self._exempt.get(why_not.name, 0) + 1
        found = gaps(case) if why_not is None else []
        if held.exit_status == ProtectionStatus.BLOCKED:
            self._alarm("exit_blocked", held, "its exit cannot go on: it is tried again")
        if any(rule.is_gap for rule in found):
            self._open(held)
        if found or crossing is not None:
            concern = Concern(
                held=held,
                why=tuple(rule.words for rule in found),
                is_repaired=any(rule.is_repaired for rule in found),
                crossing=crossing,
            )
            self._concerns.append(concern)

    def _open(self, held: Held) -> None:
        """Note that a position is unprotected; for too long is an alarm."""
        now = self._look.now
        since = held.unprotected_since or now
        self._unprotected[held.position_id] = since
        if now - since >= LONG_UNPROTECTED:
            seconds = (now - since).total_seconds()
            self._alarm("unprotected", held, f"not protected for {seconds:.0f} s")

    def _crossing(self, held: Held) -> Crossing | None:
        """Return the crossing that one look proves; what it cannot judge is an alarm."""
        look, stop = self._look, stop_of(held)
        quote = look.quotes.get(held.token_id)
        price = quote.price(look.rule.trigger) if quote is not None else None
        if stop is None or price is None:
            words = "no book" if quote is None else f"its book has no {look.rule.trigger} price"
            self._alarm("stop_unjudged", held, f"its stop cannot be judged: {words}")
            return None
        if not is_beyond(price, stop, held.tick_size, look.rule):
            return None
        since = look.beyond.get(held.token_id)
        self._beyond[held.token_id] = since or look.now
        if not is_proved(since, look.now, look.rule):
            return None
        if not held.accepting_orders:
            self._alarm("stop_in_pause", held, "the price is beyond its stop, no order is taken")
        return Crossing(price=price, seen_at=look.now, seen_by=GUARDIAN)

    def _alarm(self, name: str, held: Held, words: str) -> None:
        about = f"{held.market} {held.outcome}"
        self._alarms.append(Alarm(name=name, about=about, words=words))


def _stray_alarms(look: Look, *, is_halted: bool) -> Iterable[Alarm]:
    """Yield what is wrong about listed orders, beyond the positions they belong to."""
    for stray in look.strays:
        if stray.state is None:
            words = "rests at the exchange and is not in our books"
            yield Alarm(name="order_unknown", about=stray.order_hash, words=words)
        elif stray.state in TERMINAL:
            words = f"rests at the exchange; our books say {stray.state}"
            yield Alarm(name="order_lives", about=stray.order_hash, words=words)
    if is_halted and look.listing.hashes:
        words = f"{len(look.listing.hashes)} orders rest while the account is {look.state}"
        yield Alarm(name="rests_while_halted", about=look.account_id, words=words)

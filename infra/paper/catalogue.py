"""The markets of the paper exchange: what one is, and the set a new exchange opens with."""

import hashlib
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Final, cast

from infra.paper.wire import MICRO, Json

ORDINARY_TICK: Final = 10_000
FINE_TICK: Final = 1_000
MIN_SIZE: Final = 5 * MICRO
TICKS: Final = frozenset({100_000, 10_000, 5_000, 2_500, 1_000, 100})
_FEE_UNIT: Final = Decimal(10)  # fees are rounded to 5 decimals, a tenth of a cent's cent
_END: Final = "2027-12-31T12:00:00Z"
_START: Final = "2026-01-05T00:00:00Z"


@dataclass(slots=True)
class Market:
    """One question with two outcomes; prices and sizes in micro-units.

    `fee_rate` and `fee_exponent` are r and e of `shares * r * (p(1-p))^e`; `fee_asset` says
    whether a buyer pays it in collateral or in the shares bought. `delay_us` is the taker delay.
    """

    gamma_id: str
    condition_id: str
    question_id: str
    slug: str
    question: str
    outcomes: tuple[str, str]
    token_ids: tuple[str, str]
    event_id: str
    event_slug: str
    event_title: str
    tag: str
    start_mid: int
    tick: int = ORDINARY_TICK
    min_size: int = MIN_SIZE
    neg_risk: bool = False
    neg_risk_market_id: str = ""
    fee_rate: str = "0"
    fee_exponent: int = 1
    fee_asset: str = "collateral"
    delay_us: int = 0
    end_date: str = _END
    start_date: str = _START
    closed: bool = False
    closed_time: str = ""
    payouts: tuple[str, str] | None = None

    @property
    def has_fees(self) -> bool:
        """Tell whether takers pay a fee."""
        return Decimal(self.fee_rate) > 0

    def fee(self, size: int, price: int) -> int:
        """Return the taker's fee on `size` shares at `price`, in micro-dollars.

        Rounded to 5 decimals, so the smallest one is 0.00001 and anything below half of it none.
        """
        if not self.has_fees:
            return 0
        chance = Decimal(price) / MICRO
        curve = (chance * (1 - chance)) ** self.fee_exponent
        exact = Decimal(size) * Decimal(self.fee_rate) * curve
        return int((exact / _FEE_UNIT).to_integral_value() * _FEE_UNIT)

    def index_of(self, token_id: str) -> int:
        """Return 0 for the first outcome's token, 1 for the second's."""
        return self.token_ids.index(token_id)


def to_document(market: Market) -> Json:
    """Return the market as plain JSON for the ledger."""
    return cast("Json", asdict(market))


def from_document(document: Json) -> Market:
    """Return a market read back from the ledger."""
    market = Market(**cast("dict[str, Any]", document))
    market.outcomes = _pair(document["outcomes"])
    market.token_ids = _pair(document["token_ids"])
    market.payouts = None if market.payouts is None else _pair(document["payouts"])
    return market


def _pair(value: object) -> tuple[str, str]:
    first, second = cast("list[str]", value)
    return (first, second)


@dataclass(frozen=True, slots=True)
class Opening:
    """What a market needs said about it; ids and tokens follow from its slug."""

    slug: str
    question: str
    start_mid: str
    tag: str
    event: tuple[str, str] | None = None
    outcomes: tuple[str, str] = ("Yes", "No")
    tick: int = ORDINARY_TICK
    neg_risk: bool = False
    fee: tuple[str, int] = ("0", 1)
    closed: bool = False


def _digest(*parts: str) -> bytes:
    return hashlib.sha256("/".join(("holdfast-paper", *parts)).encode()).digest()


def token_id_of(slug: str, outcome: str) -> str:
    """Return the token of an outcome: 256 bits in decimal, as random as a real one looks.

    Bits 40 to 103 must not all be zero, or clients take it for an id of the next protocol.
    """
    return str(int.from_bytes(_digest("token", slug, outcome), "big") | (1 << 255) | (1 << 70))


def open_market(opening: Opening, gamma_id: int) -> Market:
    """Return the market that an opening describes."""
    slug = opening.slug
    event_slug, event_title = opening.event or (slug, opening.question)
    event = "0x" + _digest("event", event_slug).hex()
    market = Market(
        gamma_id=str(gamma_id),
        condition_id="0x" + _digest("condition", slug).hex(),
        question_id="0x" + _digest("question", slug).hex(),
        slug=slug,
        question=opening.question,
        outcomes=opening.outcomes,
        token_ids=(
            token_id_of(slug, opening.outcomes[0]),
            token_id_of(slug, opening.outcomes[1]),
        ),
        event_id=str(20_000 + int(event[2:8], 16) % 70_000),
        event_slug=event_slug,
        event_title=event_title,
        tag=opening.tag,
        start_mid=int(Decimal(opening.start_mid) * MICRO),
        tick=opening.tick,
        neg_risk=opening.neg_risk,
        neg_risk_market_id=event if opening.neg_risk else "",
        fee_rate=opening.fee[0],
        fee_exponent=opening.fee[1],
    )
    if opening.closed:
        market.closed, market.closed_time = True, "2026-02-01 17:30:00+00"
        market.payouts = ("1", "0")
    return market


_FED: Final = ("fed-decision-in-december-2027", "Fed decision in December 2027?")
_CUP: Final = ("champions-league-winner-2027", "Champions League Winner 2027")
_CRYPTO: Final = ("0.07", 1)
_SPORT: Final = ("0.03", 1)

OPENINGS: Final = (
    Opening(
        "will-the-us-enter-a-recession-in-2027",
        "Will the US enter a recession in 2027?",
        "0.32",
        "Economy",
    ),
    Opening(
        "will-bitcoin-reach-200k-in-2027",
        "Will Bitcoin reach $200,000 in 2027?",
        "0.41",
        "Crypto",
        fee=_CRYPTO,
    ),
    Opening(
        "will-a-new-supreme-court-justice-be-confirmed-in-2027",
        "Will a new Supreme Court justice be confirmed in 2027?",
        "0.55",
        "Politics",
    ),
    Opening(
        "lakers-vs-celtics-2027-01-18",
        "Lakers vs. Celtics",
        "0.48",
        "Sports",
        outcomes=("Lakers", "Celtics"),
        fee=_SPORT,
    ),
    Opening(
        "will-spacex-land-a-starship-on-mars-before-2028",
        "Will SpaceX land a Starship on Mars before 2028?",
        "0.12",
        "Science",
    ),
    Opening(
        "will-the-eu-sign-a-trade-deal-with-india-in-2027",
        "Will the EU sign a trade deal with India in 2027?",
        "0.63",
        "World",
    ),
    Opening(
        "will-gpt-6-be-released-before-july-2027",
        "Will GPT-6 be released before July 2027?",
        "0.715",
        "Tech",
        tick=FINE_TICK,
        fee=("0.04", 1),
    ),
    Opening(
        "will-ethereum-flip-bitcoin-by-2028",
        "Will Ethereum flip Bitcoin by 2028?",
        "0.052",
        "Crypto",
        tick=FINE_TICK,
        fee=_CRYPTO,
    ),
    Opening(
        "fed-decreases-rates-by-25-bps-in-december-2027",
        "Fed decreases interest rates by 25 bps after December 2027 meeting?",
        "0.58",
        "Economy",
        _FED,
        neg_risk=True,
    ),
    Opening(
        "fed-no-change-in-december-2027",
        "No change in Fed interest rates after December 2027 meeting?",
        "0.34",
        "Economy",
        _FED,
        neg_risk=True,
    ),
    Opening(
        "fed-increases-rates-in-december-2027",
        "Fed increases interest rates after December 2027 meeting?",
        "0.08",
        "Economy",
        _FED,
        neg_risk=True,
    ),
    Opening(
        "will-real-madrid-win-the-champions-league-2027",
        "Will Real Madrid win the 2026-27 Champions League?",
        "0.184",
        "Sports",
        _CUP,
        tick=FINE_TICK,
        neg_risk=True,
        fee=_SPORT,
    ),
    Opening(
        "will-arsenal-win-the-champions-league-2027",
        "Will Arsenal win the 2026-27 Champions League?",
        "0.221",
        "Sports",
        _CUP,
        tick=FINE_TICK,
        neg_risk=True,
        fee=_SPORT,
    ),
    Opening(
        "will-the-government-shut-down-in-january-2026",
        "Will the US government shut down in January 2026?",
        "0.999",
        "Politics",
        closed=True,
    ),
)
_FIRST_GAMMA_ID: Final = 512_340


def opening_markets() -> list[Market]:
    """Return the markets a new exchange opens with."""
    return [open_market(opening, _FIRST_GAMMA_ID + n) for n, opening in enumerate(OPENINGS)]

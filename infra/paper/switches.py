"""Every way in which production is now like this, now like that: one typed place for all of them.

The values a new exchange starts with are production's own figures, told in the form that every
known client accepts. STRICT turns on whatever production was ever seen to do to a client.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from decimal import Decimal
from typing import Annotated, Final, Literal, cast

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from infra.paper.wire import MICRO, Json, RefusedError

Seconds = Annotated[Decimal, Field(ge=0, le=86_400)]
TierName = Literal["standard", "copper", "bronze", "silver", "gold", "platinum", "diamond", "elite"]


@checked_dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class Switches:
    """How the exchange behaves where production is not always the same.

    Attributes:
        signer_limits: token buckets of each API key's signer; "warned" lets everything pass with
            `Poly-RateLimit-Warning: true`.
        tier: the volume tier of every signer.
        address_limits: requests of one client address; "queued" makes an early one wait before it
            is refused, as Cloudflare does.
        limits_percent: all rates and bursts in percent of production's.
        restart_post_only_seconds: how long only post-only orders are taken after a restart.
        refusals: how a single order is refused: HTTP 400 `{"error"}`, or 200 with `errorMsg` and
            `success` false or true.
        leg_success: what `success` says in a refused leg of a batch.
        duplicate_words: the long form is the older one.
        gone_orders: how an order that is not open is shown: 404, or 200 with `null`.
        order_status: "prefixed" is ORDER_STATUS_LIVE.
        trade_status: "prefixed" is TRADE_STATUS_CONFIRMED, on REST only.
        matched_word: what REST calls a trade that is matched and not yet mined.
        cancel_reasons: user events say CANCELED_<reason> where there is one.
        killed_events: a killed FOK or FAK tells its owner a CANCELLATION whose `size_matched` and
            `created_at` are empty.
        hashes: transaction hashes at once, or only once a trade is mined.
        trade_ids: whether the answer to a matched order names its trades.
        nulls: optional texts of answers and `associate_trades` are null instead of empty.
        unknown_fields: answers, orders and trades carry fields, and streams events, that no
            client knows.
        decimals: "padded" writes 0.5 as 0.500000.
        trades: "averaged" makes one trade of all prices an order took, at a price on the grid.
        market_buys: what a BUY that may not rest fills up to: the shares it was signed for, or
            the dollars, which buy more shares where the price is better.
        maker_sides: whether maker orders tell their side; older trades do not.
        trades_first: user events of trades come before those of their orders.
        taker_delay_seconds: every order that would take is delayed this long, as in live sports;
            0 leaves it to each market.
        read_lag_seconds: orders and trades are listed so much after they happened.
        eoa_makers: whether a plain key may trade without a deposit wallet.
    """

    signer_limits: Literal["enforced", "warned", "off"] = "enforced"
    tier: TierName = "standard"
    address_limits: Literal["refused", "queued", "off"] = "refused"
    limits_percent: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    restart_post_only_seconds: Seconds = Decimal(120)
    refusals: Literal["http_400", "success_false", "success_true"] = "http_400"
    leg_success: bool = False
    duplicate_words: Literal["short", "long"] = "short"
    gone_orders: Literal["not_found", "null"] = "not_found"
    order_status: Literal["plain", "prefixed", "lower"] = "plain"
    trade_status: Literal["plain", "prefixed"] = "plain"
    matched_word: Literal["MATCHED", "MATCHED_NOT_BROADCASTED"] = "MATCHED"
    cancel_reasons: bool = False
    killed_events: bool = False
    hashes: Literal["at_once", "when_mined"] = "at_once"
    trade_ids: bool = True
    nulls: bool = False
    unknown_fields: bool = False
    decimals: Literal["short", "padded"] = "short"
    trades: Literal["by_price", "averaged"] = "by_price"
    market_buys: Literal["dollars", "shares"] = "shares"
    maker_sides: bool = True
    trades_first: bool = False
    taker_delay_seconds: Seconds = Decimal(0)
    read_lag_seconds: Seconds = Decimal(0)
    eoa_makers: bool = True

    @property
    def taker_delay_us(self) -> int:
        """Return the delay of every taking order, in microseconds."""
        return int(self.taker_delay_seconds * MICRO)

    @property
    def read_lag_us(self) -> int:
        """Return how late orders and trades are listed, in microseconds."""
        return int(self.read_lag_seconds * MICRO)


PLAIN: Final = Switches()
STRICT: Final = replace(
    PLAIN,
    refusals="success_true",
    leg_success=True,
    duplicate_words="long",
    gone_orders="null",
    order_status="prefixed",
    trade_status="prefixed",
    matched_word="MATCHED_NOT_BROADCASTED",
    cancel_reasons=True,
    killed_events=True,
    hashes="when_mined",
    trade_ids=False,
    unknown_fields=True,
    decimals="padded",
    trades="averaged",
    market_buys="dollars",
    maker_sides=False,
    trades_first=True,
    read_lag_seconds=Decimal("0.3"),
    eoa_makers=False,
)
PRESETS: Final = {"plain": PLAIN, "strict": STRICT}
_SWITCHES: Final = TypeAdapter(Switches)


def changed(known: Switches, wanted: Mapping[str, object]) -> Switches:
    """Return the switches with some turned; `preset` names a set to begin with.

    Raises RefusedError naming the switch and what it takes.
    """
    turned = dict(wanted)
    name = turned.pop("preset", None)
    if name is not None and name not in PRESETS:
        raise RefusedError(400, f"preset: expected one of {', '.join(PRESETS)}, got {name}")
    start = known if name is None else PRESETS[str(name)]
    try:
        return _SWITCHES.validate_python({**asdict(start), **turned})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RefusedError(400, f"switch {place}: {first['msg']}") from error


def shown(switches: Switches) -> Json:
    """Return every switch as plain JSON."""
    return cast("Json", _SWITCHES.dump_python(switches, mode="json"))

"""Polymarket's limits: per address for each endpoint, and per signer for orders and cancels."""

import logging
from math import isfinite
from typing import Final

from infra.exchanges.limits import Bucket, Rate
from infra.exchanges.meter import Call, Passage
from infra.exchanges.polymarket.failures import TOO_MANY, retry_after_of

log = logging.getLogger(__name__)

POST_ORDER: Final = "POST /order"
CANCELS: Final = frozenset(
    {"DELETE /order", "DELETE /orders", "DELETE /cancel-all", "DELETE /cancel-market-orders"}
)
ALL: Final = "CLOB"
MARKET_LIST: Final = "GET /markets/keyset"  # Gamma's; the others are the CLOB's

# Calls within ten seconds of one address, as the exchange documents them.
PER_TEN_SECONDS: Final = {
    ALL: 9000,
    "GET /book": 1500,
    "POST /books": 500,
    "POST /midpoints": 500,
    "GET /data/order/{id}": 900,
    "GET /data/orders": 500,
    "GET /data/trades": 500,
    "GET /balance-allowance": 200,
    MARKET_LIST: 300,
}

# Per signer: orders, and cancels; the exchange names the tier in its answers.
TIERS: Final = {
    "standard": (Rate(per_second=40, burst=60), Rate(per_second=80, burst=120)),
    "copper": (Rate(per_second=60, burst=90), Rate(per_second=120, burst=180)),
    "bronze": (Rate(per_second=80, burst=120), Rate(per_second=160, burst=240)),
    "silver": (Rate(per_second=200, burst=300), Rate(per_second=400, burst=600)),
    "gold": (Rate(per_second=400, burst=600), Rate(per_second=800, burst=1200)),
    "platinum": (Rate(per_second=450, burst=675), Rate(per_second=900, burst=1350)),
    "diamond": (Rate(per_second=525, burst=787), Rate(per_second=1050, burst=1575)),
    "elite": (Rate(per_second=600, burst=900), Rate(per_second=1200, burst=1800)),
}
FIRST_TIER: Final = "standard"


class PolymarketLimits:
    """The limits of every account and endpoint, as this process may use them.

    Args:
        tier: what an account is taken for until an answer tells.
    """

    def __init__(self, tier: str = FIRST_TIER) -> None:
        self._tier = tier
        self._tiers: dict[str, str] = {}
        self._share = 1.0
        self._by_endpoint = {
            name: Bucket(Rate.per_ten_seconds(calls)) for name, calls in PER_TEN_SECONDS.items()
        }
        self._by_signer: dict[tuple[str, int], Bucket] = {}

    def buckets(self, call: Call) -> list[Bucket]:
        """Return every limit that a call counts against."""
        names = [call.endpoint] if call.endpoint == MARKET_LIST else [call.endpoint, ALL]
        found = [self._by_endpoint[name] for name in names if name in self._by_endpoint]
        signers = self._signers(call)
        return found if signers is None else [*found, signers]

    def heard(self, passage: Passage) -> None:
        """Follow what an answer says of the limits."""
        headers, call = passage.headers, passage.call
        if passage.status == TOO_MANY:
            seconds = retry_after_of(headers)
            for bucket in self._narrowest(call):
                bucket.pause(seconds)
            log.warning("exchange.limited", extra={"endpoint": call.endpoint, "seconds": seconds})
        signers = self._signers(call)
        if signers is None:
            return
        tier = headers.get("Poly-RateLimit-Tier", "").strip().casefold()
        if tier in TIERS and tier != self._tiers.get(call.scope, self._tier):
            self._tiers[call.scope] = tier
            self._resize()
            log.info("exchange.tier", extra={"scope": call.scope, "tier": tier})
        remaining = _number(headers.get("Poly-RateLimit-Remaining"))
        if remaining is not None:
            signers.follow(max(remaining, 0.0))

    def shared_by(self, processes: int) -> None:
        """Keep to this process's part of what several of them may do together."""
        share = 1 / max(processes, 1)
        if share != self._share:
            self._share = share
            self._resize()
            log.info("exchange.limits_shared", extra={"processes": processes})

    def _resize(self) -> None:
        for bucket in self._by_endpoint.values():
            bucket.resize(share=self._share)
        for (scope, kind), bucket in self._by_signer.items():
            rate = TIERS[self._tiers.get(scope, self._tier)][kind]
            bucket.resize(rate=rate, share=self._share)

    def _signers(self, call: Call) -> Bucket | None:
        """Return the account's own bucket for orders or for cancels."""
        if call.endpoint != POST_ORDER and call.endpoint not in CANCELS:
            return None
        key = (call.scope, int(call.endpoint in CANCELS))
        if key not in self._by_signer:
            rate = TIERS[self._tiers.get(call.scope, self._tier)][key[1]]
            self._by_signer[key] = Bucket(rate)
            self._by_signer[key].resize(share=self._share)
        return self._by_signer[key]

    def _narrowest(self, call: Call) -> list[Bucket]:
        """Return the limit that a call most likely ran into."""
        return [one for one in self.buckets(call) if one is not self._by_endpoint[ALL]] or [
            self._by_endpoint[ALL]
        ]


def _number(text: str | None) -> float | None:
    """Return a header's number, None where it has none."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if isfinite(value) else None

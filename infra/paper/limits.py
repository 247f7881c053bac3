"""Production's rate limits: two token buckets for each signer, and windows for each address.

Both must be satisfied. The first counts orders, the second requests.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, cast

import orjson

from infra.paper.switches import Switches
from infra.paper.wire import MICRO, Answer, Json, RefusedError, Request

TOO_MANY: Final = "Too Many Requests"
_PERCENT: Final = 100
_MOST_QUEUED_US: Final = 5 * MICRO
_SHORT_US: Final = 10 * MICRO
_LONG_US: Final = 600 * MICRO
_MINUTE_US: Final = 60 * MICRO


@dataclass(frozen=True, slots=True)
class Tier:
    """Tokens a second and the most a bucket holds; whether a mass cancel may leave a debt."""

    order: tuple[int, int]
    cancel: tuple[int, int]
    may_owe: bool = True


TIERS: Final = {
    "standard": Tier((40, 60), (80, 120)),
    "copper": Tier((60, 90), (120, 180)),
    "bronze": Tier((80, 120), (160, 240)),
    "silver": Tier((200, 300), (400, 600)),
    "gold": Tier((400, 600), (800, 1200)),
    "platinum": Tier((450, 675), (900, 1350), may_owe=False),
    "diamond": Tier((525, 787), (1050, 1575), may_owe=False),
    "elite": Tier((600, 900), (1200, 1800), may_owe=False),
}
_COSTS: Final = {
    ("POST", "/order"): "order",
    ("POST", "/orders"): "order",
    ("DELETE", "/order"): "cancel",
    ("DELETE", "/orders"): "cancel",
    ("DELETE", "/cancel-all"): "cancel",
    ("DELETE", "/cancel-market-orders"): "cancel",
}
_BATCHES: Final = frozenset({("POST", "/orders"), ("DELETE", "/orders")})
_MASS: Final = frozenset({"/cancel-all", "/cancel-market-orders"})


@dataclass(slots=True)
class _Bucket:
    """What a signer may still do, in millionths of a token, as it was at a moment."""

    level: int
    at: int


class SignerLimits:
    """The buckets of every signer; a restart of the exchange fills them.

    Args:
        now: the moment now, in microseconds.
        switches: asked anew each time.
    """

    def __init__(self, now: Callable[[], int], switches: Callable[[], Switches]) -> None:
        self._now = now
        self._switches = switches
        self._buckets: dict[tuple[str, str], _Bucket] = {}

    def admit(self, request: Request, signer: str) -> dict[str, str]:
        """Take a request's tokens and return the headers of its answer.

        Raises RefusedError (429) when there are too few; none is taken then, and no part of a
        batch is done. A cost above the burst never passes, so no wait is named for it.
        """
        kind, cost = _COSTS[request.method, request.path], _cost(request)
        rate, burst = self._figures(kind)
        bucket = self._filled(kind, signer, rate, burst)
        missing = cost * MICRO - bucket.level
        if missing <= 0:
            bucket.level -= cost * MICRO
            return self._headers(bucket, 0)
        wait_seconds = -(-missing // (rate * MICRO))
        headers = self._headers(bucket, wait_seconds)
        if self._switches().signer_limits == "warned":
            bucket.level = max(0, bucket.level - cost * MICRO)
            return {**headers, "Poly-RateLimit-Warning": "true"}
        if cost <= burst:
            headers["Retry-After"] = str(wait_seconds)
        raise RefusedError(429, TOO_MANY, headers=headers)

    def settle(self, request: Request, signer: str, answer: Answer) -> dict[str, str]:
        """Take one token more for each order that a mass cancel ended; return fresh headers."""
        if request.path not in _MASS:
            return {}
        rate, burst = self._figures("cancel")
        bucket = self._filled("cancel", signer, rate, burst)
        gone = cast("Json", orjson.loads(answer.body)).get("canceled")
        bucket.level -= len(cast("list[object]", gone)) * MICRO if gone else 0
        if not TIERS[self._switches().tier].may_owe:
            bucket.level = max(0, bucket.level)
        wait_seconds = max(0, -(-(MICRO - bucket.level) // (rate * MICRO)))
        return self._headers(bucket, wait_seconds)

    def _figures(self, kind: str) -> tuple[int, int]:
        switches = self._switches()
        tier = TIERS[switches.tier]
        rate, burst = tier.order if kind == "order" else tier.cancel
        percent = switches.limits_percent
        return max(1, rate * percent // _PERCENT), max(1, burst * percent // _PERCENT)

    def _filled(self, kind: str, signer: str, rate: int, burst: int) -> _Bucket:
        now = self._now()
        bucket = self._buckets.setdefault((kind, signer), _Bucket(burst * MICRO, now))
        bucket.level = min(burst * MICRO, bucket.level + (now - bucket.at) * rate)
        bucket.at = now
        return bucket

    def _headers(self, bucket: _Bucket, wait_seconds: int) -> dict[str, str]:
        return {
            "Poly-RateLimit-Remaining": str(bucket.level // MICRO),
            "Poly-RateLimit-Reset": str(self._now() // MICRO + wait_seconds),
            "Poly-RateLimit-Tier": self._switches().tier,
        }


def is_counted(request: Request) -> bool:
    """Tell whether a CLOB request takes tokens of its signer."""
    return (request.method, request.path) in _COSTS


def _cost(request: Request) -> int:
    """Return a request's tokens: one for each order or id of a batch; a broken body costs one."""
    if (request.method, request.path) not in _BATCHES:
        return 1
    try:
        listed = request.json()
    except RefusedError:
        return 1
    return max(1, len(cast("list[object]", listed))) if isinstance(listed, list) else 1


@dataclass(frozen=True, slots=True)
class _Rule:
    """So many requests to a path (and what lies under it) in a time; no method means any."""

    service: str
    path: str
    limit: int
    period_us: int = _SHORT_US
    method: str = ""

    def concerns(self, request: Request) -> bool:
        """Tell whether a request counts."""
        if self.service != request.service or self.method not in {"", request.method}:
            return False
        return request.path == self.path or request.path.startswith(self.path.rstrip("/") + "/")


def _clob(path: str, short: int, long: int = 0, method: str = "") -> list[_Rule]:
    rules = [_Rule("clob", path, short, method=method)]
    return [*rules, _Rule("clob", path, long, _LONG_US, method)] if long else rules


ADDRESS_RULES: Final = (
    *_clob("/", 9000),
    *_clob("/order", 5000, 120_000, "POST"),
    *_clob("/order", 5000, 120_000, "DELETE"),
    *_clob("/orders", 2000, 21_000, "POST"),
    *_clob("/orders", 2000, 15_000, "DELETE"),
    *_clob("/cancel-all", 250, 6000, "DELETE"),
    *_clob("/cancel-market-orders", 1500, 21_000, "DELETE"),
    *(rule for path in ("/book", "/price", "/midpoint") for rule in _clob(path, 1500)),
    *(rule for path in ("/books", "/prices", "/midpoints") for rule in _clob(path, 500)),
    *_clob("/prices-history", 1000),
    *_clob("/tick-size", 200),
    *_clob("/data", 900),
    *_clob("/data/orders", 500),
    *_clob("/data/trades", 500),
    *_clob("/notifications", 125),
    *_clob("/balance-allowance", 200, method="GET"),
    *_clob("/balance-allowance/update", 50),
    *_clob("/auth", 100),
    *_clob("/ok", 100),
    _Rule("gamma", "/", 4000),
    _Rule("gamma", "/events", 500),
    _Rule("gamma", "/markets", 300),
    _Rule("gamma", "/public-search", 350),
    _Rule("gamma", "/tags", 200),
    _Rule("data-api", "/", 1000),
    _Rule("data-api", "/trades", 200),
    _Rule("data-api", "/positions", 150),
    _Rule("relayer", "/submit", 25, _MINUTE_US),
)


@dataclass(slots=True)
class _Window:
    """A sliding window as Cloudflare counts it: the last whole period fades into this one."""

    start: int = 0
    before: int = 0
    current: int = 0

    def advance(self, now: int, period_us: int) -> None:
        """Begin a new period where one is due."""
        start = now - now % period_us
        if start != self.start:
            self.before = self.current if start - self.start == period_us else 0
            self.start, self.current = start, 0

    def wait_us(self, now: int, rule: _Rule, limit: int) -> int:
        """Return how long a request has to wait until there is room for it."""
        passed, period = now - self.start, rule.period_us
        if self.before * (period - passed) + (self.current + 1) * period <= limit * period:
            return 0
        if self.current < limit:
            return period - (limit - self.current - 1) * period // self.before - passed
        return period - passed + period - (limit - 1) * period // self.current


@dataclass(slots=True)
class AddressLimits:
    """The windows of every client address.

    Args:
        now: the moment now, in microseconds.
        switches: asked anew each time.
    """

    now: Callable[[], int]
    switches: Callable[[], Switches]
    _windows: dict[tuple[str, _Rule], _Window] = field(
        default_factory=dict[tuple[str, _Rule], _Window]
    )

    def wait_us(self, request: Request, address: str) -> int:
        """Count a request and return how long it waits. Raises RefusedError (429) beyond that."""
        switches, now = self.switches(), self.now()
        if switches.address_limits == "off":
            return 0
        wait, windows = 0, list[_Window]()
        for rule in ADDRESS_RULES:
            if rule.concerns(request):
                window = self._windows.setdefault((address, rule), _Window())
                window.advance(now, rule.period_us)
                limit = max(1, rule.limit * switches.limits_percent // _PERCENT)
                wait = max(wait, window.wait_us(now, rule, limit))
                windows.append(window)
        is_queued = switches.address_limits == "queued" and wait <= _MOST_QUEUED_US
        if wait and not is_queued:
            seconds = str(-(-wait // MICRO))
            raise RefusedError(429, TOO_MANY, headers={"Retry-After": seconds})
        for window in windows:
            window.current += 1
        return wait

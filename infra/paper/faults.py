"""HTTP faults by rule: which requests they hit, and what then becomes of them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any, Final, cast

from infra.paper.exchange import Exchange
from infra.paper.ledger import Ledger
from infra.paper.makers import draw
from infra.paper.placement import identify
from infra.paper.wire import (
    MICRO,
    Answer,
    Json,
    RefusedError,
    Request,
    answered,
    encode,
    json_object,
    micro_of,
)

_DRAWS: Final = 2**32
_ACTIONS: Final = frozenset(
    {
        "drop",
        "status",
        "body",
        "headers",
        "delay_s",
        "duplicate",
        "process_after_s",
        "truncate_bytes",
        "false_success",
    }
)
_KEYS: Final = frozenset({"match", "when", "do", "times"})
_META: Final = "faults"
_MATCHES: Final = frozenset({"method", "path", "nth", "probability", "token_id"})


@dataclass(frozen=True, slots=True)
class Action:
    """What a fault does; times in microseconds, None and 0 where it does not do it."""

    drop: bool = False
    status: int = 0
    body: object = None
    headers: tuple[tuple[str, str], ...] = ()
    delay_us: int = 0
    duplicate: bool = False
    process_after_us: int | None = None
    truncate_bytes: int | None = None
    false_success: bool = False

    @property
    def only_delays(self) -> bool:
        """Tell whether it changes nothing but the time."""
        return self == Action(delay_us=self.delay_us)


@dataclass(slots=True)
class Fault:
    """One rule: what it matches, when it strikes, and how often still (None for ever).

    `nth` counts the matching requests since the rule was made, from 1; `path` may hold `*`.
    """

    fault_id: int
    match: Json
    when: str
    done: Json
    left: int | None
    counted: int = 0

    @property
    def action(self) -> Action:
        """What it does."""
        return _action(self.done)

    @property
    def is_before(self) -> bool:
        """Tell whether it strikes instead of the processing."""
        return self.when == "before"

    def counts(self, request: Request) -> bool:
        """Count a request that it concerns, and tell whether it is one to strike."""
        if self.left == 0 or not self._concerns(request):
            return False
        self.counted += 1
        if self.counted < _whole(self.match.get("nth") or 1):
            return False
        chance = self.match.get("probability")
        if chance is None:
            return True
        drawn = draw("fault", self.fault_id, self.counted)
        return Decimal(drawn) < Decimal(str(chance)) * _DRAWS

    def strike(self) -> None:
        """Use up one of its times."""
        if self.left is not None:
            self.left -= 1

    def _concerns(self, request: Request) -> bool:
        method, path = self.match.get("method"), self.match.get("path")
        token_id = self.match.get("token_id")
        if method is not None and str(method).upper() != request.method:
            return False
        if path is not None and not fnmatchcase(request.path, str(path)):
            return False
        if token_id is None:
            return True
        # Quoted: a signature or a longer id may hold the same digits.
        is_in_body = f'"{token_id}"'.encode() in request.body
        return is_in_body or str(token_id) in request.many("token_id")


class Faults:
    """The rules in force, asked for every request outside `/_paper`; they outlive a restart.

    Args:
        ledger: where they are kept, with what they have counted.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        kept = cast("Json", ledger.meta(_META) or {"count": 0, "rules": []})
        self._count = cast("int", kept["count"])
        rules = cast("list[dict[str, Any]]", kept["rules"])
        self._rules = [Fault(**rule) for rule in rules]

    def _save(self) -> None:
        document = {"count": self._count, "rules": [asdict(rule) for rule in self._rules]}
        self._ledger.set_meta(_META, document)

    def add(self, wanted: Json) -> int:
        """Add a rule and return its id. Raises RefusedError when it names unknown things."""
        match = json_object(wanted.get("match", {}), "match must be an object")
        done = json_object(wanted.get("do", {}), "do must be an object")
        when = wanted.get("when", "before")
        unknown = (match.keys() - _MATCHES) | (done.keys() - _ACTIONS) | (wanted.keys() - _KEYS)
        if unknown or when not in ("before", "after"):
            raise RefusedError(400, f"unknown in fault: {sorted(unknown) or when}")
        _check_figures(match, done)
        default = None if match.get("probability") is not None else 1
        times = wanted.get("times", default)
        left = None if times is None else _whole(times)
        self._count += 1
        self._rules.append(Fault(self._count, match, str(when), done, left))
        self._save()
        return self._count

    def clear(self, fault_id: int | None = None) -> None:
        """Remove one rule or all of them."""
        self._rules = [r for r in self._rules if fault_id not in (None, r.fault_id)]
        self._save()

    def listed(self) -> list[Json]:
        """Return the rules, spent ones too."""
        return [
            {
                "id": rule.fault_id,
                "match": rule.match,
                "when": rule.when,
                "do": rule.done,
                "matched": rule.counted,
                "left": rule.left,
            }
            for rule in self._rules
        ]

    def striking(self, request: Request) -> Fault | None:
        """Return the first rule that hits a request; every rule counts what it concerns."""
        before = [rule.counted for rule in self._rules]
        hitting = [rule for rule in self._rules if rule.counts(request)]
        if hitting:
            hitting[0].strike()
        if before != [rule.counted for rule in self._rules]:
            with self._ledger.transaction():
                self._save()
        return hitting[0] if hitting else None


def _whole(value: object) -> int:
    return micro_of(value) // MICRO


def _check_figures(match: Json, done: Json) -> None:
    """Refuse figures that make no sense, before a test relies on a rule that never strikes."""
    chance, nth = match.get("probability"), match.get("nth")
    if chance is not None and not 0 <= micro_of(chance) <= MICRO:
        raise RefusedError(400, "a probability lies between 0 and 1")
    if nth is not None and _whole(nth) < 1:
        raise RefusedError(400, "nth counts from 1")
    if not done:
        raise RefusedError(400, "a fault must do something")
    _action(done)


def _action(done: Json) -> Action:
    headers = cast("dict[str, object]", done.get("headers") or {})
    after, cut = done.get("process_after_s"), done.get("truncate_bytes")
    return Action(
        drop=bool(done.get("drop")),
        status=_whole(done.get("status") or 0),
        body=done.get("body"),
        headers=tuple((name.lower(), str(value)) for name, value in headers.items()),
        delay_us=micro_of(done.get("delay_s") or 0),
        duplicate=bool(done.get("duplicate")),
        process_after_us=None if after is None else micro_of(after),
        truncate_bytes=None if cut is None else _whole(cut),
        false_success=bool(done.get("false_success")),
    )


def invented(action: Action) -> Answer:
    """Return the answer of a request that is not processed."""
    status = action.status or 500
    body = action.body if action.body is not None else {"error": "Internal server error"}
    return altered(action, answered(body, status))


def altered(action: Action, answer: Answer) -> Answer:
    """Return an answer with the fault's status, body and headers over it."""
    body = answer.body
    if action.body is not None:
        body = action.body.encode() if isinstance(action.body, str) else encode(action.body)
    return Answer(action.status or answer.status, body, {**answer.headers, **dict(action.headers)})


def pretended(exchange: Exchange, request: Request) -> Answer:
    """Return the answer a request would have had, had it been done; nothing is."""
    if request.method == "DELETE":
        return answered({"canceled": _named_orders(exchange, request), "not_canceled": {}})
    if request.path == "/order":
        return answered(_live(exchange, request.json()))
    if request.path == "/orders":
        return answered([_live(exchange, leg) for leg in cast("list[object]", request.json())])
    return answered({})


def _live(exchange: Exchange, posted: object) -> Json:
    order_hash, _, _ = identify(exchange.engine, posted)
    return {
        "errorMsg": "",
        "orderID": order_hash,
        "takingAmount": "",
        "makingAmount": "",
        "status": "live",
        "success": True,
    }


def _named_orders(exchange: Exchange, request: Request) -> Sequence[str]:
    if request.path == "/order":
        return [str(request.json_object().get("orderID", ""))]
    if request.path == "/orders":
        return [str(order_id) for order_id in cast("list[object]", request.json())]
    key = exchange.engine.accounts.key(request.headers.get("poly_api_key", ""))
    if key is None:
        return []
    asset = ""
    if request.path == "/cancel-market-orders":
        asset = str(request.json_object().get("asset_id") or "")
    mine = exchange.engine.open_of(key.address)
    return [order.order_hash for order in mine if not asset or order.token_id == asset]

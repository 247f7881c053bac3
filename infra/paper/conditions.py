"""The part of the admin that sets how the exchange behaves: faults, modes, lags, switches."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Final, cast

from infra.paper.exchange import Exchange
from infra.paper.faults import Faults
from infra.paper.routes import Routes
from infra.paper.settlement import SettlementRules
from infra.paper.stream_faults import StreamFaults
from infra.paper.switches import shown
from infra.paper.wire import (
    MICRO,
    Answer,
    Json,
    RefusedError,
    Request,
    answered,
    micro_of,
    text_of,
)

_MALFORMED: Final = "Invalid payload"


@dataclass(slots=True)
class Conditions:
    """Answers what changes the exchange's behaviour; all of it outlives a restart."""

    exchange: Exchange
    faults: Faults
    stream_faults: StreamFaults

    def register(self, routes: Routes) -> None:
        """Add its paths."""
        routes.add_all(
            ("POST", "/faults", self._add_fault),
            ("GET", "/faults", lambda _: answered(self.faults.listed())),
            ("DELETE", "/faults", self._clear(self.faults.clear)),
            ("DELETE", "/faults/", self._clear(self.faults.clear)),
            ("POST", "/ws-faults", self._add_stream_fault),
            ("GET", "/ws-faults", lambda _: answered(self.stream_faults.listed())),
            ("DELETE", "/ws-faults", self._clear(self.stream_faults.clear)),
            ("DELETE", "/ws-faults/", self._clear(self.stream_faults.clear)),
            ("POST", "/mode", self._mode),
            ("GET", "/mode", lambda _: answered(self.exchange.mode.shown())),
            ("POST", "/switches", self._switches),
            ("GET", "/switches", lambda _: answered(shown(self.exchange.switches))),
            ("POST", "/balances-lag", self._lag),
            ("POST", "/settlement", self._settlement),
            ("GET", "/settlement", lambda _: answered(self._settlement_shown())),
        )

    def _add_fault(self, request: Request) -> Answer:
        return answered({"id": self.faults.add(request.json_object(_MALFORMED))})

    def _add_stream_fault(self, request: Request) -> Answer:
        return answered({"id": self.stream_faults.add(request.json_object(_MALFORMED))})

    def _clear(self, clear: Callable[[int | None], None]) -> Callable[[Request], Answer]:
        def respond(request: Request) -> Answer:
            if request.tail and not request.tail.isdecimal():
                raise RefusedError(404, "fault not found")
            clear(int(request.tail) if request.tail else None)
            return answered({"ok": True})

        return respond

    def _mode(self, request: Request) -> Answer:
        wanted = request.json_object(_MALFORMED)
        seconds = micro_of(wanted.get("seconds") or 0)
        post_only = int(self.exchange.switches.restart_post_only_seconds * MICRO)
        self.exchange.mode.change(str(wanted.get("mode")), seconds, post_only)
        return answered(self.exchange.mode.shown())

    def _switches(self, request: Request) -> Answer:
        return answered(shown(self.exchange.turn(request.json_object(_MALFORMED))))

    def _lag(self, request: Request) -> Answer:
        seconds = micro_of(request.json_object(_MALFORMED).get("seconds") or 0)
        self.exchange.engine.accounts.set_lag(seconds)
        return answered({"seconds": text_of(seconds)})

    def _settlement(self, request: Request) -> Answer:
        wanted, rules = request.json_object(_MALFORMED), self.exchange.engine.settlement.rules
        delay, chance = wanted.get("delay_s"), wanted.get("fail_probability")
        changed = SettlementRules(
            delay_us=rules.delay_us if delay is None else micro_of(delay),
            fail_probability=rules.fail_probability if chance is None else _chance(chance),
            fail_next=micro_of(wanted.get("fail_next", rules.fail_next)) // MICRO,
        )
        self.exchange.engine.settlement.change(changed)
        return answered(self._settlement_shown())

    def _settlement_shown(self) -> Json:
        shown = cast("Json", asdict(self.exchange.engine.settlement.rules))
        shown["delay_s"] = text_of(cast("int", shown.pop("delay_us")))
        return shown


def _chance(value: object) -> str:
    chance = micro_of(value)
    if not 0 <= chance <= MICRO:
        raise RefusedError(400, "a probability lies between 0 and 1")
    return str(Decimal(chance) / MICRO)

"""The paper exchange as a whole: engine, makers, accounts and modes behind one transaction."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, cast

from infra.clock import utc_now
from infra.paper.engine import GTD_MARGIN_SECONDS, Engine
from infra.paper.heartbeats import Heartbeats
from infra.paper.ledger import Ledger
from infra.paper.makers import Makers
from infra.paper.modes import Mode
from infra.paper.placement import Placement
from infra.paper.switches import PLAIN, Switches, changed, shown
from infra.paper.wire import Json

Clock = Callable[[], datetime]
LEDGER_FILE: Final = "exchange.sqlite3"
_SWITCHES: Final = "switches"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Exchange:
    """Everything one exchange is made of.

    Args:
        data_dir: folder of the ledger; what it holds is taken up again.
        clock: the moment now; tests drive it.
        gtd_margin_seconds: how long before its expiration a GTD order is cancelled.
        has_makers: whether the exchange's own makers quote.
        switches: switches to turn at the start, over those the ledger remembers.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        clock: Clock = utc_now,
        gtd_margin_seconds: int = GTD_MARGIN_SECONDS,
        has_makers: bool = True,
        switches: Mapping[str, object] | None = None,
    ) -> None:
        self._clock = clock
        self._gtd_margin_seconds = gtd_margin_seconds
        self.ledger = Ledger(data_dir / LEDGER_FILE)
        self.has_makers = has_makers
        self.rebuild()
        if switches:
            with self.ledger.transaction():
                self.turn(switches)

    def rebuild(self) -> None:
        """Take everything up from the ledger, as a restart would.

        Also the way back when a request broke half-way: its transaction was rolled back, so what
        memory knows of it must go too.
        """
        self.mode = Mode(self.ledger, self.now)
        self.heartbeats = Heartbeats(self.ledger, self.now)
        self.engine = Engine(self.ledger, self.now, gtd_margin_seconds=self._gtd_margin_seconds)
        self.engine.switches = changed(PLAIN, cast("Json", self.ledger.meta(_SWITCHES) or {}))
        self.placement = Placement(self.engine, self.mode)
        with self.ledger.transaction():
            self.makers = Makers(self.engine)
        self.advance()
        self.engine.take_news()

    @property
    def switches(self) -> Switches:
        """Return how the exchange behaves now."""
        return self.engine.switches

    def turn(self, wanted: Mapping[str, object]) -> Switches:
        """Turn switches, in a transaction, and return them all.

        Raises RefusedError for an unknown switch or a value it does not take.
        """
        self.engine.switches = changed(self.engine.switches, wanted)
        self.ledger.set_meta(_SWITCHES, shown(self.engine.switches))
        return self.engine.switches

    def now(self) -> int:
        """Return the moment now, in microseconds since 1970."""
        return (self._clock() - _EPOCH) // _MICROSECOND

    def advance(self) -> None:
        """Do everything that has become due, in one transaction if there is anything."""
        now = self.now()
        silent = self.heartbeats.silent()
        has_quotes = self.has_makers and self.makers.is_due(now)
        is_idle = not (silent or has_quotes or self.ledger.has_backlog)
        if is_idle and not self.engine.is_due(now):
            return
        with self.ledger.transaction():
            for api_key in silent:
                gone = [o for o in self.engine.orders.values() if o.api_key == api_key]
                self.engine.cancel_all(gone)
            if silent:
                self.heartbeats.disarm(silent)
            self.engine.advance()
            if has_quotes:
                self.makers.advance(now)

"""The life of a trade after its match: mined and confirmed, or retried and given up."""

import hashlib
import heapq
from collections.abc import Callable
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Final, cast

from infra.paper.accounts import Accounts
from infra.paper.ledger import Ledger
from infra.paper.news import News
from infra.paper.trades import Trade, TradeStatus
from infra.paper.wire import Json

_META: Final = "settlement"
_FINALITY: Final = 2  # MINED → CONFIRMED takes this many delays
_DRAWS: Final = 2**64


@dataclass(slots=True)
class SettlementRules:
    """How long trades take and how many fail.

    `delay_us` passes from MATCHED to MINED and twice that from MINED to CONFIRMED; a trade that
    fails is RETRYING after one delay and FAILED after two more. The next `fail_next` trades fail,
    and of the others `fail_probability` of them.
    """

    delay_us: int = 500_000
    fail_probability: str = "0"
    fail_next: int = 0


class Settlement:
    """Moves every unsettled trade along when its time has come.

    Args:
        ledger: where trades are kept.
        accounts: whose balances a mined trade moves.
        news: what the parties are told by; asked anew each time.
    """

    def __init__(self, ledger: Ledger, accounts: Accounts, news: Callable[[], News]) -> None:
        self._ledger = ledger
        self._accounts = accounts
        self._news = news
        self._due: list[tuple[int, str, Trade]] = []
        kept = ledger.meta(_META)
        self.rules = (
            SettlementRules() if kept is None else SettlementRules(**cast("dict[str, Any]", kept))
        )
        for trade in ledger.pending_trades():
            if trade.status is not TradeStatus.MINED:
                accounts.hold_trade(trade, +1)
            self._queue(trade)

    def change(self, rules: SettlementRules) -> None:
        """Replace the rules; trades under way keep the time of their next step."""
        self.rules = rules
        self._ledger.set_meta(_META, cast("Json", asdict(rules)))

    def begin(self, trade: Trade) -> None:
        """Write a fresh match and promise what it will move."""
        trade.will_fail = self._is_doomed(trade)
        trade.next_at = trade.matched_at + self.rules.delay_us
        self._ledger.add_trade(trade)
        self._accounts.hold_trade(trade, +1)
        self._queue(trade)

    def _is_doomed(self, trade: Trade) -> bool:
        if self.rules.fail_next > 0:
            self.rules.fail_next -= 1
            self.change(self.rules)
            return True
        draw = hashlib.sha256(f"fate/{trade.trade_id}".encode()).digest()[:8]
        chance = Decimal(self.rules.fail_probability)
        return Decimal(int.from_bytes(draw, "big")) < chance * _DRAWS

    def _queue(self, trade: Trade) -> None:
        heapq.heappush(self._due, (trade.next_at, trade.trade_id, trade))

    def is_due(self, now: int) -> bool:
        """Tell whether any trade has a step to take."""
        return bool(self._due) and self._due[0][0] <= now

    def advance(self, now: int) -> None:
        """Take every step that is due, and tell the parties of each."""
        while self.is_due(now):
            _, _, trade = heapq.heappop(self._due)
            self._step(trade)
            trade.updated_at = now
            self._ledger.save_trade_status(trade)
            self._news().trade(trade)

    def _step(self, trade: Trade) -> None:
        match trade.status:
            case TradeStatus.MATCHED if trade.will_fail:
                trade.status = TradeStatus.RETRYING
            case TradeStatus.MATCHED:
                trade.status = TradeStatus.MINED
                self._accounts.hold_trade(trade, -1)
                self._accounts.settle(trade)
            case TradeStatus.RETRYING:
                trade.status = TradeStatus.FAILED
                self._accounts.hold_trade(trade, -1)
                return
            case _:
                trade.status = TradeStatus.CONFIRMED
                return
        trade.next_at += _FINALITY * self.rules.delay_us
        self._queue(trade)

"""What is held without a plan, in memory, and the activities of signals upon it."""

from dataclasses import dataclass

from typing_extensions import override

from activities.signals import SignalActivities
from activities.wishes import WishActivities
from domain.guarded import Guarded
from domain.ids import position_id
from domain.position import Position
from domain.protection import Plan, Protect
from domain.signal import PositionTask
from tests.workflows.calls import Calls
from tests.workflows.memory import MARKET, Ledger
from tests.workflows.unheld import Unheld


@dataclass
class Held(Unheld):
    """The ports ProtectionStore, where the ledger's shares are held, and EntryPlans."""

    ledger: Ledger

    @override
    async def guarded(self, account_id: str, token_id: str) -> Guarded | None:
        size = self.ledger.held.get(token_id)
        if size is None:
            return None
        return Guarded(
            position=Position(
                id=position_id(account_id, token_id),
                account_id=account_id,
                token_id=token_id,
                condition_id=MARKET.condition_id,
                size=size,
            ),
            plan=Plan(),
            stop=None,
            take_profit=None,
            exit=None,
            orders=(),
            unsettled_size=self.ledger.unsettled_shares,
            unconfirmed=0,
            account=self.ledger.standing_now.state,
        )

    async def change(self, place: PositionTask, wish: Protect) -> list[str]:
        """No entry is open."""
        del place, wish
        return []


def signal_activities(ledger: Ledger, calls: Calls) -> SignalActivities:
    """Return the activities of signals with everything outside in memory."""
    held = Held(ledger)
    wishes = WishActivities(entries=held, markets=ledger, protections=held, workflows=calls)
    return SignalActivities(
        wishes=wishes, orders=ledger, fills=ledger, markets=ledger, workflows=calls
    )

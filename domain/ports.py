"""What the engine needs of the outside, in the engine's words.

Every method may raise UnavailableError; what else it raises is said where it is declared.
"""

from collections.abc import AsyncIterator, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from domain.answer import Submission
from domain.fill import FeeAsset, FeeDoubt, Fill, FillStatus, SeenBy
from domain.guarded import Guarded
from domain.halt import Kill, Reconcile, Standing
from domain.headroom import Reading
from domain.market import Book, Listing, Market
from domain.order import Order, OrderEvent, Sighting
from domain.placed import Placed
from domain.protection import Crossing, Exit, Firing, Protect, Protection, Repair
from domain.risk import AccountState, Day, Limits
from domain.signal import CancelRequest, OrderRequest, PositionTask, SignalStatus
from domain.sizing import Denied, Funds, Terms
from domain.stop import Quote


@dataclass(frozen=True, kw_only=True)
class SignedOrder:
    """Bytes that can be sent again and again and never make two orders.

    Attributes:
        payload: what `submit` takes, readable by the adapter alone.
        price, size: what was really signed.
    """

    order_hash: str
    payload: bytes
    price: Decimal
    size: Decimal


@dataclass(frozen=True, kw_only=True)
class ActiveOrder:
    """An order that the exchange lists as able to match.

    Attributes:
        placed: None where the exchange does not say enough to know a stranger's order by.
    """

    order_hash: str
    token_id: str
    size: Decimal
    matched_size: Decimal
    placed: Placed | None = None


@dataclass(frozen=True, kw_only=True)
class Cancelled:
    """The answer to a cancel.

    Attributes:
        is_cancelled: the exchange says that it is dead now.
        words: its reason where it is not ("already canceled or matched").
    """

    is_cancelled: bool
    words: str = ""


class Exchange(Protocol):
    """One account at one exchange."""

    async def sign(
        self, terms: Terms, market: Market, token_id: str, expires_at: datetime | None
    ) -> SignedOrder:
        """Sign without any request. Raises RejectedError where no valid order can be signed."""
        ...

    async def submit(self, payload: bytes) -> Submission:
        """Send the signed bytes once, within a deadline; never raises but for a bug."""
        ...

    async def active_order(self, order_hash: str) -> ActiveOrder | None:
        """Return the order if it may still match; None says that it is not among those."""
        ...

    async def active_orders(self) -> list[ActiveOrder]:
        """Return every order that may still match, all pages; an incomplete read raises."""
        ...

    async def fills(
        self, *, condition_id: str | None = None, after: datetime | None = None
    ) -> list[Fill]:
        """Return our legs of all trades since `after`, all pages, oldest first."""
        ...

    async def fills_of_trade(self, trade_id: str) -> list[Fill]:
        """Return our legs of one trade as it stands now."""
        ...

    async def cancel(self, order_hash: str) -> Cancelled:
        """Cancel one order; the answer is a hint, a look is the proof."""
        ...

    async def cancel_all(self) -> None:
        """Cancel every order of the account; the answer is a hint, an empty list is the proof."""
        ...

    async def collateral_usd(self) -> Decimal:
        """Return the settled collateral of the account."""
        ...

    async def shares(self, token_id: str) -> Decimal:
        """Return the settled shares of one token."""
        ...

    async def book(self, token_id: str) -> Book:
        """Return a token's book, best first. Raises RejectedError where there is none."""
        ...

    async def midpoints(self, token_ids: list[str]) -> dict[str, Decimal]:
        """Return the middle of each token's book; tokens without one are left out."""
        ...

    async def quotes(self, token_ids: list[str]) -> dict[str, Quote]:
        """Return the top of each token's book, many to a request; those without are left out."""
        ...

    async def beat(self) -> None:
        """Tell the exchange that we live: once told, it cancels all when it no longer hears it."""
        ...


@dataclass(frozen=True, kw_only=True)
class Connected:
    """The user channel is open and subscribed; what happened before is not on it."""


@dataclass(frozen=True, kw_only=True)
class Disconnected:
    """The user channel is gone; it is being opened again."""

    why: str


@dataclass(frozen=True, kw_only=True)
class FillSeen:
    """The channel told of a trade of ours, at some status."""

    fill: Fill


@dataclass(frozen=True, kw_only=True)
class OrderSeen:
    """The channel told of an order of ours."""

    order_hash: str
    sighting: Sighting


StreamItem = Connected | Disconnected | FillSeen | OrderSeen


class UserStream(Protocol):
    """The live news of one account; it never ends and opens itself again."""

    def follow(self) -> AsyncIterator[StreamItem]:
        """Yield everything the exchange says, from now on."""
        ...


class MarketSource(Protocol):
    """Where the list of markets comes from."""

    async def listing(self) -> Listing:
        """Return every market that can be traded or is held; an incomplete list raises."""
        ...


class MarketStore(Protocol):
    """The whitelist of what can be traded."""

    async def find(self, name: str, outcome: str | None) -> tuple[Market, str]:
        """Return the market and token id that `name` (slug, condition or token id) means.

        Raises:
            InvalidInputError: unknown; the remedy names the nearest.
        """
        ...

    async def by_condition(self, condition_id: str) -> Market:
        """Return a market known to be listed."""
        ...

    async def replace(
        self, markets: Iterable[Market], now: datetime, unread: Collection[str] = ()
    ) -> None:
        """Write what the exchange lists now; markets no longer listed are kept as closed.

        Those whose condition id is in `unread` stay as they were: nothing new is known of them.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class SendPermit:
    """Leave to send, already counted and committed; or why not.

    Attributes:
        payload: the stored bytes; None where nothing may be sent.
        refusal: why nothing may be sent.
        waits: it may be sent once the account has been compared with the exchange.
    """

    payload: bytes | None
    refusal: str = ""
    waits: bool = False


class OrderStore(Protocol):
    """Orders as intended and as known; every method is one transaction."""

    async def by_intent(self, intent_id: str) -> Order | None:
        """Return the order of an intent, if it was ever prepared."""
        ...

    async def by_hash(self, order_hash: str) -> Order | None:
        """Return an order of ours."""
        ...

    async def open_orders(self, account_id: str) -> list[Order]:
        """Return every order of an account that may still match, or may yet turn up."""
        ...

    async def funds(self, account_id: str, token_id: str, collateral_usd: Decimal) -> Funds:
        """Return what is left of `collateral_usd` and of the shares held, all promises kept."""
        ...

    async def admit(self, draft: Order, payload: bytes, limits: Limits) -> Order | Denied:
        """Under the account's lock: check every limit, then insert the order as NEW.

        The first insert of an intent wins; a later caller gets the first one's order back.
        """
        ...

    async def begin_send(self, order_hash: str, now: datetime) -> SendPermit:
        """Count the send and commit it, if the order's state and (for buys) the account allow."""
        ...

    async def learn(
        self, order_hash: str, event: OrderEvent, words: str | None, now: datetime
    ) -> Order:
        """Apply one piece of news and write its event."""
        ...

    async def answered(self, order_hash: str, submission: Submission, now: datetime) -> Order:
        """Apply the outcome of a send and write its event."""
        ...

    async def sighted(self, order_hash: str, sighting: Sighting, now: datetime) -> Order:
        """Apply one look at the exchange and write its event if anything changed."""
        ...


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What recording a fill changed.

    Attributes:
        is_new: this call was the first to record it or its new status.
        workflow_id: whom to tell that an order of theirs has filled; None where none has, and
            where the order is being sent: whoever sends it reads it again.
        position: whose workflow has something to protect, or to look at again; None: nobody's.
    """

    is_new: bool
    workflow_id: str | None
    position: PositionTask | None = None


@dataclass(frozen=True, kw_only=True)
class UnsettledTrade:
    """A trade that is neither confirmed nor failed yet."""

    trade_id: str
    condition_id: str
    status: FillStatus


class FillStore(Protocol):
    """The ledger of fills and the positions it makes."""

    async def record(self, fill: Fill, seen_by: SeenBy, now: datetime) -> Recorded:
        """Write a fill, its order, its position, its event and its notice: all or none."""
        ...

    async def unsettled(self, account_id: str) -> list[UnsettledTrade]:
        """Return every trade that is still neither confirmed nor failed."""
        ...

    async def fee_doubts(self, account_id: str, token_id: str | None = None) -> list[FeeDoubt]:
        """Return tokens of which no trade is unsettled and the buyers' fee asset is not known."""
        ...

    async def prove_fee_asset(self, doubt: FeeDoubt, asset: FeeAsset, balance: Decimal) -> None:
        """Write what a balance proved of a market's fees, and count its positions again by it."""
        ...

    async def cursor(self, account_id: str) -> datetime | None:
        """Return how far the account's trades have been read; None before the first time."""
        ...

    async def advance_cursor(self, account_id: str, to: datetime) -> None:
        """Move the cursor forward, never back."""
        ...

    async def mark(self, account_id: str, prices: dict[str, Decimal], now: datetime) -> None:
        """Write the current price and unrealised P&L of the positions in these tokens."""
        ...

    async def open_tokens(self, account_id: str, *, opened_by: datetime | None = None) -> list[str]:
        """Return the tokens held now; with `opened_by`, those held since then or longer."""
        ...


class ProtectionStore(Protocol):
    """Plans, and the rows that carry them out; every method is one transaction.

    All but `guarded` raise RejectedError, with words, where nothing is held.
    """

    async def guarded(self, account_id: str, token_id: str) -> Guarded | None:
        """Return a position and what protects it; None where nothing was ever held."""
        ...

    async def plan(self, account_id: str, token_id: str, wish: Protect, now: datetime) -> Guarded:
        """Write what is wished and arm its stop; the same signal twice is one wish."""
        ...

    async def arm(self, account_id: str, token_id: str, now: datetime) -> Guarded:
        """Have the stop's row say what the plan and the size held ask for."""
        ...

    async def rest(
        self, account_id: str, token_id: str, size: Decimal, now: datetime
    ) -> Protection | None:
        """Claim the next take-profit; None while the last one may live, or none is wished."""
        ...

    async def rested(self, account_id: str, token_id: str) -> None:
        """Write that a take-profit is over, once its order is; a living one stays."""
        ...

    async def fire(
        self, account_id: str, token_id: str, firing: Firing, now: datetime
    ) -> Protection | None:
        """Claim the exit of a position; claimed twice, it is the first claim.

        None where the same signal was granted before.
        """
        ...

    async def fire_again(self, account_id: str, token_id: str, now: datetime) -> Protection | None:
        """Claim the next sale of an exit; None while the last may live, or nothing is left."""
        ...

    async def block(self, account_id: str, token_id: str, words: str) -> None:
        """Write that an exit cannot go on now, with an alarm; the same words are told once."""
        ...

    async def close(self, account_id: str, token_id: str, *, is_dust: bool) -> Guarded | None:
        """End the exit of what is flat or dust, and its plan once every trade of it is final."""
        ...


class EntryPlans(Protocol):
    """What entries that are still open wish for their position, once they fill."""

    async def change(self, place: PositionTask, wish: Protect) -> list[str]:
        """Change the wish of each open entry of a position; return their hashes."""
        ...


class SignalStore(Protocol):
    """The inbox, as the workflows see it."""

    async def settle(self, signal_id: str, status: SignalStatus, reason: str | None) -> None:
        """Write a signal's outcome; an outcome once written stays, told again or not."""
        ...


class AccountStore(Protocol):
    """Accounts, and the gate that every admission and every send reads."""

    async def standing(self, account_id: str) -> Standing:
        """Return whether the account may enter, why, and since when."""
        ...

    async def set_state(
        self,
        account_id: str,
        to: AccountState,
        *,
        reason: str,
        who: str | None = None,
        only_from: Collection[AccountState] = tuple(AccountState),
    ) -> AccountState:
        """Move the account to `to` if it stands in one of `only_from`; return where it stands."""
        ...


class DayStore(Protocol):
    """What each day began with, and how accounts stand against their limits."""

    async def begin(
        self, account_id: str, collateral_usd: Decimal, source: str, now: datetime
    ) -> Day:
        """Write what the day of `now` began with, the first time; return what is written."""
        ...

    async def reading(self, account_id: str, now: datetime) -> Reading:
        """Return how an account stands against its limits, on the day of `now`."""
        ...

    async def forgive(self, account_id: str, lost_usd: Decimal, who: str, now: datetime) -> None:
        """Have what was lost so far on the day of `now` no longer count: an operator's word."""
        ...


class Workflows(Protocol):
    """The other workflows, as far as an activity may speak to them."""

    async def kill(self, account_id: str, wish: Kill) -> None:
        """Have an account's guardian, started if it is not running, stop it."""
        ...

    async def sell(self, task: PositionTask, request: OrderRequest) -> None:
        """Hand a sale to the position's workflow, started if it is not running."""
        ...

    async def protect(self, task: PositionTask, wish: Protect) -> None:
        """Have a position's plan changed, and return once it is.

        Raises:
            RejectedError: refused, with the words that say why.
        """
        ...

    async def exit(self, task: PositionTask, wish: Exit) -> None:
        """Have a position left, and return once that is written down.

        Raises:
            RejectedError: refused, with the words that say why.
        """
        ...

    async def repair(self, task: PositionTask, hint: Repair) -> None:
        """Have a position's workflow look again, started if it is not running."""
        ...

    async def price_crossed(self, task: PositionTask, crossing: Crossing) -> None:
        """Tell a position's workflow of a price beyond its stop, started if it is not running."""
        ...

    async def resume(self, order: Order) -> None:
        """Have somebody work an order again that was thought over."""
        ...

    async def cancel_order(self, workflow_id: str, request: CancelRequest) -> bool:
        """Ask an order's workflow to cancel it; False where it no longer runs."""
        ...

    async def reconcile(self, account_id: str, wish: Reconcile) -> None:
        """Have the account compared with the exchange, after what is at it now."""
        ...

    async def order_changed(self, workflow_id: str, order_hash: str) -> None:
        """Tell a workflow that one of its orders changed; one no longer running is no error."""
        ...


class Clock(Protocol):
    """The time."""

    def __call__(self) -> datetime:
        """Return the moment now, in UTC."""
        ...


class Failpoint(Protocol):
    """A named instant at which a test may kill this process; nothing otherwise."""

    async def __call__(self, name: str) -> None:
        """Pass, unless the environment names this point."""
        ...

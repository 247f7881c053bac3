"""One account at Polymarket, behind the engine's port."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Final

import httpx
from polymarket.errors import PolymarketError
from polymarket.models.clob import AcceptedOrder, RejectedOrder

from domain.answer import Answer, Submission
from domain.breaker import CallGroup
from domain.errors import (
    AccessError,
    BusyError,
    InvalidInputError,
    InvariantError,
    RejectedError,
    UnavailableError,
)
from domain.fill import Fill
from domain.market import Book, Market
from domain.order import COMPLETE_WITHIN, IMMEDIATE, Side
from domain.ports import ActiveOrder, Cancelled, SignedOrder
from domain.sizing import Terms
from domain.stop import Quote
from infra.exchanges.gate import Gate
from infra.exchanges.meter import Call
from infra.exchanges.polymarket import failures, parsing, wire
from infra.exchanges.polymarket.connection import Connection, Query
from infra.exchanges.polymarket.failures import RequestRefusedError
from infra.exchanges.polymarket.hashing import is_position_id
from infra.exchanges.polymarket.heartbeats import beat_id, expected_beat
from infra.exchanges.polymarket.market_parsing import book, midpoints
from infra.exchanges.polymarket.parsing import Identity, MarketLookup
from infra.exchanges.polymarket.quote_parsing import quotes
from infra.exchanges.polymarket.registry import market_of_clob
from infra.exchanges.polymarket.sdk import Credentials, SdkClient
from infra.exchanges.polymarket.signing import MICRO, SignedBytes, Signer
from infra.exchanges.polymarket.wire import Json
from infra.points import Point
from infra.tracing import point

SUBMIT_SECONDS: Final = 4.0  # below the activity's own limit, so that the outcome is still recorded
TURN_SECONDS: Final = 1.0  # of those at most may be spent waiting for a turn
MOST_AT_ONCE: Final = 500  # tokens in one request for midpoints or books
BEAT_TRIES: Final = 3  # of which the second knows the id that the first was told


@dataclass(frozen=True, kw_only=True)
class Means:
    """What an account works with.

    Attributes:
        http: the pool that all requests of the account share.
        gate: what every request of the process passes.
        sdk: signs and sends; None in a process without the private key, which only reads.
        lookup: our registry; the CLOB is asked for markets that it does not list.
        is_urgent: what is read here is for leaving a position, and goes first.
    """

    http: httpx.AsyncClient
    gate: Gate
    sdk: SdkClient | None
    lookup: MarketLookup
    is_urgent: bool = False


class PolymarketAccount:
    """An account: signs, sends, looks and cancels."""

    def __init__(self, who: Identity, credentials: Credentials, means: Means) -> None:
        self.who = who
        self.credentials = credentials
        self._means = means
        http, gate, name = means.http, means.gate, who.account_id
        keys, is_urgent = credentials.keys, means.is_urgent
        self._clob = Connection(http, gate, name, keys, is_urgent=is_urgent)
        self._public = Connection(http, gate, name, is_urgent=is_urgent)
        # An exchange that no longer hears from us cancels everything: beats go before other calls.
        self._pulse = Connection(http, gate, name, keys, is_urgent=True)
        self._beat_id = ""

    def for_exits(self) -> "PolymarketAccount":
        """Return the same account for what leaves a position: its reads go before others."""
        return PolymarketAccount(self.who, self.credentials, replace(self._means, is_urgent=True))

    @property
    def unreadable(self) -> int:
        """How many answers could not be understood so far."""
        return self._clob.unreadable + self._public.unreadable

    async def close(self) -> None:
        """Close every connection of the account."""
        if self._means.sdk is not None:
            await self._means.sdk.close()
        await self._means.http.aclose()

    def on_answer_begun(self, act: Callable[[], Awaitable[None]]) -> None:
        """Do `act` whenever the answer to a sent order begins to come in, before it is read."""

        async def hook(response: httpx.Response) -> None:
            request = response.request
            if request.method == "POST" and request.url.path.endswith("/order"):
                await act()

        self._means.http.event_hooks["response"].append(hook)

    async def sign(
        self, terms: Terms, market: Market, token_id: str, expires_at: datetime | None
    ) -> SignedOrder:
        """Sign without any request.

        Raises:
            RejectedError: no valid order can be signed.
        """
        with point(Point.ORDER_SIGNED):
            signer = Signer(self._signing_client(), self.who.wallet)
            return await signer.sign(terms, market, token_id, expires_at)

    async def submit(self, payload: bytes) -> Submission:
        """Send the signed bytes once, within a deadline; what is held back is never in doubt.

        Raises:
            InvariantError: the exchange knows the order by another id than ours.
        """
        sdk, signed = self._signing_client(), SignedBytes.of(payload)
        with point(Point.EXCHANGE_POSTED, {"order_hash": signed.order_hash}) as here:
            try:
                outcome = await self._sent(sdk, signed)
            except (BusyError, AccessError) as error:
                outcome = failures.held_back(error)
            if signed.order.side == Side.SELL:
                outcome = failures.kept_trying(outcome)
            here.note(answer=outcome.answer.value, words=outcome.words)
        return outcome

    async def _sent(self, sdk: SdkClient, signed: SignedBytes) -> Submission:
        """Send, and tell the gate what came of it.

        Raises:
            BusyError, AccessError: the gate did not let it out.
        """
        now = asyncio.get_running_loop().time()
        call = _placing(self.who.account_id, signed)
        async with self._means.gate.passing(call, now + TURN_SECONDS) as passage:
            is_garbled = False
            try:
                async with asyncio.timeout_at(now + SUBMIT_SECONDS):
                    answer = await sdk.post_order(signed.order)
            except (PolymarketError, TimeoutError, ValueError, RecursionError) as error:
                outcome = failures.submission(error)
                is_garbled = passage.status < failures.REFUSED.start
            else:
                outcome = _outcome(answer, signed)
            is_failing = failures.is_failing(passage.status, outcome.words)
            passage.conclude(failing=is_garbled or is_failing, words=outcome.words)
        return outcome

    async def active_order(self, order_hash: str) -> ActiveOrder | None:
        """Return the order if it may still match; None says that it is not among those."""
        return await self._clob.find(f"/data/order/{order_hash}", _active_or_none)

    async def active_orders(self) -> list[ActiveOrder]:
        """Return every order that may still match, all pages; an incomplete read raises."""
        rows = await self._clob.rows("/data/orders")
        found = [self._clob.understood("order", parsing.active_order, row) for row in rows]
        return list({order.order_hash: order for order in found if order is not None}.values())

    async def fills(
        self, *, condition_id: str | None = None, after: datetime | None = None
    ) -> list[Fill]:
        """Return our legs of all trades since `after`, all pages, oldest first."""
        query: dict[str, str | list[str]] = {}
        if condition_id is not None:
            query["market"] = condition_id
        if after is not None:
            # One second earlier: whether the exchange counts the second itself in is not known.
            query["after"] = str(max(int(after.timestamp()) - 1, 0))
        return await self._fills(query)

    async def fills_of_trade(self, trade_id: str) -> list[Fill]:
        """Return our legs of one trade as it stands now."""
        return await self._fills({"id": trade_id})

    async def cancel(self, order_hash: str) -> Cancelled:
        """Cancel one order; the answer is a hint, a look is the proof."""
        try:
            answer = await self._clob.request("DELETE", "/order", json={"orderID": order_hash})
        except RequestRefusedError as refused:
            return Cancelled(is_cancelled=False, words=str(refused))
        return self._clob.understood(
            "cancel", lambda raw: parsing.cancelled(raw, order_hash), answer
        )

    async def cancel_all(self) -> None:
        """Cancel every order of the account; the answer is a hint, an empty list is the proof."""
        await self._clob.request("DELETE", "/cancel-all")

    async def collateral_usd(self) -> Decimal:
        """Return the settled collateral of the account."""
        return await self._balance({"asset_type": "COLLATERAL"})

    async def shares(self, token_id: str) -> Decimal:
        """Return the settled shares of one token."""
        kind = "CONDITIONAL-V2" if is_position_id(token_id) else "CONDITIONAL"
        return await self._balance({"asset_type": kind, "token_id": token_id})

    async def book(self, token_id: str) -> Book:
        """Return a token's book, best first.

        Raises:
            RejectedError: there is none.
        """
        try:
            return await self._public.read("/book", book, {"token_id": token_id})
        except RequestRefusedError as refused:
            raise RejectedError(str(refused)) from refused

    async def midpoints(self, token_ids: list[str]) -> dict[str, Decimal]:
        """Return the middle of each token's book; tokens without one are left out."""
        found: dict[str, Decimal] = {}
        for start in range(0, len(token_ids), MOST_AT_ONCE):
            some = [{"token_id": one} for one in token_ids[start : start + MOST_AT_ONCE]]
            answer = await self._public.request("POST", "/midpoints", json=some)
            found |= self._public.understood("midpoints", midpoints, answer)
        return found

    async def quotes(self, token_ids: list[str]) -> dict[str, Quote]:
        """Return the top of each token's book, many to a request; those without are left out."""
        found: dict[str, Quote] = {}
        for start in range(0, len(token_ids), MOST_AT_ONCE):
            some = [{"token_id": one} for one in token_ids[start : start + MOST_AT_ONCE]]
            answer = await self._public.request("POST", "/books", json=some)
            found |= self._public.understood("books", quotes, answer)
        return found

    async def beat(self) -> None:
        """Tell the exchange that we live: once told, it cancels all when it no longer hears it.

        Each beat carries the id that the one before was answered with; the exchange's own word
        for it is taken where we do not know it, as after a restart.
        """
        for _ in range(BEAT_TRIES):
            body = {"heartbeat_id": self._beat_id}
            try:
                answer = await self._pulse.request("POST", "/v1/heartbeats", json=body)
            except RequestRefusedError as refused:
                expected = expected_beat(refused.body)
                if expected is None:
                    raise
                self._beat_id = expected
            else:
                self._beat_id = self._pulse.understood("heartbeat", beat_id, answer)
                return
        raise UnavailableError("heartbeat: the exchange takes none of the ids that it asks for")

    async def market(self, condition_id: str) -> Market:
        """Return a market, whether our registry lists it or not.

        Raises:
            UnavailableError: neither the registry nor the exchange can say.
        """
        try:
            return await self._means.lookup(condition_id)
        except (InvalidInputError, InvariantError):  # the registry's ways to say "not listed"
            return await market_of_clob(self._public, condition_id)

    async def _fills(self, query: Query) -> list[Fill]:
        """Return our legs of the trades that `query` selects, oldest first."""
        found: dict[tuple[str, str], Fill] = {}
        for row in await self._clob.rows("/data/trades", query):
            for fill in await self._fills_of(row):
                found[fill.trade_id, fill.order_hash] = fill
        return sorted(found.values(), key=lambda fill: (fill.matched_at, fill.trade_id))

    async def _fills_of(self, row: Json) -> list[Fill]:
        """Return our legs of one trade; one that is not understood makes the read incomplete."""
        try:
            return await parsing.fills_of(row, self.who, self.market)
        except InvalidInputError as error:
            self._clob.note_unreadable("trade", error)
            raise UnavailableError(f"trade {wire.optional_text(row, 'id')}: {error}") from error

    async def _balance(self, query: dict[str, str]) -> Decimal:
        """Return one balance in whole units."""
        kind = str(self.credentials.signature_type)
        return await self._clob.read(
            "/balance-allowance", parsing.balance, {**query, "signature_type": kind}
        )

    def _signing_client(self) -> SdkClient:
        """Return what signs and sends.

        Raises:
            InvariantError: this process was given no private key.
        """
        if self._means.sdk is None:
            raise InvariantError(f"no private key for account {self.who.account_id} here")
        return self._means.sdk


def _active_or_none(raw: object) -> ActiveOrder | None:
    """Return the order of an answer; the exchange may answer an order that is gone by nothing."""
    return parsing.active_order(raw) if raw else None


def _placing(account_id: str, signed: SignedBytes) -> Call:
    """Return what the gate is told of a send: a sale leaves a position and goes first."""
    is_exit = signed.order.side == Side.SELL
    return Call(
        scope=account_id,
        group=CallGroup.EXITS if is_exit else CallGroup.ENTRIES,
        endpoint="POST /order",
        is_signed=True,
        is_urgent=is_exit,
    )


def _outcome(answer: AcceptedOrder | RejectedOrder, signed: SignedBytes) -> Submission:
    """Return what an understood answer says.

    Raises:
        InvariantError: it names another order: every look-up by our hash would miss it.
    """
    if isinstance(answer, RejectedOrder):
        return failures.refused_in_answer(answer)
    if answer.order_id.casefold() != signed.order_hash:
        raise InvariantError(f"order {signed.order_hash} is {answer.order_id} to the exchange")
    return Submission(
        answer=Answer(answer.status), words=answer.status, matched_size=_matched(answer, signed)
    )


def _matched(answer: AcceptedOrder, signed: SignedBytes) -> Decimal | None:
    """Return the shares matched at once; None where an answer does not say, or nothing possible.

    A purchase that may not rest fills up to its dollars: a better price buys more shares.
    """
    order = signed.order
    is_buy = order.side == "BUY"
    matched = answer.taking_amount if is_buy else answer.making_amount
    is_by_shares = is_buy and order.order_type not in IMMEDIATE
    told = answer.taking_amount if is_by_shares else answer.making_amount
    most = Decimal(order.taker_amount if is_by_shares else order.maker_amount) / MICRO
    return matched if matched > 0 and told <= most + COMPLETE_WITHIN else None

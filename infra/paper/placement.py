"""From a posted signed order, or a manual one, to the engine."""

import hashlib
from dataclasses import dataclass, replace
from typing import Final

from infra.paper.accounts import Account, ApiKey, derived_key, normal
from infra.paper.book import Order
from infra.paper.catalogue import Market
from infra.paper.engine import CROSSES, FAK_KILLED, FOK_KILLED, Engine, Placed, Submission
from infra.paper.modes import Mode
from infra.paper.rules import IMMEDIATE, Terms, check_size, terms_of
from infra.paper.signatures import POLY_1271, order_hash, order_signer
from infra.paper.signed_order import PostedOrder, SignedOrder, parse_posted
from infra.paper.wire import MICRO, Json, RefusedError, Request, micro_of, text_of

_KILLED: Final = frozenset({FOK_KILLED, FAK_KILLED, CROSSES})
_DUPLICATE: Final = "order {} is invalid. Duplicated."
_LONG_DUPLICATE: Final = (
    "order is invalid. Duplicated. Same order has already been placed, can't be placed again"
)
_EOA_TYPE: Final = 0
_WRONG_SIGNER: Final = "the order signer address has to be the address of the API KEY"


@dataclass(slots=True)
class Placement:
    """Checks posted orders one by one, as production does, and hands them to the engine."""

    engine: Engine
    mode: Mode

    def post(self, posted: PostedOrder, key: ApiKey, request: Request) -> Placed:
        """Accept a signed order. Raises RefusedError in production's words.

        The order's id is indexed from here on whatever the engine says of its match, so the same
        signed order never makes a second one.
        """
        signed = posted.order
        request.token_id = request.token_id or signed.token_id
        self.mode.check_post_only(is_post_only=posted.post_only)
        market = self.engine.tradable(signed.token_id)
        identity = order_hash(signed, neg_risk=market.neg_risk)
        request.order_hash = request.order_hash or identity
        request.wallet = normal(signed.maker)
        if posted.owner != key.api_key:
            raise RefusedError(400, "the order owner has to be the owner of the API KEY")
        self._check_signer(signed, key, market)
        if self.engine.ledger.has_seen(identity):
            is_long = self.engine.switches.duplicate_words == "long"
            raise RefusedError(400, _LONG_DUPLICATE if is_long else _DUPLICATE.format(identity))
        terms = terms_of(signed, posted.order_type, market, identity)
        check_size(terms, posted.order_type, market, identity)
        self._check_kind(posted)
        order = self._order(posted, key, market, (identity, terms))
        self.engine.ledger.attribute(identity, signed.builder)
        return self._submit(Submission(order, signed.maker_amount, posted.post_only))

    def _submit(self, submission: Submission) -> Placed:
        order = submission.order
        try:
            placed = self.engine.submit(submission)
        except RefusedError as error:
            if error.text in _KILLED:
                self.engine.ledger.see(order.order_hash, order.created_at)
            if self.engine.switches.killed_events and order.type in IMMEDIATE:
                why = f"CANCELED_{error.text}"
                self.engine.news.killed(order, why, self.engine.now())
            raise
        self.engine.ledger.see(order.order_hash, order.created_at)
        return placed

    def _check_signer(self, signed: SignedOrder, key: ApiKey, market: Market) -> None:
        maker, signer = normal(signed.maker), normal(signed.signer)
        if signed.signature_type > POLY_1271:
            raise RefusedError(400, "Invalid signature_type")
        if signed.signature_type == _EOA_TYPE and not self.engine.switches.eoa_makers:
            raise RefusedError(400, "maker address not allowed, please use the deposit wallet flow")
        is_wallet = signed.signature_type == POLY_1271
        if signer != (maker if is_wallet else key.address):
            raise RefusedError(400, _WRONG_SIGNER)
        if signed.signature_type == _EOA_TYPE and maker != signer:
            raise RefusedError(400, "invalid signature")
        if order_signer(signed, neg_risk=market.neg_risk) != key.address:
            raise RefusedError(400, "invalid signature")
        account = self.engine.accounts.account(maker)
        if account is None:
            self.engine.accounts.bind(Account(maker, key.address, signed.signature_type))
        elif account.signer != key.address:
            raise RefusedError(400, _WRONG_SIGNER)

    def _check_kind(self, posted: PostedOrder) -> None:
        if posted.post_only and posted.order_type in IMMEDIATE:
            raise RefusedError(
                400, "invalid post-only order: only GTC and GTD order types are allowed"
            )
        expires = posted.order.expiration
        soonest = self.engine.now() // MICRO + self.engine.gtd_margin_seconds
        if (posted.order_type == "GTD") != (expires > 0) or 0 < expires <= soonest:
            raise RefusedError(400, "invalid expiration")

    def _order(
        self, posted: PostedOrder, key: ApiKey, market: Market, settled: tuple[str, Terms]
    ) -> Order:
        identity, terms = settled
        index = market.index_of(posted.order.token_id)
        return Order(
            order_hash=identity,
            condition_id=market.condition_id,
            token_id=posted.order.token_id,
            index=index,
            outcome=market.outcomes[index],
            side=posted.order.side,
            price=terms.price,
            size=terms.size,
            type=posted.order_type,
            wallet=normal(posted.order.maker),
            address=key.address,
            api_key=key.api_key,
            origin="api",
            created_at=self.engine.now(),
            expiration=posted.order.expiration,
        )

    def place_by_hand(self, wallet: str, wanted: Json) -> Placed:
        """Place an order for a wallet without a signature, as its owner would on the website.

        `wanted` has token_id, side, price, size, and optionally type, expiration, post_only.
        Raises RefusedError as for a posted one.
        """
        account = self.engine.accounts.account(wallet)
        if account is None:
            raise RefusedError(404, f"account not found: {wallet}")
        signed = _unsigned(account, wanted, self.engine.now())
        market = self.engine.tradable(signed.token_id)
        keys = self.engine.accounts.keys_of(account.signer)
        key = keys[0] if keys else derived_key(account.signer, 0)
        posted = PostedOrder(
            order=signed,
            owner=key.api_key,
            order_type=str(wanted.get("type", "GTC")),
            post_only=wanted.get("post_only") is True,
        )
        identity = order_hash(signed, neg_risk=market.neg_risk)
        terms = terms_of(signed, posted.order_type, market, identity)
        check_size(terms, posted.order_type, market, identity)
        self._check_kind(posted)
        order = replace(self._order(posted, key, market, (identity, terms)), origin="manual")
        return self._submit(Submission(order, signed.maker_amount, posted.post_only))


def _unsigned(account: Account, wanted: Json, now: int) -> SignedOrder:
    """Return the order a hand-made wish amounts to; its salt comes from the moment."""
    side = str(wanted.get("side", "BUY")).upper()
    size, price = micro_of(wanted.get("size")), micro_of(wanted.get("price"))
    cash = size * price // MICRO
    zero = "0x" + "00" * 32
    token_id = str(wanted.get("token_id", ""))
    seed = hashlib.sha256(f"{account.wallet}/{token_id}/{now}/{side}/{size}/{price}".encode())
    return SignedOrder(
        salt=int.from_bytes(seed.digest()[:6], "big"),
        maker=account.wallet,
        signer=account.wallet if account.signature_type == POLY_1271 else account.signer,
        token_id=token_id,
        maker_amount=cash if side == "BUY" else size,
        taker_amount=size if side == "BUY" else cash,
        side=side,
        signature_type=account.signature_type,
        timestamp=now // 1_000,
        metadata=zero,
        builder=zero,
        signature="0x",
        expiration=micro_of(wanted.get("expiration", 0)) // MICRO,
    )


def order_answer(placed: Placed) -> Json:
    """Return the answer of an accepted order; making and taking are decimal strings."""
    answer: Json = {
        "errorMsg": "",
        "orderID": placed.order.order_hash,
        "takingAmount": text_of(placed.taking) if placed.trades else "",
        "makingAmount": text_of(placed.making) if placed.trades else "",
        "status": placed.status,
        "success": True,
    }
    if placed.trades:
        answer["tradeIDs"] = [trade.trade_id for trade in placed.trades]
        answer["transactionsHashes"] = [trade.transaction_hash for trade in placed.trades]
    return answer


def leg_refusal(error: RefusedError) -> Json:
    """Return the answer of a refused leg of a batch.

    A leg refused by a mode says success true with an empty id, as production does.
    """
    return {
        "errorMsg": error.text,
        "orderID": "",
        "takingAmount": "",
        "makingAmount": "",
        "status": "",
        "success": error.extra.get("code") == "post_only_mode",
    }


def identify(engine: Engine, value: object) -> tuple[str, str, str]:
    """Return order id, wallet and token of a posted order, as far as it can be read."""
    try:
        signed = parse_posted(value).order
        market = engine.by_token.get(signed.token_id)
        if market is None:
            return "", normal(signed.maker), signed.token_id
        identity = order_hash(signed, neg_risk=market.neg_risk)
        return identity, normal(signed.maker), signed.token_id
    except RefusedError:
        return "", "", ""

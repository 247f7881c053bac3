"""The exchange's own admin: what tests and operators do to it from outside."""

from dataclasses import dataclass
from typing import Final, cast

from infra.paper.accounts import COLLATERAL, EOA, UNLIMITED, Account, ApiKey, derived_key, normal
from infra.paper.catalogue import TICKS, Market, Opening, open_market
from infra.paper.conditions import Conditions
from infra.paper.exchange import Exchange
from infra.paper.faults import Faults
from infra.paper.ledger_views import LedgerViews
from infra.paper.placement import order_answer
from infra.paper.routes import Routes
from infra.paper.stream_faults import StreamFaults
from infra.paper.views import millis_text
from infra.paper.wire import (
    MICRO,
    Answer,
    Json,
    RefusedError,
    Request,
    answered,
    json_object,
    micro_of,
    text_of,
)

_MALFORMED: Final = "Invalid payload"


@dataclass(slots=True)
class Admin:
    """Answers `/_paper`; it needs no key, for it listens on loopback only."""

    exchange: Exchange
    faults: Faults
    stream_faults: StreamFaults

    def register(self, routes: Routes) -> None:
        """Add its paths."""
        routes.add_all(
            ("POST", "/book", self._set_book),
            ("DELETE", "/book/", self._resume_book),
            ("POST", "/markets", self._add_market),
            ("POST", "/accounts", self._add_account),
        )
        Conditions(self.exchange, self.faults, self.stream_faults).register(routes)
        LedgerViews(self.exchange).register(routes)

    def answer_nested(self, request: Request) -> Answer | None:
        """Return the answer of paths with an id in the middle, or None for any other."""
        if request.method != "POST":
            return None
        kind, _, rest = request.path.strip("/").partition("/")
        identity, _, verb = rest.partition("/")
        market_verbs = {
            "resolve": self._resolve,
            "tick-size": self._tick_size,
            "fees": self._fees,
        }
        account_verbs = {"balances": self._balances, "orders": self._orders}
        if kind == "markets" and verb in market_verbs:
            return market_verbs[verb](self._market(identity), request)
        if kind == "accounts" and verb in account_verbs:
            return account_verbs[verb](normal(identity), request)
        return None

    def _market(self, condition_id: str) -> Market:
        market = self.exchange.engine.markets.get(condition_id)
        if market is None:
            raise RefusedError(404, "market not found")
        return market

    def _set_book(self, request: Request) -> Answer:
        wanted = request.json_object(_MALFORMED)
        token_id = str(wanted.get("token_id", ""))
        self.exchange.makers.set_book(token_id, wanted.get("bids"), wanted.get("asks"))
        return answered({"ok": True})

    def _resume_book(self, request: Request) -> Answer:
        self.exchange.makers.resume(request.tail)
        return answered({"ok": True})

    def _add_market(self, request: Request) -> Answer:
        wanted = request.json_object(_MALFORMED)
        engine = self.exchange.engine
        slug = str(wanted.get("slug") or "")
        if not slug or any(market.slug == slug for market in engine.markets.values()):
            raise RefusedError(400, "a market needs a slug of its own")
        tick = micro_of(wanted.get("tick_size", "0.01"))
        if tick not in TICKS:
            raise RefusedError(400, "unknown tick size")
        opening = Opening(
            slug=slug,
            question=str(wanted.get("question") or slug.replace("-", " ").capitalize() + "?"),
            start_mid=text_of(micro_of(wanted.get("price", "0.5"))),
            tag=str(wanted.get("tag") or "World"),
            tick=tick,
            neg_risk=wanted.get("neg_risk") is True,
            fee=(
                str(wanted.get("fee_rate", "0")),
                micro_of(wanted.get("fee_exponent", 1)) // MICRO,
            ),
        )
        first = min(int(market.gamma_id) for market in engine.markets.values())
        market = open_market(opening, first + len(engine.markets))
        market.min_size = micro_of(wanted.get("min_size", "5"))
        market.fee_asset = _fee_asset(wanted.get("fee_asset", market.fee_asset))
        market.delay_us = micro_of(wanted.get("delay_s", 0))
        engine.add_market(market)
        engine.news.market(market.condition_id).special.append(self._opened(market))
        return answered({"condition_id": market.condition_id, "token_ids": list(market.token_ids)})

    def _opened(self, market: Market) -> Json:
        return {
            "event_type": "new_market",
            "id": market.gamma_id,
            "question": market.question,
            "market": market.condition_id,
            "condition_id": market.condition_id,
            "slug": market.slug,
            "description": market.question,
            "assets_ids": list(market.token_ids),
            "clob_token_ids": list(market.token_ids),
            "outcomes": list(market.outcomes),
            "event_message": _event_message(market),
            "timestamp": millis_text(self.exchange.now()),
            "tags": [market.tag],
            "active": True,
            "order_price_min_tick_size": text_of(market.tick),
            "group_item_title": "",
            "line": "",
            "game_start_time": "",
        }

    def _resolve(self, market: Market, request: Request) -> Answer:
        """Close a market with its payouts; `redeem` pays its holders out at once."""
        wanted = request.json_object(_MALFORMED)
        payouts = wanted.get("payouts")
        if not isinstance(payouts, list) or len(cast("list[object]", payouts)) != len(
            market.outcomes
        ):
            raise RefusedError(400, "payouts must name one per outcome")
        first, second = (text_of(micro_of(value)) for value in cast("list[object]", payouts))
        if micro_of(first) + micro_of(second) != MICRO:
            raise RefusedError(400, "payouts must add up to 1")
        engine = self.exchange.engine
        engine.close_market(market, (first, second))
        if wanted.get("redeem") is True:
            engine.redeem_all(market)
        news = engine.news.market(market.condition_id)
        winner = None if first == second else int(micro_of(second) > micro_of(first))
        news.special.append(self._resolved(market, winner))
        return answered({"condition_id": market.condition_id, "payouts": [first, second]})

    def _resolved(self, market: Market, winner: int | None) -> Json:
        return {
            "event_type": "market_resolved",
            "id": market.gamma_id,
            "market": market.condition_id,
            "assets_ids": list(market.token_ids),
            "winning_asset_id": None if winner is None else market.token_ids[winner],
            "winning_outcome": None if winner is None else market.outcomes[winner],
            "event_message": _event_message(market),
            "timestamp": millis_text(self.exchange.now()),
            "tags": [market.tag],
        }

    def _fees(self, market: Market, request: Request) -> Answer:
        """Change what a market's takers pay (`fee_rate`) and a buyer in what (`fee_asset`)."""
        wanted = request.json_object(_MALFORMED)
        market.fee_asset = _fee_asset(wanted.get("fee_asset", market.fee_asset))
        market.fee_rate = text_of(micro_of(wanted.get("fee_rate", market.fee_rate)))
        self.exchange.engine.add_market(market)
        return answered({"fee_asset": market.fee_asset, "fee_rate": market.fee_rate})

    def _tick_size(self, market: Market, request: Request) -> Answer:
        wanted = request.json_object(_MALFORMED)
        fresh = micro_of(wanted.get("tick_size", wanted.get("new_tick_size")))
        if fresh not in TICKS:
            raise RefusedError(400, "unknown tick size")
        old, market.tick = market.tick, fresh
        self.exchange.engine.add_market(market)
        news = self.exchange.engine.news.market(market.condition_id)
        for token_id in market.token_ids:
            news.plain.append(
                {
                    "event_type": "tick_size_change",
                    "market": market.condition_id,
                    "asset_id": token_id,
                    "old_tick_size": text_of(old),
                    "new_tick_size": text_of(fresh),
                    "timestamp": millis_text(self.exchange.now()),
                }
            )
        return answered({"old_tick_size": text_of(old), "new_tick_size": text_of(fresh)})

    def _add_account(self, request: Request) -> Answer:
        """Fund an account once: a wallet that exists keeps its balances and gets its key back."""
        wanted = request.json_object(_MALFORMED)
        accounts = self.exchange.engine.accounts
        wallet = normal(str(wanted.get("wallet", "")))
        signer = normal(str(wanted.get("signer") or wallet))
        signature_type = micro_of(wanted.get("signature_type", EOA)) // MICRO
        if accounts.account(wallet) is None:
            accounts.bind(Account(wallet, signer, signature_type))
            accounts.set_balance(wallet, COLLATERAL, micro_of(wanted.get("collateral", "10000")))
        key = _key(signer, wanted)
        if accounts.key(key.api_key) != key:
            accounts.add_key(key)
        return answered(
            {
                "wallet": wallet,
                "signer": signer,
                "signature_type": signature_type,
                "collateral": text_of(accounts.balance(wallet, COLLATERAL)),
                "api_key": key.api_key,
                "secret": key.secret,
                "passphrase": key.passphrase,
            }
        )

    def _balances(self, wallet: str, request: Request) -> Answer:
        """Set balances (`collateral`, `tokens`), add to them (`deposit`), or set `allowance`."""
        wanted, accounts = request.json_object(_MALFORMED), self.exchange.engine.accounts
        if accounts.account(wallet) is None:
            accounts.bind(Account(wallet, wallet, EOA))
        if "collateral" in wanted:
            accounts.set_balance(wallet, COLLATERAL, micro_of(wanted["collateral"]))
        if "deposit" in wanted:
            accounts.move(wallet, COLLATERAL, micro_of(wanted["deposit"]))
        for token_id, amount in json_object(wanted.get("tokens", {}), _MALFORMED).items():
            accounts.set_balance(wallet, token_id, micro_of(amount))
        if "allowance" in wanted:
            self._allow(wallet, str(wanted["allowance"]))
        self.exchange.engine.drop_unpaid(wallet)
        rows = accounts.all_balances().items()
        mine = {asset or "collateral": text_of(n) for (who, asset), n in rows if who == wallet}
        return answered({"wallet": wallet, "balances": mine})

    def _allow(self, wallet: str, allowance: str) -> None:
        account = self.exchange.engine.accounts.account(wallet)
        if account is not None:
            value = UNLIMITED if allowance == "unlimited" else allowance
            self.exchange.engine.accounts.bind(
                Account(wallet, account.signer, account.signature_type, value)
            )

    def _orders(self, wallet: str, request: Request) -> Answer:
        wanted, engine = request.json_object(_MALFORMED), self.exchange.engine
        if "place" in wanted:
            order = json_object(wanted["place"], _MALFORMED)
            placed = self.exchange.placement.place_by_hand(wallet, order)
            return answered({**order_answer(placed), "order_hash": placed.order.order_hash})
        found = engine.orders.get(str(wanted.get("cancel", "")))
        if found is None or found.wallet != wallet:
            raise RefusedError(404, "Order not found")
        engine.cancel(found)
        return answered({"canceled": [found.order_hash]})


def _event_message(market: Market) -> Json:
    return {
        "id": market.event_id,
        "ticker": market.event_slug,
        "slug": market.event_slug,
        "title": market.event_title,
        "description": market.event_title,
    }


def _fee_asset(value: object) -> str:
    if value not in ("collateral", "shares"):
        raise RefusedError(400, "fee_asset is collateral or shares")
    return str(value)


def _key(signer: str, wanted: Json) -> ApiKey:
    derived = derived_key(signer, 0)
    if not wanted.get("api_key"):
        return derived
    return ApiKey(
        api_key=str(wanted["api_key"]),
        address=signer,
        nonce=0,
        secret=str(wanted.get("secret") or derived.secret),
        passphrase=str(wanted.get("passphrase") or derived.passphrase),
    )

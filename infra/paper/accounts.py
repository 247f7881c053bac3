"""Accounts, their API keys, what they own, and what of it is already promised."""

import base64
import hashlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

from infra.paper.book import Order
from infra.paper.ledger import Ledger
from infra.paper.rules import cash_of
from infra.paper.signatures import checksum
from infra.paper.trades import Leg, Trade
from infra.paper.wire import RefusedError

COLLATERAL: Final = ""  # the asset key of pUSD; a token's key is its id
FEES: Final = "fees"  # the wallet that collects what takers pay
UNLIMITED: Final = str(2**256 - 1)
EOA: Final = 0
_LAG: Final = "balances_lag"


@dataclass(frozen=True, slots=True)
class Account:
    """A wallet, the EOA that signs for it and how. `allowance` is what it lets be spent."""

    wallet: str
    signer: str
    signature_type: int
    allowance: str = UNLIMITED


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An L2 credential of one EOA."""

    api_key: str
    address: str
    nonce: int
    secret: str
    passphrase: str


def derived_key(address: str, nonce: int) -> ApiKey:
    """Return the credential of an address and nonce; it is always the same one."""
    seed = f"holdfast-paper/key/{address.lower()}/{nonce}".encode()
    digest = hashlib.sha512(seed).digest()
    shown = digest[:16].hex()
    return ApiKey(
        api_key=f"{shown[:8]}-{shown[8:12]}-{shown[12:16]}-{shown[16:20]}-{shown[20:]}",
        address=address,
        nonce=nonce,
        secret=base64.urlsafe_b64encode(digest[16:48]).decode(),
        passphrase=hashlib.sha256(seed).hexdigest(),
    )


class Accounts:
    """Every account and balance, written through to the ledger.

    Args:
        ledger: where they are kept.
        now: the moment now, in microseconds.
    """

    def __init__(self, ledger: Ledger, now: Callable[[], int]) -> None:
        self._ledger = ledger
        self._now = now
        self._accounts: dict[str, Account] = {}
        self._keys: dict[str, ApiKey] = {}
        self._balances: dict[tuple[str, str], int] = {}
        self._held: dict[tuple[str, str], int] = {}
        self._late: dict[tuple[str, str], deque[tuple[int, int]]] = {}
        self.lag_us = cast("int", ledger.meta(_LAG) or 0)
        self._load()

    def _load(self) -> None:
        for row in self._ledger.rows("SELECT * FROM accounts"):
            account = Account(**cast("dict[str, Any]", row))
            self._accounts[account.wallet] = account
        for row in self._ledger.rows("SELECT * FROM keys"):
            key = ApiKey(**cast("dict[str, Any]", row))
            self._keys[key.api_key] = key
        for row in self._ledger.rows("SELECT wallet, asset, amount FROM balances"):
            place = (str(row["wallet"]), str(row["asset"]))
            self._balances[place] = cast("int", row["amount"])

    def account(self, wallet: str) -> Account | None:
        """Return the account of a wallet, or None."""
        return self._accounts.get(wallet)

    def bind(self, account: Account) -> None:
        """Write an account."""
        self._accounts[account.wallet] = account
        self._ledger.save_account(
            account.wallet, account.signer, account.signature_type, account.allowance
        )

    def wallet_of(self, address: str, signature_type: int) -> str:
        """Return the wallet an EOA trades with under a signature type; its own for type 0."""
        if signature_type == EOA:
            return address
        mine = (
            account.wallet
            for account in self._accounts.values()
            if account.signer == address and account.signature_type == signature_type
        )
        return next(mine, address)

    def add_key(self, key: ApiKey) -> None:
        """Write an API key."""
        self._keys[key.api_key] = key
        values = (key.api_key, key.address, key.nonce, key.secret, key.passphrase)
        self._ledger.save_key(values)

    def drop_key(self, api_key: str) -> None:
        """Forget an API key."""
        self._keys.pop(api_key, None)
        self._ledger.delete_key(api_key)

    def key(self, api_key: str) -> ApiKey | None:
        """Return an API key, or None."""
        return self._keys.get(api_key)

    def keys_of(self, address: str) -> list[ApiKey]:
        """Return the API keys of an EOA."""
        return [key for key in self._keys.values() if key.address == address]

    def balance(self, wallet: str, asset: str) -> int:
        """Return the settled balance."""
        return self._balances.get((wallet, asset), 0)

    def all_balances(self) -> dict[tuple[str, str], int]:
        """Return every settled balance by (wallet, asset)."""
        return dict(self._balances)

    def shown_balance(self, wallet: str, asset: str) -> int:
        """Return the balance a client is told; it follows by the lag when one is set."""
        since = self._now() - self.lag_us
        late = self._late.get((wallet, asset), ())
        return self.balance(wallet, asset) - sum(delta for at, delta in late if at > since)

    def available(self, wallet: str, asset: str) -> int:
        """Return what can still be promised: balance less open orders and unsettled trades."""
        known = min(self.balance(wallet, asset), self.shown_balance(wallet, asset))
        return known - self._held.get((wallet, asset), 0)

    def set_lag(self, lag_us: int) -> None:
        """Let balances follow so late from now on; a restart shows what is late by then at once."""
        self.lag_us = lag_us
        self._ledger.set_meta(_LAG, lag_us)

    def set_balance(self, wallet: str, asset: str, amount: int) -> None:
        """Write a balance as it is, from outside."""
        self._balances[wallet, asset] = amount
        self._late.pop((wallet, asset), None)
        self._ledger.save_balance(wallet, asset, amount)

    def move(self, wallet: str, asset: str, delta: int) -> None:
        """Add to a settled balance."""
        if delta == 0:
            return
        place = (wallet, asset)
        self._balances[place] = self._balances.get(place, 0) + delta
        self._ledger.save_balance(wallet, asset, self._balances[place])
        if self.lag_us:
            late = self._late.setdefault(place, deque())
            late.append((self._now(), delta))
            while late and late[0][0] <= self._now() - self.lag_us:
                late.popleft()

    def hold(self, wallet: str, asset: str, delta: int) -> None:
        """Promise more (or less) of an asset."""
        place = (wallet, asset)
        held = self._held.get(place, 0) + delta
        if held:
            self._held[place] = held
        else:
            self._held.pop(place, None)

    def hold_order(self, order: Order, sign: int) -> None:
        """Promise (+1) or free (-1) what an open order may still spend."""
        if order.origin == "maker":
            return
        asset, amount = promised(order)
        self.hold(order.wallet, asset, sign * amount)

    def hold_trade(self, trade: Trade, sign: int) -> None:
        """Promise (+1) or free (-1) what the legs of an unsettled trade will spend."""
        for leg in trade.legs:
            if leg.origin != "maker":
                asset, amount = spent(leg)
                self.hold(leg.wallet, asset, sign * amount)

    def settle(self, trade: Trade) -> None:
        """Move every leg's shares, cash and fee, as a mined transaction does."""
        for leg in trade.legs:
            if leg.origin != "maker":
                self._settle_leg(leg)

    def _settle_leg(self, leg: Leg) -> None:
        in_shares = leg.fee_asset == "shares"
        fee_cash, fee_shares = (0, leg.fee) if in_shares else (leg.fee, 0)
        sign = 1 if leg.side == "BUY" else -1
        self.move(leg.wallet, leg.token_id, sign * leg.size - fee_shares)
        self.move(leg.wallet, COLLATERAL, -sign * leg.cash - fee_cash)
        self.move(FEES, leg.token_id if in_shares else COLLATERAL, leg.fee)

    def check_funds(self, order: Order, fees: int) -> None:
        """Refuse an order its wallet cannot pay for.

        Raises RefusedError in production's words, never with the text that makes the official
        client send approvals.
        """
        account = self._accounts.get(order.wallet)
        if account is not None and account.allowance == "0":
            raise RefusedError(400, "not enough balance / allowance")
        asset, amount = promised(order)
        needed = amount + (fees if order.side == "BUY" else 0)
        if needed <= self.available(order.wallet, asset):
            return
        balance = max(
            0, min(self.balance(order.wallet, asset), self.available(order.wallet, asset))
        )
        raise RefusedError(
            400,
            "not enough balance / allowance: the balance is not enough -> "
            f"balance: {balance}, order amount: {needed}",
        )


def promised(order: Order) -> tuple[str, int]:
    """Return the asset an order may still spend and how much of it."""
    if order.side == "BUY":
        return COLLATERAL, cash_of(order.remaining, order.price)
    return order.token_id, order.remaining


def spent(leg: Leg) -> tuple[str, int]:
    """Return the asset a leg gives away and how much of it."""
    if leg.side == "SELL":
        return leg.token_id, leg.size
    return COLLATERAL, leg.cash + (leg.fee if leg.fee_asset == "collateral" else 0)


def normal(address: str) -> str:
    """Return an address in mixed case. Raises RefusedError when it is none."""
    try:
        return checksum(address)
    except ValueError as error:
        raise RefusedError(400, "Invalid address") from error

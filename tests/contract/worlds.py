"""A small world on a paper exchange, made through its admin: one trader and two markets."""

import time
from dataclasses import dataclass
from typing import Any

from eth_account import Account
from polymarket._internal.environment import PRODUCTION_CONFIG
from polymarket._internal.wallet import derive_uups_deposit_wallet_address

from tests.paper.conftest import Server

PATIENCE_SECONDS = 30
TAG = "Contract"


@dataclass(frozen=True)
class Place:
    """A market as the clients name it."""

    slug: str
    condition_id: str
    yes: str
    no: str
    gamma_id: str
    event_id: str


@dataclass(frozen=True)
class World:
    """What the calls of a suite speak about.

    `wallet` is the trader's deposit wallet. It holds 100 shares of `open`'s first token bought at
    0.51, and was paid for 50 shares of `over`, bought at 0.51 and resolved as won. The book of
    `open` stands at 0.49 and 0.51, 500 shares deep at each of two prices.
    """

    server: Server
    key: str
    address: str
    wallet: str
    open: Place
    over: Place


def make_world(server: Server, name: str, number: int) -> World:
    """Return a world of its own for one suite."""
    key = "0x" + f"{number:02x}" * 32
    address = str(Account.from_key(key).address)
    wallet = derive_uups_deposit_wallet_address(address, PRODUCTION_CONFIG.wallet_derivation)
    trader = {"wallet": wallet, "signer": address, "signature_type": 3, "collateral": "10000"}
    server.admin("POST", "/accounts", trader)
    places = [_market(server, f"contract-{name}"), _market(server, f"contract-{name}-over")]
    for place, size in zip(places, ("100", "50"), strict=True):
        bids, asks = [["0.48", "500"], ["0.49", "500"]], [["0.51", "500"], ["0.52", "500"]]
        server.admin("POST", "/book", {"token_id": place.yes, "bids": bids, "asks": asks})
        order = {"token_id": place.yes, "side": "BUY", "price": "0.51", "size": size, "type": "FAK"}
        server.admin("POST", f"/accounts/{wallet}/orders", {"place": order})
        until_owned(server, wallet, place.yes, size)
    ends = {"payouts": ["1", "0"], "redeem": True}
    server.admin("POST", f"/markets/{places[1].condition_id}/resolve", ends)
    full = {"bids": [["0.48", "500"], ["0.49", "500"]], "asks": [["0.51", "500"], ["0.52", "500"]]}
    server.admin("POST", "/book", {"token_id": places[0].yes, **full})
    return World(server, key, address, wallet, places[0], places[1])


def _market(server: Server, slug: str) -> Place:
    made = server.admin("POST", "/markets", {"slug": slug, "price": "0.5", "tag": TAG})
    shown = server.get(f"/gamma/markets/slug/{slug}")
    yes, no = made["token_ids"]
    event = shown["events"][0]["id"]
    return Place(slug, made["condition_id"], yes, no, shown["id"], event)


def until_owned(server: Server, wallet: str, token_id: str, size: str) -> None:
    """Return once a wallet owns so many shares."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        rows: list[Any] = server.admin("GET", f"/ledger/balances?token_id={token_id}")
        if any(row["wallet"] == wallet and row["balance"] == size for row in rows):
            return
        time.sleep(0.01)
    raise AssertionError(f"{wallet} does not own {size}")

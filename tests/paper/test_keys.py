"""Keys: who may read, who may trade, and what a dropped key is worth."""

import base64
import hashlib
import hmac

import pytest

from tests.paper.conftest import Venue
from tests.paper.traders import Reply, Trader, ask

READS = ("/data/orders", "/data/trades")


@pytest.fixture
def shown(alice: Trader) -> dict[str, str]:
    """The headers of a key of Alice's that can only read."""
    key = alice.ask("POST", "/auth/readonly-api-key").body["apiKey"]
    return {"poly_readonly_api_key": key, "poly_address": alice.address}


@pytest.mark.parametrize("path", READS)
def test_a_read_only_key_reads_what_is_its_owners(
    venue: Venue, alice: Trader, bob: Trader, shown: dict[str, str], path: str
) -> None:
    venue.admin("POST", f"/accounts/{bob.wallet}/balances", {"tokens": {venue.yes(): "100"}})
    bob.limit(venue.yes(), "SELL", "0.40", "10")
    answer = alice.limit(venue.yes(), "BUY", "0.40", "20")

    found = ask(venue.door, "GET", f"/clob{path}", headers=shown).body["data"]
    order = ask(venue.door, "GET", f"/clob/data/order/{answer['orderID']}", headers=shown)

    assert len(found) == 1
    assert found[0].get("id" if path == "/data/orders" else "taker_order_id") == answer["orderID"]
    assert order.body["id"] == answer["orderID"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/order"),
        ("POST", "/orders"),
        ("DELETE", "/order"),
        ("DELETE", "/orders"),
        ("DELETE", "/cancel-all"),
        ("DELETE", "/cancel-market-orders"),
        ("POST", "/v1/heartbeats"),
        ("DELETE", "/notifications"),
        ("DELETE", "/auth/api-key"),
        ("POST", "/auth/readonly-api-key"),
        ("GET", "/auth/api-keys"),
    ],
)
def test_a_read_only_key_changes_nothing_and_sees_no_keys(
    venue: Venue, alice: Trader, shown: dict[str, str], method: str, path: str
) -> None:
    alice.limit(venue.yes(), "BUY", "0.40", "10")

    reply = ask(venue.door, method, f"/clob{path}", {}, shown)

    assert (reply.status, len(alice.open_orders())) == (401, 1)


@pytest.mark.parametrize("path", READS)
def test_a_read_only_key_is_worth_nothing_with_another_address_or_once_dropped(
    venue: Venue, alice: Trader, bob: Trader, shown: dict[str, str], path: str
) -> None:
    other = shown | {"poly_address": bob.address}
    assert ask(venue.door, "GET", f"/clob{path}", headers=other).status == 401
    key = {"key": shown["poly_readonly_api_key"]}
    assert bob.ask("DELETE", "/auth/readonly-api-key", key).status == 404
    assert ask(venue.door, "GET", f"/clob{path}", headers=shown).status == 200

    assert alice.ask("DELETE", "/auth/readonly-api-key", key).body == "OK"

    assert ask(venue.door, "GET", f"/clob{path}", headers=shown).status == 401
    assert alice.ask("GET", "/auth/readonly-api-keys").body == {"readonlyApiKeys": []}


def revoked(venue: Venue, key: dict[str, str], secret: str) -> Reply:
    """Ask to revoke a builder's key by headers signed with this secret."""
    message = b"1795224517DELETE/auth/builder-api-key"
    signature = hmac.new(base64.urlsafe_b64decode(secret), message, hashlib.sha256).digest()
    headers = {
        "poly_builder_api_key": key["key"],
        "poly_builder_passphrase": key["passphrase"],
        "poly_builder_timestamp": "1795224517",
        "poly_builder_signature": base64.urlsafe_b64encode(signature).decode(),
    }
    return ask(venue.door, "DELETE", "/clob/auth/builder-api-key", headers=headers)


def test_a_builders_key_is_revoked_by_its_own_signature_alone(venue: Venue, alice: Trader) -> None:
    key = alice.ask("POST", "/auth/builder-api-key").body

    assert revoked(venue, key, alice.secret).status == 401
    assert revoked(venue, key | {"passphrase": "guessed"}, key["secret"]).status == 401
    assert revoked(venue, key, key["secret"]).body == "OK"

    assert revoked(venue, key, key["secret"]).status == 401
    (listed,) = alice.ask("GET", "/auth/builder-api-key").body
    assert listed["revokedAt"] is not None


def test_a_dropped_trading_key_is_refused_at_once(venue: Venue, alice: Trader) -> None:
    alice.limit(venue.yes(), "BUY", "0.40", "10")

    assert alice.ask("DELETE", "/auth/api-key").body == "OK"

    assert alice.ask("GET", "/data/orders").status == 401
    assert alice.ask("DELETE", "/cancel-all").status == 401

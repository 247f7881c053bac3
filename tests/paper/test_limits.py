"""Rate limits as production has them: tokens for each signer, windows for each address."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from infra.paper.limits import ADDRESS_RULES, AddressLimits
from infra.paper.switches import PLAIN, changed
from infra.paper.wire import RefusedError, Request
from tests.paper.conftest import Server, Venue
from tests.paper.test_faults import FarTrader
from tests.paper.traders import Reply, Trader


def cancel(trader: Trader, *order_ids: str) -> Reply:
    return trader.ask("DELETE", "/orders", list(order_ids))


def ids(count: int) -> list[str]:
    return [f"0x{n:064x}" for n in range(count)]


def orders(venue: Venue, alice: Trader, count: int) -> list[Any]:
    return [alice.posted(alice.order(venue.yes(), "BUY", "0.02", "5")) for _ in range(count)]


def test_every_order_answer_says_what_is_left_of_the_signers_tokens(
    venue: Venue, alice: Trader
) -> None:
    now = int(venue.clock().timestamp())
    taken = alice.post(alice.order(venue.yes(), "BUY", "0.02", "5"))
    refused = alice.post(alice.order(venue.yes(), "BUY", "0.405", "5"))
    gone = alice.ask("DELETE", "/order", {"orderID": taken.body["orderID"]})

    told = {"Poly-RateLimit-Reset": str(now), "Poly-RateLimit-Tier": "standard"}
    assert taken.headers == {**told, "Poly-RateLimit-Remaining": "59"}
    assert (refused.status, refused.headers["Poly-RateLimit-Remaining"]) == (400, "58")
    assert gone.headers == {**told, "Poly-RateLimit-Remaining": "119"}
    assert alice.ask("GET", "/data/orders").headers == {}


def test_a_signer_without_tokens_is_told_when_to_come_back_and_nothing_is_done(
    venue: Venue, alice: Trader, bob: Trader
) -> None:
    wanted = orders(venue, alice, 62)
    for start in (0, 15, 30, 45):
        assert alice.ask("POST", "/orders", wanted[start : start + 15]).status == 200

    refused = alice.ask("POST", "/order", wanted[60])

    assert (refused.status, refused.body) == (429, {"error": "Too Many Requests"})
    assert refused.headers["Retry-After"] == "1"
    assert refused.headers["Poly-RateLimit-Remaining"] == "0"
    assert len(alice.open_orders()) == 60
    assert bob.post(bob.order(venue.yes(), "BUY", "0.02", "5")).status == 200
    venue.forward(0.025)  # one token at 40 a second
    assert alice.ask("POST", "/order", wanted[60]).status == 200
    assert alice.ask("POST", "/order", wanted[61]).status == 429


def test_a_batch_is_admitted_whole_or_not_at_all(venue: Venue, alice: Trader) -> None:
    wanted = orders(venue, alice, 65)
    for start in (0, 15, 30):
        alice.ask("POST", "/orders", wanted[start : start + 15])
    for one in wanted[45:50]:
        alice.ask("POST", "/order", one)

    refused = alice.ask("POST", "/orders", wanted[50:65])

    assert (refused.status, refused.headers["Poly-RateLimit-Remaining"]) == (429, "10")
    assert len(alice.open_orders()) == 50
    assert alice.ask("POST", "/orders", wanted[50:60]).status == 200


def test_cancels_have_tokens_of_their_own_and_a_cost_above_the_burst_never_passes(
    venue: Venue, alice: Trader
) -> None:
    (order,) = orders(venue, alice, 1)
    assert cancel(alice, *ids(120)).status == 200
    assert cancel(alice, *ids(1)).status == 429
    assert alice.ask("POST", "/order", order).status == 200

    venue.forward(60)
    hopeless = cancel(alice, *ids(121))
    assert hopeless.status == 429
    assert "Retry-After" not in hopeless.headers


def test_a_mass_cancel_is_admitted_by_one_token_and_pays_for_the_rest_afterwards(
    venue: Venue, alice: Trader
) -> None:
    for start in range(0, 60, 15):
        alice.ask("POST", "/orders", orders(venue, alice, 60)[start : start + 15])
    cancel(alice, *ids(110))

    gone = alice.ask("DELETE", "/cancel-all")

    assert (gone.status, len(gone.body["canceled"])) == (200, 60)
    assert gone.headers["Poly-RateLimit-Remaining"] == "-51"
    assert alice.ask("DELETE", "/cancel-all").status == 429
    venue.forward(52 / 80)
    assert alice.ask("DELETE", "/cancel-all").status == 200


def test_the_highest_tiers_never_owe(venue: Venue, alice: Trader) -> None:
    for start in range(0, 60, 15):
        alice.ask("POST", "/orders", orders(venue, alice, 60)[start : start + 15])
    venue.admin("POST", "/switches", {"tier": "platinum", "limits_percent": 1})

    gone = alice.ask("DELETE", "/cancel-all")

    assert (len(gone.body["canceled"]), gone.headers["Poly-RateLimit-Remaining"]) == (60, "0")
    assert gone.headers["Poly-RateLimit-Tier"] == "platinum"


def test_in_warning_mode_everything_passes_and_is_warned_of(venue: Venue, alice: Trader) -> None:
    venue.admin("POST", "/switches", {"signer_limits": "warned"})
    quiet, warned = cancel(alice, *ids(120)), cancel(alice, *ids(10))

    assert "Poly-RateLimit-Warning" not in quiet.headers
    assert (warned.status, warned.headers["Poly-RateLimit-Warning"]) == (200, "true")

    venue.admin("POST", "/switches", {"signer_limits": "off"})
    assert cancel(alice, *ids(130)).headers == {}


def test_nobody_spends_the_tokens_of_a_signer_whose_key_he_does_not_hold(
    alice: Trader,
) -> None:
    secret, alice.secret = alice.secret, "d3Jvbmc="
    assert {cancel(alice, *ids(100)).status for _ in range(3)} == {401}
    alice.secret = secret
    assert cancel(alice, *ids(120)).status == 200


class Windows:
    """An address that asks at moments of a test's choosing."""

    def __init__(self, **switches: object) -> None:
        self.now = 1_000_000_000_000_000
        turned = changed(PLAIN, switches)
        self.limits = AddressLimits(lambda: self.now, lambda: turned)

    def ask(self, path: str, address: str = "10.0.0.1", service: str = "clob") -> int:
        """Return how long the request waits. Raises RefusedError."""
        return self.limits.wait_us(Request("GET", service, path, {}, {}, b""), address)


def test_an_address_is_refused_beyond_a_paths_window_and_no_other_is() -> None:
    windows = Windows()
    assert [windows.ask("/tick-size") for _ in range(200)] == [0] * 200
    with pytest.raises(RefusedError) as refused:
        windows.ask("/tick-size")
    assert refused.value.status == 429
    assert windows.ask("/tick-size", address="10.0.0.2") == 0
    assert windows.ask("/neg-risk") == 0

    windows.now += int(refused.value.headers["Retry-After"]) * 1_000_000
    assert windows.ask("/tick-size") == 0


def test_what_lies_under_a_path_counts_with_it_and_a_longer_name_does_not() -> None:
    windows = Windows(limits_percent=1)
    assert [windows.ask("/data/orders") for _ in range(5)] == [0] * 5
    with pytest.raises(RefusedError):
        windows.ask("/data/orders")
    assert [windows.ask("/data/order/0xab") for _ in range(4)] == [0] * 4
    with pytest.raises(RefusedError):
        windows.ask("/data/order/0xab")  # nine of the group's nine
    assert windows.ask("/data-of-another-name") == 0


def test_the_last_window_fades_into_the_next_one() -> None:
    windows = Windows(limits_percent=1)  # fifteen books in ten seconds
    for _ in range(15):
        windows.ask("/book")
    windows.now += 12_000_000  # a fifth of the next window has gone
    assert [windows.ask("/book") for _ in range(3)] == [0] * 3
    with pytest.raises(RefusedError):
        windows.ask("/book")


def test_an_early_request_may_wait_in_a_queue_instead() -> None:
    windows = Windows(address_limits="queued", limits_percent=50)
    assert [windows.ask("/tick-size") for _ in range(100)] == [0] * 100
    windows.now += 7_000_000
    assert 3_000_000 < windows.ask("/tick-size") < 5_000_000

    windows.now -= 6_000_000
    with pytest.raises(RefusedError):
        windows.ask("/tick-size")  # eight seconds are too long for a queue


def test_every_rule_names_a_service_that_is_served(venue: Venue) -> None:
    assert {rule.service for rule in ADDRESS_RULES} <= {"clob", "gamma", "data-api", "relayer"}
    assert venue.admin("POST", "/switches", {"address_limits": "off"}).status == 200


@pytest.fixture
def tight(server: Server) -> Iterator[Server]:
    server.admin("POST", "/switches", {"limits_percent": 2})
    yield server
    server.admin("POST", "/switches", {"preset": "plain"})


@pytest.mark.services
def test_a_refusal_of_the_address_reaches_the_client_and_the_ledger(tight: Server) -> None:
    answers = [httpx.get(tight.url + "/clob/ok", trust_env=False) for _ in range(6)]

    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert refused[0].json() == {"error": "Too Many Requests"}
    assert int(refused[0].headers["retry-after"]) >= 1
    rows = tight.admin("GET", "/ledger/requests")
    assert "too many requests of this address" in {row["outcome"] for row in rows}


@pytest.mark.services
def test_a_signers_headers_reach_a_client(server: Server) -> None:
    trader = FarTrader(server)
    answer = trader.send("DELETE", "/orders", ids(3))
    assert answer.headers["poly-ratelimit-tier"] == "standard"
    assert int(answer.headers["poly-ratelimit-remaining"]) >= 0

"""HTTP faults on a real connection: what the client sees and what the exchange has done."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from eth_account import Account

from tests.paper.conftest import Server
from tests.paper.traders import Trader

pytestmark = pytest.mark.services

ADDRESS = str(Account.from_key("0x" + "66" * 32).address)


class FarTrader(Trader):
    """A trader on the other end of a socket."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.private_key = "0x" + "66" * 32
        self.account = Account.from_key(self.private_key)
        self.address = self.wallet = ADDRESS
        self.signature_type = 0
        self.salts = int(time.monotonic() * 1000)
        body = {"wallet": ADDRESS, "signature_type": 0, "collateral": "10000"}
        funded = server.admin("POST", "/accounts", body)
        self.api_key, self.secret = funded["api_key"], funded["secret"]
        self.passphrase = funded["passphrase"]
        (market,) = httpx.get(server.url + "/gamma/markets?limit=1", trust_env=False).json()
        self.token_id = str(market["clobTokenIds"]).split('"')[1]

    def send(self, method: str, path: str, body: object = None) -> httpx.Response:
        """Send a signed request and return the bare answer."""
        raw = b"" if body is None else httpx.Request("POST", "http://x", json=body).content
        return httpx.request(
            method,
            f"{self.server.url}/clob{path}",
            content=raw,
            headers=self.headers(method, path.partition("?")[0], raw),
            trust_env=False,
        )

    def buys(self) -> Any:
        """Return the body of a new order far from the market."""
        return self.posted(self.order(self.token_id, "BUY", "0.02", "10"))

    def open_ids(self) -> list[str]:
        return [row["id"] for row in self.send("GET", "/data/orders").json()["data"]]


@pytest.fixture
def trader(server: Server) -> Iterator[FarTrader]:
    far = FarTrader(server)
    yield far
    server.admin("DELETE", "/faults")
    far.send("DELETE", "/cancel-all")


def fault(server: Server, do: dict[str, Any], when: str = "before", **extra: Any) -> int:
    match = {"method": "POST", "path": "/order", **extra.pop("match", {})}
    return server.admin("POST", "/faults", {"match": match, "when": when, "do": do, **extra})["id"]


def last_request(server: Server) -> Any:
    rows = server.admin("GET", "/ledger/requests")
    return next(row for row in reversed(rows) if row["method"] == "POST")


def test_a_request_dropped_before_is_not_processed_but_written_down(
    server: Server, trader: FarTrader
) -> None:
    fault(server, {"drop": True})
    posted = trader.buys()

    with pytest.raises(httpx.RemoteProtocolError):
        trader.send("POST", "/order", posted)

    row = last_request(server)
    assert (row["status"], row["outcome"]) == (0, "dropped before processing")
    assert (row["wallet"], row["token_id"]) == (ADDRESS, trader.token_id)
    assert trader.open_ids() == []
    answer = trader.send("POST", "/order", posted).json()
    assert answer["orderID"] == row["order_hash"]


def test_a_request_dropped_after_is_processed(server: Server, trader: FarTrader) -> None:
    fault(server, {"drop": True}, "after")

    with pytest.raises(httpx.RemoteProtocolError):
        trader.send("POST", "/order", trader.buys())

    assert trader.open_ids() == [last_request(server)["order_hash"]]


def test_an_answer_can_be_replaced_delayed_and_cut(server: Server, trader: FarTrader) -> None:
    do = {"status": 500, "body": {"error": "could not insert order"}, "headers": {"X-Seen": "1"}}
    fault(server, {**do, "delay_s": 0.2}, "after")
    started = time.monotonic()
    answer = trader.send("POST", "/order", trader.buys())
    assert (answer.status_code, answer.json()) == (500, {"error": "could not insert order"})
    assert answer.headers["x-seen"] == "1"
    assert time.monotonic() - started >= 0.2
    assert len(trader.open_ids()) == 1

    fault(server, {"truncate_bytes": 20}, "after")
    with pytest.raises(httpx.RemoteProtocolError):
        trader.send("POST", "/order", trader.buys())
    assert len(trader.open_ids()) == 2


def test_a_mere_delay_before_is_processed_in_the_end(server: Server, trader: FarTrader) -> None:
    fault(server, {"delay_s": 0.1})

    assert trader.send("POST", "/order", trader.buys()).json()["status"] == "live"


def test_a_duplicated_request_is_processed_twice(server: Server, trader: FarTrader) -> None:
    fault(server, {"duplicate": True}, "after")

    answer = trader.send("POST", "/order", trader.buys())

    assert "Duplicated" in answer.json()["error"]
    assert len(trader.open_ids()) == 1


def test_a_lost_request_may_arrive_later(server: Server, trader: FarTrader) -> None:
    fault(server, {"process_after_s": 0.3})

    with pytest.raises(httpx.RemoteProtocolError):
        trader.send("POST", "/order", trader.buys())

    assert trader.open_ids() == []
    end = time.monotonic() + 5
    while not trader.open_ids() and time.monotonic() < end:
        time.sleep(0.05)
    assert trader.open_ids() == [last_request(server)["order_hash"]]


def test_a_false_success_says_done_and_does_nothing(server: Server, trader: FarTrader) -> None:
    real = trader.send("POST", "/order", trader.buys()).json()["orderID"]
    fault(server, {"false_success": True})
    fault(server, {"false_success": True}, match={"method": "DELETE", "path": "/order"})

    placed = trader.send("POST", "/order", trader.buys()).json()
    gone = trader.send("DELETE", "/order", {"orderID": real}).json()

    assert (placed["success"], placed["status"]) == (True, "live")
    assert gone == {"canceled": [real], "not_canceled": {}}
    assert trader.open_ids() == [real]


def test_a_rule_hits_the_nth_match_as_often_as_it_says(server: Server, trader: FarTrader) -> None:
    fault(server, {"status": 503}, match={"nth": 2}, times=2)

    codes = [trader.send("POST", "/order", trader.buys()).status_code for _ in range(4)]

    assert codes == [200, 503, 503, 200]


def test_a_rule_concerns_only_its_path_and_token(server: Server, trader: FarTrader) -> None:
    fault(server, {"status": 503}, match={"token_id": "123"}, times=None)
    fault(server, {"status": 503}, match={"path": "/orders"}, times=None)

    assert trader.send("POST", "/order", trader.buys()).status_code == 200
    assert trader.send("POST", "/orders", [trader.buys()]).status_code == 503


def test_a_rule_with_a_probability_hits_some(server: Server, trader: FarTrader) -> None:
    fault(server, {"status": 503}, match={"method": "GET", "path": "/data/*", "probability": 0.5})

    codes = {trader.send("GET", "/data/orders").status_code for _ in range(40)}

    assert codes == {200, 503}


@pytest.mark.usefixtures("trader")
def test_rules_are_listed_and_removed(server: Server) -> None:
    first, second = fault(server, {"status": 503}), fault(server, {"status": 503})
    server.admin("DELETE", f"/faults/{first}")

    assert [rule["id"] for rule in server.admin("GET", "/faults")] == [second]
    unknown = {"match": {"road": "/order"}, "do": {"drop": True}}
    url = server.url + "/_paper/faults"
    assert httpx.post(url, json=unknown, trust_env=False).status_code == 400
    assert httpx.post(url, json={"do": {"explode": 1}}, trust_env=False).status_code == 400

"""Every key of an HTTP fault, alone and together, and what a restart leaves of a rule."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import pytest

from tests.paper.conftest import Venue
from tests.paper.traders import Trader


@dataclass
class Seen:
    """What a client saw: nothing at all, or an answer, perhaps cut short."""

    status: int = 0
    raw: bytes = b""
    is_whole: bool = False

    @property
    def body(self) -> Any:
        return json.loads(self.raw)


async def through(trader: Trader, method: str, path: str, body: object = None) -> Seen:
    """Send a signed request through the door's whole way, faults and all."""
    raw = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
    bare, _, query = path.partition("?")
    headers = trader.headers(method, bare, raw).items()
    scope = {
        "type": "http",
        "method": method,
        "path": "/clob" + bare,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers],
        "client": ("127.0.0.1", 1),
    }
    came = iter([{"type": "http.request", "body": raw}])
    seen = Seen()

    async def receive() -> Any:
        return next(came, {"type": "http.disconnect"})

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            seen.status = message["status"]
        else:
            seen.raw, seen.is_whole = message["body"], not message["more_body"]

    await trader.door(scope, receive, send)
    return seen


def order(venue: Venue, alice: Trader, size: str = "10") -> Any:
    return alice.posted(alice.order(venue.yes(), "BUY", "0.02", size))


def fault(venue: Venue, do: dict[str, Any], when: str = "before", **extra: Any) -> int:
    match = {"method": "POST", "path": "/order", **extra.pop("match", {})}
    body = {"match": match, "when": when, "do": do, **extra}
    return venue.admin("POST", "/faults", body).body["id"]


async def post(venue: Venue, alice: Trader) -> Seen:
    return await through(alice, "POST", "/order", order(venue, alice))


def outcomes(venue: Venue) -> list[tuple[int, str]]:
    rows = venue.ledger("requests")
    return [(row["status"], row["outcome"]) for row in rows if row["path"] == "/order"]


async def test_rules_count_what_concerns_them_even_when_another_strikes(
    venue: Venue, alice: Trader
) -> None:
    fault(venue, {"status": 500}, match={"nth": 1}, times=2)
    fault(venue, {"status": 503}, match={"nth": 3})

    statuses = [(await post(venue, alice)).status for _ in range(4)]

    assert statuses == [500, 500, 503, 200]
    assert [(rule["matched"], rule["left"]) for rule in venue.admin("GET", "/faults").body] == [
        (2, 0),
        (3, 0),
    ]


async def test_a_probability_with_times_strikes_no_oftener(venue: Venue, alice: Trader) -> None:
    fault(venue, {"status": 503}, match={"probability": 0.5}, times=3)

    statuses = [(await post(venue, alice)).status for _ in range(30)]

    assert statuses.count(503) == 3
    assert statuses.count(200) == 27


async def test_a_token_is_known_in_a_body_and_in_a_query(venue: Venue, alice: Trader) -> None:
    about = {"method": None, "path": None, "token_id": venue.yes()}
    fault(venue, {"status": 418}, match=about, times=None)

    assert (await post(venue, alice)).status == 418
    assert (await through(alice, "GET", f"/book?token_id={venue.yes()}")).status == 418
    assert (await through(alice, "GET", f"/book?token_id={venue.no()}")).status == 200


COMBINED: dict[str, tuple[str, dict[str, Any], int, bool, int]] = {
    # when, what is done, status seen (0: no answer), whether the answer is whole, orders made
    "before: drop, delay": ("before", {"drop": True, "delay_s": 0.01}, 0, False, 0),
    "after: drop, delay": ("after", {"drop": True, "delay_s": 0.01}, 0, False, 1),
    "before: drop, cut": ("before", {"drop": True, "truncate_bytes": 9}, 0, False, 0),
    "after: drop, status": ("after", {"drop": True, "status": 500}, 0, False, 1),
    "before: status, cut": ("before", {"status": 502, "truncate_bytes": 5}, 502, False, 0),
    "after: status, cut, delay": (
        "after",
        {"status": 502, "truncate_bytes": 5, "delay_s": 0.01},
        502,
        False,
        1,
    ),
    "before: duplicate": ("before", {"duplicate": True}, 400, True, 1),
    "after: duplicate, drop": ("after", {"duplicate": True, "drop": True}, 0, False, 1),
    "before: duplicate, drop": ("before", {"duplicate": True, "drop": True}, 0, False, 0),
    "after: duplicate, status": ("after", {"duplicate": True, "status": 500}, 500, True, 1),
    "false success, cut": ("before", {"false_success": True, "truncate_bytes": 9}, 200, False, 0),
    "false success, drop": ("after", {"false_success": True, "drop": True}, 0, False, 0),
    "false success, delay": ("before", {"false_success": True, "delay_s": 0.01}, 200, True, 0),
    "before: headers alone": ("before", {"headers": {"Retry-After": "3"}}, 500, True, 0),
    "after: body alone": ("after", {"body": "<html>"}, 200, True, 1),
}


@pytest.mark.parametrize("name", COMBINED)
async def test_what_a_fault_does_adds_up(venue: Venue, alice: Trader, name: str) -> None:
    when, do, status, is_whole, made = COMBINED[name]
    fault(venue, do, when)

    seen = await post(venue, alice)

    assert (seen.status, seen.is_whole) == (status, is_whole)
    assert len(alice.open_orders()) == made
    if "truncate_bytes" in do and status:
        assert len(seen.raw) == do["truncate_bytes"]


async def test_a_delay_before_comes_before_the_processing_and_one_after_follows_it(
    venue: Venue, alice: Trader
) -> None:
    for when, made in (("before", 0), ("after", 1)):
        fault(venue, {"delay_s": 0.2}, when)
        posting = asyncio.create_task(post(venue, alice))
        await asyncio.sleep(0.05)  # well inside the delay
        assert len(alice.open_orders()) == made
        assert (await posting).status == 200
        alice.ask("DELETE", "/cancel-all")


LATE: dict[str, tuple[dict[str, Any], int, int]] = {
    "alone": ({}, 0, 1),
    "with a status": ({"status": 504}, 504, 1),
    "with a delay": ({"status": 504, "delay_s": 0.01}, 504, 1),
    "twice": ({"duplicate": True}, 0, 1),
    "and said to be done": ({"false_success": True}, 200, 1),
}


@pytest.mark.parametrize("name", LATE)
async def test_x3_a_request_that_arrives_late_is_processed_then_whatever_was_answered(
    venue: Venue, alice: Trader, name: str
) -> None:
    do, status, made = LATE[name]
    fault(venue, {"process_after_s": 40, **do})
    body = order(venue, alice)

    assert (await through(alice, "POST", "/order", body)).status == status
    venue.forward(39)
    assert alice.open_orders() == []
    venue.forward(1)

    assert len(alice.open_orders()) == made
    assert "Duplicated" in alice.ask("POST", "/order", body).body["error"]


async def test_a_request_on_its_way_outlives_a_restart_of_the_exchange(
    venue: Venue, alice: Trader
) -> None:
    fault(venue, {"process_after_s": 40})
    await post(venue, alice)

    venue.restart()
    alice.door = venue.door

    assert alice.open_orders() == []
    venue.forward(40)
    assert len(alice.open_orders()) == 1
    venue.forward(40)
    assert len(alice.open_orders()) == 1


async def test_rules_outlive_a_restart_with_what_they_have_counted(
    venue: Venue, alice: Trader
) -> None:
    fault(venue, {"status": 503}, match={"nth": 3}, times=2)
    assert (await post(venue, alice)).status == 200

    venue.restart()
    alice.door = venue.door

    assert [(await post(venue, alice)).status for _ in range(4)] == [200, 503, 503, 200]
    venue.admin("DELETE", "/faults")
    venue.restart()
    assert venue.admin("GET", "/faults").body == []


async def test_a_false_success_lies_about_every_kind_of_order_request(
    venue: Venue, alice: Trader
) -> None:
    resting = alice.limit(venue.yes(), "BUY", "0.02", "10")["orderID"]
    every = {"method": None, "path": None}
    fault(venue, {"false_success": True}, match=every, times=5)

    placed = await through(alice, "POST", "/orders", [order(venue, alice), order(venue, alice)])
    assert [leg["status"] for leg in placed.body] == ["live", "live"]
    for method, path, body in (
        ("DELETE", "/order", {"orderID": resting}),
        ("DELETE", "/orders", [resting]),
        ("DELETE", "/cancel-all", None),
        ("DELETE", "/cancel-market-orders", {"asset_id": venue.yes()}),
    ):
        gone = await through(alice, method, path, body)
        assert gone.body == {"canceled": [resting], "not_canceled": {}}
    assert [row["id"] for row in alice.open_orders()] == [resting]


@pytest.mark.parametrize(
    "body",
    [
        {"do": {}},
        {"do": {"drop": True}, "match": {"nth": 0}},
        {"do": {"drop": True}, "match": {"probability": 1.5}},
        {"do": {"drop": True}, "when": "during"},
        {"do": {"delay_s": "soon"}},
        {"do": {"drop": True}, "time": 3},
    ],
)
def test_a_rule_that_could_never_mean_anything_is_refused(
    venue: Venue, body: dict[str, Any]
) -> None:
    assert venue.admin("POST", "/faults", body).status == 400
    assert venue.admin("GET", "/faults").body == []

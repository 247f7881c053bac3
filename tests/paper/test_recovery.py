"""A killed server continues from its ledger."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.paper.conftest import Server, free_port
from tests.paper.test_faults import FarTrader

pytestmark = pytest.mark.services


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path, free_port())
    running.start()
    yield running
    running.stop()


def test_a_kill_loses_nothing_that_was_answered(own_server: Server) -> None:
    trader = FarTrader(own_server)
    own_server.admin("POST", "/settlement", {"delay_s": 0.3})
    levels = {"bids": [["0.30", "50"]], "asks": [["0.40", "500"]]}
    own_server.admin("POST", "/book", {"token_id": trader.token_id, **levels})
    resting = [trader.buys() for _ in range(20)]
    answered = [trader.send("POST", "/order", body).json()["orderID"] for body in resting]
    bought = trader.posted(trader.order(trader.token_id, "BUY", "0.40", "10"))
    trade_id = trader.send("POST", "/order", bought).json()["tradeIDs"][0]

    own_server.kill()
    own_server.start()

    assert trader.open_ids() == answered
    assert "Duplicated" in trader.send("POST", "/order", resting[0]).json()["error"]
    rows = own_server.admin("GET", "/ledger/orders?origin=api")
    assert [row["order_hash"] for row in rows[:20]] == answered
    for _ in range(200):
        (trade,) = trader.send("GET", f"/data/trades?id={trade_id}").json()["data"]
        if trade["status"] == "CONFIRMED":
            break
    else:
        pytest.fail("the trade was not confirmed after the restart")
    funds = trader.send("GET", "/balance-allowance?asset_type=COLLATERAL&signature_type=0").json()
    assert funds["balance"] == "9996000000"
    book = own_server.admin("GET", "/ledger/orders?origin=maker")
    assert {(row["price"], row["filled_size"]) for row in book if row["status"] == "LIVE"} == {
        ("0.3", "0"),
        ("0.4", "10"),
    }

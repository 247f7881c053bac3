"""Every call is recorded: how long it took to connect, to answer and in all, and what it moved."""

import asyncio
import logging
from typing import Any

import pytest

from domain.errors import UnavailableError
from infra.exchanges.meter import CallKey
from infra.exchanges.polymarket.client import PolymarketAccount
from tests.exchanges.scripted import Reply, ScriptedServer, a_gate, account_on, says

HASH, OTHER = "0x" + "a1" * 32, "0x" + "b2" * 32


def events(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [vars(one) for one in caplog.records if one.getMessage() == "exchange.called"]


async def test_a_call_is_an_event_with_its_times_and_bytes_and_without_ids(
    server: ScriptedServer, account: PolymarketAccount, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.script(f"GET /data/order/{HASH}", says(None))
    server.script("DELETE /order", says({"canceled": [HASH], "not_canceled": {}}))
    await account.active_order(HASH)
    await account.cancel(HASH)
    read, cancel = events(caplog)
    assert (read["endpoint"], read["status"], read["retry"]) == ("GET /data/order/{id}", 200, 0)
    assert 0 < read["connect_ms"] < read["first_byte_ms"] <= read["total_ms"]
    assert (read["bytes_out"], read["bytes_in"]) == (0, 4)
    assert cancel["connect_ms"] is None  # the first call's connection was kept
    assert cancel["bytes_out"] == len('{"orderID":""}') + len(HASH)


async def test_what_is_retried_refused_or_lost_is_counted(server: ScriptedServer) -> None:
    gate = a_gate()
    lost = Reply(fate="drop")
    server.script(f"GET /data/order/{HASH}", lost, says(None))
    server.script(f"GET /data/order/{OTHER}", lost)
    server.script("GET /data/orders", says({"error": "slow"}, 429, Retry_After="0"))
    async with account_on(server.address, gate=gate) as account:
        await account.active_order(HASH)
        with pytest.raises(UnavailableError):
            await account.active_order(OTHER)
        await asyncio.gather(account.active_orders(), return_exceptions=True)
    counted = {key[1:]: counts for key, counts in gate.meter.counted().items()}
    found = counted["GET /data/order/{id}", 200]
    assert (found.calls, found.retries, sum(found.totals_ms)) == (1, 1, 1)
    nothing = counted["GET /data/order/{id}", 0]
    assert (nothing.calls, nothing.retries, sum(nothing.first_bytes_ms)) == (4, 2, 0)
    assert counted["GET /data/orders", 429].calls == 1


class Kept:
    """Rows of counts, as last written."""

    def __init__(self) -> None:
        self.rows: dict[CallKey, int] = {}

    async def write(self, process: str, counts: Any) -> None:
        self.rows |= {key: counted.calls for key, counted in counts.items()}

    async def forget(self, now: object) -> None:
        del now

    async def processes(self, since: object, endpoints: object) -> int:
        return 1


async def test_counts_are_written_whole_however_often_and_grow_until_the_minute_ends(
    server: ScriptedServer,
) -> None:
    gate, kept = a_gate(), Kept()
    server.script(f"GET /data/order/{HASH}", says(None))
    async with account_on(server.address, gate=gate) as account:
        for _ in range(3):
            await account.active_order(HASH)
            await gate.write("me", kept)
    assert sum(kept.rows.values()) == 3

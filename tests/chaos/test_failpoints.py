"""Each failpoint stands at the instant its name says, and does nothing unless it is named."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import dict_row

from domain.signal import Action
from infra.failpoints import NAMES, from_environment
from infra.settings import TemporalSettings
from infra.store.database import open_database
from tests.api.conftest import SECRET, Stack, free_port, running, settings_for
from tests.chaos.evidence import Row
from tests.chaos.small_world import SmallWorld, is_over
from tests.exchanges.desk import Desk, a_desk
from tests.paper.conftest import Server

pytestmark = pytest.mark.services

# Read by another connection, so that what is not committed yet is not there.
COMMITTED = """
    SELECT (SELECT count(*) FROM orders) AS orders, (SELECT max(state) FROM orders) AS state,
        (SELECT max(attempts) FROM orders) AS attempts, (SELECT count(*) FROM fills) AS fills,
        (SELECT coalesce(sum(size), 0) FROM positions) AS held,
        (SELECT count(*) FROM pg_locks WHERE mode = 'RowExclusiveLock'
            AND relation = 'fills'::regclass) AS under_way
"""


@dataclass
class Probe:
    """Looks at the database and the exchange the first time each instant is passed."""

    url: str
    desk: Desk | None = None
    seen: dict[str, Row] = field(default_factory=dict[str, Row])

    async def __call__(self, name: str) -> None:
        assert name in NAMES
        if name not in self.seen:
            self.seen[name] = self._look()

    def _look(self) -> Row:
        assert self.desk is not None
        with psycopg.connect(self.url) as connection:
            connection.execute("SET search_path = holdfast")
            [row] = connection.cursor(row_factory=dict_row).execute(COMMITTED).fetchall()
        return {**row, "taken": len(self.desk.ledger("orders"))}


async def test_the_failpoints_of_an_order_stand_where_their_names_say(
    database_url: str, server: Server
) -> None:
    probe, engine = Probe(database_url), open_database(database_url)
    async with a_desk(server, "failpoints") as desk:
        probe.desk = desk
        desk.account.on_answer_begun(lambda: probe("order.after_send"))
        world = SmallWorld(desk, engine, probe)
        await world.open()
        world.quote("0.40", "0.50", "500")
        order = await world.sent_order("bought", Action.BUY_MARKET, "20", None)
        await world.followed(order, is_over)
        await world.inbox.close()
    await engine.dispose()

    nothing = {"orders": 0, "state": None, "attempts": None, "fills": 0, "held": 0, "taken": 0}
    written = nothing | {"orders": 1, "state": "NEW", "attempts": 0}
    counted = written | {"state": "SENT", "attempts": 1}
    taken = counted | {"taken": 1}
    answered = taken | {"state": "LIVE"}
    found = {name: {**row, "under_way": row["under_way"] > 0} for name, row in probe.seen.items()}
    assert found == {
        "order.before_sign": nothing | {"under_way": False},
        "order.after_row": written | {"under_way": False},
        "order.before_post": counted | {"under_way": False},
        "order.after_send": taken | {"under_way": False},
        "order.before_ack_commit": taken | {"under_way": False},
        "order.after_ack_commit": answered | {"under_way": False},
        "fill.before_tx": answered | {"under_way": False},
        "fill.mid_tx": answered | {"under_way": True},
        "fill.after_tx": answered | {"state": "FILLED", "fills": 1, "held": 20, "under_way": False},
    }


@asynccontextmanager
async def api_that_fails_at(
    point: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[Stack]:
    """Run the API without a Temporal server, failing once at a point."""
    monkeypatch.setenv("HOLDFAST_FAILPOINT", f"{point}=raise")
    away = TemporalSettings(address=f"127.0.0.1:{free_port()}")
    async with running(settings_for(url, away)) as stack:
        yield stack


@pytest.mark.parametrize(
    ("point", "status", "rows"),
    [
        ("api.before_insert", 503, []),
        ("api.after_insert", 503, [("received", "BuyMarket")]),
        ("api.before_start", 202, [("received", "BuyMarket")]),
    ],
)
async def test_the_failpoints_of_the_api_stand_where_their_names_say(
    point: str,
    status: int,
    rows: list[tuple[str, str | None]],
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with api_that_fails_at(point, database_url, monkeypatch) as stack:
        wish = {"action": "BuyMarket", "market": "rain", "outcome": "Yes", "percent": 10}
        answer = await stack.post(wish | {"secret": SECRET})
        assert answer.status_code == status
        assert [(row["status"], row["action"]) for row in stack.signals()] == rows


async def test_a_failpoint_that_is_not_named_does_nothing(tmp_path: Path) -> None:
    marks = {"HOLDFAST_FAILPOINT_DIR": str(tmp_path)}
    unarmed = from_environment(marks)
    other = from_environment(marks | {"HOLDFAST_FAILPOINT": "order.before_post=kill9"})
    for name in NAMES - {"order.before_post"}:
        await unarmed(name)
        await other(name)
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240 - nothing else runs

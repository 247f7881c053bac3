"""One real stack for all end-to-end tests: `holdfast up` with its failpoints armed by a file."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Generator, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from temporalio.client import Client

from domain.protection import Crossing
from domain.signal import PositionTask
from infra.clock import utc_now
from infra.temporal import DATA_CONVERTER
from infra.temporal_workflows import TemporalWorkflows
from tests.chaos.evidence import OK, REFUSED, UNKNOWN, Evidence, Ledger, Sent
from tests.e2e.collector import Collector, collecting
from workers.demo_claims import account_claims, order_claims
from workers.demo_stage import Stage, raised

OVER = {"FILLED", "CANCELLED", "EXPIRED", "REJECTED", "ABANDONED"}
FINAL = {"CONFIRMED", "FAILED"}
UNANSWERED = {"received", "processing"}
ACCEPTED = {200, 202}
SEND_AGAIN = {408, 429}
PATIENCE_SECONDS = 60.0
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 1.0

Row = dict[str, Any]


@dataclass
class World:
    """The stack, and the questions that tests ask of it.

    Attributes:
        markets: those that no test has used yet.
        sent: every attempt to deliver an alert, as its sender knows it.
        opening: what the account owned before the first of them.
    """

    stage: Stage
    failpoints: Path
    marks: Path
    collector: Collector
    markets: list[Row] = field(default_factory=list[Row])
    sent: list[Sent] = field(default_factory=list[Sent])
    opening: list[Row] = field(default_factory=list[Row])

    def arm(self, value: str) -> None:
        """Arm failpoints in every process from now on."""
        self.failpoints.write_text(value)

    def arm_again(self, point: str) -> None:
        """Have the next pass of one failpoint kill its process, whether it has fired or not."""
        (self.marks / point).unlink(missing_ok=True)
        self.arm(f"{point}=kill9")

    def has_fired(self, name: str) -> bool:
        """Tell whether a failpoint has done its work."""
        return (self.marks / name).exists()

    async def quiet_market(self, bid: str, ask: str, size: str = "500") -> Row:
        """Return an unused market whose first token has just this book."""
        market = self.markets.pop()
        token = market["tokens"][0]["token_id"]
        await self.offer(token, bids=[[bid, size]], asks=[[ask, size]])
        return market

    async def offer(self, token: str, *, bids: list[list[str]], asks: list[list[str]]) -> None:
        """Replace a token's makers."""
        await self.stage.admin("/book", {"token_id": token, "bids": bids, "asks": asks})

    async def send(self, action: str, market: Row, alert_id: str, **wish: str) -> str:
        """Send an alert that must be accepted; return its signal's id."""
        outcome = market["tokens"][0]["outcome"]
        body = {"action": action, "market": market["slug"], "outcome": outcome, "id": alert_id}
        async with asyncio.timeout(PATIENCE_SECONDS):
            answered = await self.deliver(alert_id, body | wish)
        assert answered.signal_id is not None, answered
        return answered.signal_id

    async def deliver(self, alert: str, fields: Row, *, secret: str | None = None) -> Sent:
        """Send an alert until somebody answers, as its sender would; return the last attempt."""
        webhook = self.stage.endpoints.webhooks["tradingview"]
        body = json.dumps({"secret": secret or webhook.secret, **fields}).encode()
        pause = FIRST_PAUSE_SECONDS
        while True:
            attempt = await self._attempt(alert, webhook.url, body)
            self.sent.append(attempt)
            if attempt.outcome != UNKNOWN:
                return attempt
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)

    async def _attempt(self, alert: str, url: str, body: bytes) -> Sent:
        """Send the bytes once."""
        begun, status, signal_id = utc_now().timestamp(), 0, None
        with contextlib.suppress(httpx.HTTPError, OSError):
            answer = await self.stage.http.post(url, content=body)
            status = answer.status_code
            signal_id = answer.json().get("signal_id") if status in ACCEPTED else None
        is_refused = 400 <= status < 500 and status not in SEND_AGAIN
        return Sent(
            alert=alert,
            body=body,
            outcome=OK if signal_id else REFUSED if is_refused else UNKNOWN,
            status=status,
            signal_id=signal_id,
            begun_at=begun,
            answered_at=utc_now().timestamp(),
        )

    @property
    def database_url(self) -> str:
        """The address of the engine's database."""
        return self.stage.endpoints.database.url

    @property
    def ledger(self) -> Ledger:
        """The exchange's own record of the account."""
        exchange = self.stage.endpoints.exchange
        return Ledger(
            admin_url=str(exchange.admin_url),
            clob_url=exchange.clob_url,
            wallet=self.stage.wallet,
            http=self.stage.http,
        )

    async def evidence(self) -> Evidence:
        """Return what the outside says of everything up to now."""
        return await self.ledger.read(self.opening, list(self.sent))

    async def operate(self, verb: str) -> None:
        """Ask the engine to do something with the account, until somebody takes it."""
        api = self.stage.endpoints.api
        url = f"{api.url}/api/v1/accounts/{self.stage.endpoints.accounts[0].id}/{verb}"
        headers = {"Authorization": f"Bearer {api.key}"}

        async def is_taken() -> bool:
            return (await self.stage.http.post(url, headers=headers)).status_code == 202

        await self.stage.until(f"{verb} to be taken", is_taken)

    async def cross(self, token: str) -> None:
        """Tell a position that its stop seems to be reached, as whoever watches prices does."""
        temporal = self.stage.endpoints.temporal
        client = await Client.connect(
            temporal.address, namespace=temporal.namespace, data_converter=DATA_CONVERTER
        )
        task = PositionTask(account_id=self.stage.endpoints.accounts[0].id, token_id=token)
        seen = Crossing(price=Decimal("0.29"), seen_at=utc_now(), seen_by="guardian")
        await TemporalWorkflows(client).price_crossed(task, seen)

    async def signal(self, signal_id: str) -> Row:
        """Return a signal as it stands."""
        return next(row for row in await self.stage.rows("signals") if row["id"] == signal_id)

    async def is_over(self, signal_id: str) -> bool:
        """Tell whether a signal is answered and its orders are over."""
        signal = await self.signal(signal_id)
        assert signal["status"] not in {"denied", "error", "expired"}, signal
        orders = await self.stage.rows("orders", signal_id=signal_id)
        is_answered = signal["status"] not in UNANSWERED
        return is_answered and bool(orders) and all(row["state"] in OVER for row in orders)

    async def is_settled(self, token: str) -> bool:
        """Tell whether every fill of a token is final on both sides."""
        fills = await self.stage.rows("fills", token=token)
        legs = await self.stage.ledger("trades", origin="api", token_id=token)
        rows = [*fills, *legs]
        return len(fills) == len(legs) and all(row["status"] in FINAL for row in rows)

    async def finish(self, *signal_ids: str, token: str) -> None:
        """Wait until signals are over and all their trades are final."""
        for signal_id in signal_ids:

            async def is_over(signal_id: str = signal_id) -> bool:
                return await self.is_over(signal_id)

            await self.stage.until(f"the end of signal {signal_id}", is_over)
        await self.stage.until("settlement", lambda: self.is_settled(token))

    async def assert_agreement(self, signal_id: str, token: str) -> None:
        """Compare a token's only order, and its position, with the exchange's own ledger."""
        broken = [claim for claim in await order_claims(self.stage, signal_id) if not claim.holds]
        assert not broken, broken
        await self.assert_account_agrees(token)

    async def assert_account_agrees(self, token: str) -> None:
        """Compare a token's position, cash and profit with the exchange's own ledger."""
        broken = [claim for claim in await account_claims(self.stage, token) if not claim.holds]
        assert not broken, broken

    async def orders_at_exchange(self, token: str) -> list[Row]:
        """Return every order of ours that the exchange has ever accepted for a token."""
        return await self.stage.ledger("orders", origin="api", token_id=token)

    async def filled_at_exchange(self, token: str) -> Decimal:
        """Return the shares of ours that the exchange has matched of a token."""
        orders = await self.orders_at_exchange(token)
        return sum((Decimal(row["filled_size"]) for row in orders), Decimal(0))


@contextlib.contextmanager
def told(variables: dict[str, str]) -> Generator[None]:
    """Tell the processes that are started in the block, and none after it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def armed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The file that arms failpoints and the folder where they leave their names."""
    folder = tmp_path_factory.mktemp("failpoints")
    file, marks = folder / "armed", folder / "marks"
    file.write_text("")
    marks.mkdir()
    return file, marks


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    """Where every process of the stack sends its spans."""
    with collecting() as made:
        yield made


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def world(
    armed: tuple[Path, Path],
    collector: Collector,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[World]:
    """The running stack, traced."""
    file, marks = armed
    variables = {"HOLDFAST_FAILPOINT": f"@{file}", "HOLDFAST_FAILPOINT_DIR": str(marks)}
    with told(variables | collector.environment):
        stage = await raised(tmp_path_factory.mktemp("stack") / "data", lambda _: None)
    listed = [row for row in await stage.rows("markets") if row["accepting_orders"]]
    # The plain ones are taken first, from the end.
    listed.sort(key=lambda row: (not row["neg_risk"], row["tick_size"] == "0.01"))
    world = World(stage, file, marks, collector, markets=listed)
    world.opening = await world.ledger.balances()
    yield world
    await stage.close()

"""A campaign: alerts flow, books move, and processes are killed at moments drawn from a seed."""

import asyncio
import contextlib
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import psutil
import psycopg

from tests.chaos.checker import Violation, check, check_running, stories, unsettled
from tests.chaos.dice import Dice
from tests.chaos.evidence import OK, Sent
from tests.e2e.conftest import Row, World

ROLES: Final = ("api", "worker-trading", "worker-streams", "temporal", "postgres", "paper")
LEAST_GAP_SECONDS: Final = 0.3
MOST_GAP_SECONDS: Final = 2.5
SAMPLE_SECONDS: Final = 1.0
RESTART_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 0.2
NOBODY: Final = "0x" + "0" * 64

# How often each kind of alert is sent, in parts; every kind is sent at least once in forty.
KINDS: Final[Mapping[str, int]] = {
    "BuyMarket": 9,
    "BuyLimit": 9,
    "SellMarket": 4,
    "SellLimit": 3,
    "CLOSE": 2,
    "CANCEL": 4,
    "repeat": 3,
    "conflict": 1,
    "MAJ": 1,
    "garbage": 2,
    "stranger": 1,
    "too much": 1,
}
# Between them everything that rests is reached, in pieces: best bid and best ask of a market.
BOOKS: Final = (("0.45", "0.50"), ("0.45", "0.55"), ("0.55", "0.60"), ("0.45", "0.50"))


@dataclass(frozen=True, kw_only=True)
class Kill:
    """Who dies, and how long after the one before."""

    role: str
    gap_seconds: float


@dataclass(frozen=True, kw_only=True)
class Alert:
    """What is sent, and when, in seconds from the start."""

    number: int
    kind: str
    at_seconds: float


@dataclass
class Campaign:
    """One run; everything chosen follows from the seed, what comes of it from the machine.

    Attributes:
        settle_seconds: so long after the last kill nothing is under way any more.
    """

    world: World
    dice: Dice
    kills: list[Kill]
    alerts: list[Alert]
    markets: list[Row]
    settle_seconds: float
    bodies: dict[str, Row] = field(default_factory=dict[str, Row])
    killed: Counter[str] = field(default_factory=Counter[str])
    found: list[Violation] = field(default_factory=list[Violation])
    samples: int = 0
    last_kill_at: float = 0.0
    settled_after: float = 0.0
    waited_for: dict[float, list[str]] = field(default_factory=dict[float, list[str]])
    stories: list[str] = field(default_factory=list[str])

    async def run(self) -> None:
        """Let it all happen; return once everything has settled, or raise what has not."""
        sending = [asyncio.create_task(self._send(alert)) for alert in self.alerts]
        beside = [asyncio.create_task(self._move_books()), asyncio.create_task(self._sample())]
        try:
            await self._kill_all()
            async with asyncio.timeout(self.settle_seconds):
                await asyncio.gather(*sending)
        finally:
            for task in (*beside, *sending):
                task.cancel()
            await asyncio.gather(*beside, *sending, return_exceptions=True)
        await self._settle()
        evidence = await self.world.evidence()
        self.found += await asyncio.to_thread(check, self.world.database_url, evidence)

    async def _kill_all(self) -> None:
        for kill in self.kills:
            await asyncio.sleep(kill.gap_seconds)
            os.kill(await self._living(kill.role), signal.SIGKILL)
            self.killed[kill.role] += 1
        self.last_kill_at = time.monotonic()

    async def _living(self, role: str) -> int:
        """Return the pid of a role, waiting for the next one where it is dead just now."""
        end = time.monotonic() + RESTART_SECONDS
        while time.monotonic() < end:
            pid = self.world.stage.endpoints.processes[role]
            with contextlib.suppress(psutil.NoSuchProcess):
                if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                    return pid
            await asyncio.sleep(0.02)
        raise AssertionError(f"{role} was not started again within {RESTART_SECONDS:.0f} s")

    async def _settle(self) -> None:
        """Wait until nothing is under way any more."""
        left = ["everything"]
        while time.monotonic() < self.last_kill_at + self.settle_seconds:
            with contextlib.suppress(httpx.HTTPError, psycopg.Error, OSError):
                evidence = await self.world.evidence()
                left = await asyncio.to_thread(unsettled, self.world.database_url, evidence)
                after = round(time.monotonic() - self.last_kill_at, 1)
                if not left:
                    self.settled_after = after
                    return
                self.waited_for[after] = left
                self.stories = await asyncio.to_thread(stories, self.world.database_url, left)
            await asyncio.sleep(LOOK_SECONDS)
        raise AssertionError(f"stuck {self.settle_seconds:.0f} s after the last kill: {left}")

    async def _sample(self) -> None:
        """Check again and again what must hold at each instant."""
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            with contextlib.suppress(httpx.HTTPError, psycopg.Error, OSError):
                evidence = await self.world.evidence()
                self.found += await asyncio.to_thread(
                    check_running, self.world.database_url, evidence
                )
                self.samples += 1

    async def _move_books(self) -> None:
        """Move the books, so that what rests is filled piece by piece."""
        step = 0
        while True:
            market = self.dice.pick(self.markets, "book", step, "market")
            bid, ask = self.dice.pick(BOOKS, "book", step, "prices")
            size = str(5 + int(self.dice.between(0, 30, "book", step, "size")))
            token = str(market["tokens"][0]["token_id"])
            with contextlib.suppress(httpx.HTTPError, OSError):
                await self.world.offer(token, bids=[[bid, size]], asks=[[ask, size]])
            step += 1
            await asyncio.sleep(self.dice.between(0.2, 0.8, "book", step, "pause"))

    async def _send(self, alert: Alert) -> Sent:
        await asyncio.sleep(alert.at_seconds)
        name = f"{self.dice.seed}-{alert.number}"
        if alert.kind in {"repeat", "conflict"}:
            return await self._send_again(alert)
        if alert.kind == "garbage":
            return await self.world.deliver(name, {"action": "Gamble", "id": name})
        if alert.kind == "stranger":
            return await self.world.deliver(name, {"id": name}, secret="not the secret")
        self.bodies[name] = await self._wish(alert) | {"id": name}
        return await self.world.deliver(name, self.bodies[name])

    async def _send_again(self, alert: Alert) -> Sent:
        """Send an alert of before once more, as it was or with something else under its id."""
        name = self.dice.pick(sorted(self.bodies) or [""], alert.number, "again")
        if not name:
            return await self.world.deliver("ping", {"action": "PING"})
        note = {"comment": "not as before"} if alert.kind == "conflict" else {}
        return await self.world.deliver(name, self.bodies[name] | note)

    async def _wish(self, alert: Alert) -> Row:
        """Return what a trading alert asks for."""
        if alert.kind == "CANCEL":
            return {"action": "CANCEL", "order_hash": await self._resting(alert)}
        market = self.dice.pick(self.markets, alert.number, "market")
        size = str(6 + int(self.dice.between(0, 25, alert.number, "size")))
        more: dict[str, Row] = {
            "BuyMarket": {"size": size},
            "BuyLimit": {"size": size, "price": "0.50"},
            "SellMarket": {"percent": "50"},
            "SellLimit": {"size": "6", "price": "0.55"},
            "CLOSE": {},
            "MAJ": {"stop_loss": "0.20"},
            "too much": {"size": "20000", "price": "0.50"},
        }
        return {
            "action": "BuyLimit" if alert.kind == "too much" else alert.kind,
            "market": market["slug"],
            "outcome": market["tokens"][0]["outcome"],
            **more[alert.kind],
        }

    async def _resting(self, alert: Alert) -> str:
        """Return an order to cancel; nobody's where nothing rests just now."""
        while True:
            with contextlib.suppress(httpx.HTTPError, OSError):
                orders = await self.world.stage.ledger("orders", origin="api")
                resting = sorted(row["order_hash"] for row in orders if row["status"] == "LIVE")
                return self.dice.pick(resting or [NOBODY], alert.number, "cancel")
            await asyncio.sleep(LOOK_SECONDS)

    def told(self) -> Row:
        """Return the figures of the run."""
        return {
            "seed": self.dice.seed,
            "kills": sum(self.killed.values()),
            "killed": dict(sorted(self.killed.items())),
            "alerts": len(self.alerts),
            "answers": dict(Counter(str(one.status or "none") for one in self.world.sent)),
            "accepted": len({one.signal_id for one in self.world.sent if one.outcome == OK}),
            "samples": self.samples,
            "settled_after_seconds": self.settled_after,
            "waited_last_for": list(self.waited_for.values())[-1:],
            "whose_stories_are": self.stories,
            "violations": [str(each) for each in self.found],
        }


def planned(dice: Dice, *, kills: int, alerts: int) -> tuple[list[Kill], list[Alert]]:
    """Return every choice that can be made beforehand."""
    rounds = -(-kills // len(ROLES))
    roles = [role for turn in range(rounds) for role in dice.shuffled(ROLES, "roles", turn)]
    deaths = [
        Kill(
            role=role,
            gap_seconds=dice.between(LEAST_GAP_SECONDS, MOST_GAP_SECONDS, "gap", number),
        )
        for number, role in enumerate(roles[:kills])
    ]
    seconds = sum(kill.gap_seconds for kill in deaths)
    deck = [kind for kind, count in KINDS.items() for _ in range(count)]
    kinds = [kind for turn in range(alerts // len(deck) + 1) for kind in dice.shuffled(deck, turn)]
    sent = [
        Alert(number=number, kind=kind, at_seconds=dice.between(0, seconds, "at", number))
        for number, kind in enumerate(kinds[:alerts])
    ]
    return deaths, sent


def shown(figures: Mapping[str, Any]) -> str:
    """Return figures as one line each."""
    return "\n".join(f"  {name}: {json.dumps(value)}" for name, value in figures.items())

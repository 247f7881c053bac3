"""The measurements, in rounds: in each the floors and the product take turns on the same stack."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from temporalio.client import Client

from tests.bench import measures, recovery, signing, sustained
from tests.bench.exchange import slug
from tests.bench.measures import Spread
from tests.bench.plain import QUEUE, PlainOrder, Wish
from tests.bench.report import Report, Row
from tests.bench.stage import Stage, dev_server, running


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """How long each measurement takes, and how often all are made."""

    rounds: int = 3
    steady_seconds: float = 6.0
    burst_seconds: float = 10.0
    trading_seconds: float = 8.0
    busy_seconds: float = 8.0
    kills: int = 3


QUICK: Final = Lengths(
    rounds=1,
    steady_seconds=3.0,
    burst_seconds=2.0,
    trading_seconds=4.0,
    busy_seconds=4.0,
    kills=1,
)
WARM_RATE: Final = 5.0
WARM_SECONDS: Final = 6.0
SERVERS: Final = {"file": True, "memory": False}


@dataclass
class Run:
    """One run of the benchmark: its rounds add to these lists, which become its rows."""

    stage: Stage
    root: Path
    lengths: Lengths
    report: Report
    number: int = 0

    def note(self, name: str, found: Any) -> None:
        """Keep a measurement as it was."""
        self.report.details.setdefault(name, []).append(found)

    def noted(self, name: str, key: str) -> list[float]:
        """Return one number of each round."""
        return [float(found[key]) for found in self.report.details.get(name, [])]


Measurement = Callable[[Run], Awaitable[None]]


async def warm(run: Run) -> None:
    """Have everything done once before it is timed, and the supervisor's spares loaded."""
    for name, url in (("floor", run.stage.floor), ("product", run.stage.webhook)):
        await measures.answers(url, (WARM_RATE, WARM_SECONDS), measures.wish(f"warm-{name}"))
    await settled(run.stage)


async def sign(run: Run) -> None:
    """Sign orders, each way in a process of its own."""
    run.note("signing", await signing.compared())


async def answer(run: Run) -> None:
    """Answer alerts that trade at 50 a second, the stub and the product in turn."""
    rate = (50.0, run.lengths.steady_seconds)
    for name, url in (("stub", run.stage.stub), ("product", run.stage.webhook)):
        answered = await measures.answers(url, rate, measures.wish(f"answer-{name}-{run.number}"))
        run.note(f"answer {name}", _spread(measures.waits(answered)))
    await settled(run.stage)


async def burst(run: Run) -> None:
    """Answer alerts at 500 a second, none of which trades, and count what is stored."""
    rate, tag = (500.0, run.lengths.burst_seconds), f"burst-{run.number}"
    for name, url in (("stub", run.stage.stub), ("product", run.stage.webhook)):
        answered = await measures.answers(url, rate, measures.ping(tag))
        found = _spread(measures.waits(answered)) | {"statuses": measures.statuses(answered)}
        if name == "product":
            external = [f"{tag}-{number}" for number in range(len(answered))]
            query = "SELECT count(*) FROM holdfast.signals WHERE external_id = ANY(%s)"
            ((stored,),) = await run.stage.rows(query, external)
            found |= {"stored": stored, "lost": len(answered) - stored}
        run.note(f"burst {name}", found)


async def trade(run: Run) -> None:
    """Go from an alert to its POST at 5 a second, the floor and the product in turn."""
    rate = (5.0, run.lengths.trading_seconds)
    for name in ("floor", "product", "floor"):
        before = run.stage.cpu_seconds()
        turn = len(run.report.details.get(f"trade {name}", []))
        times = await measures.signal_to_post(run.stage, f"{name}-{turn}", rate)
        after = run.stage.cpu_seconds()
        spent = {one: after[one] - before.get(one, 0.0) for one in after}
        run.note(f"trade {name}", _spread(times) | {"cpu_seconds": spent})
    await settled(run.stage)


async def keep_busy(run: Run) -> None:
    """Work 50 orders at all times: the product, and the plain activities on each server."""
    found = await sustained.product(run.stage, run.lengths.busy_seconds, f"busy-{run.number}")
    run.note("busy product", asdict(found))
    await settled(run.stage)
    for name, is_file in SERVERS.items():
        run.note(f"busy plain {name}", {"per_second": await _plain(run, is_file=is_file)})


async def _plain(run: Run, *, is_file: bool) -> float:
    """Return how many plain orders end in a second on a server with its default flags."""
    file = run.root / f"plain-{run.number}.db"
    flags = ("--db-filename", str(file)) if is_file else ()
    known = {"BENCH_DATABASE": run.stage.endpoints.database.url}
    async with dev_server(run.root, *flags) as address:
        command = ("-m", "tests.bench.plain", address, f"{run.stage.exchange}/clob")
        async with running(run.root / "plain", command, known):
            client = await Client.connect(address)
            tag = f"plain-{run.number}-{is_file}"

            async def one(number: int) -> None:
                wish = Wish(f"{tag}-{number}", slug(number), "0.50", "20")
                await client.execute_workflow(
                    PlainOrder.run, wish, id=wish.identity, task_queue=QUEUE
                )

            return await sustained.closed(one, run.lengths.busy_seconds)


async def recover(run: Run) -> None:
    """Kill workers: pairs of ours, pairs with the SDK's defaults, and the only one."""
    if run.number > 0:
        return
    kills = run.lengths.kills
    for market in range(kills):
        found = await recovery.pairs(run.stage, run.root, recovery.TUNED, market)
        run.note("recovery product", asdict(found))
    found = await recovery.pairs(run.stage, run.root, recovery.DEFAULT, kills)
    run.note("recovery defaults", asdict(found))
    for market in range(kills + 1, 2 * kills + 1):
        run.note("restart", asdict(await recovery.restart(run.stage, market)))


async def settled(stage: Stage) -> None:
    """Wait until the product has nothing left to do, so that the next one begins quietly."""
    await sustained.drained(stage)


MEASUREMENTS: Final[dict[str, Measurement]] = {
    "signing": sign,
    "answer": answer,
    "burst": burst,
    "trade": trade,
    "sustained": keep_busy,
    "recovery": recover,
}


def rows(run: Run) -> list[Row]:
    """Return the figures of what was measured."""
    made = [_signing(run), _answer(run), _burst(run), *_trade(run), *_busy(run), *_recovery(run)]
    return [row for row in made if len(row.compared) > 0]


def _signing(run: Run) -> Row:
    ours, theirs = run.noted("signing", "product"), run.noted("signing", "sdk")
    return Row(
        name="signing an order",
        unit="ms",
        product=ours,
        beside=theirs,
        beside_name="SDK's default",
        compared=ours,
        goal=0.5,
        goal_words="0.5 ms",
    )


def _answer(run: Run) -> Row:
    ours, stub = run.noted("answer product", "p99"), run.noted("answer stub", "p99")
    return Row(
        name="webhook answer, 50/s, all trading: p99",
        unit="ms",
        product=ours,
        beside=stub,
        beside_name="stub",
        compared=_ratios(ours, stub),
        goal=3.0,
        goal_words="3 x stub",
    )


def _burst(run: Run) -> Row:
    ours = run.noted("burst product", "p99")
    lost = sum(run.noted("burst product", "lost"))
    return Row(
        name=f"webhook answer, 500/s: p99 ({lost:.0f} lost)",
        unit="ms",
        product=ours,
        beside=run.noted("burst stub", "p99"),
        beside_name="stub",
        compared=ours if lost == 0 else [float("inf")] * len(ours),
        goal=100.0,
        goal_words="100 ms",
    )


def _trade(run: Run) -> list[Row]:
    p50, p99 = run.noted("trade product", "p50"), run.noted("trade product", "p99")
    around = run.noted("trade floor", "p50")
    floor = [(before + after) / 2 for before, after in zip(around[::2], around[1::2], strict=False)]
    return [
        Row(
            name="signal to POST, 5/s: p50",
            unit="ms",
            product=p50,
            beside=floor,
            beside_name="floor",
            compared=_ratios(p50, floor),
            goal=15.0,
            goal_words="15 x floor",
        ),
        Row(
            name="signal to POST, 5/s: p99",
            unit="ms",
            product=p99,
            beside=p50,
            beside_name="own p50",
            compared=_ratios(p99, p50),
            goal=3.0,
            goal_words="3 x p50",
        ),
    ]


def _busy(run: Run) -> list[Row]:
    ours = run.noted("busy product", "per_second")
    return [
        Row(
            name=f"orders finished, 50 at once (beside: server with its data in {where})",
            unit="/s",
            product=ours,
            beside=theirs,
            beside_name="plain",
            compared=_ratios(ours, theirs),
            goal=3.0,
            goal_words="3 x plain",
            is_least=True,
        )
        for where, theirs in (
            ("a file", run.noted("busy plain file", "per_second")),
            ("memory", run.noted("busy plain memory", "per_second")),
        )
    ]


def _recovery(run: Run) -> list[Row]:
    post = run.noted("recovery product", "next_post")
    flight = run.noted("recovery product", "in_flight")
    restarts, polls = run.noted("restart", "next_post"), run.noted("restart", "polls")
    return [
        Row(
            name="worker killed, a second one runs: its next POST",
            unit="s",
            product=post,
            beside=run.noted("recovery defaults", "next_post"),
            beside_name="SDK's defaults",
            compared=post,
            goal=1.5,
            goal_words="1.5 s",
        ),
        Row(
            name="POST in flight at the kill: resolved",
            unit="s",
            product=flight,
            beside=run.noted("recovery defaults", "in_flight"),
            beside_name="SDK's defaults",
            compared=flight,
            goal=2.0,
            goal_words="2 s",
        ),
        Row(
            name="the only worker killed: next POST beyond the restart",
            unit="s",
            product=restarts,
            beside=polls,
            beside_name="to the restart",
            compared=[post - poll for post, poll in zip(restarts, polls, strict=True)],
            goal=2.0,
            goal_words="2 s",
        ),
    ]


def _ratios(ours: list[float], theirs: list[float]) -> list[float]:
    """Return the ratio of each round: both had the same neighbours on the machine."""
    paired = zip(ours, theirs, strict=False)
    return [one / other if other else float("inf") for one, other in paired]


def _spread(found: Spread) -> dict[str, Any]:
    return asdict(found)

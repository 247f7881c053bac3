"""`holdfast demo`: an alert becomes a filled, recorded position, through a kill -9."""

import asyncio
import sys
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Final

import httpx
from rich.console import Console
from rich.table import Table

from domain.errors import HoldfastError
from infra.clock import monotonic_seconds
from workers.demo_claims import account_claims, order_claims, short, shown
from workers.demo_protection import halted, protected
from workers.demo_reconciled import reconciled
from workers.demo_stage import Stage, addresses, raised
from workers.demo_story import Row, Story, accepted, book, is_over, is_settled

SHARES: Final = Decimal(100)
PRICE: Final = "0.52"
PIECES: Final = ("40", "35", "25")  # before the kill, while the worker is dead, after it is back
REPEATED: Final = 200


async def run_demo(*, fast: bool) -> int:
    """Tell the story on a throw-away stack; 0 only if every claim held.

    Args:
        fast: end at once; else, on a terminal, everything stays up until Enter is pressed.
    """
    console = Console()
    folder = Path(tempfile.mkdtemp(prefix="holdfast-demo-")) / "data"
    console.print("[bold]Holdfast demo[/bold]: one alert, one order, a kill -9 in the middle\n")
    began = monotonic_seconds()
    stage: Stage | None = None
    try:
        with console.status("PostgreSQL, Temporal, a paper exchange and the engine start"):
            stage = await raised(folder, lambda _: None)
        story = Story(stage, console)
        seconds = monotonic_seconds() - began
        story.say(f"all is up after {seconds:.1f} s; Temporal UI {stage.endpoints.temporal.ui_url}")
        await _tell(story)
        holds = _conclude(story)
        await _look_around(story, folder, fast=fast)
    except (HoldfastError, httpx.HTTPError) as error:
        console.print(f"[red]✘ the demo stopped:[/red] {error}", highlight=False)
        console.print(f"logs: {folder / 'logs'}", highlight=False)
        return 1
    finally:
        if stage is not None:
            with console.status("everything stops"):
                await stage.close()
    return 0 if holds else 1


async def _tell(story: Story) -> None:
    """Tell the acts, one after the other."""
    markets = [row for row in await story.stage.rows("markets") if row["accepting_orders"]]
    plain = [row for row in markets if not row["neg_risk"] and row["tick_size"] == "0.01"]
    first, second, third, fourth = sorted(plain, key=lambda row: str(row["slug"]))[:4]
    await _killed_in_the_middle(story, first)
    await _sold(story, first)
    await _answer_lost(story, second)
    await protected(story, third)
    await reconciled(story, fourth)
    await halted(story, second)


async def _killed_in_the_middle(story: Story, market: Row) -> None:
    """An order is half filled when its worker is killed; more fills while it is dead."""
    stage, token = story.stage, str(market["tokens"][0]["token_id"])
    await _offer(stage, token, PIECES[0])
    alert = {
        "action": "BuyLimit",
        "market": market["slug"],
        "outcome": market["tokens"][0]["outcome"],
        "size": str(SHARES),
        "price": PRICE,
        "id": "demo-entry",
    }
    signal_id, milliseconds = await accepted(stage, alert)
    story.say(f"alert stored and accepted in {milliseconds:.0f} ms: signal {signal_id}")
    await stage.until("the first fill", lambda: _has_filled(stage, token, PIECES[0]))
    await _fill_while_dead(story, token)
    await _offer(stage, token, PIECES[2])
    await stage.until("the order's end", lambda: is_over(stage, signal_id))
    story.say("the new worker resumes: the order is worked to its last share")
    status, again, _ = await stage.alert(alert)
    story.claim(
        "the same alert again is the first one",
        exchange=f"{REPEATED} {signal_id}",
        engine=f"{status} {again['signal_id']}",
    )
    await stage.until("settlement", lambda: is_settled(stage, token))
    story.claims += await order_claims(stage, signal_id)
    story.claims += await account_claims(stage, token)


async def _fill_while_dead(story: Story, token: str) -> None:
    """Kill the worker while its order is half filled, and let the exchange fill on."""
    stage = story.stage
    dead = stage.kill_trading_worker()
    await _offer(stage, token, PIECES[1])
    [order] = await stage.ledger("orders", origin="api", token_id=token)
    legs = await stage.ledger("trades", origin="api", token_id=token)
    story.say(
        f"order {short(order['order_hash'])} was filled {shown(legs[0]['size'])} of "
        f"{shown(order['size'])} at the exchange when kill -9 ended the trading worker ({dead})"
    )
    story.say(f"while it is dead the exchange fills on: {shown(order['filled_size'])} by now")
    await stage.until("a new trading worker", lambda: _polls_again(stage, legs))
    since = stage.trading_worker_polls_since()
    meanwhile = [Decimal(leg["size"]) for leg in legs if float(leg["matched_at"]) < since]
    story.claim(
        "filled before a new worker took up work",
        exchange=shown(sum(meanwhile, Decimal(0))),
        engine=shown(Decimal(PIECES[0]) + Decimal(PIECES[1])),
    )


async def _sold(story: Story, market: Row) -> None:
    """Half the position is sold, so that there is a profit to compare."""
    stage, token = story.stage, str(market["tokens"][0]["token_id"])
    await stage.admin("/book", book(token, bids=[["0.57", "500"]], asks=[["0.59", "500"]]))
    signal_id, _ = await accepted(
        stage,
        {
            "action": "SellMarket",
            "market": market["slug"],
            "outcome": market["tokens"][0]["outcome"],
            "percent": "50",
            "id": "demo-exit",
        },
    )
    await stage.until("the sale", lambda: is_over(stage, signal_id))
    await stage.until("settlement", lambda: is_settled(stage, token))
    [position] = await stage.rows("positions", token=token)
    story.say(f"half is sold again: realised ${shown(position['realised_pnl_average'])}")
    story.claims += await account_claims(stage, token)


async def _answer_lost(story: Story, market: Row) -> None:
    """The exchange accepts an order and its answer never arrives."""
    stage, token = story.stage, str(market["tokens"][0]["token_id"])
    await stage.admin("/book", book(token, bids=[["0.30", "500"]], asks=[["0.40", "500"]]))
    lost = {"match": {"method": "POST", "path": "/order"}, "when": "after", "do": {"drop": True}}
    await stage.admin("/faults", {**lost, "times": 1})
    signal_id, _ = await accepted(
        stage,
        {
            "action": "BuyMarket",
            "market": market["slug"],
            "outcome": market["tokens"][0]["outcome"],
            "notional": "25",
            "id": "demo-lost-answer",
        },
    )
    await stage.until("the lost order's end", lambda: is_over(stage, signal_id))
    await stage.until("settlement", lambda: is_settled(stage, token))
    story.say("an order whose answer is lost is found by its hash, not sent again")
    story.claims += await order_claims(stage, signal_id)
    story.claims += await account_claims(stage, token)


async def _offer(stage: Stage, token: str, size: str) -> None:
    """Offer so many shares at the demo's price, and nothing else below 0.60."""
    await stage.admin("/book", book(token, bids=[["0.40", "500"]], asks=[[PRICE, size]]))


async def _has_filled(stage: Stage, token: str, size: str) -> bool:
    """Tell whether the exchange has filled at least `size`."""
    orders = await stage.ledger("orders", origin="api", token_id=token)
    return any(Decimal(order["filled_size"]) >= Decimal(size) for order in orders)


async def _polls_again(stage: Stage, legs: list[Row]) -> bool:
    """Tell whether a trading worker has begun to take work since these fills."""
    return stage.trading_worker_polls_since() > max(float(leg["matched_at"]) for leg in legs)


def _conclude(story: Story) -> bool:
    """Print every comparison and whether it held."""
    table = Table(title="what the exchange's ledger says, and what Holdfast says")
    table.title_justify = "left"
    for column in ("", "claim", "exchange", "Holdfast"):
        table.add_column(column, overflow="fold")
    for claim in story.claims:
        mark = "[green]✔[/green]" if claim.holds else "[red]✘[/red]"
        table.add_row(mark, claim.words, claim.exchange, claim.engine)
    story.console.print()
    story.console.print(table)
    broken = sum(not claim.holds for claim in story.claims)
    if broken:
        story.console.print(f"[red]{broken} of {len(story.claims)} claims do not hold[/red]")
    else:
        words = f"all {len(story.claims)} claims hold"
        story.console.print(f"[green]{words}[/green]", highlight=False)
    return broken == 0


async def _look_around(story: Story, folder: Path, *, fast: bool) -> None:
    """Leave the addresses; on a terminal, leave everything up until Enter."""
    story.console.print()
    for what, where in addresses(story.stage.endpoints).items():
        story.console.print(f"  {what:20} {where}", highlight=False)
    again = f"holdfast up --data-dir {folder}"
    if fast or not sys.stdin.isatty():
        story.console.print(f"\nto look around: [bold]{again}[/bold]", highlight=False)
        return
    story.console.print("\nlook around; [bold]Enter[/bold] stops everything", highlight=False)
    await asyncio.to_thread(sys.stdin.readline)
    story.console.print(f"to come back: [bold]{again}[/bold]", highlight=False)

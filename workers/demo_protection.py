"""The demo's acts of protection: plan, change, repair, a stop through a kill -9, and a halt."""

from decimal import Decimal
from typing import Any, Final

from infra.clock import monotonic_seconds
from workers.demo_claims import account_claims, short, shown
from workers.demo_stage import Stage
from workers.demo_story import Row, Story, accepted, book, is_over, is_settled

SHARES: Final = "40"
FALLEN: Final = "0.44"  # the price, once it is below the stop
REPAIR_SECONDS: Final = 30.0  # a tick of ten, ten of absence that prove its end, and room
IN_THE_EXIT: Final = "exit.after_tp_cancel"  # the failpoint that the demo's stack is armed with


async def protected(story: Story, market: Row) -> None:
    """A position is protected with its first fill; MAJ moves the plan; an exit outlives a kill."""
    stage, token = story.stage, str(market["tokens"][0]["token_id"])
    named = {"market": market["slug"], "outcome": market["tokens"][0]["outcome"]}
    await stage.admin("/book", book(token, bids=[["0.50", "500"]], asks=[["0.52", "500"]]))
    entry = {"action": "BuyMarket", **named, "size": SHARES, "id": "demo-protected"}
    signal_id, _ = await accepted(stage, {**entry, "PrixSL": "0.40", "PrixTP": "0.60"})
    await stage.until("the entry's end", lambda: is_over(stage, signal_id))
    await stage.until("settlement", lambda: is_settled(stage, token))
    await stage.until("a take-profit", lambda: _rests(stage, token, "0.60"))
    story.say("an entry with PrixSL and PrixTP: the stop is armed, the take-profit rests")
    await _claim_target(story, token, "the take-profit rests for all that is held")
    await _moved(story, token, named)
    await _repaired(story, token)
    await _stopped(story, token)


async def halted(story: Story, market: Row) -> None:
    """The kill switch: no entry reaches the exchange until resume."""
    stage = story.stage
    await _account(stage, "kill", {"reason": "demo"})
    await stage.until("the halt", lambda: _stands(stage, "halted"))
    before = await _posted(stage)
    status, refused, _ = await stage.alert(
        {
            "action": "BuyMarket",
            "market": market["slug"],
            "outcome": market["tokens"][0]["outcome"],
            "size": SHARES,
            "id": "demo-halted",
        }
    )
    signal_id = str(refused["signal_id"])
    await stage.until("a refusal", lambda: _is_denied(stage, signal_id))
    resting = await stage.ledger("orders", wallet=stage.wallet)
    live = sum(row["status"] == "LIVE" for row in resting)
    story.say(f"kill: the gate is shut, nothing rests; an alert is stored ({status}) and denied")
    story.claim("while halted, entries sent", exchange=await _posted(stage) - before, engine=0)
    story.claim("while halted, orders that rest", exchange=live, engine=0)
    await _account(stage, "resume", {"force": True})
    await stage.until("the resume", lambda: _stands(stage, "running"))
    story.say("resume: the account trades again")


async def _moved(story: Story, token: str, named: Row) -> None:
    """MAJ moves stop and target of the whole position."""
    stage = story.stage
    alert = {"action": "MAJ", **named, "PrixSL": "0.45", "PrixTP": "0.70", "id": "demo-maj"}
    signal_id, _ = await accepted(stage, alert)
    await stage.until("the plan's change", lambda: _is_processed(stage, signal_id))
    await stage.until("the new take-profit", lambda: _rests(stage, token, "0.70"))
    [position] = await stage.rows("positions", token=token)
    story.say("MAJ moves both: the old take-profit is cancelled before the new one rests")
    words = "after MAJ one take-profit rests, the new one"
    await _claim_target(story, token, words)
    story.claim(
        "stop-loss and take-profit as the alert wished",
        exchange="0.45 / 0.7",
        engine=f"{shown(position['current_sl'])} / {shown(position['current_tp'])}",
    )


async def _repaired(story: Story, token: str) -> None:
    """The exchange loses the take-profit and says nothing; the guardian finds out."""
    stage = story.stage
    [lost] = await _resting(stage, token)
    await stage.mute()
    gone_at = monotonic_seconds()
    await stage.admin(f"/accounts/{stage.wallet}/orders", {"cancel": lost["order_hash"]})
    await stage.until("the repair", lambda: _rests(stage, token, "0.70"))
    seconds = monotonic_seconds() - gone_at
    await stage.unmute()
    story.say(
        "the exchange loses the take-profit, its live channel silent: the guardian has another one"
        f" rest {seconds:.1f} s later"
    )
    await _claim_target(story, token, "lost at the exchange, it rests again for all that is held")
    [again] = await _resting(stage, token)
    is_within = seconds <= REPAIR_SECONDS
    story.claim(
        "another order, before a guardian's alarm at 30 s",
        exchange=f"another: {again['order_hash'] != lost['order_hash']}, in time: {is_within}",
        engine="another: True, in time: True",
    )


async def _stopped(story: Story, token: str) -> None:
    """The price falls; the worker dies between the cancel of the target and the stop's sale."""
    stage = story.stage
    pid = stage.endpoints.processes["worker-trading"]
    await stage.admin("/book", book(token, bids=[[FALLEN, "500"]], asks=[["0.46", "500"]]))
    await stage.until("the worker's death", lambda: _fired(stage))
    resting = len(await _resting(stage, token))
    story.claim("take-profits that rest while the worker is dead", exchange=resting, engine=0)
    await stage.until("a flat position", lambda: _is_flat(stage, token))
    await stage.until("settlement", lambda: is_settled(stage, token))
    story.say(
        f"the price falls to {FALLEN}: kill -9 ended the worker ({pid}) after the take-profit was"
        " cancelled and before the stop's sale; the next one sold what was held, once"
    )
    await _claim_sale(story, token)
    story.claims += await account_claims(stage, token)


async def _claim_sale(story: Story, token: str) -> None:
    """Claim that the stop sold everything, by one order, never more than was held."""
    stage = story.stage
    legs = await stage.ledger("trades", origin="api", token_id=token)
    sold = [leg for leg in legs if leg["side"] == "SELL"]
    size = sum((Decimal(leg["size"]) for leg in sold), Decimal(0))
    prices = sorted({shown(leg["price"]) for leg in sold})
    by = {leg["order_hash"] for leg in sold}
    story.claim(
        "sold by the stop: all that was held, by one order",
        exchange=f"{shown(size)} at {', '.join(prices)}, orders: {len(by)}",
        engine=f"{SHARES} at {FALLEN}, orders: 1",
    )


async def _claim_target(story: Story, token: str, words: str) -> None:
    """Claim that one take-profit rests at the exchange, and which."""
    [position] = await story.stage.rows("positions", token=token)
    theirs = await _resting(story.stage, token)
    price, size = shown(position["current_tp"]), shown(position["size"])
    story.claim(
        words,
        exchange=", ".join(
            f"{shown(row['size'])} at {shown(row['price'])} ({short(row['order_hash'])})"
            for row in theirs
        ),
        engine=f"{size} at {price} ({short(str(position['tp_order_id']))})",
    )


async def _resting(stage: Stage, token: str) -> list[Row]:
    """Return our sales that rest at the exchange."""
    orders = await stage.ledger("orders", origin="api", token_id=token)
    return [row for row in orders if row["side"] == "SELL" and row["status"] == "LIVE"]


async def _rests(stage: Stage, token: str, price: str) -> bool:
    """Tell whether one sale of ours rests: at `price`, for all that is held, named by our books.

    Until the trades have settled it is for the least that is held, however the fee was taken.
    """
    theirs = await _resting(stage, token)
    [position] = await stage.rows("positions", token=token)
    named = [
        row["order_hash"]
        for row in theirs
        if Decimal(row["price"]) == Decimal(price)
        and Decimal(row["size"]) == Decimal(position["size"])
    ]
    return len(theirs) == 1 and named == [position["tp_order_id"]]


async def _is_flat(stage: Stage, token: str) -> bool:
    [position] = await stage.rows("positions", token=token)
    return position["status"] == "flat"


async def _fired(stage: Stage) -> bool:
    """Tell whether the failpoint was reached: it leaves a file of its name."""
    return (stage.marks / IN_THE_EXIT).exists()


async def _signal(stage: Stage, signal_id: str) -> Row:
    [found] = await stage.rows("signals", signal_id=signal_id)
    return found


async def _is_processed(stage: Stage, signal_id: str) -> bool:
    return (await _signal(stage, signal_id))["status"] == "processed"


async def _is_denied(stage: Stage, signal_id: str) -> bool:
    return (await _signal(stage, signal_id))["status"] in {"denied", "expired"}


async def _stands(stage: Stage, state: str) -> bool:
    [account] = await stage.rows("accounts")
    return account["state"] == state


async def _account(stage: Stage, verb: str, body: Row) -> Any:
    [account] = await stage.rows("accounts")
    return await stage.ask(f"/accounts/{account['id']}/{verb}", body)


async def _posted(stage: Stage) -> int:
    """Return how many orders were ever sent to the exchange, refused ones included."""
    sent = await stage.ledger("requests")
    return sum(row["method"] == "POST" and row["path"] == "/order" for row in sent)

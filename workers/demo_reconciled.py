"""The demo's act of reconciliation: what somebody did at the exchange by hand is found."""

from typing import Final

from workers.demo_claims import short, shown
from workers.demo_stage import Stage
from workers.demo_story import Row, Story, book

BY_HAND: Final = {"side": "BUY", "price": "0.42", "size": "12", "type": "GTC"}


async def reconciled(story: Story, market: Row) -> None:
    """Somebody places an order on the exchange's own page, unheard; a comparison finds it."""
    stage, token = story.stage, str(market["tokens"][0]["token_id"])
    await stage.admin("/book", book(token, bids=[["0.40", "500"]], asks=[["0.50", "500"]]))
    await stage.mute()
    place = {"place": {"token_id": token, **BY_HAND}}
    placed = await stage.admin(f"/accounts/{stage.wallet}/orders", place)
    known = len(await stage.rows("orders", token=token))
    story.claim("placed by hand, unknown before a comparison", exchange=0, engine=known)
    [account] = await stage.rows("accounts")
    asked = await stage.ask(f"/accounts/{account['id']}/reconcile", {})
    since = str(asked["asked_at"])
    await stage.until("a report", lambda: _is_reported(stage, since))
    await stage.unmute()
    await stage.until("the order", lambda: _is_followed(stage, token))
    theirs = await stage.ledger("orders", origin="manual", token_id=token)
    story.say(f"an order placed by hand: reconcile finds {short(placed['order_hash'])}, adopts it")
    story.claim(
        "an order placed by hand is found and followed",
        exchange=_told(theirs, "status"),
        engine=_told(await _ours(stage, token), "state"),
    )


async def _ours(stage: Stage, token: str) -> list[Row]:
    """Return what our books call placed by hand."""
    found = await stage.rows("orders", token=token)
    return [row for row in found if row["source"] == "manual"]


async def _is_reported(stage: Stage, since: str) -> bool:
    """Tell whether a comparison begun since then has found an order that was not ours."""
    reports = await stage.rows("reconciliations", since=since)
    found = [finding for report in reports for finding in report["findings"]]
    return any(finding["kind"] == "order_unknown" for finding in found)


async def _is_followed(stage: Stage, token: str) -> bool:
    return any(row["state"] == "LIVE" for row in await _ours(stage, token))


def _told(orders: list[Row], status: str) -> str:
    """Return each order: side, size, price, how it stands, and its hash."""
    return ", ".join(
        f"{row['side']} {shown(row['size'])} at {shown(row['price'])} {row[status]}"
        f" ({short(row['order_hash'])})"
        for row in orders
    )

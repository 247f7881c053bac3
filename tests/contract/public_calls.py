"""Every call of the official public clients, and what this exchange must answer to each."""

import io
import zipfile
from collections.abc import Awaitable
from decimal import Decimal
from typing import Any

import pytest
from polymarket.errors import RequestRejectedError
from polymarket.models.clob import PriceRequest

from tests.contract.talk import Call, Talk
from tests.contract.worlds import TAG, World

DATE = "2026-11-20"
CODE = "0x" + "ab" * 32
NOWHERE = "nowhere"


async def refused(call: Awaitable[Any], status: int, words: str) -> None:
    """Demand a refusal of this status in these words."""
    with pytest.raises(RequestRejectedError, match=words) as refusal:
        await call
    assert refusal.value.status == status


async def books(c: Talk, w: World) -> None:
    book = await c.get_order_book(asset_id=w.open.yes)
    bids = [(level.price, level.size) for level in book.bids]
    assert bids == [(Decimal("0.48"), 500), (Decimal("0.49"), 500)]
    assert [level.price for level in book.asks] == [Decimal("0.52"), Decimal("0.51")]
    await refused(c.get_order_book(asset_id=w.over.yes), 404, "No orderbook exists")


async def many_books(c: Talk, w: World) -> None:
    found = await c.get_order_books(asset_ids=[w.open.yes, w.open.no, w.over.yes])
    assert [book.asset_id for book in found] == [w.open.yes, w.open.no]


async def midpoint(c: Talk, w: World) -> None:
    assert await c.get_midpoint(asset_id=w.open.yes) == Decimal("0.5")


async def midpoints(c: Talk, w: World) -> None:
    found = await c.get_midpoints(asset_ids=[w.open.yes, w.open.no])
    assert found == {w.open.yes: Decimal("0.5"), w.open.no: Decimal("0.5")}


async def price(c: Talk, w: World) -> None:
    assert await c.get_price(asset_id=w.open.yes, side="BUY") == Decimal("0.49")
    assert await c.get_price(asset_id=w.open.yes, side="SELL") == Decimal("0.51")


async def prices(c: Talk, w: World) -> None:
    asked = [PriceRequest(w.open.yes, "BUY"), PriceRequest(w.open.yes, "SELL")]
    found = await c.get_prices(requests=asked)
    assert found == {w.open.yes: {"BUY": Decimal("0.49"), "SELL": Decimal("0.51")}}


async def spread(c: Talk, w: World) -> None:
    assert await c.get_spread(asset_id=w.open.yes) == Decimal("0.02")


async def spreads(c: Talk, w: World) -> None:
    assert await c.get_spreads(asset_ids=[w.open.no]) == {w.open.no: Decimal("0.02")}


async def last_price(c: Talk, w: World) -> None:
    found = await c.get_last_trade_price(asset_id=w.open.yes)
    assert (found.price, found.side) == (Decimal("0.51"), "BUY")


async def last_prices(c: Talk, w: World) -> None:
    found = await c.get_last_trade_prices(asset_ids=[w.open.yes])
    assert [(row.asset_id, row.price) for row in found] == [(w.open.yes, Decimal("0.51"))]


async def estimate(c: Talk, w: World) -> None:
    named: dict[str, Any] = {"asset_id": w.open.yes, "order_type": "FOK"}
    assert await c.estimate_market_price(side="BUY", amount=Decimal(300), **named) == Decimal(
        "0.52"
    )


async def market(c: Talk, w: World) -> None:
    by_slug = await c.get_market(slug=w.open.slug)
    by_id = await c.get_market(id=w.open.gamma_id)
    by_url = await c.get_market(url=f"https://polymarket.com/event/{w.open.slug}/{w.open.slug}")
    assert by_slug.condition_id == by_id.condition_id == by_url.condition_id == w.open.condition_id
    assert by_slug.outcomes.yes.token_id == w.open.yes
    assert by_slug.prices.best_bid == Decimal("0.49")
    assert by_slug.metrics.volume == Decimal(51)
    await refused(c.get_market(slug=NOWHERE), 404, "not found")


async def market_tags(c: Talk, w: World) -> None:
    assert [tag.label for tag in await c.get_market_tags(id=w.open.gamma_id)] == [TAG]


async def markets(c: Talk, w: World) -> None:
    every = await c.list_markets(page_size=5)
    assert len(every) > 10
    assert w.over.slug not in {row.slug for row in await c.list_markets(closed=False)}
    found = await c.list_markets(condition_ids=[w.open.condition_id, w.over.condition_id])
    assert {row.slug for row in found} == {w.open.slug, w.over.slug}
    assert [row.slug for row in await c.list_markets(clob_token_ids=[w.over.no])] == [w.over.slug]
    ordered = await c.list_markets(order="volume", ascending=False)
    volumes = [row.metrics.volume for row in ordered]
    assert volumes == sorted(volumes, reverse=True)
    assert await c.list_markets(volume_num_min=1_000_000_000) == []
    await refused(c.list_markets(order="beauty"), 422, "beauty")


async def event(c: Talk, w: World) -> None:
    found = await c.get_event(slug=w.open.slug)
    assert found.id == (await c.get_event(id=w.open.event_id)).id == w.open.event_id
    assert [row.slug for row in found.markets] == [w.open.slug]
    await refused(c.get_event(slug=NOWHERE), 404, "not found")


async def event_tags(c: Talk, w: World) -> None:
    assert [tag.label for tag in await c.get_event_tags(id=w.open.event_id)] == [TAG]


async def events(c: Talk, w: World) -> None:
    found = await c.list_events(page_size=3)
    assert w.open.slug in {row.slug for row in found}
    assert w.over.slug not in {row.slug for row in found}
    assert len({row.id for row in found}) == len(found)
    assert [row.slug for row in await c.list_events(slug=w.open.slug)] == [w.open.slug]


async def search(c: Talk, w: World) -> None:
    found = await c.search(q=w.open.slug.replace("-", " "), page_size=1, search_tags=True)
    slugs = {row.slug for results in found for row in results.events}
    assert {w.open.slug, w.over.slug} <= slugs


async def series(c: Talk, w: World) -> None:
    await refused(c.get_series(id="1"), 404, "not found")


async def all_series(c: Talk, w: World) -> None:
    assert await c.list_series() == []


async def tags(c: Talk, w: World) -> None:
    assert TAG in {tag.label for tag in await c.list_tags(page_size=2)}


async def tag(c: Talk, w: World) -> None:
    by_slug = await c.get_tag(slug=TAG.lower())
    assert (await c.get_tag(id=by_slug.id)).label == TAG
    await refused(c.get_tag(slug=NOWHERE), 404, "not found")


async def related_tags(c: Talk, w: World) -> None:
    found = await c.get_tag(slug=TAG.lower())
    assert await c.get_related_tags(id=found.id) == await c.get_related_tags(slug=found.slug) == ()


async def related_resources(c: Talk, w: World) -> None:
    found = await c.get_tag(slug=TAG.lower())
    assert await c.get_related_tag_resources(id=found.id) == ()
    assert await c.get_related_tag_resources(slug=found.slug) == ()


async def sports(c: Talk, w: World) -> None:
    assert await c.get_sports() == ()


async def market_types(c: Talk, w: World) -> None:
    assert (await c.get_sports_market_types()).market_types == ("moneyline",)


async def teams(c: Talk, w: World) -> None:
    assert await c.list_teams() == []


async def comments(c: Talk, w: World) -> None:
    named: dict[str, Any] = {"parent_entity_id": w.open.event_id, "parent_entity_type": "Event"}
    assert await c.list_comments(**named) == await c.list_comments(**named, holders_only=True) == []


async def comment_thread(c: Talk, w: World) -> None:
    assert await c.get_comment_thread(id="7") == ()


async def comments_of_user(c: Talk, w: World) -> None:
    assert await c.list_comments_by_user_address(address=w.wallet) == []


async def profile(c: Talk, w: World) -> None:
    assert (await c.get_public_profile(address=w.wallet)).wallet == w.wallet


async def positions(c: Talk, w: World) -> None:
    held = await c.list_positions(user=w.wallet)
    mine = next(row for row in held if row.asset_id == w.open.yes)
    assert (mine.current_size, mine.avg_price, mine.status) == (100, Decimal("0.51"), "OPEN")
    assert (mine.current_value, mine.unrealized_pnl) == (50, -1)
    closed = await c.list_positions(user=w.wallet, status="CLOSED")
    assert [(row.asset_id, row.realized_pnl) for row in closed] == [(w.over.yes, Decimal("24.5"))]
    holders = await c.list_positions(condition_id=w.open.condition_id)
    assert [row.wallet for row in holders] == [w.wallet]


async def portfolio_value(c: Talk, w: World) -> None:
    found = await c.get_portfolio_value(user=w.wallet, condition_ids=w.open.condition_id)
    assert (found.wallet, found.value) == (w.wallet, 50)


async def trades(c: Talk, w: World) -> None:
    found = await c.list_trades(user=w.wallet, page_size=1)
    rows = [(row.asset_id, row.side, row.size, row.price) for row in found]
    bought = [(w.over.yes, "BUY", 50, Decimal("0.51")), (w.open.yes, "BUY", 100, Decimal("0.51"))]
    assert rows == bought
    assert await c.list_trades(user=w.wallet, side="SELL") == []
    assert len(await c.list_trades(condition_id=w.open.condition_id, taker_only=True)) == 1


async def activity(c: Talk, w: World) -> None:
    found = await c.list_activity(user=w.wallet)
    assert [row.type for row in found] == ["REDEEM", "TRADE", "TRADE"]
    assert (found[0].amount, found[0].condition_id) == (50, w.over.condition_id)
    assert [row.shares for row in found[1:]] == [50, 100]
    only = await c.list_activity(user=w.wallet, activity_types=["REDEEM"])
    assert [row.type for row in only] == ["REDEEM"]


async def holders(c: Talk, w: World) -> None:
    yes, no = await c.list_market_holders(condition_ids=w.open.condition_id, include_pnl=True)
    assert [(h.wallet, h.amount, h.total_pnl) for h in yes.holders] == [(w.wallet, 100, -1)]
    assert (yes.asset_id, no.asset_id, no.holders) == (w.open.yes, w.open.no, ())


async def open_interest(c: Talk, w: World) -> None:
    found = await c.get_open_interests(condition_ids=[w.open.condition_id, w.over.condition_id])
    expected = [(w.open.condition_id, 100), (w.over.condition_id, 0)]
    assert [(row.condition_id, row.value) for row in found] == expected
    assert (await c.get_open_interests())[0].condition_id is None


async def live_volume(c: Talk, w: World) -> None:
    found = await c.get_event_live_volume(event_ids=int(w.open.event_id))
    assert found.taker_volume_total == found.markets[0].taker_volume == 100


async def price_history(c: Talk, w: World) -> None:
    points = await c.list_price_history(asset_id=w.open.no, interval="1d")
    assert [point.price for point in points] == [Decimal("0.49"), Decimal("0.5")]
    bucketed = await c.list_price_history(asset_id=w.open.yes, interval="1h", bucket_seconds=600)
    assert {point.resolution_seconds for point in bucketed} == {600}
    now = int(points[-1].timestamp.timestamp())
    at = await c.list_price_history(asset_id=w.open.yes, as_of=now)
    assert [point.price for point in at] == [Decimal("0.51")]


async def resolutions(c: Talk, w: World) -> None:
    ids = [w.over.condition_id, w.open.condition_id]
    over, still = await c.get_resolutions(condition_ids=ids)
    assert (over.status, over.payouts) == ("resolved", (1, 0))
    assert (still.status, still.payouts) == ("initialized", None)
    by_event = await c.get_resolutions(event_ids=int(w.over.event_id))
    assert [row.condition_id for row in by_event] == [w.over.condition_id]


async def token_references(c: Talk, w: World) -> None:
    (found,) = await c.get_token_references(asset_ids=w.over.no)
    assert (found.outcome, found.opposite_asset_id, found.final_price) == ("No", w.over.yes, 0)
    pair = await c.get_token_references(condition_ids=w.open.condition_id)
    assert [row.asset_id for row in pair] == [w.open.yes, w.open.no]


async def user_pnl(c: Talk, w: World) -> None:
    (point,) = (await c.get_user_pnl(user=w.wallet)).points
    assert (point.realized_pnl, point.unrealized_pnl, point.trade_count) == (Decimal("24.5"), -1, 2)


async def user_stats(c: Talk, w: World) -> None:
    found = await c.get_user_stats(user=w.wallet)
    assert (found.traded_market_count, found.biggest_win) == (2, Decimal("24.5"))
    assert await c.get_user_stats(user="0x" + "99" * 20) is None


async def user_volume(c: Talk, w: World) -> None:
    found = await c.get_user_volume(user=w.wallet)
    assert (found.volume, found.volume_usdc, found.trade_count) == (150, Decimal("76.5"), 2)


async def leaderboard(c: Talk, w: World) -> None:
    found = await c.list_trader_leaderboard(sort_by="VOLUME", page_size=1)
    assert [row.rank for row in found] == list(range(1, len(found) + 1))
    assert w.wallet in {row.wallet for row in found}


async def standing(c: Talk, w: World) -> None:
    found = await c.get_trader_leaderboard_standing(user=w.wallet)
    assert (found.pnl, found.volume) == (Decimal("23.5"), 150)
    assert await c.get_trader_leaderboard_standing(user="0x" + "99" * 20) is None


async def winners(c: Talk, w: World) -> None:
    mine = [row for row in await c.list_biggest_winners() if row.wallet == w.wallet]
    assert [(row.pnl, row.asset_id) for row in mine] == [(Decimal("24.5"), w.over.yes)]


async def builder_leaderboard(c: Talk, w: World) -> None:
    assert await c.list_builder_leaderboard() == []


async def builder_volumes(c: Talk, w: World) -> None:
    assert await c.get_builder_volumes() == ()


async def builder_trades(c: Talk, w: World) -> None:
    assert await c.list_builder_trades(builder_code="0x" + "cd" * 32) == []


async def snapshot(c: Talk, w: World) -> None:
    archive = zipfile.ZipFile(io.BytesIO(await c.download_accounting_snapshot(user=w.wallet)))
    assert f"{w.open.yes},100,0.5" in archive.read("positions.csv").decode()


async def approvals(c: Talk, w: World) -> None:
    assert (await c.get_trading_approvals_state(wallet=w.wallet)).is_fully_approved
    stranger = await c.get_trading_approvals_state(wallet="0x" + "99" * 20)
    assert not stranger.is_fully_approved


async def combo_activity(c: Talk, w: World) -> None:
    assert await c.list_combo_activity(user=w.wallet) == []


async def combo_positions(c: Talk, w: World) -> None:
    assert await c.list_combo_positions(user=w.wallet) == []


async def combo_markets(c: Talk, w: World) -> None:
    assert await c.list_combo_markets() == []


async def current_rewards(c: Talk, w: World) -> None:
    assert await c.list_current_rewards() == []


async def market_rewards(c: Talk, w: World) -> None:
    assert await c.list_market_rewards(condition_id=w.open.condition_id) == []
    await refused(c.list_market_rewards(condition_id="0x" + "00" * 32), 404, "not found")


async def reward_markets(c: Talk, w: World) -> None:
    assert await c.list_reward_markets() == []


async def rebates(c: Talk, w: World) -> None:
    assert await c.get_current_rebates(date=DATE, maker_address=w.wallet) == ()


async def environment(c: Talk, w: World) -> None:
    assert (await c.environment()).name == "paper"


PUBLIC: dict[str, Call] = {
    "environment": environment,
    "get_order_book": books,
    "get_order_books": many_books,
    "get_midpoint": midpoint,
    "get_midpoints": midpoints,
    "get_price": price,
    "get_prices": prices,
    "get_spread": spread,
    "get_spreads": spreads,
    "get_last_trade_price": last_price,
    "get_last_trade_prices": last_prices,
    "estimate_market_price": estimate,
    "get_market": market,
    "get_market_tags": market_tags,
    "list_markets": markets,
    "get_event": event,
    "get_event_tags": event_tags,
    "list_events": events,
    "search": search,
    "get_series": series,
    "list_series": all_series,
    "list_tags": tags,
    "get_tag": tag,
    "get_related_tags": related_tags,
    "get_related_tag_resources": related_resources,
    "get_sports": sports,
    "get_sports_market_types": market_types,
    "list_teams": teams,
    "list_comments": comments,
    "get_comment_thread": comment_thread,
    "list_comments_by_user_address": comments_of_user,
    "get_public_profile": profile,
    "list_positions": positions,
    "get_portfolio_value": portfolio_value,
    "list_trades": trades,
    "list_activity": activity,
    "list_market_holders": holders,
    "get_open_interests": open_interest,
    "get_event_live_volume": live_volume,
    "list_price_history": price_history,
    "get_resolutions": resolutions,
    "get_token_references": token_references,
    "get_user_pnl": user_pnl,
    "get_user_stats": user_stats,
    "get_user_volume": user_volume,
    "list_trader_leaderboard": leaderboard,
    "get_trader_leaderboard_standing": standing,
    "list_biggest_winners": winners,
    "list_builder_leaderboard": builder_leaderboard,
    "get_builder_volumes": builder_volumes,
    "list_builder_trades": builder_trades,
    "download_accounting_snapshot": snapshot,
    "get_trading_approvals_state": approvals,
    "list_combo_activity": combo_activity,
    "list_combo_positions": combo_positions,
    "list_combo_markets": combo_markets,
    "list_current_rewards": current_rewards,
    "list_market_rewards": market_rewards,
    "list_reward_markets": reward_markets,
    "get_current_rebates": rebates,
}

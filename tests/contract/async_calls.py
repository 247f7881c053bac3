"""The calls that only the asynchronous clients have: streams, and what is not served."""

import asyncio
from typing import Any

from polymarket.streams import MarketSpec, UserSpec

from tests.contract.secure_calls import rest, unserved
from tests.contract.talk import Call, Talk
from tests.contract.worlds import World

PATIENCE_SECONDS = 20


async def market_stream(c: Talk, w: World) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        async with await c.subscribe(MarketSpec(asset_ids=[w.open.yes])) as events:
            event: Any = await anext(aiter(events))
    assert (event.type, event.payload.asset_id) == ("book", w.open.yes)


async def user_stream(c: Talk, w: World) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        async with await c.subscribe(UserSpec()) as events:
            told = aiter(events)
            order, event = await rest(c, w), await _first_placement(c, w, told)
    assert event.payload.id == order.order_id or event.payload.order_event_type == "PLACEMENT"
    await c.cancel_all()


async def _first_placement(c: Talk, w: World, told: Any) -> Any:
    """Return the first event; orders are posted until one is heard, for logins are not answered."""
    heard = asyncio.ensure_future(anext(told))
    while not (await asyncio.wait([heard], timeout=0.2))[0]:
        await rest(c, w)
    return heard.result()


async def perps_book(c: Talk, w: World) -> None:
    await unserved(c.fetch_perps_book(instrument_id=1), "perpetuals")


async def perps_builder(c: Talk, w: World) -> None:
    await unserved(c.fetch_perps_builder_status(address=w.wallet), "perpetuals")


async def perps_fees(c: Talk, w: World) -> None:
    await unserved(c.fetch_perps_fees(), "perpetuals")


async def perps_instruments(c: Talk, w: World) -> None:
    await unserved(c.fetch_perps_instruments(), "perpetuals")


async def perps_snapshots(c: Talk, w: World) -> None:
    asked = c.fetch_perps_position_snapshots(address=w.wallet, active_instrument_ids=[1])
    await unserved(asked, "perpetuals")


async def perps_registration(c: Talk, w: World) -> None:
    await unserved(c.fetch_perps_registration(address=w.wallet), "perpetuals")


async def perps_ticker(c: Talk, w: World) -> None:
    await unserved(c.fetch_perps_ticker(instrument_id=1), "perpetuals")


async def perps_tickers(c: Talk, w: World) -> None:
    await unserved(c.fetch_perps_tickers(), "perpetuals")


async def perps_candles(c: Talk, w: World) -> None:
    await unserved(c.list_perps_candles(instrument_id=1, interval="1h"), "perpetuals")


async def perps_funding(c: Talk, w: World) -> None:
    await unserved(c.list_perps_funding_history(instrument_id=1), "perpetuals")


async def perps_trades(c: Talk, w: World) -> None:
    await unserved(c.list_perps_trades(instrument_id=1), "perpetuals")


ASYNC_PUBLIC: dict[str, Call] = {
    "subscribe": market_stream,
    "fetch_perps_book": perps_book,
    "fetch_perps_builder_status": perps_builder,
    "fetch_perps_fees": perps_fees,
    "fetch_perps_instruments": perps_instruments,
    "fetch_perps_position_snapshots": perps_snapshots,
    "fetch_perps_registration": perps_registration,
    "fetch_perps_ticker": perps_ticker,
    "fetch_perps_tickers": perps_tickers,
    "list_perps_candles": perps_candles,
    "list_perps_funding_history": perps_funding,
    "list_perps_trades": perps_trades,
}
ASYNC_SECURE: dict[str, Call] = {"subscribe": user_stream}

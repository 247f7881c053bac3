"""Finding what can be traded by any of its names."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.errors import InvalidInputError, InvariantError
from infra.store import markets as module
from infra.store.markets import Markets
from tests.store.making import CONDITION, NO, NOW, YES, a_market, later, rows

pytestmark = pytest.mark.services


@pytest.fixture
async def markets(database: AsyncEngine) -> Markets:
    markets = Markets(database)
    await markets.replace([a_market(), a_market("rainfall"), a_market("snow")], NOW)
    return markets


async def test_a_market_is_found_by_slug_condition_and_token(markets: Markets) -> None:
    for name, outcome in (("rain", "no"), (CONDITION, "NO"), (NO, None), (NO, "No")):
        assert await markets.find(name, outcome) == (a_market(), NO)
    assert await markets.by_condition(CONDITION) == a_market()


async def test_every_field_of_a_market_is_kept(markets: Markets) -> None:
    odd = a_market(
        "odd",
        neg_risk=True,
        tick_size=Decimal("0.0001"),
        fee_exponent=2,
        accepting_orders=False,
        end_at=NOW + timedelta(microseconds=1),
        event_id="2890",
    )
    await markets.replace([a_market(), odd], NOW)
    assert await markets.by_condition(odd.condition_id) == odd


async def test_the_event_of_a_market_outlives_a_list_that_does_not_name_it(
    markets: Markets,
) -> None:
    await markets.replace([a_market(event_id="2890")], NOW)
    before = await rows(markets.engine, "SELECT updated_at FROM markets WHERE slug = 'rain'")
    await markets.replace([a_market()], later(60))
    assert (await markets.by_condition(CONDITION)).event_id == "2890"
    assert before == await rows(
        markets.engine, "SELECT updated_at FROM markets WHERE slug = 'rain'"
    )


async def test_an_unknown_name_is_refused_with_the_nearest(markets: Markets) -> None:
    with pytest.raises(InvalidInputError, match="the nearest are rain, rainfall") as refusal:
        await markets.find("rian", "Yes")
    assert refusal.value.field == "market"


async def test_an_outcome_that_is_missing_or_wrong_is_refused(markets: Markets) -> None:
    with pytest.raises(InvalidInputError, match="Yes or No"):
        await markets.find("rain", None)
    with pytest.raises(InvalidInputError, match="no outcome 'Maybe'"):
        await markets.find("rain", "Maybe")
    with pytest.raises(InvalidInputError, match="this token is Yes"):
        await markets.find(YES, "No")


async def test_a_market_never_listed_is_a_bug(markets: Markets) -> None:
    with pytest.raises(InvariantError):
        await markets.by_condition("0xnever")


async def test_a_market_that_could_not_be_read_stays_as_it_was_last_known(
    markets: Markets,
) -> None:
    await markets.replace([a_market("snow")], later(60), unread={CONDITION, "0xnew"})
    assert await markets.by_condition(CONDITION) == a_market()
    (closed, _) = await markets.find("rainfall", "Yes")
    assert closed.closed


async def test_a_market_no_longer_listed_is_kept_as_closed(markets: Markets) -> None:
    await markets.replace([a_market("snow")], later(60))
    market, token_id = await markets.find("rain", "Yes")
    assert (market.closed, market.accepting_orders, token_id) == (True, False, YES)
    await markets.replace([a_market()], later(120))
    assert (await markets.find("rain", "Yes"))[0] == a_market()


async def test_listing_the_same_again_writes_nothing(markets: Markets) -> None:
    query = "SELECT condition_id, listed_at, updated_at, xmin::text FROM markets ORDER BY 1"
    before = await rows(markets.engine, query)
    await markets.replace([a_market("snow"), a_market("rainfall"), a_market()], later(60))
    assert await rows(markets.engine, query) == before


async def test_another_process_sees_a_new_market_at_once(markets: Markets) -> None:
    other = Markets(markets.engine)
    assert (await other.find("snow", "Yes"))[0] == a_market("snow")
    await markets.replace([a_market(), a_market("hail")], later(60))
    assert (await other.find("hail", "Yes"))[0] == a_market("hail")


async def test_another_process_sees_a_changed_market_within_seconds(
    markets: Markets, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = [0.0]
    monkeypatch.setattr(module, "monotonic_seconds", lambda: seconds[0])
    other = Markets(markets.engine)
    await other.find("rain", "Yes")
    finer = replace(a_market(), tick_size=Decimal("0.001"))
    await markets.replace([finer, a_market("snow")], later(60))
    seconds[0] = module.FRESH_SECONDS
    assert (await other.find("rain", "Yes"))[0] == finer

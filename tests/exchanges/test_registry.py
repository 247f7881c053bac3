"""The list of markets is whole, priced, and free of what nobody can trade."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio

from domain.errors import UnavailableError
from infra.exchanges.polymarket.connection import Connection, pooled_client
from infra.exchanges.polymarket.registry import GammaMarkets
from tests.exchanges.scripted import Reply, ScriptedServer, a_gate, says
from tests.exchanges.twins import YES_NO, a_clob_market, a_gamma_market

FIRST, SECOND, THIRD = ("0x" + digit * 64 for digit in "123")
LIST = "GET /markets/keyset"


def market(condition_id: str, **more: object) -> dict[str, Any]:
    named = {"conditionId": condition_id, "slug": condition_id[:4]}
    return a_gamma_market(YES_NO, 0.01) | named | more


def page(*markets: dict[str, Any], **more: object) -> Reply:
    return says({"markets": markets, **more})


@pytest_asyncio.fixture
async def named() -> list[str]:
    """Condition ids that the registry is asked for by name."""
    return []


@pytest_asyncio.fixture
async def registry(server: ScriptedServer, named: list[str]) -> AsyncIterator[GammaMarkets]:
    async def names() -> list[str]:
        return named

    http = pooled_client(server.address)
    yield GammaMarkets(
        Connection(http, a_gate(), "gamma"), Connection(http, a_gate(), "markets"), names
    )
    await http.aclose()


async def test_every_page_of_the_open_markets_is_read(
    server: ScriptedServer, registry: GammaMarkets
) -> None:
    server.script(LIST, page(market(FIRST), next_cursor="abc"), page(market(SECOND)))
    found = (await registry.listing()).markets
    assert [one.condition_id for one in found] == [FIRST, SECOND]
    asked = [request.query for request in server.requests]
    assert asked == [
        {"closed": ["false"], "limit": ["500"]},
        {"closed": ["false"], "limit": ["500"], "after_cursor": ["abc"]},
    ]


async def test_a_market_carries_the_rules_of_its_book(
    server: ScriptedServer, registry: GammaMarkets
) -> None:
    schedule = {"rate": 0.07, "exponent": 2}
    rules = {"negRisk": True, "feesEnabled": True, "feeSchedule": schedule}
    server.script(LIST, page(market(FIRST, **rules)))
    (found,) = (await registry.listing()).markets
    assert (found.tick_size, found.min_size, found.neg_risk) == (Decimal("0.01"), 5, True)
    assert (found.fee_rate, found.fee_exponent) == (Decimal("0.07"), 2)
    assert (found.accepting_orders, found.closed) == (True, False)
    assert [token.outcome for token in found.tokens] == YES_NO


async def test_a_market_names_the_event_whose_limit_it_shares(
    server: ScriptedServer, registry: GammaMarkets
) -> None:
    events = [{"id": "2890", "slug": "who-wins"}, {"id": 17}]
    alone = market(SECOND) | {"events": None}
    server.script(LIST, page(market(FIRST, events=events), alone))
    assert [one.event_id for one in (await registry.listing()).markets] == ["2890", None]


async def test_a_fee_that_is_announced_without_its_amount_is_asked_of_the_book_once(
    server: ScriptedServer, registry: GammaMarkets
) -> None:
    server.script(LIST, page(market(FIRST, feesEnabled=True)))
    server.script(f"GET /clob-markets/{FIRST}", says({"fd": {"r": 0.05, "e": 1, "to": True}}))
    for _ in range(2):
        (found,) = (await registry.listing()).markets
        assert (found.fee_rate, found.fee_exponent) == (Decimal("0.05"), 1)
    asked = [request.path for request in server.requests]
    assert asked.count(f"/clob-markets/{FIRST}") == 1


async def test_named_markets_are_read_open_or_closed(
    server: ScriptedServer, registry: GammaMarkets, named: list[str]
) -> None:
    named += [FIRST, SECOND, THIRD]
    server.script(LIST, page(market(FIRST)), page(market(SECOND, closed=True)))
    server.script(f"GET /clob-markets/{THIRD}", says({"c": THIRD}))
    server.script(f"GET /markets/{THIRD}", says(a_clob_market(0.01, condition_id=THIRD)))
    found = {one.condition_id: one for one in (await registry.listing()).markets}
    assert found.keys() == {FIRST, SECOND, THIRD}
    assert [found[one].closed for one in (FIRST, SECOND)] == [False, True]
    assert server.requests[1].query["condition_ids"] == [SECOND, THIRD]


async def test_what_cannot_be_traded_is_left_out_and_the_rest_stays(
    server: ScriptedServer, registry: GammaMarkets, named: list[str]
) -> None:
    named.append(THIRD)
    odd = [
        market(SECOND, orderPriceMinTickSize=None),
        market(SECOND, outcomes='["A", "B", "C"]'),
        market(SECOND, clobTokenIds="not json"),
        market(SECOND, feesEnabled=True),  # and the book does not know it
        {},
    ]
    server.script(LIST, page(*odd, market(FIRST)), page())
    assert [one.condition_id for one in (await registry.listing()).markets] == [FIRST]


@pytest.mark.parametrize(
    "replies",
    [
        pytest.param([says({"error": "no"}, 500)], id="an error"),
        pytest.param([page(market(FIRST), next_cursor="abc")], id="a circle"),
        pytest.param([page(market(FIRST), next_cursor="abc"), says([])], id="a bad second page"),
        pytest.param([says({"data": []})], id="no list"),
    ],
)
async def test_an_incomplete_list_is_an_error(
    server: ScriptedServer, registry: GammaMarkets, replies: list[Reply]
) -> None:
    server.script(LIST, *replies)
    with pytest.raises(UnavailableError):
        await registry.listing()


@pytest.mark.parametrize("status", [404, 425, 429, 500, 503])
async def test_one_market_that_cannot_be_read_is_a_warning_and_does_not_fail_the_others(
    server: ScriptedServer,
    registry: GammaMarkets,
    caplog: pytest.LogCaptureFixture,
    status: int,
) -> None:
    server.script(LIST, page(market(FIRST, feesEnabled=True), market(SECOND)))
    server.script(f"GET /clob-markets/{FIRST}", says({"error": "no"}, status))

    listing = await registry.listing()

    assert [one.condition_id for one in listing.markets] == [SECOND]
    assert listing.unread == {FIRST}
    [told] = [one for one in caplog.records if one.getMessage() == "market.skipped"]
    assert (told.levelname, vars(told)["condition_id"]) == ("WARNING", FIRST)


async def test_a_held_market_that_cannot_be_read_is_not_taken_for_gone(
    server: ScriptedServer, registry: GammaMarkets, named: list[str]
) -> None:
    named += [SECOND, THIRD]
    server.script(LIST, page(market(FIRST)), page())
    server.script(f"GET /clob-markets/{SECOND}", says({"error": "no"}, 500))
    server.script(f"GET /clob-markets/{THIRD}", says({"error": "no"}, 404))

    listing = await registry.listing()

    assert [one.condition_id for one in listing.markets] == [FIRST]
    assert listing.unread == {SECOND}, "the exchange says that it does not know the third"

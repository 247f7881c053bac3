"""What supervisors and scrapers are told is what is."""

import json

import pytest

from infra.settings import TemporalSettings
from tests.api.conftest import SECRET, Stack, free_port, running, settings_for

pytestmark = pytest.mark.services


async def test_a_process_with_everything_is_ready(stack: Stack) -> None:
    assert (await stack.http.get("/livez")).json() == {"status": "alive"}
    answer = await stack.http.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ready",
        "parts": dict.fromkeys(("database", "migrations", "durability", "temporal"), "ok"),
    }


async def test_readyz_says_what_is_missing(empty_database_url: str) -> None:
    away = TemporalSettings(address=f"127.0.0.1:{free_port()}")
    async with running(settings_for(empty_database_url, away)) as stack:
        answer = await stack.http.get("/readyz")
        parts = answer.json()["parts"]
        assert answer.status_code == 503
        assert parts["database"] == "ok"
        assert "run migrate" in parts["migrations"]
        assert "Temporal does not answer" in parts["temporal"]
        assert (await stack.http.get("/livez")).status_code == 200


async def test_readyz_says_that_the_database_is_away(temporal: TemporalSettings) -> None:
    nowhere = f"postgresql://postgres:hidden@127.0.0.1:{free_port()}/none"
    async with running(settings_for(nowhere, temporal)) as stack:
        answer = await stack.http.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["parts"]["database"] != "ok"
        assert "hidden" not in answer.text
        assert "holdfast_database_up 0" in (await stack.http.get("/metrics")).text


async def test_metrics_count_signals_orders_and_answers(stack: Stack) -> None:
    await stack.post({"action": "PING"})
    await stack.post("[]")
    lines = (await stack.http.get("/metrics")).text.splitlines()
    assert 'holdfast_webhooks_answered_total{status="202"} 1' in lines
    assert 'holdfast_webhooks_answered_total{status="401"} 1' in lines
    assert 'holdfast_signals{status="processed"} 1' in lines
    assert "# TYPE holdfast_orders gauge" in lines


async def test_every_refusal_has_the_one_shape(stack: Stack) -> None:
    for answer in (
        await stack.http.get("/nowhere"),
        await stack.http.get("/api/v1/webhooks/tradingview"),
        await stack.get("/orders", limit="x"),
    ):
        assert set(answer.json()) == {"error"}
        assert set(answer.json()["error"]) == {"code", "message", "fields"}


async def test_the_routes_are_described_at_docs(stack: Stack) -> None:
    assert (await stack.http.get("/docs")).status_code == 200
    described = (await stack.http.get("/openapi.json")).json()
    routes = {(verb, path) for path, verbs in described["paths"].items() for verb in verbs}
    assert routes >= {
        ("post", "/api/v1/webhooks/{source}"),
        ("post", "/api/v1/webhooks/{source}/{token}"),
        ("get", "/api/v1/signals"),
        ("get", "/api/v1/signals/{identity}"),
        ("get", "/api/v1/why/{identity}"),
        ("post", "/api/v1/orders/{order_hash}/cancel"),
        ("get", "/readyz"),
    }


async def test_no_log_line_holds_a_secret(stack: Stack, caplog: pytest.LogCaptureFixture) -> None:
    await stack.post({"action": "BuyMarket", "market": "r:Yes", "percent": 1})
    await stack.post({"action": "BuyMarket", "secret": "near-miss\r\nforged"})
    await stack.post(json.dumps({"secret": "near-miss"}), "tradingview/near-miss")
    await stack.post("x", "evil%0d%0aforged")
    told = "".join(json.dumps(vars(record), default=str) for record in caplog.records)
    assert SECRET not in told
    assert json.dumps(SECRET)[1:-1] not in told
    assert "near-miss" not in told

"""Whatever is thrown at the door is kept as it came, answered exactly, and harms nobody else."""

import asyncio
import gzip
import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from infra.settings import TemporalSettings
from tests.api.conftest import SECRET, Stack, running, settings_for
from tests.proxy import Mode, linked

pytestmark = pytest.mark.services

BUY: dict[str, Any] = {"action": "BuyMarket", "market": "rain", "outcome": "Yes", "PourCent": 10}
TOKEN = {"X-Holdfast-Token": SECRET}


def with_price(written: str) -> bytes:
    return json.dumps(BUY | {"price": "@"}).replace('"@"', written).encode()


BODIES = {
    "100,000 deep": b'{"a":' + b"[" * 60_000,
    "not UTF-8": b'{"action": "\xff\xfe"}',
    "NaN": with_price("NaN"),
    "1e400": with_price("1e400"),
    "a number of 4,000 digits": with_price("9" * 4_000),
    "the same name twice": b'{"action": "PING", "action": "CLOSEALL"}',
    "nothing": b"",
    "half an object": b'{"action": "BuyMarket", "mark',
}


@pytest.mark.parametrize("name", BODIES)
async def test_b6_a_body_that_cannot_be_meant_is_refused_in_words_and_kept(
    stack: Stack, name: str
) -> None:
    answer = await stack.post(BODIES[name], "strategy", headers=TOKEN)
    assert answer.status_code == 422
    assert answer.json()["error"]["fields"]
    (row,) = stack.signals()
    assert (row["status"], bytes(row["raw_payload"])) == ("error", BODIES[name])


async def test_b6_a_compressed_body_is_refused_and_never_unpacked(stack: Stack) -> None:
    bomb = gzip.compress(b" " * 10_000_000)
    headers = TOKEN | {"Content-Encoding": "gzip"}
    answer = await stack.post(bomb, "strategy", headers=headers)
    assert answer.status_code == 422
    assert answer.json()["error"]["fields"][0]["field"] == "Content-Encoding"
    assert bytes(stack.signals()[0]["raw_payload"]) == bomb


INJECTIONS = [
    "'; DROP TABLE holdfast.signals; --",
    "%s%n%(x)s{0.__class__}",
    "a\r\nSet-Cookie: x=1",
    "a\0b",
    "\ud800",
    "<img src=x onerror=alert(1)>",
]


@pytest.mark.parametrize("text", INJECTIONS, ids=range(len(INJECTIONS)))
async def test_b7_what_a_field_holds_is_only_ever_text(
    stack: Stack, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    body = stack.body(BUY | {"id": text, "market": text, text: 1})
    answer = await stack.post(body, "strategy", headers=TOKEN)
    assert answer.status_code == 422
    assert "\r" not in str(answer.headers)
    assert not [line for line in caplog.messages if "\n" in line or "\r" in line]
    (row,) = stack.signals()
    assert bytes(row["raw_payload"]) == body


async def test_a_refused_alert_keeps_its_senders_id_and_its_mended_form_may_use_it(
    stack: Stack,
) -> None:
    refused = await stack.post(BUY | {"id": "x", "PourCent": 0})
    assert refused.status_code == 422
    assert [row["external_id"] for row in stack.signals()] == ["x"]
    await stack.begun(await stack.post(BUY | {"id": "x"}))
    assert (await stack.post(BUY | {"id": "x", "PourCent": 0})).status_code == 422


@pytest.mark.parametrize(
    "wrong",
    [{"price": 1}, {"price": 0}, {"price": 1.5}, {"price": -1}, {"PourCent": 0}, {"PourCent": 101}],
    ids=str,
)
async def test_b9_a_price_or_size_that_cannot_be_is_refused(
    stack: Stack, wrong: dict[str, Any]
) -> None:
    answer = await stack.post(BUY | wrong)
    assert answer.status_code == 422
    assert [one["field"] for one in answer.json()["error"]["fields"]] == list(wrong)


async def test_b4_an_exit_before_its_entry_is_a_signal_of_its_own(stack: Stack) -> None:
    leave = await stack.post({"action": "CLOSE", "market": "rain", "outcome": "Yes", "id": "out"})
    enter = await stack.post(BUY | {"id": "in"})
    assert await stack.begun(leave) != await stack.begun(enter)


async def test_a7_of_five_hundred_at_once_each_is_stored_or_told_to_come_again(
    stack: Stack,
) -> None:
    alerts = [stack.body({"action": "PING", "id": n, "secret": SECRET}) for n in range(500)]
    answers = await asyncio.gather(*(stack.post(alert) for alert in alerts))
    codes = [answer.status_code for answer in answers]
    assert set(codes) <= {202, 503}
    stored = {bytes(row["raw_payload"]) for row in stack.signals()}
    assert stored == {one for one, code in zip(alerts, codes, strict=True) if code == 202}
    for alert in set(alerts) - stored:
        assert (await stack.post(alert)).status_code == 202
    assert len(stack.signals()) == 500


async def test_a4_a_database_that_refuses_is_told_and_what_was_told_stored_is(
    database_url: str, temporal: TemporalSettings
) -> None:
    place = urlsplit(database_url)
    assert place.hostname
    assert place.port
    async with linked(place.hostname, place.port) as link:
        url = database_url.replace(f":{place.port}/", f":{link.port}/")
        async with running(settings_for(url, temporal)) as stack:
            assert (await stack.post({"action": "PING", "id": 1})).status_code == 202
            await link.cut(Mode.REFUSE)
            away = await stack.post({"action": "PING", "id": 2})
            assert (away.status_code, away.headers["Retry-After"]) == (503, "1")
            await link.heal()
            again = await stack.post({"action": "PING", "id": 2})
            assert again.status_code == 202
    with_rows = Stack(http=stack.http, parts=stack.parts, database_url=database_url)
    assert [row["external_id"] for row in with_rows.signals()] == ["1", "2"]

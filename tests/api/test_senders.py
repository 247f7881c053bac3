"""Who is believed: signatures, rotated secrets, the proofs a source takes, and proxies' words."""

import hashlib
import hmac
from datetime import datetime, timedelta
from ipaddress import ip_network

import pytest
from pydantic import SecretStr
from starlette.datastructures import Headers

from api.senders import Offer, Proof, address_of, proof_of, sender_at, signed_id
from infra.clock import utc_now
from infra.settings import AccountSettings, HmacSettings, Settings, WebhookSettings
from tests.api.conftest import OWNER, SECRET, Stack

BODY = b'{"action": "PING"}'
NOW = datetime.fromisoformat("2026-11-21T12:00:00.5+00:00")
BUY = {"action": "BuyMarket", "market": "rain", "outcome": "Yes", "PourCent": 10}


def signature(body: bytes, at: datetime, secret: str = SECRET) -> dict[str, str]:
    """Return what a sender that signs adds to its request: all it takes."""
    stamp = str(int(at.timestamp()))
    signed = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256)
    return {"X-Holdfast-Timestamp": stamp, "X-Holdfast-Signature": signed.hexdigest()}


def source(**fields: object) -> Settings:
    known = {"secret": SecretStr(SECRET), "account": "main"} | fields
    return Settings(
        database_url=SecretStr("postgresql://x/y"),
        accounts={"main": AccountSettings(wallet=OWNER)},
        webhooks={"strategy": WebhookSettings(**known)},  # pyright: ignore[reportArgumentType]
    )


def proof(known: Settings, headers: dict[str, str], **fields: object) -> Proof | None:
    told = {"in_path": None, "body": BODY, "secret": None, "received_at": NOW} | fields
    offer = Offer(headers=Headers(headers), **told)  # pyright: ignore[reportArgumentType]
    return proof_of(known, "strategy", offer)


def test_b8_a_signature_of_this_moment_and_body_proves_its_sender() -> None:
    headers = signature(BODY, NOW)
    assert proof(source(), headers) is Proof.HMAC
    prefixed = headers | {"X-Holdfast-Signature": f"sha256={headers['X-Holdfast-Signature']}"}
    assert proof(source(), prefixed) is Proof.HMAC


def test_b8_nothing_less_does() -> None:
    good = signature(BODY, NOW)
    wrong: list[dict[str, str]] = [
        signature(BODY + b" ", NOW),
        signature(BODY, NOW, "other"),
        good | {"X-Holdfast-Timestamp": str(int(NOW.timestamp()) + 1)},
        good | {"X-Holdfast-Timestamp": "\u00b2"},
        good | {"X-Holdfast-Timestamp": "-1"},
        good | {"X-Holdfast-Signature": good["X-Holdfast-Signature"][:-1]},
        good | {"X-Holdfast-Signature": ""},
        {"X-Holdfast-Signature": good["X-Holdfast-Signature"]},
        {"X-Holdfast-Timestamp": good["X-Holdfast-Timestamp"]},
    ]
    assert {proof(source(), headers) for headers in wrong} == {None}


@pytest.mark.parametrize("seconds", [-301, 301])
def test_b8_a_signature_from_outside_the_window_is_worth_nothing(seconds: int) -> None:
    assert proof(source(), signature(BODY, NOW + timedelta(seconds=seconds))) is None
    inside = timedelta(seconds=seconds - 2 if seconds > 0 else seconds + 2)
    assert proof(source(), signature(BODY, NOW + inside)) is Proof.HMAC


def test_b8_homoglyphs_and_odd_tokens_are_compared_and_refused() -> None:
    for token in ("hu\u0455h", "\ud800", "", "\0", SECRET + " ", SECRET[:-1]):
        assert proof(source(), {}, in_path=token) is None
        assert proof(source(), {}, secret=token) is None


def test_while_secrets_are_changed_the_old_and_the_new_are_taken() -> None:
    known = source(secret=SecretStr("new"), old_secrets=(SecretStr(SECRET),))
    for secret in ("new", SECRET):
        assert proof(known, signature(BODY, NOW, secret)) is Proof.HMAC
        assert proof(known, {"X-Holdfast-Token": secret}) is Proof.TOKEN
        assert proof(known, {}, secret=secret) is Proof.BODY
    assert proof(known, {}, secret="neither") is None


def test_a_source_takes_only_the_proofs_it_names() -> None:
    ways: dict[str, tuple[dict[str, str], dict[str, object]]] = {
        "hmac": (signature(BODY, NOW), {}),
        "token": ({"X-Holdfast-Token": SECRET}, {}),
        "body": ({}, {"secret": SECRET}),
    }
    for named in ways:
        for way, (headers, fields) in ways.items():
            found = proof(source(proofs=(named,)), headers, **fields)
            assert found == (Proof(way) if way == named else None)


def test_headers_and_window_of_a_signature_are_the_source_s_own() -> None:
    hers = HmacSettings(signature_header="X-Sig", timestamp_header="X-At", window_seconds=10)
    stamp, signed = signature(BODY, NOW).values()
    assert proof(source(hmac=hers), {"X-Sig": signed, "X-At": stamp}) is Proof.HMAC
    late = NOW + timedelta(seconds=12)
    assert proof(source(hmac=hers), {"X-Sig": signed, "X-At": stamp}, received_at=late) is None


def test_a_source_without_a_secret_is_closed() -> None:
    known = source(secret=SecretStr(""))
    assert proof(known, {"X-Holdfast-Token": ""}, secret="") is None
    assert proof(known, signature(BODY, NOW, "")) is None


def test_a_signed_message_is_known_by_its_moment_and_its_bytes() -> None:
    known = source().webhooks["strategy"]

    def named(headers: dict[str, str], body: bytes = BODY) -> str:
        offer = Offer(
            headers=Headers(headers), in_path=None, body=body, secret=None, received_at=NOW
        )
        return signed_id(known, offer)

    first = named(signature(BODY, NOW))
    assert first == named(signature(BODY, NOW, "rotated"))
    assert first != named(signature(BODY, NOW + timedelta(seconds=1)))
    assert first != named(signature(BODY, NOW), BODY + b" ")


PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
HOPS: list[tuple[str, list[str], str]] = [
    ("198.51.100.7", ["1.2.3.4"], "198.51.100.7"),  # not a proxy of ours: not believed
    ("10.0.0.1", [], "10.0.0.1"),
    ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
    ("10.0.0.1", ["6.6.6.6, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),  # 6.6.6.6 is invented
    ("10.0.0.1", ["6.6.6.6", "203.0.113.9"], "203.0.113.9"),
    ("10.0.0.1", ["203.0.113.9, nonsense"], "10.0.0.1"),
    ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
    ("::ffff:10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
    ("fd00::1", ["2001:db8::5"], "2001:db8::5"),
    ("", ["203.0.113.9"], ""),
]


@pytest.mark.parametrize(("peer", "forwarded", "wanted"), HOPS, ids=range(len(HOPS)))
def test_only_named_proxies_are_believed_about_an_address(
    peer: str, forwarded: list[str], wanted: str
) -> None:
    headers = Headers(raw=[(b"x-forwarded-for", line.encode()) for line in forwarded])
    assert address_of(peer, headers, PROXIES) == wanted


def test_nobody_is_believed_unless_named() -> None:
    headers = Headers({"X-Forwarded-For": "203.0.113.9"})
    assert address_of("127.0.0.1", headers, ()) == "127.0.0.1"


def test_addresses_of_one_household_are_one_sender() -> None:
    assert sender_at("2001:db8:1:2:3::4") == sender_at("2001:db8:1:2:ffff::1")
    assert sender_at("2001:db8:1:2::1") != sender_at("2001:db8:1:3::1")
    assert sender_at("203.0.113.9") == "203.0.113.9"


@pytest.mark.services
async def test_b8_a_replay_inside_the_window_is_the_same_signal(stack: Stack) -> None:
    body, now = stack.body(BUY), utc_now()
    headers = signature(body, now)
    first = await stack.post(body, "strategy", headers=headers)
    signal_id = await stack.begun(first)
    stack.run("UPDATE holdfast.signals SET received_at = received_at - interval '2 minutes'")
    for _ in range(2):
        again = await stack.post(body, "strategy", headers=headers)
        assert (again.status_code, again.json()["signal_id"]) == (200, signal_id)
    assert await stack.workflows(f"SignalId = '{signal_id}'") == 1
    later = await stack.post(body, "strategy", headers=signature(body, now + timedelta(seconds=1)))
    assert later.json()["signal_id"] == signal_id  # the same bytes within a minute


@pytest.mark.services
async def test_b8_a_replay_outside_the_window_is_a_stranger_s(stack: Stack) -> None:
    body = stack.body(BUY)
    headers = signature(body, utc_now() - timedelta(minutes=6))
    answer = await stack.post(body, "strategy", headers=headers)
    assert (answer.status_code, answer.json()["error"]["message"]) == (401, "not accepted")
    assert [row["is_unproven"] for row in stack.signals()] == [True]

"""What each answer to a send means: REJECTED and BUSY only where that is certain."""

import base64
import hashlib
import hmac
from dataclasses import replace
from decimal import Decimal

import pytest

from domain.answer import Answer
from domain.errors import InvariantError
from domain.order import Side
from domain.ports import SignedOrder
from infra.exchanges.polymarket import client
from infra.exchanges.polymarket.client import PolymarketAccount
from infra.exchanges.polymarket.signing import SignedBytes
from tests.exchanges.scripted import (
    KEYS,
    MARKET,
    YES,
    Reply,
    ScriptedServer,
    account_on,
    says,
    terms,
)

HTML = Reply(status=502, body=b"<html>bad gateway</html>", headers={"Content-Type": "text/html"})
MARK = "0xMARK"  # stands for the order's own id in an answer


def refused(words: str, status: int = 400) -> Reply:
    return says({"error": words}, status)


def accepted(status: str = "live", **changes: object) -> dict[str, object]:
    answer: dict[str, object] = {
        "errorMsg": "",
        "orderID": MARK,
        "takingAmount": "",
        "makingAmount": "",
        "status": status,
        "success": True,
    }
    return answer | changes


async def signed_by(account: PolymarketAccount, side: Side = Side.BUY) -> SignedOrder:
    return await account.sign(terms(side), MARKET, YES, None)


def about(signed: SignedOrder, reply: Reply) -> Reply:
    """Return `reply` with the id of the order in it."""
    return replace(reply, body=reply.body.replace(MARK.encode(), signed.order_hash.encode()))


DUPLICATED = "order 0xMARK is invalid. Duplicated."
LONG_DUPLICATED = (
    "order is invalid. Duplicated. Same order has already been placed, can't be placed again"
)
POST_ONLY_MODE = "post-only mode: only post-only orders and cancels are allowed"
FAK_KILLED = (
    "no orders found to match with FAK order. "
    "FAK orders are partially filled or killed if no match is found."
)

ANSWERS = [
    ("live", says(accepted()), Answer.LIVE),
    ("matched", says(accepted("matched", takingAmount="100", makingAmount="57")), Answer.MATCHED),
    ("delayed", says(accepted("delayed")), Answer.DELAYED),
    ("accepted with 201", says(accepted(), 201), Answer.LIVE),
    ("tick size", refused("order 0x1 is invalid. Price (0.5) breaks minimum"), Answer.REJECTED),
    ("balance", refused("not enough balance / allowance: the balance is"), Answer.REJECTED),
    ("allowance", refused("the allowance is not enough -> spender: 0x1"), Answer.REJECTED),
    ("no match", refused(FAK_KILLED), Answer.REJECTED),
    ("post-only crosses", refused("order 0x1 crosses the book"), Answer.REJECTED),
    ("market not ready", refused("the market is not yet ready to process"), Answer.REJECTED),
    ("no such book", refused("the orderbook 5 does not exist", 404), Answer.REJECTED),
    ("bad signature", refused("invalid signature"), Answer.REJECTED),
    ("revoked key", refused("Unauthorized/Invalid api key", 401), Answer.REJECTED),
    ("banned", refused("'0x1' address banned", 403), Answer.REJECTED),
    ("refused in a 200", says(accepted(success=False, orderID="", status="", errorMsg=FAK_KILLED)),
     Answer.REJECTED),
    ("refused in a true 200", says(accepted(orderID="", status="", errorMsg="invalid nonce")),
     Answer.REJECTED),
    ("seen before", refused(DUPLICATED), Answer.DUPLICATE),
    ("seen before, in more words", refused(LONG_DUPLICATED), Answer.DUPLICATE),
    ("seen before, in a 200", says(accepted(orderID="", status="", errorMsg=DUPLICATED)),
     Answer.DUPLICATE),
    ("restarting", refused("engine restarting", 425), Answer.BUSY),
    ("too many", refused("Too Many Requests", 429), Answer.BUSY),
    ("disabled", refused("Trading is currently disabled.", 503), Answer.BUSY),
    ("cancel-only", refused("Trading is currently cancel-only.", 503), Answer.BUSY),
    ("post-only mode", says({"error": POST_ONLY_MODE, "code": "post_only_mode"}, 503), Answer.BUSY),
    ("post-only mode in a 200", says(accepted(orderID="", status="", errorMsg=POST_ONLY_MODE)),
     Answer.BUSY),
    ("internal error", refused("Internal server error", 500), Answer.UNKNOWN),
    ("could not run", refused("could not run the execution", 500), Answer.UNKNOWN),
    ("could not insert", refused("could not insert order", 500), Answer.UNKNOWN),
    ("could not insert, in a 200", says(accepted(orderID="", status="",
     errorMsg="could not insert order")), Answer.UNKNOWN),
    ("given up half way", refused("context canceled", 400), Answer.UNKNOWN),
    ("unmatched", says(accepted("unmatched")), Answer.UNKNOWN),
    ("request timeout", refused("timeout", 408), Answer.UNKNOWN),
    ("bad gateway", HTML, Answer.UNKNOWN),
    ("gateway timeout", replace(HTML, status=504), Answer.UNKNOWN),
    ("redirected", replace(HTML, status=302), Answer.UNKNOWN),
    ("null errorMsg", says(accepted(errorMsg=None)), Answer.UNKNOWN),
    ("numbers for texts", says(accepted("matched", takingAmount=100)), Answer.UNKNOWN),
    ("an unknown status word", says(accepted("pondering")), Answer.UNKNOWN),
    ("not JSON", Reply(body=b"OK", headers={"Content-Type": "text/plain"}), Answer.UNKNOWN),
    ("a list", says([]), Answer.UNKNOWN),
    ("nested without end", Reply(body=b"[" * 100_000), Answer.UNKNOWN),
    ("cut short", replace(says(accepted()), cut=20), Answer.UNKNOWN),
    ("no answer", Reply(fate="drop"), Answer.UNKNOWN),
]  # fmt: skip


@pytest.mark.parametrize(
    ("reply", "answer"), [row[1:] for row in ANSWERS], ids=[row[0] for row in ANSWERS]
)
async def test_an_answer_to_a_send_is_taken_for_what_it_proves(
    server: ScriptedServer, account: PolymarketAccount, reply: Reply, answer: Answer
) -> None:
    signed = await signed_by(account)
    server.script("POST /order", about(signed, reply))
    submission = await account.submit(signed.payload)
    assert submission.answer is answer, submission
    assert submission.words
    assert len(server.requests) == 1  # nothing is sent a second time behind our back


async def test_the_exchanges_words_and_its_wait_come_through(
    server: ScriptedServer, account: PolymarketAccount
) -> None:
    signed = await signed_by(account)
    server.script(
        "POST /order",
        refused("invalid signature"),
        says({"error": POST_ONLY_MODE, "code": "post_only_mode", "retry_after_seconds": 79}, 503),
        refused("restarting", 425),
        says({"error": "slow down"}, 429, Retry_After="3"),
    )
    sent = [await account.submit(signed.payload) for _ in range(4)]
    assert sent[0].words == "invalid signature"
    assert [one.retry_after_seconds for one in sent] == [None, 79.0, 1.0, 3.0]


@pytest.mark.parametrize(
    ("side", "amounts", "matched"),
    [
        (Side.BUY, ("57", "100"), Decimal(100)),
        (Side.BUY, ("11.4", "20"), Decimal(20)),
        (Side.SELL, ("20", "11.4"), Decimal(20)),
        (Side.BUY, ("57000000", "100000000"), None),  # base units: not to be taken for shares
        (Side.BUY, ("", ""), None),
    ],
)
async def test_the_shares_matched_at_once_are_told(
    server: ScriptedServer,
    account: PolymarketAccount,
    side: Side,
    amounts: tuple[str, str],
    matched: Decimal | None,
) -> None:
    signed = await signed_by(account, side)
    answer = accepted("matched", makingAmount=amounts[0], takingAmount=amounts[1])
    server.script("POST /order", about(signed, says(answer)))
    assert (await account.submit(signed.payload)).matched_size == matched


async def test_an_answer_about_another_order_stops_everything(
    server: ScriptedServer, account: PolymarketAccount
) -> None:
    signed = await signed_by(account)
    server.script("POST /order", says(accepted(orderID="0x" + "ab" * 32)))
    with pytest.raises(InvariantError, match=signed.order_hash):
        await account.submit(signed.payload)


async def test_silence_is_unknown_after_our_own_deadline(
    server: ScriptedServer, account: PolymarketAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "SUBMIT_SECONDS", 0.3)
    signed = await signed_by(account)
    server.script("POST /order", Reply(fate="hang"))
    assert (await account.submit(signed.payload)).answer is Answer.UNKNOWN
    assert len(server.requests) == 1


async def test_no_connection_means_that_nothing_was_sent() -> None:
    async with account_on("http://127.0.0.1:9") as account:
        signed = await signed_by(account)
        submission = await account.submit(signed.payload)
    assert submission.answer is Answer.BUSY
    assert "ConnectError" in submission.words


async def test_each_send_carries_the_same_order_and_a_fresh_proof(server: ScriptedServer) -> None:
    async with account_on(server.address, prefix="/clob") as account:
        signed = await signed_by(account)
        server.script("POST /clob/order", refused("could not insert order", 500))
        for _ in range(2):
            await account.submit(signed.payload)
    first, second = server.requests
    assert first.body == second.body
    assert first.json["order"]["salt"] == SignedBytes.of(signed.payload).order.salt
    assert first.json["owner"] == KEYS.key
    said = f"{first.headers['poly_timestamp']}POST/order".encode() + first.body
    digest = hmac.new(base64.urlsafe_b64decode(KEYS.secret), said, hashlib.sha256).digest()
    assert first.headers["poly_signature"] == base64.urlsafe_b64encode(digest).decode()
    assert first.headers["poly_address"] == KEYS.address


async def test_proxies_of_the_environment_are_not_used(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with account_on(server.address) as account:
        signed = await signed_by(account)
        server.script("POST /order", about(signed, says(accepted())))
        assert (await account.submit(signed.payload)).answer is Answer.LIVE

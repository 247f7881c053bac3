"""What the engine may rely on when it keeps its orders in PostgreSQL."""

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from domain.answer import Answer, Submission
from domain.errors import InvariantError
from domain.fill import FillStatus, SeenBy
from domain.ids import position_id
from domain.order import SENDABLE, Order, OrderEvent, OrderState, Side, Sighting, TimeInForce
from domain.risk import HALTS, AccountState, Limits
from domain.sizing import Denied
from infra.failpoints import from_environment
from infra.store.accounts import Accounts
from infra.store.database import statement
from infra.store.fills import Fills
from infra.store.order_rows import store_order
from infra.store.orders import Orders
from infra.store.sealing import Cipher
from tests.store.making import ACCOUNT, NO, NOW, WIDE, a_fill, an_order, kinds, later, one, rows

pytestmark = pytest.mark.services

S = OrderState


async def _admitted(orders: Orders, order: Order, limits: Limits = WIDE) -> Order:
    admitted = await orders.admit(order, b"signed " + order.order_hash.encode(), limits)
    assert isinstance(admitted, Order), admitted
    return admitted


async def _sent(orders: Orders, order: Order, seconds: float = 1) -> Order:
    assert (await orders.begin_send(order.order_hash, later(seconds))).payload is not None
    sent = await orders.by_hash(order.order_hash)
    assert sent is not None
    return sent


async def _answer(orders: Orders, order: Order, answer: Answer, words: str = "") -> Order:
    return await orders.answered(order.order_hash, Submission(answer=answer, words=words), later(2))


async def test_an_admitted_order_is_read_back_exactly(orders: Orders) -> None:
    draft = an_order(
        price=Decimal("0.123456789012345678"),
        size=Decimal("12345678901234567890.1"),
        expires_at=later(3600),
        reason="odd \0 words \ud800",
    )
    huge = replace(WIDE, max_order_notional_usd=Decimal("1e30"))
    huge = replace(huge, max_market_exposure_usd=Decimal("1e30"))
    await _admitted(orders, draft, huge)
    stored = await orders.by_intent(draft.intent_id)
    assert stored == replace(draft, reason="odd \ufffd words ?")
    assert stored == await orders.by_hash(draft.order_hash)


async def test_an_unknown_order_is_none(orders: Orders) -> None:
    assert await orders.by_intent("nothing") is None
    assert await orders.by_hash("0x0") is None


async def test_the_first_order_of_an_intent_wins(orders: Orders) -> None:
    first = await _admitted(orders, an_order("1"))
    again = replace(an_order("2"), intent_id=first.intent_id)
    assert await orders.admit(again, b"other bytes", WIDE) == first
    assert (await orders.begin_send(first.order_hash, NOW)).payload == b"signed 0x1"
    assert await one(orders.engine, "SELECT count(*) FROM orders") == 1


async def test_an_intent_admitted_before_is_not_denied_later(orders: Orders) -> None:
    only_one = replace(WIDE, max_open_orders=1)
    first = await _admitted(orders, an_order("1"), only_one)
    assert await orders.admit(first, b"", only_one) == first


async def test_two_at_once_for_one_intent_make_one_order(orders: Orders) -> None:
    drafts = [replace(an_order(str(n)), intent_id="same") for n in range(10)]
    admitted = await asyncio.gather(*(orders.admit(draft, b"", WIDE) for draft in drafts))
    assert len(set(admitted)) == 1
    assert await one(orders.engine, "SELECT count(*) FROM orders") == 1
    assert (await kinds(orders.engine)).count("order.prepared") == 1


async def test_entries_at_once_never_exceed_the_market_limit(orders: Orders) -> None:
    limits = replace(WIDE, max_market_exposure_usd=Decimal(40))  # ten orders of $4
    drafts = [an_order(str(n)) for n in range(50)]
    outcomes = await asyncio.gather(*(orders.admit(draft, b"", limits) for draft in drafts))
    assert sum(isinstance(outcome, Order) for outcome in outcomes) == 10
    denials = {outcome.rule for outcome in outcomes if isinstance(outcome, Denied)}
    assert denials == {"max_market_exposure_usd"}


async def test_entries_at_once_never_exceed_the_number_of_orders(orders: Orders) -> None:
    limits = replace(WIDE, max_open_orders=7)
    drafts = [an_order(str(n)) for n in range(50)]
    outcomes = await asyncio.gather(*(orders.admit(draft, b"", limits) for draft in drafts))
    assert sum(isinstance(outcome, Order) for outcome in outcomes) == 7


@pytest.mark.parametrize("state", [s for s in S if s not in {S.NEW, S.SENT}])
async def test_an_order_counts_as_exposure_until_it_is_over(orders: Orders, state: S) -> None:
    await _admitted(orders, an_order("1"))
    await _put(orders, "0x1", state)
    limits = replace(WIDE, max_open_orders=1, max_market_exposure_usd=Decimal(4))
    outcome = await orders.admit(an_order("2"), b"", limits)
    is_open = state in {S.UNKNOWN, S.DELAYED, S.LIVE, S.PARTIAL}
    assert isinstance(outcome, Denied) == is_open


async def test_what_an_order_does_is_found_by_its_position_too(orders: Orders) -> None:
    order = await _admitted(orders, an_order())

    await _sent(orders, order)
    await _answer(orders, order, Answer.LIVE)

    mine = position_id(order.account_id, order.token_id)
    of_orders = "SELECT kind, position_id FROM events WHERE subject_kind = 'order'"
    told = await rows(orders.engine, of_orders)
    assert {row["kind"] for row in told} == {"order.prepared", "order.sent", "order.live"}
    assert {row["position_id"] for row in told} == {mine}


async def test_news_of_an_order_that_has_changed_meanwhile_is_not_written(orders: Orders) -> None:
    order = await _admitted(orders, an_order())
    async with statement(orders.engine) as connection:
        (read,) = await rows(orders.engine, "SELECT xmin::text AS version FROM orders")
        sent = await _sent(orders, order)
        stale = order.after(OrderEvent.CANCEL)

        assert not await store_order(connection, order, stale, {}, read["version"])

    assert await orders.by_hash(order.order_hash) == sent
    assert "order.cancelled" not in await kinds(orders.engine)


async def _put(orders: Orders, order_hash: str, state: S) -> None:
    """Bring an order to a state by the news that lead there."""
    await orders.begin_send(order_hash, NOW)
    events = {
        S.UNKNOWN: [OrderEvent.LOSE],
        S.DELAYED: [OrderEvent.DELAY],
        S.LIVE: [OrderEvent.ACCEPT],
        S.CANCELLED: [OrderEvent.CANCEL],
        S.EXPIRED: [OrderEvent.EXPIRE],
        S.REJECTED: [OrderEvent.REJECT],
        S.ABANDONED: [OrderEvent.LOSE, OrderEvent.ABANDON],
    }
    for event in events.get(state, []):
        await orders.learn(order_hash, event, None, NOW)
    if state in {S.PARTIAL, S.FILLED}:
        size = Decimal(10) if state is S.FILLED else Decimal(1)
        fills = Fills(orders.engine, from_environment({}))
        fill = a_fill("t0", price=Decimal("0.01"), size=size)
        await fills.record(fill, SeenBy.POLL, NOW)
        await fills.record(replace(fill, status=FillStatus.FAILED), SeenBy.POLL, NOW)
    known = await orders.by_hash(order_hash)
    assert known is not None
    assert known.state is state


async def test_matched_shares_without_their_fill_still_count(orders: Orders) -> None:
    await _admitted(orders, an_order("1"))
    sent = await _sent(orders, an_order("1"))
    matched = Submission(answer=Answer.MATCHED, matched_size=Decimal(10))
    await orders.answered(sent.order_hash, matched, later(1))
    await orders.learn(sent.order_hash, OrderEvent.CANCEL, "killed", later(2))
    limits = replace(WIDE, max_market_exposure_usd=Decimal(4))
    assert isinstance(await orders.admit(an_order("2"), b"", limits), Denied)


async def test_entries_wait_while_the_account_is_not_running(
    orders: Orders, accounts: Accounts
) -> None:
    await accounts.set_state(ACCOUNT, AccountState.HALTED, reason="kill", who="ann")
    outcome = await orders.admit(an_order(), b"", WIDE)
    assert isinstance(outcome, Denied)
    assert outcome.rule == "account_state"
    assert (await kinds(orders.engine))[-1] == "order.denied"


async def test_an_order_of_an_unknown_account_is_a_bug(orders: Orders) -> None:
    with pytest.raises(InvariantError):
        await orders.admit(an_order(account_id="nobody"), b"", WIDE)


async def test_one_signed_order_for_two_intents_is_a_bug(orders: Orders) -> None:
    first = await _admitted(orders, an_order("1"))
    with pytest.raises(InvariantError):
        await orders.admit(replace(first, intent_id="other"), b"", WIDE)


async def test_shares_are_sold_once_and_only_when_settled(orders: Orders, fills: Fills) -> None:
    await _admitted(orders, an_order("1"))
    await fills.record(a_fill("t1", size=Decimal(6)), SeenBy.POLL, NOW)
    await fills.record(a_fill("t2", size=Decimal(4), status=FillStatus.MINED), SeenBy.POLL, NOW)
    funds = await orders.funds(ACCOUNT, an_order().token_id, Decimal(100))
    assert (funds.free_shares, funds.unsettled_shares) == (Decimal(4), Decimal(6))

    sale = an_order("s1", side=Side.SELL, size=Decimal(3))
    await _admitted(orders, sale)
    too_much = an_order("s2", side=Side.SELL, size=Decimal(2))
    assert isinstance(await orders.admit(too_much, b"", WIDE), Denied)
    await orders.learn(sale.order_hash, OrderEvent.CANCEL, None, NOW)
    await _admitted(orders, too_much)


async def test_collateral_promised_to_open_buys_is_not_free(orders: Orders, fills: Fills) -> None:
    await _admitted(orders, an_order("1"))  # $4
    await _admitted(orders, an_order("2", token_id=NO))  # $4 more, of another token
    matched = a_fill("t1", size=Decimal(5), fee=Decimal("0.05"))  # $2 of the first, and a fee
    await fills.record(matched, SeenBy.STREAM, NOW)
    funds = await orders.funds(ACCOUNT, NO, Decimal(100))
    assert funds.free_usd == Decimal("91.95")
    # Mined, the exchange's own balance has fallen by it: it must not be counted twice.
    await fills.record(replace(matched, status=FillStatus.MINED), SeenBy.STREAM, NOW)
    assert (await orders.funds(ACCOUNT, NO, Decimal("97.95"))).free_usd == Decimal("91.95")


@pytest.mark.parametrize("state", list(S))
async def test_only_orders_that_may_still_be_sent_are(orders: Orders, state: S) -> None:
    await _admitted(orders, an_order("1"))
    if state is not S.NEW:
        await _put(orders, "0x1", state)
    before = await orders.by_hash("0x1")
    permit = await orders.begin_send("0x1", later(9))
    after = await orders.by_hash("0x1")
    assert before is not None
    assert after is not None
    if state in SENDABLE:
        assert permit.payload == b"signed 0x1"
        expected = before.after(OrderEvent.SEND)
        assert after == replace(expected, attempts=before.attempts + 1, last_sent_at=later(9))
    else:
        assert permit.payload is None
        assert permit.refusal == f"the order is {state}"
        assert after == before


@pytest.mark.parametrize("state", sorted(HALTS))
@pytest.mark.parametrize(
    ("side", "rests", "refusal"),
    [
        (Side.BUY, TimeInForce.GTC, "no entries"),
        (Side.BUY, TimeInForce.FAK, "no entries"),
        (Side.SELL, TimeInForce.GTC, "nothing may rest"),
        (Side.SELL, TimeInForce.FAK, None),
    ],
)
async def test_a_halt_stops_entries_and_what_would_rest_and_never_exits(  # noqa: PLR0913, PLR0917
    orders: Orders,
    accounts: Accounts,
    fills: Fills,
    state: AccountState,
    side: Side,
    rests: TimeInForce,
    refusal: str | None,
) -> None:
    bought = a_fill("t0", an_order("0"), size=Decimal(10), status=FillStatus.CONFIRMED)
    await fills.record(bought, SeenBy.POLL, NOW)
    await _admitted(orders, an_order("1", side=side, time_in_force=rests))
    await accounts.set_state(ACCOUNT, state, reason="kill")
    permit = await orders.begin_send("0x1", NOW)
    assert (permit.payload is None) == (refusal is not None)
    if refusal is not None:
        assert permit.refusal == f"the account is {state}: {refusal}"


async def test_an_entry_is_held_uncounted_until_its_account_is_compared_and_an_exit_is_not(
    orders: Orders, accounts: Accounts, fills: Fills
) -> None:
    bought = a_fill("t0", an_order("0"), size=Decimal(10), status=FillStatus.CONFIRMED)
    await fills.record(bought, SeenBy.POLL, NOW)
    await _admitted(orders, an_order("1"))
    await _admitted(orders, an_order("2", side=Side.SELL))
    await accounts.set_state(ACCOUNT, AccountState.RECONCILING, reason="a worker starts")
    held = await orders.begin_send("0x1", NOW)
    assert (held.payload, held.waits) == (None, True)
    assert (await orders.by_hash("0x1") or an_order()).attempts == 0
    assert (await orders.begin_send("0x2", NOW)).payload is not None
    await accounts.set_state(ACCOUNT, AccountState.RUNNING, reason="compared")
    assert (await orders.begin_send("0x1", NOW)).payload is not None


async def test_open_orders_are_those_that_may_match_or_turn_up(orders: Orders) -> None:
    for name in ("1", "2", "3"):
        await _admitted(orders, an_order(name))
    await _put(orders, "0x2", S.UNKNOWN)
    await _put(orders, "0x3", S.CANCELLED)
    await _admitted(orders, an_order("4"))
    assert {order.order_hash for order in await orders.open_orders(ACCOUNT)} == {
        "0x1",
        "0x2",
        "0x4",
    }
    assert await orders.open_orders("another") == []


async def test_an_order_nobody_prepared_cannot_be_sent(orders: Orders) -> None:
    with pytest.raises(InvariantError):
        await orders.begin_send("0xdead", NOW)


async def test_signed_bytes_are_unreadable_in_the_database(orders: Orders) -> None:
    await _admitted(orders, an_order())
    sealed = await one(orders.engine, "SELECT signed_order FROM orders")
    assert b"signed" not in bytes(sealed)


async def test_another_key_opens_nothing(orders: Orders) -> None:
    await _admitted(orders, an_order())
    other = Orders(orders.engine, Cipher("A" * 43 + "="))
    with pytest.raises(InvariantError):
        await other.begin_send("0x1", NOW)


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (Answer.LIVE, S.LIVE),
        (Answer.MATCHED, S.LIVE),
        (Answer.DELAYED, S.DELAYED),
        (Answer.REJECTED, S.REJECTED),
        (Answer.UNKNOWN, S.UNKNOWN),
        (Answer.DUPLICATE, S.UNKNOWN),
        (Answer.BUSY, S.SENT),
        (Answer.NOT_SENT, S.SENT),
    ],
)
async def test_each_answer_to_the_first_send_means_one_state(
    orders: Orders, answer: Answer, state: S
) -> None:
    sent = await _sent(orders, await _admitted(orders, an_order()))
    known = await _answer(orders, sent, answer, "their words")
    assert known.state is state
    assert known == await orders.by_hash(sent.order_hash)
    assert known.was_duplicate == (answer is Answer.DUPLICATE)
    if answer is Answer.REJECTED:
        assert known.reason == "their words"


async def test_an_order_that_was_never_sent_is_cancelled_by_its_refusal(orders: Orders) -> None:
    order = await _admitted(orders, an_order())
    known = await _answer(orders, order, Answer.NOT_SENT, "the account is halted")
    assert (known.state, known.reason) == (S.CANCELLED, "the account is halted")


async def test_a_refusal_after_a_lost_send_proves_nothing(orders: Orders) -> None:
    order = await _admitted(orders, an_order())
    await _answer(orders, await _sent(orders, order), Answer.UNKNOWN)
    again = await _answer(orders, await _sent(orders, order), Answer.REJECTED, "not enough balance")
    assert again.state is S.UNKNOWN
    told = await rows(orders.engine, "SELECT kind, detail FROM events ORDER BY seq DESC LIMIT 1")
    assert told[0]["kind"] == "order.answered"
    assert told[0]["detail"]["words"] == "not enough balance"


async def test_a_refusal_after_a_send_that_a_crash_cut_short_proves_nothing(
    orders: Orders,
) -> None:
    order = await _admitted(orders, an_order())
    await _sent(orders, order)  # and this process died: no answer was recorded
    again = await _answer(orders, await _sent(orders, order), Answer.REJECTED, "not enough balance")
    assert again.state is S.UNKNOWN


async def test_a_refusal_after_not_processed_is_a_refusal(orders: Orders) -> None:
    order = await _admitted(orders, an_order())
    await _answer(orders, await _sent(orders, order), Answer.BUSY)
    again = await _answer(orders, await _sent(orders, order), Answer.REJECTED, "bad tick")
    assert again.state is S.REJECTED


async def test_a_busy_answer_told_twice_vouches_for_one_send_only(orders: Orders) -> None:
    order = await _admitted(orders, an_order())
    await _answer(orders, await _sent(orders, order), Answer.UNKNOWN)
    busy = await _sent(orders, order)
    await _answer(orders, busy, Answer.BUSY)
    await _answer(orders, busy, Answer.BUSY)
    again = await _answer(orders, await _sent(orders, order), Answer.REJECTED, "no")
    assert again.state is S.UNKNOWN
    assert (await kinds(orders.engine)).count("order.answered") == 2


async def test_a_refusal_of_a_copy_leaves_the_live_first_one_alone(orders: Orders) -> None:
    order = await _admitted(orders, an_order())
    await _sent(orders, order)
    await orders.sighted(order.order_hash, Sighting(is_active=True), later(1))
    again = await _answer(orders, order, Answer.LIVE)
    assert again.state is S.LIVE
    second = an_order("2")
    await _admitted(orders, second)
    await _sent(orders, second)
    await _sent(orders, second)
    await orders.sighted(second.order_hash, Sighting(is_active=True), later(3))
    assert (await _answer(orders, second, Answer.REJECTED, "no balance")).state is S.LIVE


async def test_an_answer_that_comes_after_the_fill_is_old_news(
    orders: Orders, fills: Fills
) -> None:
    sent = await _sent(orders, await _admitted(orders, an_order()))
    await fills.record(a_fill(size=Decimal(10)), SeenBy.STREAM, NOW)
    for answer in (Answer.LIVE, Answer.MATCHED, Answer.DELAYED, Answer.UNKNOWN):
        assert (await _answer(orders, sent, answer)).state is S.FILLED


async def test_news_told_twice_is_written_once(orders: Orders) -> None:
    sent = await _sent(orders, await _admitted(orders, an_order()))
    for _ in range(2):
        await _answer(orders, sent, Answer.REJECTED, "no")
        await orders.sighted(sent.order_hash, Sighting(is_active=False), later(3))
    assert await kinds(orders.engine) == [
        "account.running",
        "order.prepared",
        "order.sent",
        "order.rejected",
    ]


async def test_an_end_is_announced_once(orders: Orders) -> None:
    sent = await _sent(orders, await _admitted(orders, an_order()))
    await _answer(orders, sent, Answer.LIVE)
    for _ in range(2):
        await orders.learn(sent.order_hash, OrderEvent.CANCEL, "by ann", later(5))
    notices = await rows(orders.engine, "SELECT kind, payload, sent_at FROM outbox ORDER BY seq")
    assert [notice["kind"] for notice in notices] == ["account.running", "order.cancelled"]
    assert notices[1]["payload"]["order_hash"] == sent.order_hash
    assert notices[1]["sent_at"] is None


async def test_impossible_news_changes_nothing_and_is_recorded(orders: Orders) -> None:
    order = await _admitted(orders, an_order())
    with pytest.raises(InvariantError):
        await orders.learn(order.order_hash, OrderEvent.ACCEPT, None, later(1))
    assert await orders.by_hash(order.order_hash) == order
    (broken,) = await rows(orders.engine, "SELECT * FROM events WHERE kind = 'invariant.broken'")
    assert broken["order_hash"] == order.order_hash
    assert "accept cannot follow NEW" in broken["detail"]["error"]


async def test_looks_that_find_nothing_twice_end_a_resting_order(orders: Orders) -> None:
    sent = await _sent(orders, await _admitted(orders, an_order()))
    await _answer(orders, sent, Answer.LIVE)
    gone = Sighting(is_active=False)
    assert (await orders.sighted("0x1", gone, later(10))).state is S.LIVE
    assert (await orders.sighted("0x1", gone, later(20))).state is S.CANCELLED


async def test_news_at_once_is_all_kept(orders: Orders) -> None:
    sent = await _sent(orders, await _admitted(orders, an_order()))
    sightings = [Sighting(is_active=True, matched_size=Decimal(n)) for n in range(1, 9)]
    await asyncio.gather(
        *(orders.sighted(sent.order_hash, sighting, later(1)) for sighting in sightings)
    )
    known = await orders.by_hash(sent.order_hash)
    assert known is not None
    assert known.matched_size == Decimal(8)


async def test_an_orders_events_replayed_give_its_row(orders: Orders, fills: Fills) -> None:
    sent = await _sent(orders, await _admitted(orders, an_order()))
    await _answer(orders, sent, Answer.UNKNOWN)
    await orders.sighted("0x1", Sighting(is_active=False), later(3))
    await _sent(orders, sent, 4)
    await _answer(orders, sent, Answer.DUPLICATE)
    await orders.sighted("0x1", Sighting(is_active=True, matched_size=Decimal(4)), later(5))
    await fills.record(a_fill(), SeenBy.STREAM, later(6))
    await orders.learn("0x1", OrderEvent.CANCEL, "by ann", later(7))

    replayed: dict[str, object] = {}
    query = "SELECT detail FROM events WHERE subject_kind = 'order' ORDER BY seq"
    for row in await rows(orders.engine, query):
        replayed |= row["detail"].get("after", {})
    (stored,) = await rows(orders.engine, "SELECT row_to_json(orders) AS o FROM orders")
    assert replayed.keys() == stored["o"].keys() - {"signed_order", "updated_at"}
    known = await orders.by_hash("0x1")
    assert known is not None
    for name, value in replayed.items():
        wanted = getattr(known, name)
        if isinstance(wanted, Decimal):
            assert Decimal(str(value)) == wanted, name
        elif hasattr(wanted, "isoformat"):
            assert value == wanted.isoformat(), name
        else:
            assert value == wanted, name


async def test_a_process_without_the_storage_key_stores_no_order(orders: Orders) -> None:
    keyless = Orders(orders.engine, None)

    with pytest.raises(InvariantError, match="no storage key"):
        await keyless.admit(an_order(), b"bytes", WIDE)

    assert await orders.by_intent(an_order().intent_id) is None

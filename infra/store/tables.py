"""The tables of schema `holdfast`: a class is a table, the plural of the value it keeps.

The classes declare columns and are never instantiated: field `x` of a value is column `x`
(infra/store/rows.py), and what only the database keeps is extra.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine
from sqlmodel import Field, SQLModel

from domain.order import TERMINAL, OrderState

SCHEMA: Final = "holdfast"

MONEY: Final = Numeric(38, 18)
MOMENT: Final = DateTime(timezone=True)

# Orders that may still match, or whose matched shares are not all in `fills`: what counts as
# exposure. One text for the partial index and for the query, so that the planner uses it.
OPEN_STATES: Final = tuple(str(state) for state in OrderState if state not in TERMINAL)
_OPEN_LIST: Final = ", ".join(f"'{state}'" for state in OPEN_STATES)
AT_STAKE: Final = f"state IN ({_OPEN_LIST}) OR matched_size > filled_size"
UNSETTLED: Final = "status NOT IN ('CONFIRMED', 'FAILED')"
WAITING: Final = "status = 'received'"
UNPROVEN: Final = "is_unproven"
UNFINISHED: Final = "status NOT IN ('done', 'cancelled')"
UNDERSTOOD: Final = "action IS NOT NULL"


def _of(kind: TypeEngine[Any], *, is_key: bool = False, may_be_null: bool = False) -> Any:
    """Return a column of this type."""
    return Field(sa_column=Column(kind, primary_key=is_key, nullable=may_be_null))


def _key() -> Any:
    return _of(Text(), is_key=True)


def _words() -> Any:
    return _of(Text())


def _words_or_null() -> Any:
    return _of(Text(), may_be_null=True)


def _count() -> Any:
    return _of(Integer())


def _flag() -> Any:
    return _of(Boolean())


def _money() -> Any:
    return _of(MONEY)


def _money_or_null() -> Any:
    return _of(MONEY, may_be_null=True)


def _at() -> Any:
    return _of(MOMENT)


def _at_or_null() -> Any:
    return _of(MOMENT, may_be_null=True)


def _written_at() -> Any:
    """Return a column that takes the database's own time where the statement gives none."""
    return Field(sa_column=Column(MOMENT, nullable=False, server_default=func.clock_timestamp()))


def _sequence(*, is_key: bool = True) -> Any:
    """Return a column that counts rows in the order of their writing."""
    return Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=is_key))


def _json(*, may_be_null: bool = False) -> Any:
    return _of(JSONB(), may_be_null=may_be_null)


class Table(SQLModel):
    """What every table shares: its schema and how its constraints are named."""

    metadata = MetaData(
        schema=SCHEMA,
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        },
    )


class Accounts(Table, table=True):
    """Accounts at the exchange, and whether they may enter.

    Columns:
        trades_cursor: how far the exchange's trades have been read.
    """

    id: str = _key()
    state: str = _words()
    state_reason: str | None = _words_or_null()
    state_changed_at: datetime = _written_at()
    wallet: str = _words()
    signature_type: int = _count()
    trades_cursor: datetime | None = _at_or_null()
    created_at: datetime = _at()


class Signals(Table, table=True):
    """The inbox: everything that ever arrived, byte for byte.

    Columns:
        external_id: the sender's own id, unique among what was understood; null for repeats and
            conflicts, which point at the first.
        body_digest: SHA-256 of the body as it arrived.
        repeats: how often the same bytes came again within the window.
        is_unproven: its sender did not prove itself; the same bytes later are judged anew.
    """

    __table_args__ = (
        Index(
            "signals_source_external_id_key",
            "source",
            "external_id",
            unique=True,
            postgresql_where=text(UNDERSTOOD),
        ),
        Index("signals_unproven_idx", "received_at", postgresql_where=text(UNPROVEN)),
        Index("signals_source_body_digest_received_at_idx", "source", "body_digest", "received_at"),
        Index("signals_received_at_idx", "received_at"),
        Index("signals_status_received_at_idx", "status", "received_at"),
        Index("signals_account_id_received_at_idx", "account_id", "received_at"),
        Index("signals_external_id_idx", "external_id"),
    )

    id: str = _key()
    source: str = _words()
    external_id: str | None = _words_or_null()
    received_at: datetime = _at()
    status: str = _words()
    reason: str | None = _words_or_null()
    action: str | None = _words_or_null()
    prix_sl: Decimal | None = _money_or_null()
    prix_tp: Decimal | None = _money_or_null()
    raw_payload: bytes = _of(LargeBinary())
    body_digest: str = _words()
    repeats: int = _count()
    is_unproven: bool = _flag()
    account_id: str | None = _words_or_null()
    trace_id: str = _words()
    workflow_id: str | None = _words_or_null()
    updated_at: datetime = _written_at()


class Orders(Table, table=True):
    """domain.order.Order, with the signed bytes, sealed."""

    __table_args__ = (
        UniqueConstraint("intent_id"),
        Index("orders_created_at_idx", "created_at"),
        Index("orders_account_id_created_at_idx", "account_id", "created_at"),
        Index("orders_state_created_at_idx", "state", "created_at"),
        Index("orders_signal_id_idx", "signal_id"),
        Index("orders_token_id_created_at_idx", "token_id", "created_at"),
        Index("orders_condition_id_idx", "condition_id"),
        Index("orders_at_stake_idx", "account_id", "condition_id", postgresql_where=text(AT_STAKE)),
    )

    order_hash: str = _key()
    intent_id: str = _words()
    account_id: str = _words()
    token_id: str = _words()
    condition_id: str = _words()
    side: str = _words()
    type: str = _words()
    time_in_force: str = _words()
    post_only: bool = _flag()
    source: str = _words()
    state: str = _words()
    price: Decimal = _money()
    size: Decimal = _money()
    filled_size: Decimal = _money()
    matched_size: Decimal = _money()
    signal_id: str | None = _words_or_null()
    workflow_id: str = _words()
    trace_id: str = _words()
    attempts: int = _count()
    last_sent_at: datetime | None = _at_or_null()
    expires_at: datetime | None = _at_or_null()
    was_duplicate: bool = _flag()
    absent_since: datetime | None = _at_or_null()
    reason: str | None = _words_or_null()
    stop_loss: Decimal | None = _money_or_null()
    take_profit: Decimal | None = _money_or_null()
    created_at: datetime = _at()
    signed_order: bytes | None = _of(LargeBinary(), may_be_null=True)
    updated_at: datetime = _written_at()


class Fills(Table, table=True):
    """domain.fill.Fill; `seq` is the order in which fills reached their position."""

    __table_args__ = (
        UniqueConstraint("seq"),
        Index("fills_order_hash_idx", "order_hash"),
        Index("fills_account_id_token_id_seq_idx", "account_id", "token_id", "seq"),
        Index("fills_matched_at_idx", "matched_at"),
        Index("fills_account_id_matched_at_idx", "account_id", "matched_at"),
        Index("fills_recorded_at_idx", "recorded_at"),
        Index("fills_condition_id_idx", "condition_id"),
        Index("fills_unsettled_idx", "account_id", "trade_id", postgresql_where=text(UNSETTLED)),
    )

    trade_id: str = _key()
    order_hash: str = _key()
    account_id: str = _words()
    token_id: str = _words()
    condition_id: str = _words()
    side: str = _words()
    price: Decimal = _money()
    size: Decimal = _money()
    fee: Decimal = _money()
    fee_asset: str = _words()
    share_fee: Decimal = _money()
    status: str = _words()
    source: str = _words()
    matched_at: datetime = _at()
    seen_by: str = _words()
    recorded_at: datetime = _at()
    seq: int = _sequence(is_key=False)


class Positions(Table, table=True):
    """domain.position.Position, its price, and what is meant to protect it.

    Columns:
        sl_order_id: id of the armed row of `protections`; tp_order_id: an order hash.
        opened_at: when it last stopped being flat.
        planned_at: when the newest wish about its protection was made; an older changes nothing.
        unprotected_since: since when something is missing; unprotected_seconds: before that.
    """

    __table_args__ = (
        UniqueConstraint("account_id", "token_id"),
        Index("positions_token_id_idx", "token_id"),
        Index("positions_condition_id_idx", "condition_id"),
        Index("positions_updated_at_idx", "updated_at"),
        Index("positions_held_idx", "account_id", "token_id", postgresql_where=text("size <> 0")),
        Index(
            "positions_flat_idx",
            "account_id",
            postgresql_include=["cash_usd"],
            postgresql_where=text("size = 0"),
        ),
    )

    id: str = _key()
    account_id: str = _words()
    token_id: str = _words()
    condition_id: str = _words()
    status: str = _words()
    size: Decimal = _money()
    cost_usd: Decimal = _money()
    average_price: Decimal = _money()
    cash_usd: Decimal = _money()
    fees_usd: Decimal = _money()
    realised_pnl_average: Decimal = _money()
    realised_pnl_fifo: Decimal = _money()
    lots_opened: int = _count()
    current_price: Decimal | None = _money_or_null()
    priced_at: datetime | None = _at_or_null()
    unrealised_pnl: Decimal | None = _money_or_null()
    current_sl: Decimal | None = _money_or_null()
    current_tp: Decimal | None = _money_or_null()
    sl_order_id: str | None = _words_or_null()
    tp_order_id: str | None = _words_or_null()
    opened_at: datetime | None = _at_or_null()
    planned_at: datetime | None = _at_or_null()
    unprotected_since: datetime | None = _at_or_null()
    unprotected_seconds: Decimal | None = _money_or_null()
    updated_at: datetime = _written_at()


class Lots(Table, table=True):
    """domain.position.Lot of each position: the shares it still holds, by fill."""

    position_id: str = _key()
    number: int = _of(Integer(), is_key=True)
    trade_id: str = _words()
    order_hash: str = _words()
    size: Decimal = _money()
    price: Decimal = _money()


class Protections(Table, table=True):
    """Stops that are armed and take-profits that rest: one row per intent to leave."""

    __table_args__ = (
        UniqueConstraint("position_id", "kind", "n"),
        Index("protections_order_hash_idx", "order_hash"),
        Index("protections_open_idx", "position_id", "kind", postgresql_where=text(UNFINISHED)),
        Index("protections_created_at_idx", "created_at"),
    )

    id: str = _key()
    position_id: str = _words()
    kind: str = _words()
    price: Decimal | None = _money_or_null()
    size: Decimal = _money()
    n: int = _count()
    status: str = _words()
    order_hash: str | None = _words_or_null()
    reason: str | None = _words_or_null()
    created_at: datetime = _at()
    updated_at: datetime = _written_at()


class Events(Table, table=True):
    """The audit trail: what happened, to what, by whom, and why; a trigger forbids changes.

    Columns:
        subject_id: what it happened to, which has its own column too where it is an order, a
            position or a signal, so that a story is found by any of them.
        who: an operator's name; null is the engine itself.
        detail: for a state change, the changed fields as they are after it.
    """

    __table_args__ = (
        Index("events_at_idx", "at", postgresql_using="brin"),
        Index("events_account_id_seq_idx", "account_id", "seq"),
        Index("events_signal_id_seq_idx", "signal_id", "seq"),
        Index("events_order_hash_seq_idx", "order_hash", "seq"),
        Index("events_position_id_seq_idx", "position_id", "seq"),
        Index("events_trace_id_seq_idx", "trace_id", "seq"),
        Index("events_subject_id_seq_idx", "subject_id", "seq"),
        Index("events_kind_seq_idx", "kind", "seq"),
    )

    seq: int = _sequence()
    at: datetime = _written_at()
    kind: str = _words()
    account_id: str | None = _words_or_null()
    subject_kind: str = _words()
    subject_id: str = _words()
    signal_id: str | None = _words_or_null()
    order_hash: str | None = _words_or_null()
    position_id: str | None = _words_or_null()
    trace_id: str | None = _words_or_null()
    who: str | None = _words_or_null()
    detail: dict[str, Any] = _json()


class Outbox(Table, table=True):
    """What is to be announced, written in the transaction that made it true."""

    __table_args__ = (
        Index("outbox_unsent_idx", "seq", postgresql_where=text("sent_at IS NULL")),
        Index("outbox_created_at_idx", "created_at"),
    )

    seq: int = _sequence()
    created_at: datetime = _written_at()
    kind: str = _words()
    payload: dict[str, Any] = _json()
    sent_at: datetime | None = _at_or_null()


class Markets(Table, table=True):
    """domain.market.Market, its tokens apart.

    Columns:
        listed_at: when it was first listed to us; updated_at: when it last changed.
        outcome_prices: what each outcome pays, once it is resolved.
    """

    __table_args__ = (
        UniqueConstraint("slug"),
        Index("markets_updated_at_idx", "updated_at"),
        Index("markets_event_id_idx", "event_id"),
    )

    condition_id: str = _key()
    slug: str = _words()
    question: str = _words()
    neg_risk: bool = _flag()
    tick_size: Decimal = _money()
    min_size: Decimal = _money()
    fee_rate: Decimal = _money()
    fee_exponent: int = _count()
    accepting_orders: bool = _flag()
    closed: bool = _flag()
    end_at: datetime | None = _at_or_null()
    event_id: str | None = _words_or_null()
    listed_at: datetime = _at()
    updated_at: datetime = _at()
    outcome_prices: list[str] | None = _json(may_be_null=True)


class Days(Table, table=True):
    """domain.risk.Day: what each account began each day (UTC) with; written once a day."""

    account_id: str = _key()
    day: date = _of(Date(), is_key=True)
    starting_equity_usd: Decimal = _money()
    collateral_usd: Decimal = _money()
    inventory_usd: Decimal = _money()
    pnl_usd: Decimal = _money()
    forgiven_usd: Decimal = _money()
    unpriced: int = _count()
    oldest_priced_at: datetime | None = _at_or_null()
    source: str = _words()
    taken_at: datetime = _at()


class Charges(Table, table=True):
    """What a market takes a buyer's fee in, where a balance has proved it.

    Columns:
        evidence: the doubt, and the balance that settled it.
    """

    condition_id: str = _key()
    asset: str = _words()
    evidence: dict[str, Any] = _json()
    proved_at: datetime = _at()


class Tokens(Table, table=True):
    """domain.market.Token, with the market it belongs to."""

    __table_args__ = (UniqueConstraint("condition_id", "position"),)

    token_id: str = _key()
    condition_id: str = _words()
    outcome: str = _words()
    position: int = _count()


class Breakers(Table, table=True):
    """domain.breaker.Breaker: whether calls of one group may pass, for every process alike."""

    scope: str = _key()
    call_group: str = _key()
    state: str = _words()
    failures: int = _count()
    times_opened: int = _count()
    opened_at: datetime | None = _at_or_null()
    probed_at: datetime | None = _at_or_null()
    words: str | None = _words_or_null()
    version: int = _count()
    updated_at: datetime = _written_at()


class Calls(Table, table=True):
    """domain.latency.CallCounts of one process, minute, endpoint and status.

    Columns:
        status: of the answer; 0 where none came.
        connects_ms, first_bytes_ms, totals_ms: counts by bucket, from the quickest on.
    """

    minute: datetime = _of(MOMENT, is_key=True)
    process: str = _key()
    endpoint: str = _key()
    status: int = _of(Integer(), is_key=True)
    calls: int = _count()
    connects_ms: list[int] = _of(ARRAY(Integer()))
    first_bytes_ms: list[int] = _of(ARRAY(Integer()))
    totals_ms: list[int] = _of(ARRAY(Integer()))
    bytes_out: int = _of(BigInteger())
    bytes_in: int = _of(BigInteger())
    retries: int = _count()

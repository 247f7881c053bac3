"""The first schema: inbox, orders, fills, positions, audit trail, outbox and registry.

Revision ID: 0001
"""

from alembic import op

revision = "0001"
down_revision: str | None = None

ACCOUNTS = """
CREATE TABLE holdfast.accounts (
    id text NOT NULL,
    state text NOT NULL,
    state_reason text,
    state_changed_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    wallet text NOT NULL,
    signature_type integer NOT NULL,
    trades_cursor timestamptz,
    created_at timestamptz NOT NULL,
    CONSTRAINT accounts_pkey PRIMARY KEY (id)
);
"""

SIGNALS = """
CREATE TABLE holdfast.signals (
    id text NOT NULL,
    source text NOT NULL,
    external_id text,
    received_at timestamptz NOT NULL,
    status text NOT NULL,
    reason text,
    action text,
    prix_sl numeric(38, 18),
    prix_tp numeric(38, 18),
    raw_payload bytea NOT NULL,
    body_digest text NOT NULL,
    repeats integer NOT NULL,
    is_unproven boolean NOT NULL,
    account_id text,
    trace_id text NOT NULL,
    workflow_id text,
    updated_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT signals_pkey PRIMARY KEY (id),
    CONSTRAINT signals_source_external_id_key UNIQUE (source, external_id)
);
CREATE INDEX signals_received_at_idx ON holdfast.signals (received_at);
CREATE INDEX signals_source_body_digest_received_at_idx
    ON holdfast.signals (source, body_digest, received_at);
CREATE INDEX signals_waiting_idx ON holdfast.signals (received_at) WHERE status = 'received';
"""

ORDERS = """
CREATE TABLE holdfast.orders (
    order_hash text NOT NULL,
    intent_id text NOT NULL,
    account_id text NOT NULL,
    token_id text NOT NULL,
    condition_id text NOT NULL,
    side text NOT NULL,
    type text NOT NULL,
    time_in_force text NOT NULL,
    post_only boolean NOT NULL,
    source text NOT NULL,
    state text NOT NULL,
    price numeric(38, 18) NOT NULL,
    size numeric(38, 18) NOT NULL,
    filled_size numeric(38, 18) NOT NULL,
    matched_size numeric(38, 18) NOT NULL,
    signal_id text,
    workflow_id text NOT NULL,
    trace_id text NOT NULL,
    attempts integer NOT NULL,
    last_sent_at timestamptz,
    expires_at timestamptz,
    was_duplicate boolean NOT NULL,
    absent_since timestamptz,
    reason text,
    created_at timestamptz NOT NULL,
    signed_order bytea,
    updated_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT orders_pkey PRIMARY KEY (order_hash),
    CONSTRAINT orders_intent_id_key UNIQUE (intent_id)
);
CREATE INDEX orders_at_stake_idx
    ON holdfast.orders (account_id, condition_id)
    WHERE state IN ('NEW', 'SENT', 'UNKNOWN', 'DELAYED', 'LIVE', 'PARTIAL')
        OR matched_size > filled_size;
CREATE INDEX orders_condition_id_idx ON holdfast.orders (condition_id);
CREATE INDEX orders_created_at_idx ON holdfast.orders (created_at);
CREATE INDEX orders_signal_id_idx ON holdfast.orders (signal_id);
CREATE INDEX orders_token_id_created_at_idx ON holdfast.orders (token_id, created_at);
"""

FILLS = """
CREATE TABLE holdfast.fills (
    trade_id text NOT NULL,
    order_hash text NOT NULL,
    account_id text NOT NULL,
    token_id text NOT NULL,
    condition_id text NOT NULL,
    side text NOT NULL,
    price numeric(38, 18) NOT NULL,
    size numeric(38, 18) NOT NULL,
    fee numeric(38, 18) NOT NULL,
    fee_asset text NOT NULL,
    status text NOT NULL,
    source text NOT NULL,
    matched_at timestamptz NOT NULL,
    seen_by text NOT NULL,
    recorded_at timestamptz NOT NULL,
    seq bigint GENERATED ALWAYS AS IDENTITY,
    CONSTRAINT fills_pkey PRIMARY KEY (trade_id, order_hash),
    CONSTRAINT fills_seq_key UNIQUE (seq)
);
CREATE INDEX fills_account_id_token_id_seq_idx ON holdfast.fills (account_id, token_id, seq);
CREATE INDEX fills_condition_id_idx ON holdfast.fills (condition_id);
CREATE INDEX fills_matched_at_idx ON holdfast.fills (matched_at);
CREATE INDEX fills_order_hash_idx ON holdfast.fills (order_hash);
CREATE INDEX fills_recorded_at_idx ON holdfast.fills (recorded_at);
CREATE INDEX fills_unsettled_idx
    ON holdfast.fills (account_id, trade_id)
    WHERE status NOT IN ('CONFIRMED', 'FAILED');
"""

POSITIONS = """
CREATE TABLE holdfast.positions (
    id text NOT NULL,
    account_id text NOT NULL,
    token_id text NOT NULL,
    condition_id text NOT NULL,
    status text NOT NULL,
    size numeric(38, 18) NOT NULL,
    cost_usd numeric(38, 18) NOT NULL,
    average_price numeric(38, 18) NOT NULL,
    cash_usd numeric(38, 18) NOT NULL,
    fees_usd numeric(38, 18) NOT NULL,
    realised_pnl_average numeric(38, 18) NOT NULL,
    realised_pnl_fifo numeric(38, 18) NOT NULL,
    lots_opened integer NOT NULL,
    current_price numeric(38, 18),
    priced_at timestamptz,
    unrealised_pnl numeric(38, 18),
    current_sl numeric(38, 18),
    current_tp numeric(38, 18),
    sl_order_id text,
    tp_order_id text,
    opened_at timestamptz,
    updated_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT positions_pkey PRIMARY KEY (id),
    CONSTRAINT positions_account_id_token_id_key UNIQUE (account_id, token_id)
);
CREATE INDEX positions_condition_id_idx ON holdfast.positions (condition_id);
CREATE INDEX positions_held_idx ON holdfast.positions (account_id, token_id) WHERE size <> 0;
CREATE INDEX positions_token_id_idx ON holdfast.positions (token_id);
CREATE INDEX positions_updated_at_idx ON holdfast.positions (updated_at);
"""

LOTS = """
CREATE TABLE holdfast.lots (
    position_id text NOT NULL,
    number integer NOT NULL,
    trade_id text NOT NULL,
    order_hash text NOT NULL,
    size numeric(38, 18) NOT NULL,
    price numeric(38, 18) NOT NULL,
    CONSTRAINT lots_pkey PRIMARY KEY (position_id, number)
);
"""

PROTECTIONS = """
CREATE TABLE holdfast.protections (
    id text NOT NULL,
    position_id text NOT NULL,
    kind text NOT NULL,
    price numeric(38, 18),
    size numeric(38, 18) NOT NULL,
    n integer NOT NULL,
    status text NOT NULL,
    order_hash text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT protections_pkey PRIMARY KEY (id),
    CONSTRAINT protections_position_id_kind_n_key UNIQUE (position_id, kind, n)
);
CREATE INDEX protections_created_at_idx ON holdfast.protections (created_at);
CREATE INDEX protections_order_hash_idx ON holdfast.protections (order_hash);
"""

EVENTS = """
CREATE TABLE holdfast.events (
    seq bigint GENERATED ALWAYS AS IDENTITY,
    at timestamptz DEFAULT clock_timestamp() NOT NULL,
    kind text NOT NULL,
    account_id text,
    subject_kind text NOT NULL,
    subject_id text NOT NULL,
    signal_id text,
    order_hash text,
    position_id text,
    trace_id text,
    who text,
    detail jsonb NOT NULL,
    CONSTRAINT events_pkey PRIMARY KEY (seq)
);
CREATE INDEX events_account_id_seq_idx ON holdfast.events (account_id, seq);
CREATE INDEX events_at_idx ON holdfast.events USING brin (at);
CREATE INDEX events_order_hash_seq_idx ON holdfast.events (order_hash, seq);
CREATE INDEX events_position_id_seq_idx ON holdfast.events (position_id, seq);
CREATE INDEX events_signal_id_seq_idx ON holdfast.events (signal_id, seq);
CREATE INDEX events_trace_id_seq_idx ON holdfast.events (trace_id, seq);
"""

OUTBOX = """
CREATE TABLE holdfast.outbox (
    seq bigint GENERATED ALWAYS AS IDENTITY,
    created_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    kind text NOT NULL,
    payload jsonb NOT NULL,
    sent_at timestamptz,
    CONSTRAINT outbox_pkey PRIMARY KEY (seq)
);
CREATE INDEX outbox_created_at_idx ON holdfast.outbox (created_at);
CREATE INDEX outbox_unsent_idx ON holdfast.outbox (seq) WHERE sent_at IS NULL;
"""

MARKETS = """
CREATE TABLE holdfast.markets (
    condition_id text NOT NULL,
    slug text NOT NULL,
    question text NOT NULL,
    neg_risk boolean NOT NULL,
    tick_size numeric(38, 18) NOT NULL,
    min_size numeric(38, 18) NOT NULL,
    fee_rate numeric(38, 18) NOT NULL,
    fee_exponent integer NOT NULL,
    accepting_orders boolean NOT NULL,
    closed boolean NOT NULL,
    end_at timestamptz,
    listed_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    outcome_prices jsonb,
    CONSTRAINT markets_pkey PRIMARY KEY (condition_id),
    CONSTRAINT markets_slug_key UNIQUE (slug)
);
CREATE INDEX markets_updated_at_idx ON holdfast.markets (updated_at);
"""

TOKENS = """
CREATE TABLE holdfast.tokens (
    token_id text NOT NULL,
    condition_id text NOT NULL,
    outcome text NOT NULL,
    position integer NOT NULL,
    CONSTRAINT tokens_pkey PRIMARY KEY (token_id),
    CONSTRAINT tokens_condition_id_position_key UNIQUE (condition_id, position)
);
"""

# An audit trail that can be rewritten proves nothing.
EVENTS_APPEND_ONLY = """
CREATE FUNCTION holdfast.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append only', TG_TABLE_NAME;
END $$;
CREATE TRIGGER events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON holdfast.events
    FOR EACH STATEMENT EXECUTE FUNCTION holdfast.refuse_change();
"""

WEBHOOKS = """
CREATE VIEW holdfast.webhooks AS
SELECT id, source, external_id, received_at, status, reason, action, prix_sl, prix_tp,
    raw_payload, trace_id
FROM holdfast.signals;
"""

# An armed stop is an order to its owner, though the exchange knows nothing of it.
TRADES = """
CREATE VIEW holdfast.trades AS
SELECT order_hash AS id, order_hash AS exchange_order_id, account_id, token_id, condition_id,
    side, type, source, state AS status, price, size, filled_size, signal_id, trace_id, created_at
FROM holdfast.orders
UNION ALL
SELECT protections.id, NULL, account_id, token_id, condition_id,
    'SELL', 'stop_loss', 'order_monitor', 'open', price, protections.size, 0, NULL, NULL,
    protections.created_at
FROM holdfast.protections JOIN holdfast.positions ON positions.id = protections.position_id
WHERE kind = 'stop_loss' AND protections.status = 'armed';
"""

SCHEMA = (
    ACCOUNTS,
    SIGNALS,
    ORDERS,
    FILLS,
    POSITIONS,
    LOTS,
    PROTECTIONS,
    EVENTS,
    EVENTS_APPEND_ONLY,
    OUTBOX,
    MARKETS,
    TOKENS,
    WEBHOOKS,
    TRADES,
)


def upgrade() -> None:
    """Create everything; the schema itself exists, for Alembic keeps its version there."""
    for statements in SCHEMA:
        op.execute(statements)

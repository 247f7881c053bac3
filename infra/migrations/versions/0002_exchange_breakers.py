"""Breakers of calls to the exchange, and counts of those calls.

Revision ID: 0002
"""

from alembic import op

revision = "0002"
down_revision: str | None = "0001"

BREAKERS = """
CREATE TABLE holdfast.breakers (
    scope text NOT NULL,
    call_group text NOT NULL,
    state text NOT NULL,
    failures integer NOT NULL,
    times_opened integer NOT NULL,
    opened_at timestamptz,
    probed_at timestamptz,
    words text,
    version integer NOT NULL,
    updated_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT breakers_pkey PRIMARY KEY (scope, call_group)
);
"""

CALLS = """
CREATE TABLE holdfast.calls (
    minute timestamptz NOT NULL,
    process text NOT NULL,
    endpoint text NOT NULL,
    status integer NOT NULL,
    calls integer NOT NULL,
    connects_ms integer[] NOT NULL,
    first_bytes_ms integer[] NOT NULL,
    totals_ms integer[] NOT NULL,
    bytes_out bigint NOT NULL,
    bytes_in bigint NOT NULL,
    retries integer NOT NULL,
    CONSTRAINT calls_pkey PRIMARY KEY (minute, process, endpoint, status)
);
"""


def upgrade() -> None:
    """Create both tables."""
    op.execute(BREAKERS)
    op.execute(CALLS)

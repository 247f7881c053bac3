"""What reconciliations found, the gaps that wait for a second look, and agreed collateral.

Revision ID: 0006
"""

from alembic import op

revision = "0006"
down_revision: str | None = "0005"

RECONCILIATIONS = """
CREATE TABLE holdfast.reconciliations (
    id text NOT NULL,
    account_id text NOT NULL,
    reason text NOT NULL,
    asked_by text NOT NULL,
    is_report_only boolean NOT NULL,
    result text NOT NULL,
    findings jsonb NOT NULL,
    warnings jsonb NOT NULL,
    begun_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    CONSTRAINT reconciliations_pkey PRIMARY KEY (id)
);
CREATE INDEX reconciliations_account_id_begun_at_idx
    ON holdfast.reconciliations (account_id, begun_at);
"""

GAPS = """
CREATE TABLE holdfast.gaps (
    account_id text NOT NULL,
    token_id text NOT NULL,
    expected numeric(38, 18) NOT NULL,
    found numeric(38, 18) NOT NULL,
    mark bigint NOT NULL,
    first_seen_at timestamptz NOT NULL,
    CONSTRAINT gaps_pkey PRIMARY KEY (account_id, token_id)
);
"""

BASELINES = """
CREATE TABLE holdfast.baselines (
    account_id text NOT NULL,
    balance_usd numeric(38, 18) NOT NULL,
    cash_usd numeric(38, 18) NOT NULL,
    agreed_at timestamptz NOT NULL,
    CONSTRAINT baselines_pkey PRIMARY KEY (account_id)
);
"""


def upgrade() -> None:
    """Add the three tables."""
    for statements in (RECONCILIATIONS, GAPS, BASELINES):
        op.execute(statements)

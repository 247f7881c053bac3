"""What a buyer's fee comes to in shares, and the markets that are known to take it in one asset.

Revision ID: 0004
"""

from alembic import op

revision = "0004"
down_revision: str | None = "0003"

SHARE_FEE = """
ALTER TABLE holdfast.fills ADD COLUMN share_fee numeric(38, 18) DEFAULT 0 NOT NULL;
ALTER TABLE holdfast.fills ALTER COLUMN share_fee DROP DEFAULT;
"""

CHARGES = """
CREATE TABLE holdfast.charges (
    condition_id text NOT NULL,
    asset text NOT NULL,
    evidence jsonb NOT NULL,
    proved_at timestamptz NOT NULL,
    CONSTRAINT charges_pkey PRIMARY KEY (condition_id)
);
"""


def upgrade() -> None:
    """Add both; fills recorded before keep their fee in collateral, as it was assumed."""
    for statements in (SHARE_FEE, CHARGES):
        op.execute(statements)

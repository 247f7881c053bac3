"""What each guardian saw last, and for how long positions were unprotected.

Revision ID: 0009
"""

from alembic import op

revision = "0009"
down_revision: str | None = "0008"

GUARDIANS = """
CREATE TABLE holdfast.guardians (
    account_id text NOT NULL,
    swept_at timestamptz NOT NULL,
    seconds numeric(38, 18) NOT NULL,
    is_whole boolean NOT NULL,
    positions integer NOT NULL,
    unprotected integer NOT NULL,
    alarms jsonb NOT NULL,
    alarm_count integer NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT guardians_pkey PRIMARY KEY (account_id)
);
"""

POSITIONS = """
ALTER TABLE holdfast.positions
    ADD COLUMN unprotected_seconds numeric(38, 18);
"""

# A position that was repaired often has many rows that are over; a sweep reads the others.
PROTECTIONS = """
CREATE INDEX protections_open_idx ON holdfast.protections (position_id, kind)
    WHERE status NOT IN ('done', 'cancelled');
"""


def upgrade() -> None:
    """Add all of them; until its first sweep an account has no guardian's row."""
    for statements in (GUARDIANS, POSITIONS, PROTECTIONS):
        op.execute(statements)

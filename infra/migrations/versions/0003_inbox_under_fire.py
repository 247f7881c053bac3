"""A refused alert keeps its sender's id, and what strangers sent is found quickly.

Revision ID: 0003
"""

from alembic import op

revision = "0003"
down_revision: str | None = "0002"

# Only what was understood holds its sender's id: the mended alert may come under the same one.
SENDERS_ID = """
ALTER TABLE holdfast.signals DROP CONSTRAINT signals_source_external_id_key;
CREATE UNIQUE INDEX signals_source_external_id_key
    ON holdfast.signals (source, external_id) WHERE action IS NOT NULL;
CREATE INDEX signals_unproven_idx ON holdfast.signals (received_at) WHERE is_unproven;
"""


def upgrade() -> None:
    """Let the key hold for understood signals only."""
    op.execute(SENDERS_ID)

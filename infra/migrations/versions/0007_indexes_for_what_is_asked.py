"""Indexes for what is asked of signals, orders and events by id, state, account, kind and subject.

Revision ID: 0007
Revises: 0006
"""

from alembic import op

revision = "0007"
down_revision: str | None = "0006"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Add them; what waits is found by its status now."""
    op.execute("CREATE INDEX signals_external_id_idx ON holdfast.signals (external_id)")
    op.execute(
        "CREATE INDEX signals_status_received_at_idx ON holdfast.signals (status, received_at)"
    )
    op.execute(
        "CREATE INDEX signals_account_id_received_at_idx"
        " ON holdfast.signals (account_id, received_at)"
    )
    op.execute("DROP INDEX holdfast.signals_waiting_idx")
    op.execute("CREATE INDEX orders_state_created_at_idx ON holdfast.orders (state, created_at)")
    op.execute(
        "CREATE INDEX fills_account_id_matched_at_idx ON holdfast.fills (account_id, matched_at)"
    )
    op.execute("CREATE INDEX events_subject_id_seq_idx ON holdfast.events (subject_id, seq)")
    op.execute("CREATE INDEX events_kind_seq_idx ON holdfast.events (kind, seq)")


def downgrade() -> None:
    """Take them back."""
    op.execute("DROP INDEX holdfast.events_kind_seq_idx")
    op.execute("DROP INDEX holdfast.events_subject_id_seq_idx")
    op.execute("DROP INDEX holdfast.fills_account_id_matched_at_idx")
    op.execute("DROP INDEX holdfast.orders_state_created_at_idx")
    op.execute(
        "CREATE INDEX signals_waiting_idx ON holdfast.signals (received_at)"
        " WHERE status = 'received'"
    )
    op.execute("DROP INDEX holdfast.signals_account_id_received_at_idx")
    op.execute("DROP INDEX holdfast.signals_status_received_at_idx")
    op.execute("DROP INDEX holdfast.signals_external_id_idx")

"""What an entry wishes for its position, and what a position's protection has to remember.

Revision ID: 0008
"""

from alembic import op

revision = "0008"
down_revision: str | None = "0007"

ORDERS = """
ALTER TABLE holdfast.orders
    ADD COLUMN stop_loss numeric(38, 18),
    ADD COLUMN take_profit numeric(38, 18);
"""

POSITIONS = """
ALTER TABLE holdfast.positions
    ADD COLUMN planned_at timestamptz,
    ADD COLUMN unprotected_since timestamptz;
"""

PROTECTIONS = """
ALTER TABLE holdfast.protections ADD COLUMN reason text;
"""


def upgrade() -> None:
    """Add the columns; orders and positions of before wish for nothing."""
    for statements in (ORDERS, POSITIONS, PROTECTIONS):
        op.execute(statements)

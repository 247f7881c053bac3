"""What each day began with, which event a market belongs to, and indexes that limits are read by.

Revision ID: 0005
"""

from alembic import op

revision = "0005"
down_revision: str | None = "0004"

EVENTS = """
ALTER TABLE holdfast.markets ADD COLUMN event_id text;
CREATE INDEX markets_event_id_idx ON holdfast.markets (event_id);
"""

DAYS = """
CREATE TABLE holdfast.days (
    account_id text NOT NULL,
    day date NOT NULL,
    starting_equity_usd numeric(38, 18) NOT NULL,
    collateral_usd numeric(38, 18) NOT NULL,
    inventory_usd numeric(38, 18) NOT NULL,
    pnl_usd numeric(38, 18) NOT NULL,
    forgiven_usd numeric(38, 18) NOT NULL,
    unpriced integer NOT NULL,
    oldest_priced_at timestamptz,
    source text NOT NULL,
    taken_at timestamptz NOT NULL,
    CONSTRAINT days_pkey PRIMARY KEY (account_id, day)
);
"""

# The profit of an account is summed over all it ever traded: what is flat is read from the index.
SUMS = """
CREATE INDEX positions_flat_idx ON holdfast.positions (account_id)
    INCLUDE (cash_usd) WHERE size = 0;
CREATE INDEX orders_account_id_created_at_idx ON holdfast.orders (account_id, created_at);
"""


def upgrade() -> None:
    """Add all of them; the event of a known market is filled in by the next look at the list."""
    for statements in (EVENTS, DAYS, SUMS):
        op.execute(statements)

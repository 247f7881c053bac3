"""Tables of what the product is compared with, in a schema of their own beside the product's."""

from typing import Final

CREATE: Final = """
    DROP SCHEMA IF EXISTS bench CASCADE;
    CREATE SCHEMA bench;
    CREATE TABLE bench.inbox (
        id text PRIMARY KEY, received_at timestamptz DEFAULT now(), raw bytea NOT NULL
    );
    CREATE TABLE bench.orders (
        id text PRIMARY KEY, state text NOT NULL, order_hash text, payload bytea,
        created_at timestamptz DEFAULT now()
    );
"""
STUB_INSERT: Final = "INSERT INTO bench.inbox (id, raw) VALUES (%s, %s) ON CONFLICT DO NOTHING"
ORDER_INSERT: Final = (
    "INSERT INTO bench.orders (id, state, order_hash, payload) VALUES (%s, 'NEW', %s, %s) "
    "ON CONFLICT DO NOTHING"
)
ORDER_UPDATE: Final = "UPDATE bench.orders SET state = %s WHERE id = %s"
ORDER_HASHES: Final = "SELECT id, order_hash FROM bench.orders WHERE id = ANY(%s)"

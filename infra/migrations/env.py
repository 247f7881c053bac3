"""What Alembic runs: the steps of this folder on the connection that migrate() hands over."""

from alembic import context
from sqlalchemy import Connection

from infra.store.guardian_tables import METADATA
from infra.store.tables import SCHEMA

connection: Connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=METADATA,
    version_table_schema=SCHEMA,
    include_schemas=True,
)
with context.begin_transaction():
    context.run_migrations()

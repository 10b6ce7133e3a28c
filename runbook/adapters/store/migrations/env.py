"""Runs the migrations on the connection it is handed; there is no other way to start one."""

from alembic import context

from runbook.adapters.store.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()

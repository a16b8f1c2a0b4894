"""Alembic's entry: runs the migrations on the connection that `migrate.py` hands over."""

from alembic import context

from registrar_server.adapters.database.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite changes a table by making a new one.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()

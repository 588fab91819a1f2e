"""Alembic's entry: runs the versions on the connection that `upgrade` hands over."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table="schema_version",
    version_table_schema="platform",
)
context.run_migrations()

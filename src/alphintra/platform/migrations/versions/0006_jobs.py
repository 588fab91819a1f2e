"""The job queue's own tables, in a schema of their own.

The SQL is the library's (its version is pinned by the lock file). A later version of the library
brings its own migration scripts; each becomes a step here.
"""

from typing import Any

from alembic import op
from procrastinate.schema import SchemaManager

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute("CREATE SCHEMA IF NOT EXISTS jobs")
    op.execute("SET LOCAL search_path TO jobs")
    # Past SQLAlchemy: the script has several statements, and percent signs that are no parameters.
    raw: Any = op.get_bind().connection.driver_connection
    raw.execute(SchemaManager.get_schema())
    op.execute("SET LOCAL search_path TO DEFAULT")

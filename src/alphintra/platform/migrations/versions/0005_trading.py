"""The tables of trading."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute("CREATE SCHEMA IF NOT EXISTS trading")

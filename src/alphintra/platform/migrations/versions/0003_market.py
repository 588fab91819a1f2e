"""The tables of market."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("CREATE SCHEMA IF NOT EXISTS market")

"""Backtests and searches of strategies that users made: which version was run."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    for column in (
        sa.Column("strategy_id", sa.Uuid(), nullable=True),
        sa.Column("strategy_version", sa.Integer(), nullable=True),
        sa.Column("strategy_version_id", sa.Uuid(), nullable=True),
        sa.Column("strategy_sha256", sa.Text(), nullable=True),
    ):
        op.add_column("runs", column, schema="research")

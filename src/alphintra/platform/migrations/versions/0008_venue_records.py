"""What the paper venues were told, so that any day can be played again."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "venue_records",
        sa.Column("desk_id", sa.Uuid(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("is_restart", sa.Boolean(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("desk_id", "symbol", "sequence", name=op.f("pk_venue_records")),
        schema="trading",
    )
    op.create_index(
        op.f("ix_venue_records_symbol_last_at"),
        "venue_records",
        ["symbol", "last_at"],
        unique=False,
        schema="trading",
    )
    op.create_index(
        op.f("ix_venue_records_last_at"),
        "venue_records",
        ["last_at"],
        unique=False,
        schema="trading",
    )

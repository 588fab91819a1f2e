"""Datasets for research: rows that describe immutable files."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0007"
down_revision = "0006"

SCHEMA = "market"


def upgrade() -> None:
    op.create_table(
        "datasets",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("symbols", JSONB(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("step_ns", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("adjustment", sa.Text(), nullable=False),
        sa.Column("report", JSONB(), nullable=False),
        sa.Column("actions", JSONB(), nullable=False),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        sa.Column("derivation", JSONB(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_datasets"),
        schema=SCHEMA,
    )
    op.create_index(
        "ix_datasets_owner_id_created_at", "datasets", ["owner_id", "created_at"], schema=SCHEMA
    )
    op.create_index("ix_datasets_sha256", "datasets", ["sha256"], schema=SCHEMA)

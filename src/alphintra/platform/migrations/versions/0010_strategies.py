"""Strategies: drafts, versions that never change, and who else may see them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"

SCHEMA = "strategies"


def upgrade() -> None:
    op.execute("CREATE SCHEMA IF NOT EXISTS strategies")
    _tables()
    op.execute("""
        CREATE FUNCTION strategies.keep_versions() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP = 'TRUNCATE' THEN
                RAISE EXCEPTION 'versions of strategies are kept';
            ELSIF TG_OP = 'DELETE' THEN
                IF OLD.frozen_at IS NOT NULL THEN
                    RAISE EXCEPTION 'a version that was published or deployed is kept';
                END IF;
                RETURN OLD;
            ELSIF OLD.frozen_at IS NOT NULL
                OR to_jsonb(NEW) - 'frozen_at' <> to_jsonb(OLD) - 'frozen_at' THEN
                RAISE EXCEPTION 'a version of a strategy does not change';
            END IF;
            RETURN NEW;
        END $$
    """)
    op.execute("""
        CREATE TRIGGER immutable BEFORE UPDATE OR DELETE ON strategies.versions
        FOR EACH ROW EXECUTE FUNCTION strategies.keep_versions()
    """)
    op.execute("""
        CREATE TRIGGER kept BEFORE TRUNCATE ON strategies.versions
        FOR EACH STATEMENT EXECUTE FUNCTION strategies.keep_versions()
    """)


def _tables() -> None:
    op.create_table(
        "strategies",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("blocks", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("parameters", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("declared", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("published_version", sa.Integer(), nullable=True),
        sa.Column("changed", sa.Boolean(), nullable=False),
        sa.Column("template", sa.Text(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_strategies")),
        schema=SCHEMA,
    )
    op.create_index(
        op.f("ix_strategies_user_id_created_at_id"),
        "strategies",
        ["user_id", "created_at", "id"],
        schema=SCHEMA,
    )
    op.create_table(
        "versions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("strategy_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("blocks", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("parameters", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("declared", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("frozen_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["strategy_id"],
            ["strategies.strategies.id"],
            name=op.f("fk_versions_strategy_id_strategies"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_versions")),
        sa.UniqueConstraint("strategy_id", "number", name=op.f("uq_versions_strategy_id_number")),
        schema=SCHEMA,
    )
    op.create_table(
        "shares",
        sa.Column("strategy_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("right", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["strategy_id"],
            ["strategies.strategies.id"],
            name=op.f("fk_shares_strategy_id_strategies"),
        ),
        sa.PrimaryKeyConstraint("strategy_id", "user_id", name=op.f("pk_shares")),
        schema=SCHEMA,
    )
    op.create_index(op.f("ix_shares_user_id"), "shares", ["user_id"], schema=SCHEMA)

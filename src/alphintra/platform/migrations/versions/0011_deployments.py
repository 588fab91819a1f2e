"""Deployed strategies: what runs, what it has lived through and decided, and its certificates."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"

SCHEMA = "strategies"


def upgrade() -> None:
    op.execute("CREATE SCHEMA IF NOT EXISTS strategies")
    op.create_table(
        "deployment_hosts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deployment_hosts")),
        schema=SCHEMA,
    )
    op.create_table(
        "deployments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("strategy_id", sa.Uuid(), nullable=False),
        sa.Column("version_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("declared", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("symbols", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("capital", sa.NUMERIC(precision=20, scale=8), nullable=False),
        sa.Column("warmup", sa.Integer(), nullable=False),
        sa.Column("feed", sa.Text(), nullable=True),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("parameters", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("parameters_revision", sa.Integer(), nullable=False),
        sa.Column("parameters_applied", sa.Integer(), nullable=False),
        sa.Column("terms", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("wish", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason_code", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("ends_as", sa.Text(), nullable=True),
        sa.Column("frames", sa.BigInteger(), nullable=False),
        sa.Column("last_close_ns", sa.BigInteger(), nullable=True),
        sa.Column("deaths", sa.SmallInteger(), nullable=False),
        sa.Column("next_try_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("owner", sa.Uuid(), nullable=True),
        sa.Column("owner_lock", sa.Integer(), nullable=True),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cash", sa.NUMERIC(precision=20, scale=8), nullable=False),
        sa.Column("equity", sa.NUMERIC(precision=20, scale=8), nullable=False),
        sa.Column("peak_equity", sa.NUMERIC(precision=20, scale=8), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("day_equity", sa.NUMERIC(precision=20, scale=8), nullable=False),
        sa.Column("realized_pnl", sa.NUMERIC(precision=20, scale=8), nullable=False),
        sa.Column("fees", sa.NUMERIC(precision=20, scale=8), nullable=False),
        sa.Column("fills", sa.Integer(), nullable=False),
        sa.Column("positions", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deployments")),
        schema=SCHEMA,
        postgresql_with={"fillfactor": 70},
    )
    op.create_index(
        "ix_deployments_active",
        "deployments",
        ["status"],
        unique=False,
        schema=SCHEMA,
        postgresql_where=sa.text("status NOT IN ('STOPPED', 'FAILED')"),
    )
    op.create_index(
        op.f("ix_deployments_user_id_created_at_id"),
        "deployments",
        ["user_id", "created_at", "id"],
        unique=False,
        schema=SCHEMA,
    )
    op.create_table(
        "deployment_equity",
        sa.Column("deployment_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("equity", sa.NUMERIC(precision=20, scale=8), nullable=False),
        sa.Column("cash", sa.NUMERIC(precision=20, scale=8), nullable=False),
        sa.Column("exposure", sa.NUMERIC(precision=20, scale=8), nullable=False),
        sa.ForeignKeyConstraint(
            ["deployment_id"],
            ["strategies.deployments.id"],
            name=op.f("fk_deployment_equity_deployment_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("deployment_id", "at", name=op.f("pk_deployment_equity")),
        schema=SCHEMA,
    )
    op.create_table(
        "deployment_frames",
        sa.Column("deployment_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["deployment_id"],
            ["strategies.deployments.id"],
            name=op.f("fk_deployment_frames_deployment_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("deployment_id", "number", name=op.f("pk_deployment_frames")),
        schema=SCHEMA,
    )
    op.create_index(
        op.f("ix_deployment_frames_deployment_id_at"),
        "deployment_frames",
        ["deployment_id", "at"],
        unique=False,
        schema=SCHEMA,
    )
    op.create_table(
        "deployment_logs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("deployment_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["deployment_id"],
            ["strategies.deployments.id"],
            name=op.f("fk_deployment_logs_deployment_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deployment_logs")),
        schema=SCHEMA,
    )
    op.create_index(
        op.f("ix_deployment_logs_deployment_id_id"),
        "deployment_logs",
        ["deployment_id", "id"],
        unique=False,
        schema=SCHEMA,
    )
    op.create_table(
        "parity_certificates",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("deployment_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("strategy_id", sa.Uuid(), nullable=False),
        sa.Column("version_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("frames", sa.Integer(), nullable=False),
        sa.Column("signals", sa.Integer(), nullable=False),
        sa.Column("orders", sa.Integer(), nullable=False),
        sa.Column("fills", sa.Integer(), nullable=False),
        sa.Column("differences", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("notes", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("is_whole_day", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["deployment_id"],
            ["strategies.deployments.id"],
            name=op.f("fk_parity_certificates_deployment_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_parity_certificates")),
        schema=SCHEMA,
    )
    op.create_index(
        op.f("ix_parity_certificates_deployment_id_day"),
        "parity_certificates",
        ["deployment_id", "day"],
        unique=False,
        schema=SCHEMA,
    )
    op.create_table(
        "signals",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("deployment_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("strategy_id", sa.Uuid(), nullable=False),
        sa.Column("frame", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("parameters", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("confidence", sa.NUMERIC(precision=20, scale=8), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("because", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("candle_ns", sa.BigInteger(), nullable=True),
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("order_id", sa.Uuid(), nullable=True),
        sa.Column("is_told", sa.Boolean(), nullable=False),
        sa.Column("is_live", sa.Boolean(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by", sa.Uuid(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["deployment_id"],
            ["strategies.deployments.id"],
            name=op.f("fk_signals_deployment_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signals")),
        sa.UniqueConstraint(
            "deployment_id", "kind", "name", name=op.f("uq_signals_deployment_id_kind_name")
        ),
        schema=SCHEMA,
    )
    op.create_index(
        op.f("ix_signals_deployment_id_created_at_id"),
        "signals",
        ["deployment_id", "created_at", "id"],
        unique=False,
        schema=SCHEMA,
    )
    op.create_index(
        op.f("ix_signals_deployment_id_frame"),
        "signals",
        ["deployment_id", "frame"],
        unique=False,
        schema=SCHEMA,
    )
    op.create_index(
        "ix_signals_unfinished",
        "signals",
        ["deployment_id"],
        unique=False,
        schema=SCHEMA,
        postgresql_where=sa.text("is_live OR NOT is_told"),
    )

"""Accounts, orders, executions, positions, and who may write them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute("CREATE SCHEMA IF NOT EXISTS trading")
    op.create_table(
        "accounts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("shard", sa.SmallInteger(), nullable=False),
        sa.Column("venue", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("leverage", sa.NUMERIC(precision=20, scale=8), nullable=False),
        sa.Column("short_selling", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("limits", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("day_start_equity", sa.NUMERIC(precision=20, scale=8), nullable=False),
        sa.Column("order_sequence", sa.BigInteger(), nullable=False),
        sa.Column("trade_sequence", sa.BigInteger(), nullable=False),
        sa.Column("position_sequence", sa.BigInteger(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("user_id", name=op.f("uq_accounts_user_id")),
        schema="trading",
    )
    op.create_index(
        op.f("ix_accounts_shard"), "accounts", ["shard"], unique=False, schema="trading"
    )
    op.create_table(
        "desk_leases",
        sa.Column("shard", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("desk_id", sa.Uuid(), nullable=True),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("shard", name=op.f("pk_desk_leases")),
        schema="trading",
    )
    op.create_table(
        "equity_points",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("equity", sa.NUMERIC(precision=20, scale=8), nullable=False),
        sa.Column("cash", sa.NUMERIC(precision=20, scale=8), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "at", name=op.f("pk_equity_points")),
        schema="trading",
    )
    op.create_table(
        "order_history",
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("order_id", "version", name=op.f("pk_order_history")),
        schema="trading",
    )
    op.create_table(
        "orders",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("client_order_id", sa.Text(), nullable=False),
        sa.Column("terms_hash", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("time_in_force", sa.Text(), nullable=False),
        sa.Column("order_class", sa.Text(), nullable=False),
        sa.Column("quantity", sa.NUMERIC(precision=20, scale=8), nullable=False),
        sa.Column("notional", sa.NUMERIC(precision=20, scale=8), nullable=True),
        sa.Column("price", sa.NUMERIC(precision=20, scale=8), nullable=True),
        sa.Column("stop_price", sa.NUMERIC(precision=20, scale=8), nullable=True),
        sa.Column("trail", sa.NUMERIC(precision=20, scale=8), nullable=True),
        sa.Column("trail_percent", sa.NUMERIC(precision=20, scale=8), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reduce_only", sa.Boolean(), nullable=False),
        sa.Column("post_only", sa.Boolean(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("filled_quantity", sa.NUMERIC(precision=20, scale=8), nullable=False),
        sa.Column("filled_value", sa.NUMERIC(precision=20, scale=8), nullable=False),
        sa.Column("fees", sa.NUMERIC(precision=20, scale=8), nullable=False),
        sa.Column("reject_reason", sa.Text(), nullable=True),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        sa.Column("sibling_id", sa.Uuid(), nullable=True),
        sa.Column("strategy_id", sa.Uuid(), nullable=True),
        sa.Column("signal_id", sa.Uuid(), nullable=True),
        sa.Column("venue", sa.Text(), nullable=False),
        sa.Column("triggered", sa.Boolean(), nullable=False),
        sa.Column("water_mark", sa.NUMERIC(precision=20, scale=8), nullable=True),
        sa.Column("held_cash", sa.NUMERIC(precision=20, scale=8), nullable=False),
        sa.Column("held_quantity", sa.NUMERIC(precision=20, scale=8), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
        sa.UniqueConstraint(
            "account_id", "client_order_id", name=op.f("uq_orders_account_id_client_order_id")
        ),
        schema="trading",
        postgresql_with={"fillfactor": 80},
    )
    op.create_index(
        op.f("ix_orders_account_id_created_at_id"),
        "orders",
        ["account_id", "created_at", "id"],
        schema="trading",
    )
    op.create_index(
        op.f("ix_orders_parent_id"),
        "orders",
        ["parent_id"],
        schema="trading",
        postgresql_where=sa.text("parent_id IS NOT NULL"),
    )
    op.create_index(
        "ix_orders_open",
        "orders",
        ["account_id"],
        unique=False,
        schema="trading",
        postgresql_where=sa.text("status IN ('PENDING', 'ACCEPTED', 'PARTIALLY_FILLED')"),
    )
    op.create_table(
        "positions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("quantity", sa.NUMERIC(precision=20, scale=8), nullable=False),
        sa.Column("cost_basis", sa.NUMERIC(precision=20, scale=8), nullable=False),
        sa.Column("realized_pnl", sa.NUMERIC(precision=20, scale=8), nullable=False),
        sa.Column("fees", sa.NUMERIC(precision=20, scale=8), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_positions")),
        sa.UniqueConstraint("account_id", "symbol", name=op.f("uq_positions_account_id_symbol")),
        schema="trading",
    )
    op.create_table(
        "trades",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("quantity", sa.NUMERIC(precision=20, scale=8), nullable=False),
        sa.Column("price", sa.NUMERIC(precision=20, scale=8), nullable=False),
        sa.Column("fee", sa.NUMERIC(precision=20, scale=8), nullable=False),
        sa.Column("liquidity", sa.Text(), nullable=False),
        sa.Column("realized_pnl", sa.NUMERIC(precision=20, scale=8), nullable=False),
        sa.Column("strategy_id", sa.Uuid(), nullable=True),
        sa.Column("executed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trades")),
        schema="trading",
    )
    op.create_index(
        op.f("ix_trades_account_id_executed_at_id"),
        "trades",
        ["account_id", "executed_at", "id"],
        unique=False,
        schema="trading",
    )
    op.create_index(
        op.f("ix_trades_order_id"), "trades", ["order_id"], unique=False, schema="trading"
    )
    op.create_table(
        "trading_states",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("scope", "subject", name=op.f("pk_trading_states")),
        schema="trading",
    )
    op.execute(
        "INSERT INTO trading.desk_leases (shard, address, epoch, expires_at)"
        " SELECT shard, '', 0, now() FROM generate_series(0, 63) AS shard"
    )
    # Locked until the desk's transaction ends, so that a take-over either waits for the commit or
    # is seen by it.
    op.execute("""
        CREATE FUNCTION trading.check_leases(
            writer uuid, touched smallint[], epochs bigint[]
        ) RETURNS void LANGUAGE plpgsql AS $$
        DECLARE
            held bigint;
        BEGIN
            SELECT count(*) INTO held FROM (
                SELECT 1 FROM trading.desk_leases AS l
                JOIN unnest(touched, epochs) AS t (shard, epoch) USING (shard)
                WHERE l.desk_id = writer AND l.epoch = t.epoch
                FOR SHARE OF l
            ) AS mine;
            IF held <> cardinality(touched) THEN
                RAISE EXCEPTION 'stale lease: another desk writes these shards';
            END IF;
        END $$
    """)
    op.execute("""
        CREATE FUNCTION trading.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'history and executions are append-only'; END $$
    """)
    for table in ("order_history", "trades"):
        op.execute(f"""
            CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON trading.{table}
            FOR EACH STATEMENT EXECUTE FUNCTION trading.refuse_change()
        """)

"""Instruments, sessions, candles, ticks, imports and their quarantine, feeds, history requests."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"

SCHEMA = "market"


def upgrade() -> None:
    op.execute("CREATE SCHEMA IF NOT EXISTS market")
    _reference_tables()
    _partitioned_tables()
    _import_tables()
    _operation_tables()


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _instant(name: str, *, nullable: bool = False, default: bool = False) -> sa.Column[object]:
    return sa.Column(
        name,
        sa.DateTime(timezone=True),
        nullable=nullable,
        server_default=sa.func.now() if default else None,
    )


def _price(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.NUMERIC(20, 8), nullable=nullable)


def _size(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.NUMERIC(28, 8), nullable=True)


def _reference_tables() -> None:
    op.create_table(
        "instruments",
        _text("symbol"),
        _text("name"),
        _text("asset_class"),
        _text("base"),
        _text("quote"),
        _price("tick_size"),
        _price("lot_size"),
        _text("calendar"),
        sa.Column("shortable", sa.Boolean(), nullable=False),
        sa.Column("tradable", sa.Boolean(), nullable=False),
        _instant("updated_at", default=True),
        sa.PrimaryKeyConstraint("symbol", name="pk_instruments"),
        schema=SCHEMA,
    )
    op.create_table(
        "sessions",
        _text("calendar"),
        _instant("opens_at"),
        _instant("closes_at"),
        sa.PrimaryKeyConstraint("calendar", "opens_at", name="pk_sessions"),
        schema=SCHEMA,
    )


def _partitioned_tables() -> None:
    op.create_table(
        "candles",
        _text("symbol"),
        _text("timeframe"),
        _instant("starts_at"),
        _price("open"),
        _price("high"),
        _price("low"),
        _price("close"),
        _size("volume"),
        _text("source"),
        sa.PrimaryKeyConstraint("symbol", "timeframe", "starts_at", name="pk_candles"),
        schema=SCHEMA,
        postgresql_partition_by="RANGE (starts_at)",
    )
    op.create_table(
        "ticks",
        _text("symbol"),
        _instant("at"),
        _text("kind"),
        _text("source"),
        sa.Column("ordinal", sa.Integer(), nullable=False, autoincrement=False),
        _price("bid", nullable=True),
        _price("ask", nullable=True),
        _size("bid_size"),
        _size("ask_size"),
        _price("price", nullable=True),
        _size("size"),
        _text("side", nullable=True),
        sa.PrimaryKeyConstraint("symbol", "at", "kind", "source", "ordinal", name="pk_ticks"),
        schema=SCHEMA,
        postgresql_partition_by="RANGE (at)",
    )
    op.execute("CREATE TABLE market.candles_default PARTITION OF market.candles DEFAULT")
    op.execute("CREATE TABLE market.ticks_default PARTITION OF market.ticks DEFAULT")


def _import_tables() -> None:
    op.create_table(
        "imports",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        _text("symbol"),
        _text("kind"),
        _text("timeframe", nullable=True),
        _text("file_name"),
        _text("sha256"),
        _text("source"),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("accepted", sa.Integer(), nullable=False),
        sa.Column("stored", sa.Integer(), nullable=False),
        sa.Column("quarantined", JSONB(), nullable=False),
        sa.Column("flags", JSONB(), nullable=False),
        _instant("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_imports"),
        schema=SCHEMA,
    )
    op.create_table(
        "quarantine",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("import_id", sa.Uuid(), nullable=True),
        _text("symbol"),
        _text("source"),
        sa.Column("row_number", sa.BigInteger(), nullable=True),
        _text("reason"),
        _text("raw"),
        _instant("created_at", default=True),
        sa.PrimaryKeyConstraint("id", name="pk_quarantine"),
        schema=SCHEMA,
    )
    op.create_index("ix_quarantine_import_id", "quarantine", ["import_id"], schema=SCHEMA)
    op.create_index(
        "ix_quarantine_symbol_created_at", "quarantine", ["symbol", "created_at"], schema=SCHEMA
    )


def _operation_tables() -> None:
    op.create_table(
        "feeds",
        _text("source"),
        _text("symbol"),
        _text("state"),
        _instant("last_event_at", nullable=True),
        _instant("last_received_at", nullable=True),
        _instant("changed_at"),
        sa.PrimaryKeyConstraint("source", "symbol", name="pk_feeds"),
        schema=SCHEMA,
    )
    op.create_table(
        "historical_requests",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        _text("symbol"),
        _instant("start_at"),
        _instant("end_at"),
        sa.Column("status", sa.Text(), server_default=sa.text("'PENDING'"), nullable=False),
        _text("detail", nullable=True),
        sa.Column("result", JSONB(), nullable=True),
        _instant("created_at"),
        _instant("finished_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_historical_requests"),
        schema=SCHEMA,
    )
    op.create_index(
        "ix_historical_requests_user_id_created_at",
        "historical_requests",
        ["user_id", "created_at"],
        schema=SCHEMA,
    )

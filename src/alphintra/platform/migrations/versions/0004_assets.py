"""The ledger, and what keeps it true."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("CREATE SCHEMA IF NOT EXISTS assets")
    op.create_table(
        "accounts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("balance", sa.NUMERIC(28, 8), server_default="0", nullable=False),
        sa.Column("may_be_negative", sa.Boolean(), nullable=False),
        sa.CheckConstraint(
            "may_be_negative OR balance >= 0", name=op.f("ck_accounts_not_overdrawn")
        ),
        sa.PrimaryKeyConstraint("id", name="pk_accounts"),
        sa.UniqueConstraint(
            "owner_id", "asset", "bucket", name="uq_accounts_owner_id_asset_bucket"
        ),
        schema="assets",
        # Room on each page for the new version of a balance, so that it needs no index entry.
        postgresql_with={"fillfactor": 60},
    )
    op.create_table(
        "postings",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("transaction_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("source", sa.Uuid(), nullable=False),
        sa.Column("destination", sa.Uuid(), nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("amount", sa.NUMERIC(20, 8), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False
        ),
        sa.CheckConstraint("amount > 0", name=op.f("ck_postings_amount_positive")),
        sa.CheckConstraint("source <> destination", name=op.f("ck_postings_two_accounts")),
        sa.PrimaryKeyConstraint("id", name="pk_postings"),
        schema="assets",
    )
    op.create_index("ix_postings_source_id", "postings", ["source", "id"], schema="assets")
    op.create_index(
        "ix_postings_destination_id", "postings", ["destination", "id"], schema="assets"
    )
    # Once per statement, not per row: balances move with the postings, whoever writes them, and a
    # posting to an account that does not exist (or holds another asset) takes the whole transaction
    # down.
    op.execute("""
        CREATE FUNCTION assets.move_balances() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE
            wanted bigint;
            found bigint;
        BEGIN
            WITH delta AS (
                SELECT account, asset, sum(amount) AS amount
                FROM (SELECT destination AS account, asset, amount FROM posted
                      UNION ALL SELECT source, asset, -amount FROM posted) AS legs
                GROUP BY account, asset
            ), locked AS MATERIALIZED (
                -- One order of locking, so that two writers never wait for each other.
                SELECT a.id, d.amount FROM assets.accounts AS a
                JOIN delta AS d ON a.id = d.account AND a.asset = d.asset
                ORDER BY a.id FOR NO KEY UPDATE OF a
            ), moved AS (
                UPDATE assets.accounts AS a SET balance = a.balance + l.amount
                FROM locked AS l WHERE a.id = l.id RETURNING 1
            )
            SELECT (SELECT count(*) FROM delta), (SELECT count(*) FROM moved) INTO wanted, found;
            IF wanted <> found THEN
                RAISE EXCEPTION 'a posting names an account that does not exist for its asset';
            END IF;
            RETURN NULL;
        END $$
    """)
    op.execute("""
        CREATE TRIGGER move_balances AFTER INSERT ON assets.postings
        REFERENCING NEW TABLE AS posted
        FOR EACH STATEMENT EXECUTE FUNCTION assets.move_balances()
    """)
    op.execute("""
        CREATE FUNCTION assets.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'postings are append-only; book the reverse instead'; END $$
    """)
    op.execute("""
        CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON assets.postings
        FOR EACH STATEMENT EXECUTE FUNCTION assets.refuse_change()
    """)
    op.execute("""
        CREATE FUNCTION assets.refuse_balance() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'a balance moves only by a posting'; END $$
    """)
    op.execute("""
        CREATE TRIGGER balance_moves_by_posting
        BEFORE UPDATE OR DELETE OR TRUNCATE ON assets.accounts
        FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION assets.refuse_balance()
    """)
    # Nor does an account begin with money: that would be an amount without another side.
    op.execute("""
        CREATE TRIGGER opens_empty BEFORE INSERT ON assets.accounts
        FOR EACH ROW WHEN (NEW.balance <> 0) EXECUTE FUNCTION assets.refuse_balance()
    """)

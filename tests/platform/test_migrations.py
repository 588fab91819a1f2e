"""Models and migrations describe the same tables; an upgrade is whole, and can be repeated."""

import importlib
import pkgutil
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from psycopg import sql
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import make_url

import alphintra
from alphintra.platform import migrations
from alphintra.platform.database import Base
from alphintra.platform.embedded import Endpoints


@contextmanager
def connected(database_url: str) -> Iterator[Connection]:
    engine = create_engine(make_url(database_url).set(drivername="postgresql+psycopg"))
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def import_all_models() -> set[str]:
    """Import every module that may declare a table; return the schemas that have one."""
    for context in pkgutil.iter_modules(alphintra.__path__):
        if not context.ispkg:
            continue
        package = importlib.import_module(f"alphintra.{context.name}")
        inside = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        for module in inside:
            if module.name.rpartition(".")[2] in {"models", "outbox", "consumers"}:
                importlib.import_module(module.name)
    return {table.schema for table in Base.metadata.tables.values() if table.schema}


def tables_of_the_database_itself(connection: Connection) -> set[str]:
    """Return what is made at run time: partitions, which look like their parents' tables."""
    rows = connection.execute(
        text("SELECT relname FROM pg_class WHERE relispartition AND relkind IN ('r', 'p')")
    )
    return {row.relname for row in rows}


def test_models_and_migrations_describe_the_same_tables(database_url: str) -> None:
    schemas = import_all_models()
    assert {"assets", "identity", "market", "platform", "trading"} <= schemas
    with connected(database_url) as connection:
        partitions = tables_of_the_database_itself(connection)
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "include_name": lambda name, kind, _: (
                    name in schemas
                    if kind == "schema"
                    else not (kind == "table" and name in partitions | {"schema_version"})
                ),
                "compare_type": True,
                "compare_server_default": True,
            },
        )
        assert compare_metadata(context, Base.metadata) == []


def schema_dump(connection: Connection) -> list[tuple[object, ...]]:
    """Return all columns, constraints, indexes, functions and triggers of our schemas."""
    queries = (
        """SELECT table_schema, table_name, column_name, data_type, column_default, is_nullable
           FROM information_schema.columns WHERE table_schema = ANY(:schemas) ORDER BY 1, 2, 3""",
        """SELECT n.nspname, c.conname, pg_get_constraintdef(c.oid) FROM pg_constraint c
           JOIN pg_namespace n ON n.oid = c.connamespace
           WHERE n.nspname = ANY(:schemas) ORDER BY 1, 2, 3""",
        """SELECT schemaname, indexname, indexdef FROM pg_indexes
           WHERE schemaname = ANY(:schemas) ORDER BY 1, 2, 3""",
        """SELECT n.nspname, p.proname, pg_get_functiondef(p.oid) FROM pg_proc p
           JOIN pg_namespace n ON n.oid = p.pronamespace
           WHERE n.nspname = ANY(:schemas) AND p.prokind = 'f' ORDER BY 1, 2, 3""",
        """SELECT t.tgname, pg_get_triggerdef(t.oid) FROM pg_trigger t
           WHERE NOT t.tgisinternal ORDER BY 1, 2""",
        "SELECT version_num FROM platform.schema_version",
    )
    schemas = sorted(import_all_models())
    return [
        tuple(row)
        for query in queries
        for row in connection.execute(
            text(query), {"schemas": schemas} if ":schemas" in query else {}
        )
    ]


def test_second_upgrade_changes_nothing(database_url: str) -> None:
    with connected(database_url) as connection:
        before = schema_dump(connection)
    migrations.upgrade(database_url)
    with connected(database_url) as connection:
        assert schema_dump(connection) == before


@pytest.fixture
def empty_database_url(servers: Endpoints, database_url: str) -> Iterator[str]:
    """A database without a schema of ours, owned by the product's own role."""
    ours = make_url(database_url)
    name = f"empty_{uuid4().hex[:12]}"
    with psycopg.connect(servers.admin_url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} OWNER {}").format(
                sql.Identifier(name), sql.Identifier(ours.username or "")
            )
        )
        yield ours.set(database=name).render_as_string(hide_password=False)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def schemas_of(database_url: str) -> set[str]:
    with connected(database_url) as connection:
        return {row.nspname for row in connection.execute(text("SELECT nspname FROM pg_namespace"))}


def test_failed_upgrade_leaves_nothing(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = schemas_of(empty_database_url)
    upgrade = command.upgrade

    def upgrade_and_fail(config: Config, revision: str) -> None:
        upgrade(config, revision)
        raise RuntimeError("the last step failed")

    with monkeypatch.context() as patched:
        patched.setattr(command, "upgrade", upgrade_and_fail)
        with pytest.raises(RuntimeError):
            migrations.upgrade(empty_database_url)
    assert schemas_of(empty_database_url) == before
    migrations.upgrade(empty_database_url)
    assert schemas_of(empty_database_url) >= import_all_models()

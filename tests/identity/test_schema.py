"""The models and the migrations describe the same tables."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import MetaData, create_engine
from sqlalchemy.engine import make_url

from alphintra.identity import models
from alphintra.platform.database import Base


def test_the_models_of_identity_are_what_the_migrations_made(database_url: str) -> None:
    assert models.User.__table__.schema == "identity"
    ours = MetaData(naming_convention=Base.metadata.naming_convention)
    for table in Base.metadata.tables.values():
        if table.schema == "identity":
            table.to_metadata(ours)
    engine = create_engine(make_url(database_url).set(drivername="postgresql+psycopg"))
    try:
        with engine.connect() as connection:
            context = MigrationContext.configure(
                connection,
                opts={
                    "include_schemas": True,
                    "include_name": lambda name, kind, _: kind != "schema" or name == "identity",
                    "compare_type": True,
                    "compare_server_default": True,
                },
            )
            assert compare_metadata(context, ours) == []
    finally:
        engine.dispose()

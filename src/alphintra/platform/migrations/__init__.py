"""Schema versions: forward only, one file per step, one transaction per run.

What the models cannot say (triggers, functions) is SQL in the migration that introduces it. A test
proves that the models and the migrations describe the same tables.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

#: Two processes that start together must not migrate together; the second waits and finds nothing
#: to do.
ADVISORY_LOCK = 0x616C_7068_02


def upgrade(database_url: str) -> None:
    """Bring the database to the newest version, or leave it as it was.

    Raises:
        sqlalchemy.exc.OperationalError: the server is away.
    """
    engine = create_engine(make_url(database_url).set(drivername="postgresql+psycopg"))
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
            connection.execute(text("CREATE SCHEMA IF NOT EXISTS platform"))
            config = Config()
            config.set_main_option("script_location", str(Path(__file__).parent))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()

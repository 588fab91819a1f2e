"""PostgreSQL: one engine per process, one transaction per use case.

`transaction()` commits when the block ends and rolls back when it raises; code inside flushes and
never commits. `reading()` cannot write. The desk and bulk imports, which speak COPY, borrow a raw
connection.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import psycopg
from sqlalchemy import NUMERIC, DateTime, MetaData, Text, Uuid, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase, mapped_column

from alphintra.core.errors import Unavailable

#: How long a statement of an ordinary use case may run; bulk work sets its own.
STATEMENT_TIMEOUT_MS = 15_000

Amount = Annotated[Decimal, mapped_column(NUMERIC(20, 8))]


class Base(DeclarativeBase):
    """All tables of the product; each names its context's schema."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        }
    )
    type_annotation_map: dict[Any, Any] = {  # noqa: RUF012 - SQLAlchemy reads it from the class
        str: Text,
        UUID: Uuid,
        Decimal: NUMERIC(20, 8),
    }


#: `timestamptz`; every datetime in the product is aware.
Timestamp = DateTime(timezone=True)


class DatabaseUnavailable(Unavailable):
    """The database did not answer. Nothing is known of the outcome: ask again."""

    code = "database_unavailable"


class Database:
    """The way to PostgreSQL for one process."""

    def __init__(self, url: str, *, pool_size: int = 10, application: str = "alphintra") -> None:
        parsed = make_url(url).set(drivername="postgresql+psycopg")
        self.conninfo = parsed.set(drivername="postgresql").render_as_string(hide_password=False)
        self.engine: AsyncEngine = create_async_engine(
            parsed,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=5,
            # A server that was restarted must not fail the first request after it.
            pool_pre_ping=True,
            # An error must not carry password hashes and seeds into the logs.
            hide_parameters=True,
            connect_args={
                "application_name": application,
                "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c timezone=UTC",
                "connect_timeout": 5,
            },
        )
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False, autobegin=True)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Run one use case: commit at the end, roll back on any exception.

        Raises:
            DatabaseUnavailable: the server is away or went away; the outcome is unknown.
        """
        try:
            async with self._sessions() as session, session.begin():
                yield session
        except (OperationalError, InterfaceError, PoolTimeout, TimeoutError) as error:
            raise DatabaseUnavailable("the database is not reachable at the moment") from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise DatabaseUnavailable("the connection to the database was lost") from error
            raise

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """Run queries that cannot write; the database itself refuses a write."""
        async with self.transaction() as session:
            await session.execute(text("SET TRANSACTION READ ONLY"))
            yield session

    async def connect_raw(
        self, *, autocommit: bool = False, options: str = ""
    ) -> psycopg.AsyncConnection:
        """Return a new psycopg connection of the caller's own, outside the pool.

        Args:
            options: more of libpq's `options`, such as `-c lock_timeout=1000`.

        Raises:
            psycopg.OperationalError: the server is away.
        """
        return await psycopg.AsyncConnection.connect(
            self.conninfo,
            autocommit=autocommit,
            connect_timeout=5,
            options=f"-c timezone=UTC {options}",
        )

    async def ping(self) -> None:
        """Ask the server for an answer.

        Raises:
            DatabaseUnavailable: there was none.
        """
        async with self.reading() as session:
            await session.execute(text("SELECT 1"))

    async def close(self) -> None:
        await self.engine.dispose()

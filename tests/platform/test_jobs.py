"""Jobs exist if their transaction commits, run once, and carry the correlation id."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest
from procrastinate import Blueprint, JobContext
from sqlalchemy import text

from alphintra.platform import correlation, housekeeping
from alphintra.platform.database import Database
from alphintra.platform.jobs import create_jobs, enqueue, run_jobs, services_of
from alphintra.platform.services import Services


class Cancelled(Exception):
    """The transaction's owner changed its mind."""


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    one = Database(database_url, pool_size=3)
    yield one
    await one.close()


async def test_job_runs_if_and_only_if_its_transaction_commits(database: Database) -> None:
    ran: list[tuple[str, str]] = []
    done = asyncio.Event()
    tasks = Blueprint()

    @tasks.task(name="note", pass_context=True)
    async def note(context: JobContext, /, text: str, **_: Any) -> None:
        ran.append((text, correlation.current()))
        assert services_of(context).database is database
        done.set()

    jobs = create_jobs(database.conninfo, {"test": tasks})

    async def enqueue_and_change_mind() -> None:
        async with database.transaction() as session:
            await enqueue(jobs, session, "test:note", text="never")
            raise Cancelled

    request = correlation.begin("request-1")
    async with jobs.open_async():
        with pytest.raises(Cancelled):
            await enqueue_and_change_mind()
        async with database.transaction() as session:
            await enqueue(jobs, session, "test:note", text="kept")
    stop = asyncio.Event()
    services = cast(Services, SimpleNamespace(database=database))
    worker = asyncio.create_task(run_jobs(jobs, services, stop))
    await asyncio.wait_for(done.wait(), 20)
    stop.set()
    await asyncio.wait_for(worker, 10)
    assert ran == [("kept", request)]


async def test_purge_keeps_what_is_not_published(database: Database) -> None:
    async with database.transaction() as session:
        await session.execute(
            text("""INSERT INTO platform.outbox (event_id, topic, key, body, created_at)
                    SELECT gen_random_uuid(), 't', 'k', '{}', now() - make_interval(days => days)
                    FROM unnest(ARRAY[1, 9, 9]) AS days""")
        )
        await session.execute(
            text("""INSERT INTO platform.relay_checkpoint
                    SELECT 's', 'i', 1, xid, seq FROM platform.outbox
                    ORDER BY seq OFFSET 1 LIMIT 1""")
        )
        await session.execute(
            text("INSERT INTO platform.inbox VALUES ('c', :id, now() - interval '16 days')"),
            {"id": uuid4()},
        )
    context = SimpleNamespace(additional_context={"services": SimpleNamespace(database=database)})
    purge: Any = housekeeping.purge_events
    assert await purge.func(context, timestamp=0) == 2
    async with database.reading() as session:
        left = await session.scalar(text("SELECT count(*) FROM platform.outbox"))
    assert left == 2

"""Durable background work on the same PostgreSQL: retried, scheduled, enqueued in a transaction.

A context declares its tasks on a `procrastinate.Blueprint`; the worker role runs them. A task gets
the process's `Services` from its job context, and the correlation id of whoever enqueued it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from copy import deepcopy
from typing import Any, cast

import psycopg
import structlog
from procrastinate import App, Blueprint, JobContext, PsycopgConnector
from procrastinate.exceptions import ConnectorException
from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncSession

from alphintra.platform import correlation
from alphintra.platform.database import DatabaseUnavailable
from alphintra.platform.services import Services

#: Where the library's tables are; migration 0006 makes them.
SCHEMA = "jobs"
CONCURRENCY = 4
POOL_SIZE = CONCURRENCY + 2
RETRY_S = 1.0
#: A job argument of ours, taken out again before the task sees its arguments.
CORRELATION_ARGUMENT = "correlation_id"

FINISHED = Counter("alphintra_jobs_total", "Jobs run by this process", ["task", "outcome"])
log = structlog.get_logger(__name__)


def create_jobs(conninfo: str, blueprints: Mapping[str, Blueprint]) -> App:
    """Return the queue with the tasks of all blueprints, named `<namespace>:<task>`; not yet open.

    Args:
        conninfo: where the database is, as libpq takes it.
        blueprints: by namespace.
    """
    app = App(
        connector=PsycopgConnector(
            conninfo=conninfo,
            min_size=1,
            max_size=POOL_SIZE,
            kwargs={"options": f"-c search_path={SCHEMA} -c timezone=UTC"},
        )
    )
    for namespace, blueprint in blueprints.items():
        # A copy, because adding renames the tasks where they are: a second queue in the process
        # would know them by a doubled name.
        app.add_tasks_from(deepcopy(blueprint), namespace=namespace)
    return app


def services_of(context: JobContext) -> Services:
    """Return what the running job works with."""
    return cast(Services, context.additional_context["services"])


async def enqueue(jobs: App, session: AsyncSession, task: str, **arguments: Any) -> int:
    """Enqueue a job in the session's transaction: it exists if and only if that commits.

    Returns:
        The job's id.
    """
    raw = await (await session.connection()).get_raw_connection()
    connection = cast("psycopg.AsyncConnection[Any]", raw.driver_connection)
    await connection.execute(f"SET LOCAL search_path TO {SCHEMA}")
    deferrer = jobs.configure_task(task, connection=connection)
    return await deferrer.defer_async(**{CORRELATION_ARGUMENT: correlation.current(), **arguments})


async def run_jobs(jobs: App, services: Services, stop: asyncio.Event, **more: object) -> None:
    """Work off jobs until `stop` is set; outlives restarts of the database.

    Args:
        more: what tasks find in their context besides the services.
    """
    while not stop.is_set():
        try:
            async with jobs.open_async():
                await _work(jobs, {"services": services, **more}, stop)
        except (ConnectorException, psycopg.Error, DatabaseUnavailable) as error:
            log.warning("jobs_interrupted", error=str(error).strip())
            await asyncio.sleep(RETRY_S)


async def _work(jobs: App, context: dict[str, object], stop: asyncio.Event) -> None:
    worker = asyncio.create_task(
        jobs.run_worker_async(
            concurrency=CONCURRENCY,
            install_signal_handlers=False,
            delete_jobs="successful",
            additional_context=context,
            task_middleware=[_frame],
            shutdown_graceful_timeout=3,
        )
    )
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({worker, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not worker.done():
        worker.cancel()
    try:
        await worker
    except asyncio.CancelledError:
        if not stop.is_set():
            raise


async def _frame(
    call_next: Callable[[], Awaitable[Any]], context: JobContext, _: object
) -> Any:  # whatever the task returns
    """What surrounds every task: the correlation id, the count, one line in the log."""
    correlation.begin(str(context.job.task_kwargs.get(CORRELATION_ARGUMENT) or ""))
    outcome = "failed"
    try:
        result = await call_next()
        outcome = "succeeded"
        return result
    finally:
        FINISHED.labels(context.job.task_name, outcome).inc()
        log.info("job_ended", task=context.job.task_name, job=context.job.id, outcome=outcome)

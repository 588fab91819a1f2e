"""The role `worker`: what has to be done beside the requests, whenever there is time for it."""

import asyncio

import structlog

from alphintra import identity, market, research, strategies
from alphintra.platform import housekeeping
from alphintra.platform.consumers import run_consumer
from alphintra.platform.jobs import create_jobs, run_jobs
from alphintra.platform.sandbox import Sandbox, SandboxUnavailable
from alphintra.platform.services import Services

#: The contexts' background tasks, by namespace.
BLUEPRINTS = {
    "deployments": strategies.deployment_tasks,
    "platform": housekeeping.tasks,
    "research": research.tasks,
}
#: When the sandbox of the runs opens, unless somebody wants a run before.
LABORATORY_AFTER_S = 20.0

log = structlog.get_logger(__name__)


async def run_worker(services: Services, stop: asyncio.Event) -> None:
    """React to events, work off jobs and keep house until `stop` is set.

    Any number of workers may run: each event and each job is one worker's.
    """
    jobs = create_jobs(services.database.conninfo, BLUEPRINTS)
    laboratory = research.laboratory(services.settings.sandbox)
    preparing = asyncio.create_task(_prepare(laboratory), name="laboratory")
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(run_jobs(jobs, services, stop, laboratory=laboratory))
            tasks.create_task(identity.run_housekeeping(services, stop))
            for consumer in market.consumers(services):
                tasks.create_task(run_consumer(consumer, services.database, services.bus, stop))
    finally:
        preparing.cancel()
        await asyncio.gather(preparing, return_exceptions=True)
        await laboratory.close()


async def _prepare(laboratory: Sandbox) -> None:
    """Have the simulator compiled, after an upgrade, before the first run needs it.

    After a while: until then the machine has a platform to start.
    """
    await asyncio.sleep(LABORATORY_AFTER_S)
    try:
        await laboratory.prepare()
    except (SandboxUnavailable, OSError) as error:
        log.warning("laboratory_closed", reason=str(error))
